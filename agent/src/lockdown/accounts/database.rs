//! `/etc/passwd` and `/etc/shadow`, read strictly: what a line that is not understood means to the
//! programs that let people in is not guessed.

use super::super::{item::Unseen, look::Look};

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";

/// A line of `/etc/passwd`.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) user_id: u32,
    pub(super) home: String,
}

/// A line of `/etc/shadow`, as far as it matters here.
pub(super) struct Shadow {
    pub(super) name: String,
    pub(super) password: String,
}

/// All accounts.
pub(super) fn accounts(look: &Look<'_>) -> Result<Vec<Account>, Unseen> {
    entries(look, PASSWD, |fields| {
        let [name, password, user_id, group_id, _, home, _] = fields else {
            return None;
        };
        // Not used, and checked all the same: a line that the C library may pass over is malformed here.
        group_id.parse::<u32>().ok()?;
        // Of a home that is no UTF-8 the text has another name, in which no key would be found.
        if home.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        Some(Account {
            name: account_name(name)?,
            password: (*password).to_owned(),
            user_id: user_id.parse().ok()?,
            home: (*home).to_owned(),
        })
    })
}

/// All lines of the file with the passwords.
pub(super) fn shadow(look: &Look<'_>) -> Result<Vec<Shadow>, Unseen> {
    entries(look, SHADOW, |fields| {
        let [name, password, _, _, _, _, _, _, _] = fields else {
            return None;
        };
        Some(Shadow {
            name: account_name(name)?,
            password: (*password).to_owned(),
        })
    })
}

/// A name that begins so adds accounts from elsewhere, or takes some away.
fn account_name(name: &str) -> Option<String> {
    let good = !name.is_empty() && !name.starts_with(['+', '-']);
    good.then(|| name.to_owned())
}

fn entries<T>(
    look: &Look<'_>,
    path: &str,
    entry: impl Fn(&[&str]) -> Option<T>,
) -> Result<Vec<T>, Unseen> {
    let text = look
        .text(path)?
        .ok_or_else(|| format!("'{path}' is not there"))?;
    let mut entries = Vec::new();
    for (line, number) in text.lines().zip(1_usize..) {
        // The C library passes over such lines.
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields = line.split(':').collect::<Vec<_>>();
        // What the line says is not shown: it may be a password.
        let entry =
            entry(&fields).ok_or_else(|| format!("'{path}': line {number} is malformed"))?;
        entries.push(entry);
    }
    Ok(entries)
}
