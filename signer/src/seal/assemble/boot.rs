//! The boot record of an image: as declared, or as the guest was booted that is measured.

use anyhow::Context;
use earmark_manifest::{
    cmdline::SignedLine,
    declaration::{Declaration, Initrd},
    limits,
    statement::BootRecord,
};
use earmark_scan::Root;

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::output,
};

const LINE: &str = "/proc/cmdline";

/// The record to be signed. What is declared wins; where nothing is, and `root` is the root of this very
/// host, the words that it was booted with are recorded, and shown.
pub(super) fn record(root: &Root, declared: &Declaration) -> Outcome<Option<BootRecord>> {
    if let Some(cmdline) = declared.boot.cmdline.clone() {
        return Ok(Some(BootRecord { cmdline }));
    }
    if !root.is_live() {
        return Ok(None);
    }
    if !is_host() {
        output::note(
            "no command line is recorded: in a container it is the host's; declare [boot] cmdline",
        );
        return Ok(None);
    }
    let line = std::fs::read(LINE)
        .with_context(|| format!("failed to read '{LINE}'"))
        .exits(Exit::Undecided)
        .or_next(declare)?;
    let cmdline = recorded(&line).exits(Exit::Usage).or_next(declare)?;
    output::note(&format!(
        "recorded the command line of this boot, and no other word will pass: {cmdline}"
    ));
    Ok(Some(BootRecord { cmdline }))
}

/// Refuses an initrd that the format names and this version cannot make: no boot would leave the record that
/// the agent looks for, so that each host of the image would be `violated`.
pub(super) fn refuse_unmade_initrd(declared: &Declaration) -> Outcome<()> {
    match declared.boot.initrd {
        Initrd::None | Initrd::EarmarkInit => Ok(()),
        initrd @ (Initrd::InitramfsTools | Initrd::Dracut) => Err(Failure::new(
            Exit::Usage,
            format!(
                "refused: earmark.toml declares [boot] initrd = \"{name}\", and this version has nothing for {name} to \
                 judge a root with: each boot would be 'violated'",
                name = initrd.name()
            ),
        )
        .next("declare \"earmark-init\" and build it with 'earmark initrd build', or \"none\"")),
    }
}

fn declare() -> String {
    "declare [boot] cmdline in earmark.toml".to_owned()
}

fn recorded(line: &[u8]) -> anyhow::Result<SignedLine> {
    let context = || {
        format!(
            "failed to record '{LINE}' ({} bytes, at most {} can be signed)",
            line.len(),
            limits::CMDLINE
        )
    };
    SignedLine::recorded(line).with_context(context)
}

/// Tells whether this program runs in the initial PID namespace, whose inode is `PROC_PID_INIT_INO` of the
/// kernel. A container shows its host's command line.
fn is_host() -> bool {
    let link = std::fs::read_link("/proc/self/ns/pid");
    link.is_ok_and(|link| link.as_os_str() == "pid:[4026531836]")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARATION: &str = "[image]\nname = \"web\"\nplatform = \"file\"\n";

    fn declared(boot: &str) -> Declaration {
        Declaration::parse(format!("{DECLARATION}{boot}").as_bytes()).unwrap()
    }

    #[test]
    fn declared_cmdline_takes_precedence_and_offline_root_records_none() {
        let directory = tempfile::tempdir().unwrap();
        let declared = |boot: &str| declared(boot);
        for root in [directory.path(), std::path::Path::new("/")] {
            let root = Root::open(root).unwrap();
            let boot = record(&root, &declared("[boot]\ncmdline = \"ro  quiet\"\n")).unwrap();
            assert_eq!(boot.unwrap().cmdline.to_string(), "ro quiet");
        }
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(record(&root, &declared("")).unwrap(), None);
    }

    /// Of the machine that the tests run on, or of none if that is a container.
    #[test]
    fn live_root_records_booted_cmdline() {
        let root = Root::open(std::path::Path::new("/")).unwrap();
        let line = std::fs::read(LINE).unwrap();
        match record(&root, &declared("")) {
            Ok(Some(boot)) => assert!(boot.cmdline.compare(&line).is_none()),
            Ok(None) => assert!(!is_host()),
            Err(failure) => assert_eq!(failure.exit(), Exit::Usage),
        }
    }

    #[test]
    fn initrd_that_cannot_be_made_is_refused() {
        for name in ["none", "earmark-init"] {
            let declared = declared(&format!("[boot]\ninitrd = \"{name}\"\n"));
            refuse_unmade_initrd(&declared).unwrap();
        }
        for name in ["initramfs-tools", "dracut"] {
            let declared = declared(&format!("[boot]\ninitrd = \"{name}\"\n"));
            let failure = refuse_unmade_initrd(&declared).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{name}");
        }
    }

    #[test]
    fn cmdline_with_unsignable_byte_is_refused() {
        recorded(b"root=UUID=1 ro\n").unwrap();
        let error = format!("{:#}", recorded(b"a=\xff\n").unwrap_err());
        assert!(error.contains("0xff"), "{error}");
    }
}
