//! Settings of sshd that let it look for keys elsewhere than in `~/.ssh`. Those on its command line or in a
//! configuration of another name are not seen.
//!
//! The files are read line by line, with no regard to what stands first or for whom: a line that
//! sshd may act upon for anybody counts.

use std::collections::BTreeSet;

use super::super::{
    item::{Seen, Strength, Unseen},
    look::{Look, few},
    remote_access::CONNECT,
};

const CONFIGURATION: &str = "/etc/ssh/sshd_config";
/// Directory that Debian, Ubuntu and Amazon Linux include.
const DIRECTORY: &str = "/etc/ssh/sshd_config.d";
/// Files that include files that include files: nobody has so many.
const MOST: usize = 64;

pub(super) fn see(look: &Look<'_>) -> Seen {
    match find(look) {
        Ok(None) => Seen::Absent(format!("no '{CONFIGURATION}'")),
        Ok(Some(found)) if found.is_empty() => {
            Seen::Shut(Strength::Reversible, "~/.ssh only".to_owned())
        }
        Ok(Some(found)) => Seen::Open(found.join("; ")),
        Err(unseen) => Seen::from(unseen),
    }
}

/// Returns the settings that let keys in that lie elsewhere: the keyword, and the file that says so. `None` if there
/// is no configuration.
fn find(look: &Look<'_>) -> Result<Option<Vec<String>>, Unseen> {
    if look.text_through_links(CONFIGURATION)?.is_none() {
        return Ok(None);
    }
    let mut waiting = vec![CONFIGURATION.to_owned()];
    waiting.extend(matching(look, &format!("{DIRECTORY}/*.conf"))?);
    let mut read = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        // Two files that include each other would be read for ever.
        if !read.insert(path.clone()) {
            continue;
        }
        if read.len() > MOST {
            return Err(format!("'{CONFIGURATION}' includes more than {MOST} files").into());
        }
        let text = look.text_through_links(&path)?.unwrap_or_default();
        for line in text.lines() {
            let Some((keyword, values)) = parse(line) else {
                continue;
            };
            if keyword == "include" {
                for value in &values {
                    waiting.extend(matching(look, value)?);
                }
            } else if is_elsewhere(&keyword, &values) {
                let file = few(std::slice::from_ref(&path));
                found.push(format!("{keyword} in {file}"));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(Some(found))
}

/// The keyword of a line, in lower case, and its values.
fn parse(line: &str) -> Option<(String, Vec<&str>)> {
    let line = line.trim();
    // sshd takes a keyword in any case, in quotes, and with `=` for the blank after it.
    let end = line.find(|character: char| character.is_whitespace() || character == '=');
    let (keyword, rest) = line.split_at(end.unwrap_or(line.len()));
    let keyword = keyword.trim_matches('"').to_ascii_lowercase();
    if keyword.is_empty() || keyword.starts_with('#') {
        return None;
    }
    let rest = rest.trim_start();
    let values = rest.strip_prefix('=').unwrap_or(rest).split_whitespace();
    let values = values
        .take_while(|value| !value.starts_with('#'))
        .map(|value| value.trim_matches('"'))
        .collect();
    Some((keyword, values))
}

fn is_elsewhere(keyword: &str, values: &[&str]) -> bool {
    let is_none = || values == ["none"];
    match keyword {
        "authorizedkeysfile" => {
            let is_usual = |value: &&str| {
                // For sshd a path without a slash in front counts from the home, as `%h/` does.
                let file = value.strip_prefix("%h/").unwrap_or(value);
                [".ssh/authorized_keys", ".ssh/authorized_keys2"].contains(&file)
            };
            !is_none() && !values.iter().all(is_usual)
        }
        // EC2 Instance Connect is a way in that `remote_access` judges.
        "authorizedkeyscommand" => {
            !is_none()
                && !values
                    .first()
                    .is_some_and(|program| CONNECT.contains(program))
        }
        // Whoever has a certificate of somebody else's, or a machine that is believed.
        "trustedusercakeys" => !is_none(),
        "hostbasedauthentication" => values != ["no"],
        _ => false,
    }
}

/// The files that an `Include` names. Of patterns those are understood that people use: an asterisk
/// in the last name.
fn matching(look: &Look<'_>, pattern: &str) -> Result<Vec<String>, Unseen> {
    let pattern = if pattern.starts_with('/') {
        pattern.to_owned()
    } else {
        format!("/etc/ssh/{pattern}")
    };
    let is_plain = |text: &str| !text.contains(['*', '?', '[', '\\', '{']);
    if is_plain(&pattern) {
        return Ok(vec![pattern]);
    }
    let (directory, name) = pattern.rsplit_once('/').unwrap_or_default();
    let (start, end) = name.split_once('*').unwrap_or((name, ""));
    if ![directory, start, end].into_iter().all(is_plain) {
        // It may name any file: a doubt, where an empty list would read as `nothing included`.
        let pattern = few(std::slice::from_ref(&pattern));
        return Err(format!("unsupported pattern in 'Include {pattern}'").into());
    }
    let names = look.list(directory.trim_start_matches('/'))?;
    let names = names.unwrap_or_default().into_iter().map(|(name, _)| name);
    // The shortest name that matches has both ends, one after the other.
    let shortest = start.len().saturating_add(end.len());
    // As in glob(3), an asterisk takes no leading dot.
    Ok(names
        .filter(|name| name.len() >= shortest && name.starts_with(start) && name.ends_with(end))
        .filter(|name| !start.is_empty() || !name.starts_with('.'))
        .map(|name| format!("{directory}/{name}"))
        .collect())
}

#[cfg(test)]
mod tests;
