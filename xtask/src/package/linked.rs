//! The check of a program before it is packaged: its machine, and how it is linked.

use std::path::Path;

use anyhow::{Result, bail};

use crate::architecture::Architecture;
use crate::run::Run;

/// A program that is for another machine, is loaded at the same address each time, or asks for a loader or a library
/// is not what docs/adr/0005-static-programs.md says. One that is meant to ask for the C library of this version asks
/// for nothing else and nothing newer. Flags in the environment (`RUSTFLAGS`) can make another.
pub fn must_be(program: &Path, architecture: Architecture, libc: Option<&str>) -> Result<()> {
    let headers =
        Run::words("readelf --wide --file-header --program-headers --dynamic --version-info");
    let headers = headers.arg(program).quiet().output()?;
    let machine = header(&headers, "Machine").unwrap_or_default();
    if machine != architecture.elf() {
        bail!(
            "\"{}\" is for {machine}; expected {}",
            program.display(),
            architecture.elf()
        );
    }
    if !is_pie(&headers) {
        bail!(
            "\"{}\" is not position-independent; is RUSTFLAGS set?",
            program.display()
        );
    }
    let Some(libc) = libc else {
        if headers.contains("INTERP") || headers.contains("(NEEDED)") {
            bail!(
                "\"{}\" is not linked statically; is RUSTFLAGS set?",
                program.display()
            );
        }
        return Ok(());
    };
    for library in needed(&headers) {
        if !LIBC.iter().any(|known| library.starts_with(known)) {
            bail!("\"{}\" needs {library}", program.display());
        }
    }
    if let Some(newer) = versions(&headers).find(|version| minor(version) > minor(libc)) {
        bail!(
            "\"{}\" needs the C library of version {newer}, and {libc} was promised: build it on an older system",
            program.display()
        );
    }
    Ok(())
}

/// Beginnings of the names of the C library and the compiler's runtime.
const LIBC: &[&str] = &[
    "libc.so.",
    "libm.so.",
    "libdl.so.",
    "libpthread.so.",
    "libgcc_s.so.",
    "ld-linux",
];

/// A field of the file's header.
fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = headers.lines().map(str::trim);
    lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// A library is of the same type; only a program has the flag.
fn is_pie(headers: &str) -> bool {
    let is_flagged = |line: &str| {
        line.contains("(FLAGS_1)") && line.split_whitespace().any(|word| word == "PIE")
    };
    header(headers, "Type").is_some_and(|kind| kind.starts_with("DYN"))
        && headers.lines().any(is_flagged)
}

fn needed(headers: &str) -> impl Iterator<Item = &str> {
    let lines = headers.lines().filter(|line| line.contains("(NEEDED)"));
    lines.filter_map(|line| line.rsplit_once('[')?.1.strip_suffix(']'))
}

fn versions(headers: &str) -> impl Iterator<Item = &str> {
    let words = headers.split_whitespace();
    words.filter_map(|word| word.strip_prefix("GLIBC_"))
}

/// The C library's major version has been 2 since 1997.
fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_position_independent_by_type_and_flag() {
        let headers = |kind: &str, flags: &str| {
            format!(
                "ELF Header:\n  Type:                              {kind}\n  Machine:  AArch64\n \
                 0x000000006ffffffb (FLAGS_1)            Flags: {flags}\n"
            )
        };
        assert_eq!(header(&headers("", ""), "Machine"), Some("AArch64"));
        assert!(is_pie(&headers(
            "DYN (Position-Independent Executable file)",
            "NOW PIE"
        )));
        assert!(!is_pie(&headers("EXEC (Executable file)", "NOW PIE")));
        assert!(!is_pie(&headers("DYN (Shared object file)", "NOW")));
        assert!(!is_pie("  Type:  DYN (Shared object file)\n"));
    }

    #[test]
    fn needed_libraries_and_glibc_versions_are_parsed_from_headers() {
        let headers = "\
 0x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
  0x0010:   Name: GLIBC_2.34  Flags: none  Version: 9
  0x0020:   Name: GLIBC_2.3.4  Flags: none  Version: 8
  0x0030:   Name: GCC_3.0  Flags: none  Version: 4";
        let found: Vec<&str> = needed(headers).collect();
        assert_eq!(found, ["libgcc_s.so.1", "libc.so.6"]);
        let minors: Vec<_> = versions(headers).filter_map(minor).collect();
        assert_eq!(minors, [34, 3]);
    }
}
