//! Words of scripts and configuration that may name a program.

/// Separators of words: blanks, quotes, operators of shells, and the signs that are written round values.
const APART: &[u8] = b" \t\r\n\"'`;|&()<>{}[]=,$:!@+\\*?";

/// Paths of a text, and of a script all words that could be a command. Of configuration, only what
/// stands where a command stands: after `Exec...=`, `PROGRAM=` and the like.
pub(super) fn words(text: &[u8], is_script: bool) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii_start().starts_with(b"#"))
        .flat_map(move |line| {
            let has_commands = is_script || starts_programs(line);
            let words = line.split(|byte| APART.contains(byte));
            let words = words.map(|word| word.strip_prefix(b"-").unwrap_or(word));
            words.filter(move |word| word.starts_with(b"/") || (has_commands && is_name(word)))
        })
}

fn starts_programs(line: &[u8]) -> bool {
    const KEYS: [&[u8]; 7] = [
        b"Exec",
        b"PROGRAM",
        b"RUN",
        b"IMPORT{program}",
        b"install ",
        b"remove ",
        b"ENV{SYSTEMD_WANTS}",
    ];
    let contains = |key: &[u8]| line.windows(key.len()).any(|window| window == key);
    KEYS.iter().any(|key| contains(key))
}

fn is_name(word: &[u8]) -> bool {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    !word.is_empty() && word.len() <= 64 && word.iter().all(good)
}
