//! Options of a verification, and the place where it is made.

use earmark_manifest::{declaration::Gate, floor::Floor, trust::Trust};

use crate::{Progress, initrd::Covered};

/// Options of a verification.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The keys to believe; the root's own trust file, if absent.
    pub trust: Option<&'a Trust>,
    /// The floor of an initrd: neither the seal nor the root's own floor may be below it, and the root's trust file
    /// must equal `trust`. The root's own floor alone counts, if absent.
    pub floor: Option<&'a Floor>,
    /// Gate to cover; the one that the image declares, if absent.
    pub gate: Option<Gate>,
    /// Scope and findings of the initrd of this boot, which are not looked at again.
    pub covered: Option<&'a Covered>,
    /// Told how far it is.
    pub progress: &'a dyn Progress,
    /// Place and stage of the verification.
    pub at: Place,
}

/// Place and stage of a verification: they decide how far the host's own word goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Another host, or a root that is not the running one: every byte is read.
    #[default]
    Offline,
    /// The agent on its own running host, whose kernel enforces fs-verity.
    Running,
    /// The initrd of the boot, before any program of the root: its own kernel enforces fs-verity, and first boot
    /// may follow.
    Initrd,
    /// The agent at boot, before first boot: what a first boot that was interrupted left is tolerated, since
    /// first boot follows and does it again. `is_live`: on its own running host.
    BeforeFirstBoot {
        /// True if the root is that of the running host, so that its kernel is believed.
        is_live: bool,
    },
}

impl Place {
    pub(super) fn is_before_first_boot(self) -> bool {
        matches!(self, Self::BeforeFirstBoot { .. } | Self::Initrd)
    }

    /// A file system that another host serves or mounts can answer what it likes.
    pub(super) fn believes_kernel(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Initrd | Self::BeforeFirstBoot { is_live: true }
        )
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("trust", &self.trust)
            .field("gate", &self.gate)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
