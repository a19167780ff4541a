//! Paths of Earmark's own files in an image. Absolute, beneath the image's root.

/// The directory of the agent's files.
pub const EARMARK_DIR: &str = "/usr/lib/earmark";
/// The seal: the three files that follow.
pub const SEAL_DIR: &str = "/usr/lib/earmark/seal";
/// The DSSE envelope.
pub const MANIFEST: &str = "/usr/lib/earmark/seal/manifest.json";
/// The declaration, byte for byte as its owner reviewed it.
pub const DECLARATION: &str = "/usr/lib/earmark/seal/earmark.toml";
/// The tree, zstd-compressed.
pub const TREE: &str = "/usr/lib/earmark/seal/tree.zst";
/// The keys that this image believes.
pub const TRUST: &str = "/usr/lib/earmark/trust.toml";
/// Floor: the limits that no seal of this image may be below.
pub const FLOOR: &str = "/usr/lib/earmark/floor.toml";
/// All of these: what the signature covers, or a verifier starts from, and so the tree does not have.
// The order is part of the format: a tree whose last rules are not these, in this order, is refused.
pub const SEAL: [&str; 7] = [
    EARMARK_DIR,
    SEAL_DIR,
    MANIFEST,
    DECLARATION,
    TREE,
    TRUST,
    FLOOR,
];
/// The agent's one public state.
pub const STATUS: &str = "/run/earmark/status.json";
/// The agent's own directories on a running host, which are always `state`.
pub const AGENT_STATE: [&str; 2] = ["/run/earmark", "/var/lib/earmark"];
/// Record of the files that declared `file` steps wrote at first boot.
pub const RENDERED: &str = "/var/lib/earmark/rendered.json";
/// The files that the agent keeps in its state directory, by their names there. Each belongs to root, is
/// writable by nobody else, and may take away from a verdict and never add to one.
// A new file has to be named here: a verification looks at owner and mode of these names alone.
pub const STATE_FILES: [&str; 10] = [
    "rendered.json",
    "first-boot.journal",
    "first-boot.journal.old",
    "grants.journal",
    "grants.journal.old",
    "channel.0",
    "channel.1",
    "identity.json",
    "formatting.json",
    "values.toml",
];

/// The names of the files of a seal, which are also those of `earmark measure`'s output.
pub const MANIFEST_NAME: &str = "manifest.json";
/// See [`MANIFEST_NAME`].
pub const DECLARATION_NAME: &str = "earmark.toml";
/// See [`MANIFEST_NAME`].
pub const TREE_NAME: &str = "tree.zst";
