//! `[boot]`: how the image boots.

use serde::Deserialize;
use toml::Spanned;

use super::Problem;
use crate::cmdline::SignedLine;

/// `[boot]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Boot {
    /// The kernel command line. `None`: `earmark measure` records that of the guest that it runs in, and
    /// nothing elsewhere.
    pub cmdline: Option<SignedLine>,
    /// Promise that the sealed files of more than [`ENFORCED_ABOVE`] bytes have fs-verity.
    ///
    /// [`ENFORCED_ABOVE`]: crate::fsverity::ENFORCED_ABOVE
    pub verity: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BootDocument {
    cmdline: Option<Spanned<String>>,
    #[serde(default)]
    verity: bool,
}

impl BootDocument {
    pub(super) fn check(&self) -> Result<Boot, Problem> {
        // Blank is as absent, and leaves the line to `measure`: it does not ask for a boot without a word.
        let declared = self
            .cmdline
            .as_ref()
            .filter(|text| !text.get_ref().trim().is_empty());
        let cmdline = declared.map(|text| {
            text.get_ref().parse().map_err(|error| Problem {
                at: text.span(),
                problem: format!("boot.cmdline: {error}"),
            })
        });
        Ok(Boot {
            cmdline: cmdline.transpose()?,
            verity: self.verity,
        })
    }
}
