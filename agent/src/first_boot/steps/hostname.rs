//! `hostname`: the kernel's name of this host, for this boot. `/etc/hostname` is sealed and stays as it
//! is; the step is applied again at each boot.

use earmark_manifest::declaration::Template;

use super::{Context, StepResult};

/// Length of the longest host name that Linux takes, in bytes (`HOST_NAME_MAX`).
const MOST: usize = 64;
/// One part of a name (RFC 1123).
const MOST_OF_A_PART: usize = 63;

/// Names the host.
pub fn apply(context: &Context<'_>, template: &Template) -> StepResult {
    let name = context.bindings.render(template)?;
    check(&name)?;
    // sethostname(2) names the kernel that runs, whatever root the image is in.
    if !context.image.root.is_live() {
        return Err("the host name can be set only on the running host"
            .to_owned()
            .into());
    }
    rustix::system::sethostname(name.as_bytes())
        .map_err(|error| format!("failed to set the host name '{name}': {error}").into())
}

/// RFC 1123, so that the name is one for every program that asks for it.
fn check(name: &str) -> Result<(), String> {
    let is_part = |part: &str| {
        (1..=MOST_OF_A_PART).contains(&part.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if name.len() <= MOST && name.split('.').all(is_part) {
        return Ok(());
    }
    // The name is made of values, which may hold anything.
    Err(format!(
        "'{}' is not a host name: expected letters, digits and inner hyphens, in parts of at most \
         {MOST_OF_A_PART} between dots, {MOST} in all",
        earmark_manifest::escape::Escaped(name.as_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostname_with_invalid_characters_or_length_is_rejected() {
        let longest = format!("{}.{}", "a".repeat(60), "b".repeat(3));
        for good in ["web", "web-1", "WEB.example.com", "0", &longest] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let too_long = format!("{}.{}", "a".repeat(60), "b".repeat(4));
        for bad in [
            "",
            ".",
            "web.",
            ".web",
            "a..b",
            "-web",
            "web-",
            "we_b",
            "we b",
            "web\n",
            "wéb",
            "web;reboot",
            &"a".repeat(64),
            &too_long,
            "\0",
            "\u{1b}[2J",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("\u{1b}[2J").unwrap_err().contains("'\\x1b[2J'"));
    }
}
