//! Any bytes as the signature of an instance identity document, and as a certificate: BER and DER, the former of which
//! came from a host by way of a report.
//!
//! Invariants: no panic, no nesting that exhausts the stack; what is taken has content that is a part of the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the fuzz target does not ask who signed")]
#[path = "../../signer/src/fleet/identity"]
mod identity {
    pub mod certificate;
    pub mod cms;
}

fuzz_target!(|data: &[u8]| {
    if let Some(signed) = identity::cms::parse(data.to_vec()) {
        assert!(signed.content().len() < data.len());
    }
    let _ = identity::certificate::rsa_key(data.to_vec());
});
