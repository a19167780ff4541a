//! Users and groups by name, from the root's own files: this program is static, and what a name
//! service says is not the image's word.

use earmark_manifest::name::AccountName;
use earmark_scan::{Root, accounts};

/// Looks up the ids of a user and its group; of `group`, if one is given.
pub fn owner(
    root: &Root,
    user: &AccountName,
    group: Option<&AccountName>,
) -> Result<(u32, u32), String> {
    let accounts = accounts::read(root).map_err(|error| error.to_string())?;
    accounts.owner(user, group)
}
