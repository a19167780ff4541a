//! User-data of other kinds: what they are called, and what to do instead.

use super::problem::Problem;

/// Beginnings that user-data is compared with: spaces before it and the case of its letters do not count,
/// since they do not count for cloud-init. User-data that cloud-init would take for its own is never taken
/// for ours, although most of these lines are comments in TOML.
const TEXTS: [(&str, &str, &str); 19] = [
    ("#!", "a script (#!)", BAKE),
    ("#cloud-config", "cloud-config", BAKE),
    ("#cloud-boothook", "a boot hook of cloud-init", BAKE),
    ("#include", "a list of addresses (#include)", BAKE),
    ("#part-handler", "a part handler of cloud-init", BAKE),
    ("#upstart-job", "an upstart job", BAKE),
    ("## template:", "a template of cloud-init", BAKE),
    ("#ps1", "a PowerShell script", BAKE),
    ("<powershell>", "a PowerShell script", BAKE),
    ("<script>", "a batch script", BAKE),
    ("content-type:", "a MIME message", ALONE),
    ("mime-version:", "a MIME message", ALONE),
    ("from: ", "a MIME message", ALONE),
    ("from ", "a mailbox (mbox) with a MIME message", ALONE),
    ("received:", "a MIME message", ALONE),
    ("subject:", "a MIME message", ALONE),
    ("<?xml", "XML", ALONE),
    ("{", "JSON", ALONE),
    ("---", "YAML", ALONE),
];

// Never unpacked, unlike in cloud-init: the bound is on what arrives, and 16 KiB of gzip can be 16 MiB of text.
const BYTES: [(&[u8], &str, &str); 7] = [
    (b"\x1f\x8b", "gzip", PLAIN),
    (b"\xfd7zXZ\0", "xz", PLAIN),
    (b"\x28\xb5\x2f\xfd", "zstd", PLAIN),
    (b"BZh", "bzip2", PLAIN),
    (b"PK\x03\x04", "a zip archive", PLAIN),
    (b"\xff\xfe", "text in UTF-16", UTF8),
    (b"\xfe\xff", "text in UTF-16", UTF8),
];

const BAKE: &str = "TOML with one table, [parameters]: user-data gives values and nothing in it is \
    ever run; what has to be done goes into the image, as a [[first_boot]] step";
const ALONE: &str = "TOML with one table, [parameters], by itself";
const PLAIN: &str = "TOML with one table, [parameters], uncompressed";
const ONCE: &str = "TOML with one table, [parameters]: encoded once at most, which the AWS command \
    line does by itself";

const UTF8: &str = "TOML with one table, [parameters], in UTF-8";
const QUOTED: &str =
    "TOML with one table, [parameters], and below it a line such as name = \"value\" for each";

/// Byte order mark that editors of Windows put before text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Base64 of the shortest document that says anything.
const SHORTEST_BASE64: usize = 20;

/// Recognises other kinds of data that user-data often is; `None` if it is none of them.
pub(super) fn recognise(source: &str, bytes: &[u8]) -> Option<Problem> {
    let (found, expected) = of_bytes(bytes)
        .or_else(|| of_text(beginning(bytes)))
        .or_else(|| is_base64(bytes).then_some(("text in base64", ONCE)))
        .or_else(|| is_variables(bytes).then_some(("lines of KEY=VALUE", QUOTED)))?;
    Some(Problem {
        source: source.to_owned(),
        key: None,
        found: found.to_owned(),
        expected: expected.to_owned(),
    })
}

/// Spaces and byte order marks before it do not count, in whatever order and number.
fn beginning(bytes: &[u8]) -> &[u8] {
    let mut text = bytes.trim_ascii_start();
    while let Some(rest) = text.strip_prefix(BYTE_ORDER_MARK) {
        text = rest.trim_ascii_start();
    }
    text
}

fn of_bytes(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    BYTES
        .into_iter()
        .find(|(magic, ..)| bytes.starts_with(magic))
        .map(|(_, found, expected)| (found, expected))
}

fn of_text(text: &[u8]) -> Option<(&'static str, &'static str)> {
    TEXTS
        .into_iter()
        .find(|(start, ..)| {
            text.get(..start.len())
                .is_some_and(|beginning| beginning.eq_ignore_ascii_case(start.as_bytes()))
        })
        .map(|(_, found, expected)| (found, expected))
}

/// Returns whether this is text in base64. Callers of the API have to encode the document, and some do it
/// twice. No TOML with a table is of these characters alone.
fn is_base64(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    text.len() >= SHORTEST_BASE64
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte))
        // It is filled up at its end alone: `ENVIRONMENT=prod` is none.
        && text
            .iter()
            .skip_while(|byte| **byte != b'=')
            .all(|byte| b"=\r\n".contains(byte))
}

/// Returns whether this is of lines that shells and `EnvironmentFile=` read. Some of it is TOML, too, and then is not
/// refused for its form.
fn is_variables(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(beginning(bytes)) else {
        return false;
    };
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    let is_variable = |line: &str| {
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    lines.peek().is_some() && lines.all(is_variable) && text.parse::<toml::Table>().is_err()
}
