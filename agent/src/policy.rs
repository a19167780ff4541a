//! What this host does if it does not verify, decided from the envelope alone, in milliseconds.
//!
//! Protects against a policy that is loosened by taking things away: without a declaration that can
//! be believed, an image that means to be sealed is treated as strictly as one that says
//! `quarantine`. Does not protect against somebody who also takes the trust file away: that image
//! is one that was never sealed, as far as anybody can tell from it (tier T0).

use earmark_manifest::{
    declaration::{Declaration, OnFailure},
    layout,
    path::ImagePath,
    verify::{self, VerifiedDeclaration},
};
use earmark_scan::{Root, seal};

/// What this host does, and why.
#[derive(Debug)]
pub enum Policy {
    /// What the signed declaration says.
    Declared(Box<VerifiedDeclaration>),
    /// The image has neither a trust file nor a seal: it is being baked, or was never sealed.
    Unsealed,
    /// The image has some of both, and its declaration cannot be believed.
    Strict(String),
}

impl Policy {
    /// Decides for a root.
    pub fn of(root: &Root) -> Self {
        match declared(root) {
            Ok(declared) => Self::Declared(Box::new(declared)),
            Err(_) if is_unsealed(root) => Self::Unsealed,
            Err(problem) => Self::Strict(problem),
        }
    }

    /// What is done.
    pub fn on_failure(&self) -> OnFailure {
        match self {
            Self::Declared(declared) => declared.declaration().verify.on_failure,
            Self::Unsealed => OnFailure::Report,
            Self::Strict(_) => OnFailure::Quarantine,
        }
    }

    /// What was signed, if it is believed.
    pub fn declared(&self) -> Option<&VerifiedDeclaration> {
        match self {
            Self::Declared(declared) => Some(declared),
            Self::Unsealed | Self::Strict(_) => None,
        }
    }

    /// The declaration, if it is believed.
    pub fn declaration(&self) -> Option<&Declaration> {
        match self {
            Self::Declared(declared) => Some(declared.declaration()),
            Self::Unsealed | Self::Strict(_) => None,
        }
    }

    /// Why, in a line.
    pub fn reason(&self) -> String {
        match self {
            Self::Declared(_) => "declared in the signed earmark.toml".to_owned(),
            Self::Unsealed => "there is neither a trust file nor a seal".to_owned(),
            Self::Strict(problem) => format!("the declaration cannot be believed: {problem}"),
        }
    }
}

fn declared(root: &Root) -> Result<VerifiedDeclaration, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let trust = seal::read_trust(root).map_err(|error| text(&error))?;
    let (envelope, declaration) = seal::read_declared(root).map_err(|error| text(&error))?;
    verify::verify_declaration(&envelope, &declaration, &trust).map_err(|error| text(&error))
}

/// Whether nothing of a seal is there. A part of it that cannot be read is there.
fn is_unsealed(root: &Root) -> bool {
    let parts = [
        layout::TRUST,
        layout::MANIFEST,
        layout::DECLARATION,
        layout::TREE,
    ];
    parts.iter().all(|part| {
        ImagePath::from_absolute(part.as_bytes())
            .is_ok_and(|path| matches!(root.read_opt(&path, 0), Ok(None)))
    })
}
