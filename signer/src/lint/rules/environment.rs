//! Rule about secrets in the environment of programs: files of variables, units, crontabs and profiles.
//!
//! A variable is told by its name, and counts if its value is a secret itself. Sources: environment(5) of Debian's PAM,
//! systemd.exec(5), environment.d(5), crontab(5), bash(1).

use super::{Image, Sink, values};
use crate::{
    io::output::plain,
    lint::{finding::Draft, image::Seen},
};

/// Files of `NAME=value`, with or without `export`.
const FILES: [&str; 26] = [
    "etc/environment",
    "etc/environment.d/*.conf",
    "usr/lib/environment.d/*.conf",
    "etc/default/**",
    "etc/sysconfig/**",
    "etc/conf.d/*",
    "etc/profile",
    "etc/profile.d/*",
    "etc/bash.bashrc",
    "etc/bashrc",
    "etc/zsh/*",
    "etc/zshenv",
    "etc/zshrc",
    "etc/crontab",
    "etc/cron.d/*",
    "var/spool/cron/**",
    "~/.bashrc",
    "~/.bash_profile",
    "~/.bash_login",
    "~/.profile",
    "~/.zshrc",
    "~/.zshenv",
    "~/.zprofile",
    "~/.pam_environment",
    "~/.config/environment.d/*.conf",
    "~/.envrc",
];

/// Units, their drop-ins and the service manager's own settings.
const UNITS: [&str; 10] = [
    "etc/systemd/system/**",
    "etc/systemd/user/**",
    "etc/systemd/system.conf",
    "etc/systemd/system.conf.d/*",
    "etc/systemd/user.conf",
    "usr/lib/systemd/system/**",
    "usr/local/lib/systemd/system/**",
    "lib/systemd/system/**",
    "etc/init.d/*",
    "~/.config/systemd/user/**",
];

/// Directories of the distribution's own software, where a file `.env` is part of a program.
const SOFTWARE: [&[u8]; 6] = [
    b"usr/lib",
    b"usr/share",
    b"usr/include",
    b"usr/src",
    b"lib",
    b"proc",
];

/// Secrets in variables, and in URLs that are values.
pub fn secrets(image: &Image<'_>, sink: &mut Sink) {
    let files = FILES.iter().flat_map(|path| image.matching(path));
    for file in files.chain(env_files(image)) {
        look(image, file, |line| vec![line.to_owned()], sink);
    }
    for file in UNITS.iter().flat_map(|path| image.matching(path)) {
        look(image, file, words, sink);
    }
    for file in compose_files(image) {
        look(image, file, entry, sink);
    }
}

/// Files called `.env`, `.env.production` and `web.env`, wherever an application may lie.
fn env_files<'a>(image: &'a Image<'_>) -> impl Iterator<Item = &'a Seen<'a>> {
    applications(image, |name| {
        name == b".env" || name.starts_with(b".env.") || name.ends_with(b".env")
    })
}

/// Files of Docker Compose, whose services have variables in them.
fn compose_files<'a>(image: &'a Image<'_>) -> impl Iterator<Item = &'a Seen<'a>> {
    applications(image, |name| {
        let starts = name.starts_with(b"docker-compose") || name.starts_with(b"compose.");
        starts && (name.ends_with(b".yml") || name.ends_with(b".yaml"))
    })
}

/// Files of such names that are neither the distribution's software nor examples.
fn applications<'a>(
    image: &'a Image<'_>,
    is_named: fn(&[u8]) -> bool,
) -> impl Iterator<Item = &'a Seen<'a>> {
    const SHOWN: [&[u8]; 5] = [b".example", b".sample", b".template", b".dist", b".test"];
    image.all().iter().filter(move |seen| {
        let name = seen.name();
        let path = seen.path.as_bytes();
        let is_in = |place: &&[u8]| {
            path.strip_prefix(*place)
                .is_some_and(|rest| rest.starts_with(b"/"))
        };
        is_named(name)
            && !SHOWN.iter().any(|ending| name.ends_with(ending))
            && !SOFTWARE.iter().any(is_in)
    })
}

fn look(image: &Image<'_>, file: &Seen<'_>, split: fn(&str) -> Vec<String>, sink: &mut Sink) {
    let is_said = sink.iter().any(|draft| draft.path == *file.path);
    if is_said || !file.has_content() {
        return;
    }
    let text = image.text_of(file).unwrap_or_default();
    let found = values::lines(&text).find_map(|(number, line)| {
        let words = split(line);
        words
            .iter()
            .find_map(|word| secret(word))
            .map(|name| (name, number))
    });
    if let Some((name, number)) = found {
        let found = format!("sets {} to a secret in line {number}", plain(&name));
        sink.push(Draft::new(file.path, found));
    }
}

/// An entry of YAML as an assignment: `- NAME=value`, or `NAME: value`.
fn entry(line: &str) -> Vec<String> {
    let line = line.trim_start_matches(['-', ' ', '"', '\'']);
    match line.split_once(": ") {
        Some((name, value)) if !name.contains('=') => vec![format!("{name}={value}")],
        _ => vec![line.trim_end_matches(['"', '\'']).to_owned()],
    }
}

