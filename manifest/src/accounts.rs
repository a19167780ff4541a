//! Users and groups by name, as an image's own `/etc/passwd` and `/etc/group` have them: a name
//! service's answer is not the image's word.

use std::collections::BTreeMap;

use crate::name::AccountName;

/// The accounts of an image.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// User and primary group by name; a line without numbers is kept as such.
    users: BTreeMap<String, Option<(u32, u32)>>,
    groups: BTreeMap<String, Option<u32>>,
}

impl Accounts {
    /// Parses the two files. Of two lines of one name the first counts, as for `getpwnam`.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let mut accounts = Self::default();
        for fields in lines(passwd) {
            // A line without numbers is kept, and refused when it is asked for: left out, a later line of the same name
            // would answer instead.
            let ids = number(&fields, 2).zip(number(&fields, 3));
            accounts.users.entry(name(&fields)).or_insert(ids);
        }
        for fields in lines(group) {
            let gid = number(&fields, 2);
            accounts.groups.entry(name(&fields)).or_insert(gid);
        }
        accounts
    }

    /// The ids of a user and of `group`; of the user's own group, if none is given. Numbers stand for
    /// themselves, and `root` is 0 also in an image without accounts.
    ///
    /// # Errors
    ///
    /// If a name is in neither file, its line has no number, or the number is 4294967295, which no account has.
    pub fn owner(
        &self,
        user: &AccountName,
        group: Option<&AccountName>,
    ) -> Result<(u32, u32), String> {
        let (uid, own) = self.user(user)?;
        Ok((uid, group.map_or(Ok(own), |group| self.group(group))?))
    }

    /// The id of a group.
    ///
    /// # Errors
    ///
    /// If the name is not in `/etc/group`, its line has no number, or the number is 4294967295.
    pub fn group(&self, group: &AccountName) -> Result<u32, String> {
        // Digits are the number, whatever an image's accounts are called: else one declaration would mean two owners.
        if let Ok(gid) = group.as_str().parse() {
            return usable(gid);
        }
        match self.groups.get(group.as_str()) {
            Some(gid) => gid.ok_or_else(|| no_number(group, "/etc/group")),
            None if group.as_str() == "root" => Ok(0),
            None => Err(format!("group '{group}' is not in /etc/group")),
        }
    }

    /// The id of a group, or `reserved`, its distribution's fixed number, if the image has no such group
    /// and no other one of that number.
    ///
    /// # Errors
    ///
    /// If the image has a group of that name whose line has no number.
    pub(crate) fn group_or(
        &self,
        group: &AccountName,
        reserved: u32,
    ) -> Result<Option<u32>, String> {
        if self.groups.contains_key(group.as_str()) {
            return self.group(group).map(Some);
        }
        // In this image the number may be another group's, whose members would be let in by it.
        let is_free = !self.groups.values().any(|gid| *gid == Some(reserved));
        Ok(is_free.then_some(reserved))
    }

    fn user(&self, user: &AccountName) -> Result<(u32, u32), String> {
        if let Ok(number) = user.as_str().parse() {
            let number = usable(number)?;
            // A number has no group that could be looked up: its own number, as useradd makes it.
            return Ok((number, number));
        }
        match self.users.get(user.as_str()) {
            Some(ids) => ids.ok_or_else(|| no_number(user, "/etc/passwd")),
            None if user.as_str() == "root" => Ok((0, 0)),
            None => Err(format!("user '{user}' is not in /etc/passwd")),
        }
    }
}

/// `chown` takes the highest number for 'leave it as it is': a file would be root's, and its rule would say otherwise.
fn usable(id: u32) -> Result<u32, String> {
    if id == u32::MAX {
        return Err(format!(
            "invalid user or group id {id}: expected a lower number"
        ));
    }
    Ok(id)
}

fn no_number(name: &AccountName, file: &str) -> String {
    format!("the entry of '{name}' in {file} has no numeric id")
}

fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| line.split(|byte| *byte == b':').collect())
}

fn name(fields: &[&[u8]]) -> String {
    // Lossy: a name that is not UTF-8 matches no `AccountName`, which is ASCII.
    String::from_utf8_lossy(fields.first().copied().unwrap_or_default()).into_owned()
}

fn number(fields: &[&[u8]], at: usize) -> Option<u32> {
    let number = std::str::from_utf8(fields.get(at)?).ok()?.parse().ok()?;
    usable(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_resolves_account_names_and_accepts_numeric_ids() {
        let accounts = Accounts::parse(
            b"root:x:0:0::/:/bin/sh\nweb:x:990:991::/:\nbad:x:y:0::/:\n",
            b"root:x:0:\nlog:x:4:web\n",
        );
        let name = |text: &str| text.parse::<AccountName>().unwrap();
        let of =
            |user: &str, group: Option<&str>| accounts.owner(&name(user), group.map(name).as_ref());
        assert_eq!(of("web", None), Ok((990, 991)));
        assert_eq!(of("web", Some("log")), Ok((990, 4)));
        assert_eq!(of("123", None), Ok((123, 123)));
        assert_eq!(of("123", Some("7")), Ok((123, 7)));
        let absent = "user 'www' is not in /etc/passwd".to_owned();
        assert_eq!(of("www", None), Err(absent));
        assert!(of("web", Some("adm")).unwrap_err().contains("/etc/group"));
        assert!(of("bad", None).unwrap_err().contains("has no numeric id"));
        assert_eq!(of("4294967294", None), Ok((u32::MAX - 1, u32::MAX - 1)));
        for none in [
            of("4294967295", None),
            of("web", Some("4294967295")),
            Accounts::parse(b"x:x:4294967295:0::/:\n", b"").owner(&name("x"), None),
        ] {
            assert!(none.is_err(), "{none:?}");
        }
        let none = Accounts::default();
        assert_eq!(none.owner(&name("root"), None), Ok((0, 0)));
        assert!(none.owner(&name("web"), None).is_err());
    }

    #[test]
    fn reserved_gid_of_an_absent_group_is_used_unless_already_assigned() {
        let keys: AccountName = "ssh_keys".parse().unwrap();
        let of = |group: &[u8]| Accounts::parse(b"", group).group_or(&keys, 101).unwrap();
        assert_eq!(of(b"ssh_keys:x:998:\n"), Some(998));
        assert_eq!(of(b"root:x:0:\n"), Some(101));
        assert_eq!(of(b"messagebus:x:101:\n"), None);
    }
}
