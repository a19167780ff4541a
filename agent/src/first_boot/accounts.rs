//! Users and groups by name, from the root's own files: this program is static, and what a name
//! service says is not the image's word.

use earmark_manifest::{name::AccountName, path::ImagePath};
use earmark_scan::Root;

/// Lines for thousands of accounts.
const BOUND: usize = 4 * 1024 * 1024;

/// The ids of a user and its group; of `group`, if one is given.
pub fn owner(
    root: &Root,
    user: &AccountName,
    group: Option<&AccountName>,
) -> Result<(u32, u32), String> {
    let (uid, own_group) = if let Ok(number) = user.as_str().parse::<u32>() {
        (number, None)
    } else {
        let fields = entry(root, "/etc/passwd", user)?;
        let field = |at| number(&fields, at, "/etc/passwd");
        (field(2)?, Some(field(3)?))
    };
    let gid = match (group, own_group) {
        (Some(group), _) => match group.as_str().parse::<u32>() {
            Ok(number) => number,
            Err(_) => number(&entry(root, "/etc/group", group)?, 2, "/etc/group")?,
        },
        (None, Some(own)) => own,
        // A number has no group that could be looked up: its own number, as useradd makes it.
        (None, None) => uid,
    };
    Ok((uid, gid))
}

fn entry(root: &Root, file: &str, name: &AccountName) -> Result<Vec<String>, String> {
    let path = ImagePath::from_absolute(file.as_bytes()).map_err(|error| error.to_string())?;
    let bytes = root.read(&path, BOUND).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let found = text
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>())
        .find(|fields| fields.first().map(String::as_str) == Some(name.as_str()));
    found.ok_or_else(|| format!("there is no '{name}' in {file}"))
}

fn number(fields: &[String], at: usize, file: &str) -> Result<u32, String> {
    let field = fields.get(at).and_then(|field| field.parse().ok());
    field.ok_or_else(|| format!("a line of {file} has no number where its id belongs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    #[test]
    fn names_are_looked_up_in_the_image_and_numbers_are_taken() {
        let root = TestRoot::bare();
        root.write(
            "/etc/passwd",
            b"root:x:0:0::/:/bin/sh\nweb:x:990:991::/:\nbad:x:y:0::/:\n",
        );
        root.write("/etc/group", b"root:x:0:\nlog:x:4:web\n");
        let root = root.open();
        let name = |text: &str| text.parse::<AccountName>().unwrap();
        let of =
            |user: &str, group: Option<&str>| owner(&root, &name(user), group.map(name).as_ref());
        assert_eq!(of("web", None), Ok((990, 991)));
        assert_eq!(of("web", Some("log")), Ok((990, 4)));
        assert_eq!(of("123", None), Ok((123, 123)));
        assert_eq!(of("123", Some("7")), Ok((123, 7)));
        assert_eq!(
            of("www", None),
            Err("there is no 'www' in /etc/passwd".to_owned())
        );
        assert!(of("web", Some("adm")).unwrap_err().contains("/etc/group"));
        assert!(of("bad", None).unwrap_err().contains("no number"));
    }
}