/// The assignments and options of a line of a unit.
fn words(line: &str) -> Vec<String> {
    let Some((key, value)) = line.split_once('=') else {
        return Vec::new();
    };
    let key = key.trim();
    let is_environment = key == "Environment" || key == "DefaultEnvironment";
    if !is_environment && !key.starts_with("Exec") {
        return vec![line.to_owned()];
    }
    let words = quoted_words(value);
    if is_environment {
        return words;
    }
    // `--token=x`, and `--token x`.
    let mut options: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some(option) = word.strip_prefix("--") else {
            continue;
        };
        let next = words
            .get(at.saturating_add(1))
            .filter(|next| !next.starts_with('-'));
        match (option.contains('='), next) {
            (true, _) => options.push(option.to_owned()),
            (false, Some(next)) => options.push(format!("{option}={next}")),
            (false, None) => {}
        }
    }
    options
}

/// Words as systemd splits them (systemd.syntax(7)), with quotes around a word or within it.
fn quoted_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in text.chars() {
        match quote {
            Some(open) if character == open => quote = None,
            None if character == '"' || character == '\'' => quote = Some(character),
            None if character.is_whitespace() => words.push(String::new()),
            _ => {
                if let Some(word) = words.last_mut() {
                    word.push(character);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The name of a variable that has a secret for its value.
fn secret(assignment: &str) -> Option<String> {
    let assignment = assignment.strip_prefix("export ").unwrap_or(assignment);
    let (name, value) = assignment.split_once('=')?;
    let name = name.trim().trim_end_matches(':');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    let value = value.trim();
    let value = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.split(quote).next())
        .unwrap_or_else(|| value.split_whitespace().next().unwrap_or_default());
    let is_found =
        values::has_userinfo(value) || (values::is_secret(value) && is_secret_name(name, value));
    is_found.then(|| name.to_owned())
}

/// Returns whether a variable of this name has a secret, if it has one of this value.
fn is_secret_name(name: &str, value: &str) -> bool {
    const PASSWORDS: [&str; 8] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SSHPASS",
        "_PASS",
        "_PWD",
        "_SECRET_KEY_BASE",
        "CREDENTIALS",
    ];
    const TOKENS: [&str; 13] = [
        "SECRET",
        "TOKEN",
        "APIKEY",
        "API_KEY",
        "ACCESS_KEY",
        "SECRET_KEY",
        "PRIVATE_KEY",
        "AUTH_KEY",
        "AUTHKEY",
        "LICENSE_KEY",
        "ENCRYPTION_KEY",
        "SIGNING_KEY",
        "MASTER_KEY",
    ];
    let upper = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let ends = |all: &[&str]| all.iter().any(|end| upper.ends_with(end));
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    // A key of another name is one by its value: long, and of letters and digits.
    let has = |is: fn(&u8) -> bool| value.as_bytes().iter().any(is);
    let is_random = value.len() >= 20
        && !value.contains(' ')
        && !value.contains("://")
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic);
    let is_key = (upper == "KEY" || upper.ends_with("_KEY")) && is_random;
    ends(&PASSWORDS)
        || upper.contains("SECRET_KEY_BASE")
        || (!is_number && (ends(&TOKENS) || is_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_is_a_secret_by_its_name_and_its_value() {
        for line in [
            "DB_PASSWORD=hunter2",
            "export API_TOKEN=\"abc123\"",
            "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzz",
            "DATABASE_URL=postgres://web:hunter2@db/x",
            "PGPASSWORD='x y'",
            "MYSQL_PWD=1234",
            "STRIPE_KEY=example_live_0123456789abcdef",
            "SECRET_KEY_BASE=0123abcd",
        ] {
            assert!(secret(line).is_some(), "{line}");
        }
        for line in [
            "PATH=/usr/bin",
            "DB_PASSWORD=",
            "DB_PASSWORD=$X",
            "DB_PASSWORD_FILE=/run/x",
            "TOKEN=/run/credentials/x",
            "MAX_TOKEN=4096",
            "USE_TOKEN=true",
            "XKB_KEY=us",
            "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
            "PWD=/srv",
            "DATABASE_URL=postgres://db/x",
            "if [ \"$PASSWORD\" = x ]; then",
            "KEYMAP=us",
        ] {
            assert_eq!(secret(line), None, "{line}");
        }
    }

    #[test]
    fn environment_and_options_of_a_unit_are_split_as_systemd_does() {
        assert_eq!(
            words("Environment=\"A_TOKEN=x y\" B=z"),
            ["A_TOKEN=x y", "B=z"]
        );
        assert_eq!(
            words("ExecStart=/bin/x run --token abc --v --p=1"),
            ["token=abc", "p=1"]
        );
        assert_eq!(words("[Service]"), [""; 0]);
        assert_eq!(entry("  - \"A_TOKEN=x\""), ["A_TOKEN=x"]);
        assert_eq!(entry("A_TOKEN: x"), ["A_TOKEN=x"]);
    }
}
