//! The architecture that an image is for: what its first process was compiled for.

use anyhow::Context;
use earmark_manifest::statement::Architecture;
use earmark_scan::{
    Root,
    architecture::{self, FIRST_PROCESS},
};

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::output,
};

/// The architecture that this program runs on.
const OWN: Architecture = if cfg!(target_arch = "aarch64") {
    Architecture::Aarch64
} else {
    Architecture::X86_64
};

/// Decides by what `root` has, which what a person says may not contradict. A root without a first process, such as that
/// of a container, boots nowhere: it gets what is said, or this program's own, and a warning.
pub(super) fn decide(root: &Root, said: Option<Architecture>) -> Outcome<Architecture> {
    let machine = architecture::read(root)
        .context("failed to read the architecture of the root")
        .exits(Exit::Undecided)?;
    let Some(machine) = machine else {
        return Ok(said.unwrap_or_else(|| {
            let places = FIRST_PROCESS.join(", ");
            output::note(&format!(
                "warning: none of {places} in the root leads to an ELF program: the image is sealed for {OWN}, as this \
                 program is; --architecture says another"
            ));
            OWN
        }));
    };
    let Ok(found) = machine.architecture else {
        let problem = format!(
            "'{}' of the root is for {machine}; x86_64 and aarch64 can be sealed",
            machine.path
        );
        return Err(Failure::new(Exit::Usage, problem).next("is --root the root of an image?"));
    };
    match said {
        Some(said) if said != found => {
            let problem = format!(
                "refused: --architecture is {said}, and '{}' of the root is for {found}",
                machine.path
            );
            Err(Failure::new(Exit::Usage, problem).next("leave --architecture out"))
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A root whose first process is for this `e_machine`.
    fn root(machine: Option<u8>) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        if let Some(machine) = machine {
            let systemd = directory.path().join("usr/lib/systemd");
            fs::create_dir_all(&systemd).unwrap();
            let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
            elf.extend([machine, 0, 1, 0, 0, 0]);
            fs::write(systemd.join("systemd"), elf).unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        (directory, root)
    }

    fn decided(machine: Option<u8>, said: Option<Architecture>) -> Result<Architecture, String> {
        let (_keep, root) = root(machine);
        decide(&root, said).map_err(|failure| {
            assert_eq!(failure.exit(), Exit::Usage);
            format!("{failure:?}")
        })
    }

    #[test]
    fn architecture_is_read_from_init_and_conflicting_option_is_refused() {
        use Architecture::{Aarch64, X86_64};
        for (machine, architecture, other) in [(62, X86_64, Aarch64), (183, Aarch64, X86_64)] {
            assert_eq!(decided(Some(machine), None), Ok(architecture));
            assert_eq!(decided(Some(machine), Some(architecture)), Ok(architecture));
            let refused = decided(Some(machine), Some(other)).unwrap_err();
            assert!(refused.contains("leave --architecture out"), "{refused}");
        }
        let refused = decided(Some(243), Some(X86_64)).unwrap_err();
        assert!(refused.contains("ELF machine 243"), "{refused}");
    }

    #[test]
    fn root_without_init_gets_the_architecture_that_is_said_or_this_programs_own() {
        assert_eq!(
            decided(None, Some(Architecture::Aarch64)),
            Ok(Architecture::Aarch64)
        );
        assert_eq!(decided(None, None), Ok(OWN));
    }
}
