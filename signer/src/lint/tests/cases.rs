//! One root with the finding and one without, for each rule, by the themes of the table.

mod access;
mod cloud_init;
mod hosts;
mod identity;
mod secrets;
mod traces;

use super::Put;

#[derive(Debug)]
pub(super) struct Case {
    pub rule: &'static str,
    /// Path of the finding.
    pub at: &'static str,
    pub bad: &'static [Put],
    pub good: &'static [Put],
}

pub(super) const fn case(
    rule: &'static str,
    at: &'static str,
    bad: &'static [Put],
    good: &'static [Put],
) -> Case {
    Case {
        rule,
        at,
        bad,
        good,
    }
}

pub(super) const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END PRIVATE KEY-----
";
const SWITCHES: &str =
    "allow_userdata: false\nvendor_data: {enabled: false}\nvendor_data2: {enabled: false}\n";

/// Switches that keep cloud-init from writing sealed files.
const QUIET: &str =
    "manage_etc_hosts: false\ncloud_init_modules: [users-groups]\nusers: []\nlocale: false\n";

/// All but those of the table of known identities and secrets.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    [
        identity::CASES,
        secrets::CASES,
        traces::CASES,
        access::CASES,
        hosts::CASES,
        cloud_init::CASES,
    ]
    .into_iter()
    .flatten()
}
