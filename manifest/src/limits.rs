//! The bound of each input. Going over one is an error, never a truncation.
//!
//! Each bound protects against an input made to exhaust memory or time before its signature is
//! known to be good; none is meant to be reached by a real image.

/// The signed payload, in bytes. AWS KMS signs at most 4,096 bytes as they are, and the DSSE
/// pre-authentication encoding adds its header to the payload.
// That header takes 44 bytes.
pub const PAYLOAD: usize = 4_000;

/// `manifest.json`, in bytes: the payload in base64 and sixteen signatures, with room to spare.
pub const ENVELOPE: usize = 64 * 1024;

/// Signatures in one envelope. Each is tried with each trusted key.
// With TRUST_KEYS at most 256 verifications, for an envelope that anybody can write.
pub const SIGNATURES: usize = 16;

/// Keys in one trust file.
pub const TRUST_KEYS: usize = 16;

/// `trust.toml`, in bytes.
pub const TRUST: usize = 64 * 1024;

/// `earmark.toml`, in bytes.
pub const DECLARATION: usize = 256 * 1024;

/// `tree.zst` as it is stored, in bytes: about four million entries.
pub const TREE_STORED: usize = 512 * 1024 * 1024;

/// The tree's text, in bytes. Its digest is checked before anything is decompressed, so that this
/// bounds what a signer can do to a host by mistake, not what an attacker can do.
pub const TREE_TEXT: u64 = 2 * 1024 * 1024 * 1024;

/// One line of the tree, in bytes: a path and a symlink target of `PATH` bytes each with every
/// byte escaped, and room for the extended attributes.
// Not room for four attributes of XATTR bytes that are all escaped: a root with such a file is not sealed.
pub const TREE_LINE: usize = 128 * 1024;

/// The largest window that the decompressor may allocate, as a power of two: 8 MiB.
// zstd by itself accepts 27: 128 MiB, which is all that a verification may take (docs/bounds.md).
pub const TREE_WINDOW_LOG: u32 = 23;

/// Entries in one tree.
pub const ENTRIES: u64 = 4_000_000;

/// Class rules in one tree.
pub const RULES: usize = 4_096;

/// A path beneath the root, in bytes. Linux takes 4,096 with the terminating NUL.
pub const PATH: usize = 4_095;

/// One component of a path, in bytes (`NAME_MAX`).
pub const NAME: usize = 255;

/// One extended attribute's value, in bytes. Linux stores up to 64 KiB; those that are recorded
/// (capabilities, ACLs, labels) are small.
pub const XATTR: usize = 16 * 1024;

/// Longest validity of a grant, in seconds: a day. A host that has to stay open for longer is another
/// image.
pub const GRANT_SECONDS: u64 = 86_400;

/// The payload of a channel document, in bytes. It is too long for a key of KMS that signs messages as
/// they are (Ed25519), and any other key signs it.
pub const CHANNEL_PAYLOAD: usize = 512 * 1024;

/// A channel document, in bytes: the payload in base64 and sixteen signatures, with room to spare.
pub const CHANNEL: usize = 768 * 1024;

/// Releases in one channel.
pub const RELEASES: usize = 1_000;

/// Regions in which a release has an AMI.
pub const REGIONS: usize = 64;

/// Longest validity of a channel document, in seconds: 400 days.
pub const CHANNEL_SECONDS: u64 = 400 * 86_400;

/// A report, in bytes, with the newline that ends it.
pub const REPORT: usize = 4 * 1024;

/// Regions of a disk in one declaration.
pub const DISK_REGIONS: usize = 64;

/// First-boot steps in one declaration.
pub const STEPS: usize = 64;

/// Parameters in one declaration.
pub const PARAMETERS: usize = 128;

/// Lint waivers in one declaration.
pub const WAIVERS: usize = 256;

/// A signed kernel command line, in bytes: x86-64 and Arm pass 2,048 bytes to the kernel, with the NUL that
/// ends them.
pub const CMDLINE: usize = 2_048;

/// Words of a signed kernel command line. The cost of a comparison grows with their square.
pub const CMDLINE_WORDS: usize = 256;
/// A template of a `file` step, in bytes.
pub const TEMPLATE: usize = 1024 * 1024;

/// `floor.toml`, in bytes: what the locks of a declaration except, which is as long as it.
pub const FLOOR: usize = 512 * 1024;
