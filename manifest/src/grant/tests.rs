use super::*;
use crate::{
    crypto::{Algorithm, PrivateKey},
    statement,
    trust::TrustedKey,
    verify::verify_declaration,
};

fn sample() -> Grant {
    Grant {
        id: "000102030405060708090a0b0c0d0e0f".parse().unwrap(),
        instance: "i-0123456789abcdef0".parse().unwrap(),
        image: "web".parse().unwrap(),
        manifest: None,
        locks: [GrantedLock::RemoteAccess].into(),
        time: GrantTime::new(1_795_430_000, 1_795_433_600).unwrap(),
        reason: Some("the disk is full".parse().unwrap()),
    }
}

fn key() -> PrivateKey {
    let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
    PrivateKey::from_pkcs8(&der).unwrap()
}

fn trust(threshold: usize, keys: &[(&PrivateKey, &[Purpose])]) -> Trust {
    let keys = keys.iter().map(|(key, purposes)| {
        let pem = crate::trust::public_pem(&key.public().unwrap());
        TrustedKey::from_pem(pem.as_bytes(), purposes.iter().copied().collect()).unwrap()
    });
    Trust::new(None, threshold, keys.collect()).unwrap()
}

fn signed(payload: Vec<u8>, keys: &[&PrivateKey]) -> Vec<u8> {
    let mut envelope = Envelope::sign(payload, keys[0]).unwrap();
    for key in &keys[1..] {
        envelope.add_signature(key).unwrap();
    }
    envelope.to_json()
}

#[test]
fn grant_round_trips_through_payload() {
    let every = Grant {
        manifest: Some(ManifestDigest::of_payload(b"manifest")),
        locks: GrantedLock::ALL.into(),
        reason: None,
        instance: "ec2e1916-9099-7caf-fd21-012345abcdef".parse().unwrap(),
        ..sample()
    };
    for grant in [sample(), every] {
        let payload = grant.to_payload().unwrap();
        assert_eq!(Grant::parse(&payload), Ok(grant));
    }
}

#[test]
fn grant_is_accepted_only_from_enough_keys_with_grant_purpose() {
    let (one, two, image) = (key(), key(), key());
    let payload = sample().to_payload().unwrap();
    let one_of = trust(1, &[(&one, &[Purpose::Grant]), (&image, &[Purpose::Image])]);
    let verified = verify_grant(&signed(payload.clone(), &[&one]), &one_of).unwrap();
    assert_eq!(*verified.grant(), sample());
    assert_eq!(verified.signers().len(), 1);
    let refused = |keys: &[&PrivateKey], trust: &Trust| {
        verify_grant(&signed(payload.clone(), keys), trust).unwrap_err()
    };
    let too_few = |signed, threshold| GrantRefusal::Signatures { signed, threshold };
    assert_eq!(refused(&[&image], &one_of), too_few(0, 1));
    assert_eq!(refused(&[&key()], &one_of), too_few(0, 1));
    let two_of = trust(2, &[(&one, &[Purpose::Grant]), (&two, &[Purpose::Grant])]);
    assert_eq!(refused(&[&one, &one], &two_of), too_few(1, 2));
    assert!(verify_grant(&signed(payload.clone(), &[&one, &two]), &two_of).is_ok());
}

#[test]
fn grant_and_manifest_are_not_interchangeable_under_one_key() {
    let key = key();
    let both = trust(1, &[(&key, &[Purpose::Grant, Purpose::Image])]);
    let manifest = statement::tests::sample().to_payload().unwrap();
    let grant = sample().to_payload().unwrap();
    let error = verify_grant(&signed(manifest, &[&key]), &both).unwrap_err();
    assert!(error.to_string().contains("predicateType"), "{error}");
    let envelope = signed(grant, &[&key]);
    assert!(verify_grant(&envelope, &both).is_ok());
    let error = verify_declaration(&envelope, b"", &both).unwrap_err();
    assert!(error.to_string().contains("predicateType"), "{error}");
}

#[test]
fn grant_is_refused_by_trust_file_of_another_image() {
    let key = key();
    let pem = crate::trust::public_pem(&key.public().unwrap());
    let of = |image: &str| {
        let key = TrustedKey::from_pem(pem.as_bytes(), [Purpose::Grant].into()).unwrap();
        Trust::new(Some(image.parse().unwrap()), 1, vec![key]).unwrap()
    };
    let envelope = signed(sample().to_payload().unwrap(), &[&key]);
    assert!(verify_grant(&envelope, &of("web")).is_ok());
    let error = verify_grant(&envelope, &of("db")).unwrap_err().to_string();
    assert!(error.contains("'web'") && error.contains("'db'"), "{error}");
}

#[test]
fn grant_validity_must_be_positive_and_bounded() {
    assert!(GrantTime::new(10, 10 + limits::GRANT_SECONDS).is_ok());
    assert!(GrantTime::new(10, 11).is_ok());
    for (issued, expires) in [
        (10, 10),
        (10, 9),
        (0, u64::MAX),
        (10, 11 + limits::GRANT_SECONDS),
    ] {
        assert!(GrantTime::new(issued, expires).is_err());
    }
}

#[test]
fn instance_name_accepts_only_the_canonical_form() {
    for good in [
        "i-01234567",
        "i-0123456789abcdef0",
        "0123456789abcdef0123456789abcdef",
        "ec2e1916-9099-7caf-fd21-012345abcdef",
    ] {
        assert_eq!(good.parse::<InstanceName>().unwrap().as_str(), good);
    }
    for bad in [
        "",
        "i-",
        "i-0123456",
        "i-0123456789abcdef01",
        "i-0123456789ABCDEF0",
        "EC2E1916-9099-7CAF-FD21-012345ABCDEF",
        "ec2e1916-9099-7caf-fd21-012345abcdef-",
        "ec2e191690997caffd21012345abcde",
        "web\n",
    ] {
        assert!(bad.parse::<InstanceName>().is_err(), "{bad:?}");
    }
}

#[test]
fn lock_that_cannot_be_granted_is_refused_with_the_reason() {
    for lock in GrantedLock::ALL {
        assert_eq!(lock.name().parse(), Ok(lock));
    }
    let why = |text: &str| text.parse::<GrantedLock>().unwrap_err().to_string();
    assert!(why("kernel").contains("until the next boot"));
    assert!(why("cloud_init").contains("sealed with the image"));
    assert!(why("Packages\x1b").contains("\\x1b"));
}
