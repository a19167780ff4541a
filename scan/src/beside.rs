//! The two files beside the seal that no signature covers: the trust file and the floor. They decide what the host
//! believes from then on.
//!
//! Protects against who may write the disk for a moment: a key of theirs among the trusted ones, a floor that lets
//! the older seal pass which they bring later. Does not protect, on the host itself, against a trust file that was
//! replaced whole: it is what the host believes by (tier T0), and only who brings keys of their own can tell.

use std::io::ErrorKind;

use earmark_manifest::{
    floor::Floor, layout, path::ImagePath, trust::Trust, verify::VerifiedDeclaration,
};

use crate::{
    Doubt, Root, Violation, ViolationKind,
    seal::{self, SealError},
};

/// Compares the floor with the one that the seal sets, and the root's trust file with `trust`, if one was given. With the
/// floor of an initrd, too, the root's floor must not be below it, and its trust file must be that of the initrd.
pub(crate) fn check(
    root: &Root,
    declared: &VerifiedDeclaration,
    floor: &Floor,
    (trust, least): (Option<&Trust>, Option<&Floor>),
) -> (Vec<Violation>, Vec<Doubt>) {
    let (mut violations, mut doubts) = (Vec::new(), Vec::new());
    let place = |path: &str| ImagePath::from_absolute(path.as_bytes()).unwrap_or_default();
    let mut violation = |path: &str, kind, expected: &str, found: String| {
        violations.push(Violation {
            path: place(path),
            kind,
            expected: expected.to_owned(),
            found,
        });
    };
    if let Some(found) = floor.short_of(declared.statement(), declared.declaration()) {
        let expected = "the floor that the seal sets";
        violation(layout::FLOOR, ViolationKind::Policy, expected, found);
    }
    if let Some(found) = least.and_then(|least| floor.below(least)) {
        let expected = "no less than the floor of the initrd";
        violation(layout::FLOOR, ViolationKind::Policy, expected, found);
    }
    let expected = match least {
        None => "no more trust than the given trust file has",
        Some(_) => "the trust file of the initrd",
    };
    match trust.map(|trust| (trust, seal::read_trust(root))) {
        None => {}
        Some((trust, Ok(own))) => {
            if let Some(found) = own.beyond(trust) {
                violation(layout::TRUST, ViolationKind::Content, expected, found);
            } else if least.is_some() && own != *trust {
                let found = "another one: build the initrd again with the trust file of the image";
                violation(
                    layout::TRUST,
                    ViolationKind::Content,
                    expected,
                    found.to_owned(),
                );
            }
        }
        Some((_, Err(SealError::Read(error)))) if error.cause.kind() == ErrorKind::NotFound => {
            let found = "no such file: without it the agent trusts no key".to_owned();
            violation(layout::TRUST, ViolationKind::Missing, expected, found);
        }
        Some((_, Err(SealError::Read(error)))) => {
            doubts.push(Doubt::new(&place(layout::TRUST), error.what, error.cause));
        }
        Some((_, Err(error))) => {
            let found = error.to_string();
            violation(layout::TRUST, ViolationKind::Content, expected, found);
        }
    }
    (violations, doubts)
}
