//! Facts of the signer: seals, keys, and what it refuses.

super::facts! {
    /// A manifest was read without a trust file.
    UNTRUSTED = "ANYBODY could have resealed it";
    /// Files that a step wrote are compared with the host's record alone.
    HOSTS_OWN_WORD = "on the host's own word";
    /// An error, also one of how the program was called.
    ERROR = "error: ";
    /// A rule or a waiver has no reason.
    NEEDS_A_REASON = "needs a reason";
    /// The place of an error in a declaration.
    PLACE = "line {}, column {}";
    /// A file that the image lacks.
    NO_SUCH_FILE = "no such file";
    /// A file system is mounted in the root that the declaration does not name.
    MOUNTED_HERE = "mounted here";
    /// The disk is full.
    MAKE_ROOM = "next: make room";
    /// The image promises fs-verity, and nothing was enabled.
    ENABLE_VERITY = "run this again with --verity";
    /// A file could not be enabled.
    VERITY_FAILED = "failed to enable fs-verity on '{}";
    /// The file system is mounted read-only.
    MOUNT_WRITABLE = "mount that file system writable";
    /// The public half of a key that exists is made from it.
    MAKE_PUBLIC_HALF = "earmark public --key";

    /// A passphrase does not open its key.
    WRONG_PASSPHRASE = "the passphrase is wrong";
    /// A key is converted by OpenSSL to a kind that is read.
    CONVERT_BY_OPENSSL = "openssl pkcs8 -topk8";
    /// A passphrase is asked for at the terminal.
    ASKS_FOR_PASSPHRASE = "Passphrase of {}";
    /// A passphrase is read from a descriptor.
    DESCRIPTOR = "the descriptor {}";
    /// A passphrase has no characters.
    EMPTY_PASSPHRASE = ": it is empty";
    /// Nobody can be asked.
    NO_TERMINAL = "no terminal";
    /// A file of a secret may be used by others.
    SECRET_OF_OTHERS = "has mode {}, which lets others use it: expected 0600";
    /// A file of a secret belongs to somebody else.
    SECRET_OF_ANOTHER = "belongs to the user id {}";
    /// A directory lets others replace the secret that lies in it.
    SECRET_REPLACEABLE = "which has mode {}";
    /// A PKCS#11 module could not be loaded.
    MODULE_NOT_LOADED = "failed to load the module";
    /// A token's PIN was refused.
    WRONG_PIN = "the PIN of the token '{}' is wrong";
    /// A URI means several tokens or objects.
    AMBIGUOUS = "matches {}";
    /// The tokens that there are, where a URI means none.
    TOKENS_FOUND = "tokens found: ";
    /// A URI means no object.
    NO_SUCH_OBJECT = "the token has no {} for ";
    /// A key in a device is of another algorithm.
    OTHER_ALGORITHM = "is neither an Ed25519 nor a P-256 key";
    /// The public key of a service is of another algorithm.
    OTHER_PUBLIC_KEY = "not an Ed25519 or P-256 key";
    /// A signature of a service is over something else.
    BAD_SIGNATURE = "does not verify";

    /// `packer/scripts/sign.sh`: the measurement of another image or version came back.
    ANOTHER_CAME_BACK = "what came back is ";
    /// `packer/scripts/sign.sh`: a declaration that nobody reviewed came back.
    ANOTHER_DECLARATION = "the declaration that came back is not";
    /// `packer/scripts/verify-disk.sh`: the disk of a builder is elsewhere.
    DISK_ELSEWHERE = " is not here: ";
}
