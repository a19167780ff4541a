//! Signed data of PKCS#7, as much of it as an identity document's signature has: one signer, SHA-256, RSA, the
//! document as content, attributes that are signed.
//!
//! AWS writes it in BER, with indefinite lengths and strings in pieces; what is signed is in DER. `bcder` reads
//! both and keeps no stack of calls, so that nesting cannot exhaust one. Certificates in it are skipped, and
//! who the signer claims to be is not read: keys are given by the user, and each is tried.

use bcder::{
    Captured, ConstOid, Mode, OctetString, Oid, Tag,
    decode::{BytesSource, Constructed, DecodeError, Source},
};
use bytes::Bytes;
use earmark_manifest::crypto::{RsaKey, sha256};

use super::certificate::RSA;

/// `signedData` and `data` of PKCS#7, 1.2.840.113549.1.7.2 and .1.
const SIGNED_DATA: ConstOid = Oid(&[42, 134, 72, 134, 247, 13, 1, 7, 2]);
const DATA: ConstOid = Oid(&[42, 134, 72, 134, 247, 13, 1, 7, 1]);
/// `contentType` and `messageDigest` of PKCS#9, 1.2.840.113549.1.9.3 and .4.
const CONTENT_TYPE: ConstOid = Oid(&[42, 134, 72, 134, 247, 13, 1, 9, 3]);
const MESSAGE_DIGEST: ConstOid = Oid(&[42, 134, 72, 134, 247, 13, 1, 9, 4]);
/// SHA-256, 2.16.840.1.101.3.4.2.1; and with RSA in one name, 1.2.840.113549.1.1.11.
const SHA256: ConstOid = Oid(&[96, 134, 72, 1, 101, 3, 4, 2, 1]);
const SHA256_WITH_RSA: ConstOid = Oid(&[42, 134, 72, 134, 247, 13, 1, 1, 11]);

/// Content that was signed, whose digest is the one that the signed attributes name.
pub struct Signed {
    content: Bytes,
    /// The attributes as they were signed: in DER, as a SET.
    attributes: Vec<u8>,
    signature: Bytes,
}

impl Signed {
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Returns whether this key signed it.
    pub fn is_by(&self, key: &RsaKey) -> bool {
        key.verify(&self.attributes, &self.signature).is_ok()
    }
}

type Reading<T, S> = Result<T, DecodeError<<S as Source>::Error>>;

/// Parses it, and holds the content against the digest in the signed attributes.
pub fn parse(bytes: Vec<u8>) -> Option<Signed> {
    let parsed = Mode::Ber.decode(Bytes::from(bytes), |outer| {
        outer.take_sequence(|outer| {
            expect(outer, &SIGNED_DATA)?;
            outer.take_constructed_if(Tag::CTX_0, |outer| outer.take_sequence(signed_data))
        })
    });
    let (content, signer) = parsed.ok()?;
    let (attributes, signature) = signer;
    let digest = attributes_digest(attributes.clone())?;
    if digest.as_ref() != sha256(&content).as_bytes() {
        return None;
    }
    Some(Signed {
        content,
        attributes: as_set(attributes.as_slice())?,
        signature,
    })
}

type Signer = (Captured, Bytes);

fn signed_data(data: &mut Constructed<BytesSource>) -> Reading<(Bytes, Signer), BytesSource> {
    data.capture_one()?; // version
    data.take_set(|rest| rest.skip_all())?;
    let content = data.take_sequence(|info| {
        expect(info, &DATA)?;
        info.take_constructed_if(Tag::CTX_0, OctetString::take_from)
    })?;
    for optional in [Tag::CTX_0, Tag::CTX_1] {
        data.take_opt_constructed_if(optional, |rest| rest.skip_all())?;
    }
    // A second signer would be an error: what is left of a value when it has been read is one.
    let signer = data.take_set(|signers| signers.take_sequence(signer))?;
    Ok((content.into_bytes(), signer))
}

fn signer(info: &mut Constructed<BytesSource>) -> Reading<Signer, BytesSource> {
    info.capture_one()?; // version
    info.capture_one()?; // who
    algorithm(info, &[SHA256])?;
    // Without attributes the signature would be over the content, and attributes of another signature
    // could be passed off as one.
    let attributes = info.take_constructed_if(Tag::CTX_0, |rest| rest.capture_all())?;
    algorithm(info, &[RSA, SHA256_WITH_RSA])?;
    let signature = OctetString::take_from(info)?;
    info.take_opt_constructed_if(Tag::CTX_1, |rest| rest.skip_all())?;
    Ok((attributes, signature.into_bytes()))
}

/// The digest in the attributes: in DER, of the content type `data`, each said once.
fn attributes_digest(attributes: Captured) -> Option<Bytes> {
    let parsed = Mode::Der.decode(attributes.into_bytes(), |attributes| {
        let (mut types, mut digests) = (0, Vec::new());
        while let Some(()) = attributes.take_opt_sequence(|attribute| {
            let name = Oid::take_from(attribute)?;
            attribute.take_set(|values| {
                if name == CONTENT_TYPE {
                    expect(values, &DATA)?;
                    types += 1;
                } else if name == MESSAGE_DIGEST {
                    digests.push(OctetString::take_from(values)?.into_bytes());
                } else {
                    values.skip_all()?;
                }
                Ok(())
            })
        })? {}
        Ok((types, digests))
    });
    match parsed.ok()? {
        (1, mut digests) if digests.len() == 1 => digests.pop(),
        _ => None,
    }
}

/// In the message they are under a tag of their own; signed they are as a SET.
fn as_set(attributes: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(attributes.len()).ok()?;
    let mut set = vec![0x31];
    match length {
        0..=0x7f => set.push(length.to_be_bytes()[1]),
        0x80..=0xff => set.extend([0x81, length.to_be_bytes()[1]]),
        _ => {
            set.push(0x82);
            set.extend(length.to_be_bytes());
        }
    }
    set.extend(attributes);
    Some(set)
}

fn expect<S: Source>(of: &mut Constructed<S>, oid: &ConstOid) -> Reading<(), S> {
    if Oid::take_from(of)? == *oid {
        return Ok(());
    }
    Err(of.content_err("another identifier"))
}

fn algorithm<S: Source>(of: &mut Constructed<S>, accepted: &[ConstOid]) -> Reading<(), S> {
    of.take_sequence(|algorithm| {
        let oid = Oid::take_from(algorithm)?;
        // NULL, or nothing.
        algorithm.take_opt_null()?;
        if accepted.iter().any(|accepted| oid == *accepted) {
            return Ok(());
        }
        Err(algorithm.content_err("another algorithm"))
    })
}
