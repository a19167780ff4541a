//! The program `earmark-init`: given as it is, or in the agent's package.

use std::{ffi::OsStr, path::Path, time::Duration};

use anyhow::Context;

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::{
        files,
        output::quote,
        run::{self, Program},
    },
};

/// Path of the program in the agent's package and in an image.
pub const PATH: &str = "/usr/lib/earmark/earmark-init";
/// Of a package or a program, in bytes.
const BOUND: usize = 64 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_mins(1);
/// Words that no other program has.
const MARK: &[u8] = b"earmark-init: this is the first process of an initrd";

/// Reads the program from `path`: an ELF file, or a package of Debian's.
pub fn read(path: &Path) -> Outcome<Vec<u8>> {
    let bytes = files::read(path, BOUND, "program")?;
    let program = match &*bytes {
        bytes if bytes.starts_with(b"\x7fELF") => bytes.to_vec(),
        bytes if bytes.starts_with(b"!<arch>\n") => from_package(path)?,
        [0xed, 0xab, 0xee, 0xdb, ..] => {
            let problem = format!(
                "refused: {} is an rpm, which is not unpacked here",
                quote(path)
            );
            let next = format!(
                "rpm2cpio FILE | cpio --extract --make-directories .{PATH}; then give that program"
            );
            return Err(Failure::new(Exit::Usage, problem).next(next));
        }
        _ => {
            let problem = format!(
                "refused: {} is neither a program nor a package",
                quote(path)
            );
            return Err(Failure::new(Exit::Usage, problem).next(
                "give earmark-agent_VERSION_ARCH.deb, or the program /usr/lib/earmark/earmark-init of it",
            ));
        }
    };
    if program.windows(MARK.len()).any(|window| window == MARK) {
        return Ok(program);
    }
    let problem = format!(
        "refused: {} is not earmark-init, and would boot as the first process",
        quote(path)
    );
    Err(Failure::new(Exit::Usage, problem)
        .next("give the package of the agent, of this version or a newer one"))
}

fn from_package(package: &Path) -> Outcome<Vec<u8>> {
    let directory = files::TemporaryDirectory::new_in(&std::env::temp_dir())
        .context("failed to make a temporary directory")
        .exits(Exit::Undecided)?;
    let words = [
        OsStr::new("--extract"),
        package.as_os_str(),
        directory.path().as_os_str(),
    ];
    run::need(Program::DpkgDeb, &words, 4096, TIMEOUT)?;
    let program = directory.path().join(PATH.trim_start_matches('/'));
    files::read(&program, BOUND, "program of the package").or_next(|| {
        "give the package of the agent, of this version or a newer one: older ones have no earmark-init".to_owned()
    })
}
