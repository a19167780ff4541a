//! Facts of `earmark verify --image`: what is wrong with a disk image and its file systems.

super::facts! {
    /// The file system that is mounted at a place is ambiguous.
    UNCLEAR_FILE_SYSTEM = "a file system at '{}', and it is not clear which";
    /// A line of `/etc/fstab` is to name its file system.
    NAME_IT_BY_UUID = "by UUID=";
    /// The image could not be opened.
    IMAGE_NOT_OPENED = "failed to open the image";
    /// The partition that an error is about.
    PARTITION = "partition {}";
    /// Another volume has the root's label.
    SAME_LABEL = "has the same label as";
    /// Another volume has the root's UUID.
    SAME_UUID = "has the same UUID as";
    /// A machine may boot either of two.
    BOOT_EITHER = "a machine may boot either";
    /// The image has no such partition.
    NO_SUCH_PARTITION = "partition {} does not exist";
    /// Several partitions could be the root.
    SEVERAL_ROOTS = "more than one could be the root: ";
    /// No partition could be the root.
    NO_ROOT = "no partition is a root";
    /// A seal is placed, so that the root is known by it.
    PLACE_A_SEAL = "'earmark install' places a seal";
    /// The image has no partition at all.
    NO_PARTITION = "no partition";
    /// The image has neither a table nor a file system.
    NOTHING_THERE = "no partition table, and no file system";
    /// The image is attached as a device that can be written.
    WRITABLE_DEVICE = "which can be written";
    /// Such a device is detached.
    DETACH_IT = "losetup --detach";
    /// A file system was not unmounted.
    UNCLEAN = "shut down the machine";
    /// A file of this host would stand in for content of the image.
    BACKING_FILE = "backing file";
    /// The image's format is another one than its name says.
    CONTRADICTS_ITS_NAME = "contradicts its name";
    /// The image ends too early.
    TRUNCATED = "truncated";
    /// No file and no block device.
    NEITHER_FILE_NOR_DEVICE = "neither a file nor";
    /// Only root can have the kernel read a file system.
    RUN_AS_ROOT = "as root";
    /// The file system's own check says more.
    RUN_E2FSCK = "e2fsck";
    /// A block has two owners.
    TWO_OWNERS = "two files share";
    /// A file in use counts as free.
    MARKED_AS_FREE = "marked as free";
    /// A file has other names than its link count says.
    NAMES = "{} names";
    /// A mount option in the superblock changes what files are.
    MOUNT_OPTION = "mount option '{}'";
    /// The same, of its default ones.
    DEFAULT_MOUNT_OPTIONS = "default mount options";
    /// A part of the file system is elsewhere.
    ANOTHER_DEVICE = "another device";
    /// The number of inodes in a group is invalid.
    INODES_IN_A_GROUP = "inodes in a group";
    /// The blocks are larger than what is read.
    BLOCK_SIZE = "its blocks have more than 4096 bytes";
    /// A feature of the file system is not known.
    FEATURE = "it has the feature '{}', which is not read here";
    /// The superblock was changed.
    BAD_CHECKSUM = "checksum of its superblock";
    /// The journal was not replayed.
    JOURNAL_NOT_EMPTY = "marked as clean, and its journal has changes";
    /// A directory has more names than fit in memory.
    TOO_MANY_NAMES = "too many names";
    /// A region that vouched for nothing differs, on a screen.
    DIFFERS = "DIFFERS";
}
