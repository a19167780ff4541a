//! Facts of a host: verification, first boot, locks, grants, as the agent tells them on the console, in the journal,
//! in reasons of a status and on its screens.

super::facts! {
    /// The verdict on a screen, of a host of which a part was looked at.
    PARTIAL = "PARTIAL";
    /// The verdict on a screen.
    VERIFIED = "VERIFIED";
    /// The files of the seal do not make a manifest that the trust file believes.
    SEAL_NOT_BELIEVED = "the seal is not believed";
    /// The seal's policy is weaker than the floor's.
    POLICY_BELOW_FLOOR = "the policy '{}' is weaker than '{}'";
    /// The seal is of another image than the floor.
    FLOOR_OF_ANOTHER_IMAGE = "floor.toml is of '{}'";
    /// The state directory, or a file in it, may be written by others than its owner.
    OTHERS_MAY_WRITE = "which lets others write to it";
    /// A file of the state belongs to somebody else.
    BELONGS_TO_USER = "the {} belongs to user {}";
    /// A file that a step rendered may be half of one.
    INTERRUPTED = "interrupted";
    /// A refusal tells a next step.
    NEXT_STEP = "next: ";
    /// The verification at boot was ended before it came to a verdict.
    VERIFICATION_INCOMPLETE = "the verification did not complete: ";
    /// A process was ended by a signal.
    ENDED_BY_SIGNAL = "it was ended by SIG{}";
    /// Time until the service verifies again.
    NEXT_VERIFICATION = "; next verification in {}";
    /// The result could not be written, on a full disk for instance.
    RESULT_NOT_SAVED = "failed to save the result";
    /// sudo finds a package manager before what answers in its place.
    NO_ANSWER_UNDER_SUDO = "no answer under sudo";
    /// A directory could not be listed.
    LISTING_FAILED = "list the directory";

    /// All steps ran at some boot.
    FIRST_BOOT_DONE = "first boot is done";
    /// A step failed, and the policy follows.
    FIRST_BOOT_FAILED = "FIRST BOOT FAILED: ";
    /// Nobody knows what first boot did.
    FIRST_BOOT_UNDECIDED = "FIRST BOOT UNDECIDED: ";
    /// The step that an error is about.
    STEP = "step '{}'";
    /// A step begins.
    STEP_BEGINS = "step '{}' begins";
    /// A command ended with an exit status.
    EXIT_STATUS = "exit status {}";
    /// A step that must not be repeated was interrupted by a crash.
    STEP_INTERRUPTED = "a crash interrupted the step";
    /// A unit that a step starts is no sealed one.
    UNIT_NOT_SEALED = "'{}' is not a sealed unit of the image";
    /// A device is mounted, or used otherwise.
    DEVICE_IN_USE = "is in use";
    /// The journal, or another file, could not be written.
    WRITE_FAILED = "failed to write '{}'";
    /// The row of the status screen about first boot.
    FIRST_BOOT_ROW = "First boot";
    /// Values are a script, which is not run.
    SCRIPT_FOR_VALUES = "script";
    /// The host's disk was another instance's.
    CLONE = "this host is a clone";

    /// The unit that applies the locks, as systemd shows it.
    LOCKDOWN_UNIT = "Lock down this host";
    /// All denied locks are enforced.
    LOCKED_DOWN = ": locked down";
    /// A denied lock is open, and the policy follows.
    NOT_LOCKED_DOWN = "NOT LOCKED DOWN: {} (policy {})";
    /// The same, whatever lock it is.
    SOME_LOCK_OPEN = "NOT LOCKED DOWN: ";
    /// The state of a lock that is open, on a screen.
    NOT_ENFORCED = "NOT ENFORCED";
    /// Something is open that others than root can cause.
    OPEN_WITHOUT_POLICY = "; open, and no policy follows: ";
    /// The same, of one item.
    CAUSED_BY_ANYBODY = "anybody can cause it: told, no policy";
    /// The row of the status screen about locks.
    LOCKS_ROW = "Locks";
    /// The same, whichever the name and the image are.
    IMMUTABLE = "this host is the immutable image";
    /// The answer of a package manager's name on a locked host.
    IMMUTABLE_IMAGE = "{}: this host is the immutable image {}: to change it, bake a new version and replace the host (see 'earmark-agent status')";

    /// A grant opened its locks.
    GRANT_OPENED = "OPENED by a grant until";
    /// A grant is over, for a reason that follows.
    GRANT_CLOSED = "a grant is closed, ";
    /// A grant is for another instance.
    GRANT_FOR_INSTANCE = "it is for {}, and this is";
    /// A grant is for another image.
    GRANT_FOR_IMAGE = "it is for the image '{}'";
    /// A grant was used before.
    GRANT_REPLAYED = "it was accepted before";
    /// A lock that no grant opens.
    UNGRANTABLE = "'{}' cannot be granted";
    /// The state of a lock that a grant opened, on a screen.
    OPEN_BY_A_GRANT = "OPEN BY A GRANT";
    /// A host on which a lock was opened at some time.
    TAINTED = "TAINTED";
    /// A document has fewer valid signatures than its trust file asks for.
    TOO_FEW_SIGNATURES = "{} of {} needed signatures";
}
