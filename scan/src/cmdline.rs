//! Command line: the words that this boot was given, and how they differ from those that were signed.
//!
//! Protects against: a boot entry or a console at which somebody adds, changes or removes a word, on
//! a host that then boots on as if nothing were. Does not protect against a word after which this
//! program never runs (`init=/bin/sh`), nor against a boot loader that shows another line than the
//! kernel got (tier T0).

mod harmful;
mod judge;
mod known;
mod rules;
mod tokens;

use std::fmt;

use crate::{Doubt, Root, ScanError, kernel};
use earmark_manifest::path::ImagePath;

pub use judge::Judgement;

/// The words of a boot, as bytes, wherever they come from.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// `/proc/cmdline`; not read in a container, where it is the host's.
    kernel: Option<Vec<u8>>,
    /// The arguments of the first process, without its name.
    arguments: Vec<Vec<u8>>,
    /// The text of systemd's EFI variable.
    firmware: String,
    /// `/proc/bootconfig`.
    bootconfig: Vec<u8>,
    /// True in a container: its manager is above this host, and gives the arguments.
    is_container: bool,
    doubts: Vec<Doubt>,
}

/// The kernel's own line.
const KERNEL: &str = "/proc/cmdline";
/// The first process' arguments: in a container all that there is, elsewhere what the initrd may add.
const INIT: &str = "/proc/1/cmdline";
/// Settings of the boot configuration behind the initrd (`CONFIG_BOOT_CONFIG`).
const BOOTCONFIG: &str = "/proc/bootconfig";
/// Words that systemd takes like the kernel's, set with `bootctl systemd-efi-options`.
const FIRMWARE: &str =
    "/sys/firmware/efi/efivars/SystemdOptions-8cf2644b-4b0b-428f-9387-6d876050dc67";
/// Of a line: x86-64 and Arm have 2,048 bytes for it, s390 4,096.
const BOUND: usize = 8 * 1024;
/// Of a boot configuration, which has at most 32 KiB.
const BOOTCONFIG_BOUND: usize = 64 * 1024;

impl CommandLine {
    /// Reads the words that `root`, the running host's, was booted with.
    pub fn read(root: &Root) -> Self {
        let mut line = Self {
            is_container: kernel::is_container_of(root.path()),
            ..Self::default()
        };
        // A container's manager may hide it, and is above this host in any case.
        let init = match read(root, INIT, BOUND) {
            Ok(init) => init,
            Err(_) if line.is_container => None,
            Err(error) => {
                line.failed(INIT, &error);
                None
            }
        };
        let arguments = init.unwrap_or_default();
        let arguments = arguments.strip_suffix(b"\0").unwrap_or(&arguments);
        let arguments = arguments.split(|byte| *byte == 0).skip(1);
        line.arguments = arguments.map(<[u8]>::to_vec).collect();
        if line.is_container {
            return line;
        }
        match read(root, KERNEL, BOUND) {
            Ok(Some(bytes)) => line.kernel = Some(bytes),
            // Each kernel has it: a /proc without it is something else that is mounted there.
            Ok(None) => line.doubt(KERNEL, "failed to read it: no such file"),
            Err(error) => line.failed(KERNEL, &error),
        }
        match read(root, FIRMWARE, BOUND) {
            Ok(variable) => line.firmware = firmware_text(&variable.unwrap_or_default()),
            Err(error) => line.failed(FIRMWARE, &error),
        }
        match read(root, BOOTCONFIG, BOOTCONFIG_BOUND) {
            Ok(bytes) => line.bootconfig = bytes.unwrap_or_default(),
            Err(error) => line.failed(BOOTCONFIG, &error),
        }
        line
    }

    /// The units that this boot is asked to start instead of the default one, by any reader's words.
    /// None of them may get past the verification.
    pub fn targets(&self) -> Vec<String> {
        let kernel = lossy(self.kernel.as_deref().unwrap_or_default());
        let mut words = tokens::all(&kernel);
        words.extend(tokens::all(&self.firmware));
        let arguments: Vec<String> = self.arguments.iter().map(|word| lossy(word)).collect();
        words.extend(arguments.iter().cloned());
        let mut targets: Vec<String> = words
            .iter()
            .filter_map(|word| rules::target(word))
            .collect();
        targets.extend(rules::targets_of_arguments(&arguments).cloned());
        targets.sort();
        targets.dedup();
        targets
    }

    fn failed(&mut self, path: &str, error: &ScanError) {
        self.doubt(
            path,
            format_args!("failed to {} it: {}", error.what, error.cause),
        );
    }

    fn doubt(&mut self, path: &str, problem: impl fmt::Display) {
        self.doubts.push(Doubt {
            path: place(path),
            problem: problem.to_string(),
        });
    }
}

/// A file that need not be there; what is there and cannot be read is an error.
fn read(root: &Root, path: &str, bound: usize) -> Result<Option<Vec<u8>>, ScanError> {
    root.read_opt(&place(path), bound)
}

fn place(path: &str) -> ImagePath {
    ImagePath::from_absolute(path.as_bytes()).unwrap_or_default()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An EFI variable: four bytes of attributes, then UTF-16, little-endian, which NULs may end.
fn firmware_text(variable: &[u8]) -> String {
    // An odd last byte becomes U+FFFF, which no known word has. Dropped, it would leave a word that may be known.
    let units: Vec<u16> = variable
        .get(4..)
        .unwrap_or_default()
        .chunks(2)
        .map(|unit| <[u8; 2]>::try_from(unit).map_or(u16::MAX, u16::from_le_bytes))
        .collect();
    let text = String::from_utf16_lossy(&units);
    text.trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests;
