//! Verifies a seal: `cargo run --example verify -- DIRECTORY TRUST`.
//!
//! `DIRECTORY` has `manifest.json`, `earmark.toml` and `tree.zst`, as in an image's `/usr/lib/earmark/seal`; `TRUST` is
//! a trust file. Exit codes are those of `earmark`: 0 verified, 10 refused, 20 not decided.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use earmark_manifest::{
    layout, limits,
    trust::Trust,
    verify::{Refusal, SealBytes, verify},
};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [directory, trust] = arguments.as_slice() else {
        eprintln!("error: expected two arguments: the directory of a seal, and a trust file");
        return ExitCode::from(2);
    };
    match run(directory.as_ref(), trust.as_ref()) {
        Ok(Ok(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Err(refusal)) => {
            eprintln!("REFUSED: {refusal}");
            ExitCode::from(10)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(20)
        }
    }
}

/// Returns the identity and the signers of a seal, or the decision against it. An error is no decision.
fn run(directory: &Path, trust: &Path) -> io::Result<Result<String, Refusal>> {
    let bytes = read(trust, limits::TRUST)?;
    let trust = Trust::parse(&bytes)
        .map_err(|error| io::Error::other(format!("trust file '{}': {error}", trust.display())))?;
    let seal = SealBytes {
        envelope: read(&directory.join(layout::MANIFEST_NAME), limits::ENVELOPE)?,
        declaration: read(
            &directory.join(layout::DECLARATION_NAME),
            limits::DECLARATION,
        )?,
        tree: read(&directory.join(layout::TREE_NAME), limits::TREE_STORED)?,
    };
    Ok(verify(seal, &trust).map(|verified| {
        let image = &verified.statement().image;
        let mut text = format!(
            "image     {} {}\nepoch     {}\nmachine   {}\nmanifest  {}\n",
            image.name,
            image.version,
            image.epoch,
            image.architecture,
            verified.digest()
        );
        for signer in verified.signers() {
            text += &format!("signer    {signer}\n");
        }
        text
    }))
}

/// Reads a file of at most `most` bytes.
fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let fail = |why: String| io::Error::other(format!("'{}': {why}", path.display()));
    let mut bytes = Vec::new();
    // One byte more than may be there tells a file that is too long from one that just fits.
    let bound = u64::try_from(most).map_or(u64::MAX, |most| most.saturating_add(1));
    File::open(path)
        .and_then(|file| file.take(bound).read_to_end(&mut bytes))
        .map_err(|error| fail(error.to_string()))?;
    if bytes.len() > most {
        return Err(fail(format!(
            "more than {most} bytes, the most that the format allows"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_seal_prints_identity_and_signer_and_an_unknown_signer_is_refused() {
        let golden = Path::new("tests/golden/v1");
        let text = run(golden, &golden.join("trust.toml")).unwrap().unwrap();
        assert!(
            text.starts_with("image     web 1.2.3\nepoch     3\n"),
            "{text}"
        );
        assert_eq!(text.matches("signer    ").count(), 1, "{text}");

        let others = std::env::temp_dir().join(format!("trust-{}.toml", std::process::id()));
        let key = std::fs::read_to_string("tests/keys/INSECURE-TEST-unknown.pub.pem").unwrap();
        let trust = format!(
            "schema = 1\nthreshold = 1\n[[key]]\npurposes = [\"image\"]\npublic = '''\n{key}'''\n"
        );
        std::fs::write(&others, trust).unwrap();
        let refused = run(golden, &others).unwrap();
        std::fs::remove_file(&others).unwrap();
        assert!(matches!(
            refused,
            Err(Refusal::Signatures {
                signed: 0,
                threshold: 1
            })
        ));
        // No decision: a file that is not there proves nothing about the seal.
        assert!(run(golden, Path::new("absent.toml")).is_err());
    }
}
