//! Values in configuration files: whether one is there, and is a secret itself.
//!
//! Read as lines, not as YAML, TOML, JSON or INI: for the image's own maker, who could only mislead himself. No value
//! leaves this file.

/// Starts of lines that are comments in the formats that are looked at.
const COMMENTS: [&str; 5] = ["#", ";", "//", "<!--", "--"];

/// The lines that are no comments, with their numbers from 1.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate();
    let trimmed = numbered.map(|(at, line)| (at.saturating_add(1), line.trim()));
    // XML's go over several lines, as those with examples in them do.
    let mut is_in_comment = false;
    trimmed.filter(move |(_, line)| {
        let was_in_comment = is_in_comment;
        let (start, end) = (line.rfind("<!--"), line.rfind("-->"));
        is_in_comment = match (start, end) {
            (Some(start), Some(end)) => start > end,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => was_in_comment,
        };
        if was_in_comment {
            return false;
        }
        // A PEM block starts like one of SQL.
        let is_comment = |start: &&str| line.starts_with(*start) && !line.starts_with("-----");
        !line.is_empty() && !COMMENTS.iter().any(is_comment)
    })
}

/// The number of the first line that is neither empty nor a comment.
pub fn first_line(text: &str) -> Option<usize> {
    lines(text).next().map(|(number, _)| number)
}

/// The first of `keys` that has a secret for its value, and the number of its line: `key = v`, `key: v`, `"key": "v"`,
/// `<key>v<`.
pub fn key<'a>(text: &str, keys: &[&'a str]) -> Option<(&'a str, usize)> {
    lines(text).find_map(|(number, line)| {
        let found = keys.iter().find(|key| {
            let mut places = line.match_indices(*key);
            places.any(|(at, _)| {
                let before = line.get(..at).unwrap_or_default();
                let after = line.get(at + key.len()..).unwrap_or_default();
                !before.ends_with(is_word) && value(after).is_some_and(is_secret)
            })
        });
        found.map(|key| (*key, number))
    })
}

/// Characters that a key is longer by.
fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-.".contains(character)
}

/// The value after a key: what follows `=`, `:` or `>`, without quotes, up to its end.
fn value(after: &str) -> Option<&str> {
    let after = after
        .strip_prefix(['"', '\''])
        .unwrap_or(after)
        .trim_start();
    if let Some(element) = after.strip_prefix('>') {
        return element.split('<').next().map(str::trim);
    }
    let after = after
        .strip_prefix(['=', ':'])?
        .trim_start_matches(['=', '>', ' ', '\t']);
    Some(unquoted(after))
}

/// The first word or quoted text.
fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(text) = text.strip_prefix(quote) {
            return text.split(quote).next().unwrap_or_default();
        }
    }
    let ends = |character: char| character.is_whitespace() || ",}])".contains(character);
    // A reference may have such characters in it.
    if text.starts_with(['$', '{', '[', '<', '%']) {
        return text;
    }
    text.split(ends).next().unwrap_or_default()
}

/// The first of `words` that a secret follows as the next word of its line, and the number of the line.
pub fn word<'a>(text: &str, words: &[&'a str]) -> Option<(&'a str, usize)> {
    lines(text).find_map(|(number, line)| {
        let mut all = line.split_whitespace();
        let found = all.find_map(|one| words.iter().find(|word| **word == one))?;
        let value = all.next()?.trim_matches(['"', '\'', ';']);
        is_secret(value).then_some((*found, number))
    })
}

/// The number of the first line with a URL that has a password or a token before its host.
pub fn userinfo(text: &str) -> Option<usize> {
    let mut lines = lines(text);
    lines.find_map(|(number, line)| has_userinfo(line).then_some(number))
}

/// Returns whether such a URL is in there.
pub fn has_userinfo(text: &str) -> bool {
    /// Shorter names before a host are those of accounts.
    const TOKEN: usize = 20;
    text.match_indices("://").any(|(at, mark)| {
        let rest = text.get(at + mark.len()..).unwrap_or_default();
        let ends =
            |character: char| character.is_whitespace() || "/?#\"'<>)]},`".contains(character);
        // A reference such as `${TOKEN}` ends it, too, and then nothing is before the host.
        let authority = rest.split(ends).next().unwrap_or_default();
        let Some((account, _)) = authority.rsplit_once('@') else {
            return false;
        };
        match account.split_once(':') {
            Some((_, password)) => is_secret(password),
            None => {
                account.len() >= TOKEN
                    && account
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            }
        }
    })
}

