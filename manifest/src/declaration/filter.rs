//! `{{ name | filter }}`: a value, quoted for the syntax of the file that it is put into.
//!
//! Protects against a value that ends the string it stands in and goes on as configuration or code.
//! Does not protect a template that puts a filter inside quotes of its own, or uses the filter of another
//! syntax than the file's.

use std::{fmt, str::FromStr};

/// A syntax, in which a filter writes one complete value with its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A basic string of TOML.
    Toml,
    /// A string of JSON, and so of YAML.
    Json,
    /// One word for `/bin/sh` and what quotes like it.
    Shell,
    /// One argument on a command line of a unit (`ExecStart=` and its kind), where `$` expands.
    Systemd,
    /// One word of another setting of a unit that takes quotes (`Environment=`), where `$` is text.
    SystemdEnvironment,
}

const ALL: [Filter; 5] = [
    Filter::Toml,
    Filter::Json,
    Filter::Shell,
    Filter::Systemd,
    Filter::SystemdEnvironment,
];

impl Filter {
    /// Its name in a template.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Toml => "toml",
            Self::Json => "json",
            Self::Shell => "shell",
            Self::Systemd => "systemd",
            Self::SystemdEnvironment => "systemd_environment",
        }
    }

    /// `value` as one complete value of the syntax. What reads it gets `value` back, byte for byte.
    pub fn quote(self, value: &str) -> String {
        let mut quoted = String::with_capacity(value.len().saturating_add(2));
        // A single quote keeps everything but itself from `/bin/sh`; no escape exists inside.
        let (quote, write): (char, fn(&mut String, char)) = match self {
            Self::Shell => ('\'', shell),
            // Each escape of JSON is one of TOML's basic strings, too.
            Self::Toml | Self::Json => ('"', basic),
            // In quotes a lone `;` is an argument; outside of them systemd begins another command at it.
            Self::Systemd => ('"', command_line),
            Self::SystemdEnvironment => ('"', setting),
        };
        quoted.push(quote);
        for character in value.chars() {
            write(&mut quoted, character);
        }
        quoted.push(quote);
        quoted
    }
}

fn shell(quoted: &mut String, character: char) {
    match character {
        '\'' => quoted.push_str(r"'\''"),
        _ => quoted.push(character),
    }
}

fn basic(quoted: &mut String, character: char) {
    match character {
        '"' | '\\' => quoted.extend(['\\', character]),
        '\n' => quoted.push_str("\\n"),
        '\t' => quoted.push_str("\\t"),
        // U+2028 and U+2029 end a line for JavaScript before 2019.
        _ if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') => {
            // Four digits suffice: no control character lies beyond U+FFFF, where JSON would need a pair.
            quoted.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
        _ => quoted.push(character),
    }
}

/// systemd.service(5), "Command lines": quotes and C escapes first, then `%`, and `$` when it starts the program.
fn command_line(quoted: &mut String, character: char) {
    match character {
        '$' => quoted.push_str("$$"),
        _ => setting(quoted, character),
    }
}

/// systemd.syntax(7), "Quoting". `%` begins a specifier also inside quotes, and after the escapes were read, so
/// that `\x25` would not do.
fn setting(quoted: &mut String, character: char) {
    match character {
        '"' | '\\' => quoted.extend(['\\', character]),
        '%' => quoted.push_str("%%"),
        '\n' => quoted.push_str("\\n"),
        '\t' => quoted.push_str("\\t"),
        // Not U+0080 to U+009F: `\x85` would be one byte for systemd, and U+0085 is two in UTF-8.
        _ if character.is_ascii_control() => {
            quoted.push_str(&format!("\\x{:02x}", u32::from(character)));
        }
        _ => quoted.push(character),
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ALL.into_iter()
            .find(|filter| filter.name() == text)
            .ok_or_else(|| {
                format!(
                    "unknown filter '{}': expected one of {}",
                    crate::escape::Escaped(text.as_bytes()),
                    ALL.map(Self::name).join(", ")
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 12] = [
        "",
        "plain",
        "a\nb",
        "\ttab\r\u{85}\u{2028}\u{7f}\u{1}",
        "it's \"quoted\" \\ \\\\ \\n",
        "'; touch /pwned; '",
        "\"\nadmin = true\n[x]\n\"",
        "$(reboot) `reboot` ${HOME} $$ $1",
        "%n %% %i %H",
        "é ü \u{1f600} \u{feff}",
        "# ; // -- /* */ {{ name }} {% %}",
        "\\\nExecStartPre=/bin/reboot",
    ];

    #[test]
    fn toml_value_reads_back_as_itself() {
        for value in HOSTILE {
            let text = format!("before = 1\nx = {}\nafter = 2\n", Filter::Toml.quote(value));
            let read: toml::Table = toml::from_str(&text).unwrap();
            assert_eq!(read["x"].as_str(), Some(value), "{text}");
            assert_eq!(read.len(), 3, "{text}");
        }
    }

    #[test]
    fn json_value_reads_back_as_itself() {
        for value in HOSTILE {
            let text = format!("{{\"x\": {}, \"y\": 2}}", Filter::Json.quote(value));
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read["x"].as_str(), Some(value), "{text}");
            assert!(!Filter::Json.quote(value).contains(['\n', '\u{2028}']));
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the shell is what is asked")]
    fn shell_word_reads_back_as_itself() {
        for value in HOSTILE {
            let script = format!("printf %s {}; exit 7", Filter::Shell.quote(value));
            let mut shell = std::process::Command::new("/bin/sh");
            let ran = shell.args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&ran.stdout), value, "{script}");
            assert_eq!(ran.status.code(), Some(7), "{script}");
        }
    }

    /// Decodes one word as systemd does: `extract_first_word()` with UNQUOTE and CUNESCAPE, then specifiers, then,
    /// on a command line, `replace_env_argv()`.
    fn systemd(word: &str, on_command_line: bool) -> String {
        let inner = word.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        let mut text = String::new();
        let mut rest = inner.chars();
        while let Some(character) = rest.next() {
            assert!(character != '"' && character != '\n', "{word}");
            if character != '\\' {
                text.push(character);
                continue;
            }
            let escaped = rest.next().unwrap();
            text.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'x' => {
                    let hex: String = rest.by_ref().take(2).collect();
                    char::from(u8::from_str_radix(&hex, 16).unwrap())
                }
                '"' | '\\' => escaped,
                other => panic!("\\{other}"),
            });
        }
        let text = once(&text, '%');
        if on_command_line {
            once(&text, '$')
        } else {
            text
        }
    }

    /// Each doubled `sign` once; a single one would expand.
    fn once(text: &str, sign: char) -> String {
        let doubled = String::from_iter([sign, sign]);
        assert!(!text.replace(&doubled, "").contains(sign), "{text}");
        text.replace(&doubled, &sign.to_string())
    }

    #[test]
    fn systemd_word_reads_back_as_itself() {
        for value in HOSTILE {
            let word = Filter::Systemd.quote(value);
            assert_eq!(systemd(&word, true), value, "{word}");
            let word = Filter::SystemdEnvironment.quote(value);
            assert_eq!(systemd(&word, false), value, "{word}");
        }
    }

    #[test]
    fn filter_names_round_trip_and_unknown_ones_are_refused() {
        for filter in ALL {
            assert_eq!(filter.to_string().parse(), Ok(filter));
        }
        let unknown = "yaml".parse::<Filter>().unwrap_err();
        assert_eq!(
            unknown,
            "unknown filter 'yaml': expected one of toml, json, shell, systemd, systemd_environment"
        );
    }
}
