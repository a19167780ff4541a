//! The lock `accounts`: nobody logs in with a password or a key of their own.
//!
//! Passwords and accounts are measured and never changed: `/etc` is sealed, and a password that was
//! set on the host is a violation to be found, not to be tidied away. Keys lie in home directories,
//! which are state: those are put aside, see [`keys`].
//!
//! Accounts that other services than the files of `/etc` bring, such as sssd or `systemd-homed`,
//! are not seen.

mod database;
mod keys;
mod sshd;

use self::database::Account;
use super::{
    actions::{LockActions, Target},
    cause::Probe,
    item::{Item, Seen, Strength},
    look::{Look, few},
};

pub(super) const LOCK: LockActions = LockActions {
    units: None,
    prepare: None,
    shut: Some(shut),
    open: Some(|target| keys::give_back(target.look)),
    probe: |target| probe(target.look),
};

fn probe(look: &Look<'_>) -> Vec<Item> {
    let accounts = database::accounts(look);
    let of_accounts = |see: &dyn Fn(&[Account]) -> Seen| match &accounts {
        Ok(accounts) => see(accounts),
        Err(unseen) => Seen::from(unseen.clone()),
    };
    let mut items = vec![
        Item::new(
            Probe::Passwords,
            "passwords",
            "none usable",
            "/etc/passwd, /etc/shadow",
            of_accounts(&|accounts| passwords(look, accounts)),
        ),
        Item::new(
            Probe::UserIds,
            "accounts with user id 0",
            "root only",
            "/etc/passwd",
            of_accounts(&roots),
        ),
    ];
    items.extend(keys::items(look, accounts.as_deref()));
    items.push(Item::new(
        Probe::SshdKeys,
        "where sshd looks for keys",
        "~/.ssh only",
        "/etc/ssh/sshd_config, /etc/ssh/sshd_config.d",
        sshd::see(look),
    ));
    items
}

/// Puts authorized keys in state directories aside.
fn shut(target: &Target<'_>) -> Vec<String> {
    match target.declaration.rule_set() {
        Ok(rules) => keys::apply(target.look, &rules),
        Err(error) => vec![error.to_string()],
    }
}

/// Names only: of a password nothing is said but whether there is one.
fn passwords(look: &Look<'_>, accounts: &[Account]) -> Seen {
    let shadow = match database::shadow(look) {
        Ok(shadow) => shadow,
        Err(unseen) => return Seen::from(unseen),
    };
    let all = || {
        // `x` refers to the other file. Whatever else stands here is the password itself.
        let own = accounts
            .iter()
            .filter(|account| account.password != "x")
            .map(|account| (&account.name, &account.password));
        own.chain(shadow.iter().map(|entry| (&entry.name, &entry.password)))
    };
    let names = |wanted: &dyn Fn(&str) -> bool| {
        let found = all().filter(|(_, password)| wanted(password));
        found.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    // Worse than a password: where pam_unix has `nullok`, as on Debian, login asks for none.
    let empty = names(&str::is_empty);
    // No hash of crypt(3) begins with `!` or `*`, so that no password matches such a field.
    let usable = names(&|password| !password.is_empty() && !password.starts_with(['!', '*']));
    let mut found = Vec::new();
    if !empty.is_empty() {
        found.push(format!("none is needed for {}", few(&empty)));
    }
    if !usable.is_empty() {
        found.push(format!("usable for {}", few(&usable)));
    }
    if found.is_empty() {
        Seen::Shut(Strength::Reversible, "all locked".to_owned())
    } else {
        Seen::Open(found.join("; "))
    }
}

/// Another name for root has a password and keys of its own.
fn roots(accounts: &[Account]) -> Seen {
    let others = accounts
        .iter()
        .filter(|account| account.user_id == 0 && account.name != "root")
        .map(|account| account.name.clone())
        .collect::<Vec<_>>();
    if others.is_empty() {
        Seen::Shut(Strength::Reversible, "root only".to_owned())
    } else {
        Seen::Open(few(&others))
    }
}

#[cfg(test)]
mod tests;
