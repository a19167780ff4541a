//! `fstab`: where the file systems of an image are mounted.

use earmark_manifest::path::ImagePath;

/// Path of the file in an image.
pub const FSTAB: &str = "/etc/fstab";
/// Of its size, in bytes.
pub const FSTAB_BOUND: usize = 1024 * 1024;

/// A line that mounts something at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Such as `UUID=...`, `LABEL=...` or `/dev/...`.
    pub source: String,
    /// Mount point.
    pub target: ImagePath,
    /// Type of the file system.
    pub kind: String,
    /// Options, separated by commas.
    pub options: String,
}

/// The lines of an fstab that mount something at a path.
pub fn parse(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let source = fields.next().filter(|source| !source.starts_with('#'))?;
        let target = unescaped(fields.next()?);
        Some(Line {
            source: String::from_utf8_lossy(&unescaped(source)).into_owned(),
            target: ImagePath::from_absolute(&target).ok()?,
            kind: fields.next().unwrap_or_default().to_owned(),
            options: fields.next().unwrap_or_default().to_owned(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// With `\040` as the space that it is.
pub(crate) fn unescaped(field: &str) -> Vec<u8> {
    let bytes = field.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0_usize);
    while let Some(byte) = bytes.get(at) {
        let octal = bytes.get(at + 1..at + 4).filter(|_| *byte == b'\\');
        let octal = octal.and_then(|octal| std::str::from_utf8(octal).ok());
        let escaped = octal.and_then(|octal| u8::from_str_radix(octal, 8).ok());
        plain.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 4 } else { 1 };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fstab_octal_escape_is_decoded_and_invalid_escape_is_literal() {
        assert_eq!(unescaped(r"a\040b\\x\9"), br"a b\\x\9");
    }
}
