//! A build without the profiles' rules still verifies seals, and refuses the declarations that it can judge.

#![cfg(not(feature = "profiles"))]

mod common;

use common::bytes;
use earmark_manifest::{
    declaration::Declaration,
    trust::Trust,
    verify::{Refusal, SealBytes, verify},
};

#[test]
fn golden_seal_verifies_without_profiles_and_a_changed_tree_is_refused() {
    let mut seal = SealBytes {
        envelope: bytes("golden/v1/manifest.json"),
        declaration: bytes("golden/v1/earmark.toml"),
        tree: bytes("golden/v1/tree.zst"),
    };
    let trust = Trust::parse(&bytes("golden/v1/trust.toml")).unwrap();
    verify(seal.clone(), &trust).unwrap();
    seal.tree.push(0);
    assert_eq!(verify(seal, &trust).unwrap_err(), Refusal::TreeDigest);
}

#[test]
fn declaration_names_a_known_profile_and_its_own_faults_are_refused() {
    let declaration = |profile: &str, rule: &str| {
        format!(
            "[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\nprofile = \"{profile}\"\nsealed = [\"{rule}\"]\n"
        )
    };
    // Takes back what the profile frees: a reader that judged it without the profile would refuse it as needless.
    let good = declaration("debian-12", "/var/lib/dpkg/lock");
    let parsed = Declaration::parse(good.as_bytes()).unwrap();
    assert_eq!(parsed.tree.profile.unwrap().name(), "debian-12");
    assert_eq!(
        parsed.own_rules()[0].rule.to_string(),
        "sealed /var/lib/dpkg/lock"
    );
    for bad in [
        good.replace("profile = \"debian-12\"\n", ""),
        declaration("debian-99", "/var/lib/dpkg/lock"),
        declaration("debian-12", "/var/../etc"),
        declaration("debian-12", "/**"),
    ] {
        assert!(Declaration::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}