/// Returns whether a value is a secret itself: no placeholder, no reference to where it is kept, no switch.
pub fn is_secret(value: &str) -> bool {
    /// Words that stand for none, or for a choice.
    const CHOICES: [&str; 14] = [
        "null", "nil", "none", "~", "true", "false", "yes", "no", "on", "off", "disabled",
        "enabled", "auto", "default",
    ];
    /// Starts of references to other stores, and of functions that read one.
    const REFERENCES: [&str; 26] = [
        "$",
        "{",
        "[",
        "<",
        "%{",
        "enc[",
        "!",
        "vault:",
        "vault://",
        "arn:",
        "env:",
        "env.",
        "env(",
        "file:",
        "file://",
        "ssm:",
        "op://",
        "secretsmanager",
        "aws-secretsmanager",
        "azure-keyvault",
        "gcp-secret",
        "sops",
        "os.getenv",
        "var.",
        "data.",
        "local.",
    ];
    /// Starts of what a person is to replace.
    const PLACEHOLDERS: [&str; 13] = [
        "your",
        "my-",
        "replace",
        "insert",
        "changeme",
        "change_me",
        "change-me",
        "placeholder",
        "todo",
        "fixme",
        "redacted",
        "enter",
        "secret-goes",
    ];
    /// Directories by which a path is told from base64.
    const PLACES: [&str; 14] = [
        "/etc/", "/run/", "/var/", "/usr/", "/opt/", "/home/", "/root/", "/srv/", "/tmp/", "/mnt/",
        "/proc/", "/dev/", "/sys/", "~/",
    ];
    let lower = value.trim().to_ascii_lowercase();
    let starts = |all: &[&str]| all.iter().any(|start| lower.starts_with(start));
    let mut letters = lower.chars();
    let first = letters.next();
    let is_one_letter = lower.len() >= 3 && letters.all(|letter| Some(letter) == first);
    let is_marked = |mark: &str| {
        lower.len() > 2 * mark.len() && lower.starts_with(mark) && lower.ends_with(mark)
    };
    let is_none = lower.is_empty() || CHOICES.contains(&lower.as_str());
    let is_elsewhere = starts(&REFERENCES) || starts(&PLACES);
    let is_to_replace = starts(&PLACEHOLDERS)
        || is_one_letter
        || lower.contains("placeholder")
        || lower.ends_with("_here")
        || lower.ends_with("-here")
        || ["%", "@", "__"].into_iter().any(is_marked);
    !(is_none || is_elsewhere || is_to_replace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_with_a_literal_value_is_found_in_each_format_and_a_reference_is_not() {
        let keys = ["api_key", "password"];
        for text in [
            "api_key: 0123456789abcdef\n",
            "  api_key = \"0123\" # mine\n",
            "{\"x\":{\"api_key\":\"0123\",\"y\":1}}\n",
            "<password>hunter2</password>\n",
            "<!-- x -->\n<password>hunter2</password>\n",
            "<!--\nx\n-->\n<password>hunter2</password>\n",
            "- api_key: 'a b'\n",
            "export api_key=0123\n",
            "password=/9j+Zm8=\n",
        ] {
            assert!(key(text, &keys).is_some(), "{text}");
        }
        for text in [
            "# api_key: 0123\n",
            ";password = 0123\n",
            "api_key:\n",
            "api_key: \"\"\n",
            "api_key: ${DD_API_KEY}\n",
            "api_key: ENC[k8s_secret]\n",
            "api_key: <YOUR API KEY>\n",
            "api_key: YOUR_API_KEY\n",
            "api_key = xxxxxxxx\n",
            "api_key: {{ lookup('env', 'X') }}\n",
            "api_key_file: /etc/x\n",
            "my_api_key: 0123\n",
            "password: /etc/x/password\n",
            "password = !vault |\n",
            "password: arn:aws:secretsmanager:x\n",
            "<password></password>\n",
            "<x>\n<!-- like\n<password>hunter2</password>\n-->\n</x>\n",
            "password = true\n",
            "the password is hunter2\n",
        ] {
            assert_eq!(key(text, &keys), None, "{text}");
        }
        assert_eq!(
            key("\n# x\nx: 1\npassword: y\n", &keys),
            Some(("password", 4))
        );
    }

    #[test]
    fn word_is_followed_by_its_secret() {
        let found = |text| word(text, &["password", "secret"]);
        assert_eq!(
            found("machine x login y password z\n"),
            Some(("password", 1))
        );
        assert_eq!(
            found("key \"k\" {\n\tsecret \"c2Vj\";\n};\n"),
            Some(("secret", 2))
        );
        for text in [
            "# password z\n",
            "password\n",
            "password $X\n",
            "passwords z\n",
            "secret \"\";\n",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn url_with_a_password_or_token_is_told_from_one_with_an_account() {
        for text in [
            "deb https://user:pass@repo.example.com/x y z\n",
            "baseurl=https://:pass@x/\n",
            "url = https://ghp0123456789abcdefghij@github.example/x\n",
            "a b\nredis://:hunter2@cache:6379/0\n",
        ] {
            assert!(userinfo(text).is_some(), "{text}");
        }
        for text in [
            "deb https://repo.example.com/x@y z\n",
            "ssh://git@host/x\n",
            "https://user:${PASS}@host/\n",
            "https://user:@host/\n",
            "# https://user:pass@host/\n",
            "https://host/?mail=a:b@c\n",
            "me@host: https://host\n",
        ] {
            assert_eq!(userinfo(text), None, "{text}");
        }
    }
}
