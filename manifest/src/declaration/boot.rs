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
    /// The initrd that judges the root before anything of it runs.
    pub initrd: Initrd,
}

/// Program of the initrd that judges the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initrd {
    /// None: the root's own agent judges it (tier T0).
    #[default]
    None,
    /// The initrd that `earmark initrd build` makes: one program.
    EarmarkInit,
    /// That of initramfs-tools, with a script of ours.
    InitramfsTools,
    /// That of dracut, with a module of ours.
    Dracut,
}

impl Initrd {
    /// As the declaration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::EarmarkInit => "earmark-init",
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BootDocument {
    cmdline: Option<Spanned<String>>,
    #[serde(default)]
    verity: bool,
    #[serde(default)]
    initrd: Initrd,
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
            initrd: self.initrd,
        })
    }
}
