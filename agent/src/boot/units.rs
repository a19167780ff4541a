//! The units of this program, as the package installs them and as the generator writes them again.

/// A unit file.
#[derive(Debug)]
pub struct Unit {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The one that decides.
pub const VERIFY: &str = "earmark-verify.service";
/// The one that brings about what a new host needs.
pub const FIRST_BOOT: &str = "earmark-first-boot.service";
/// The one that sets apart what stays writable.
pub const LOCKDOWN_EARLY: &str = "earmark-lockdown-early.service";
/// The one that shuts the ways in which a host could be changed.
pub const LOCKDOWN: &str = "earmark-lockdown.service";
/// The one that looks at the locks again.
pub const LOCKDOWN_AGAIN: &str = "earmark-lockdown-again.service";
/// Timer of [`LOCKDOWN_AGAIN`].
pub const LOCKDOWN_TIMER: &str = "earmark-lockdown-again.timer";
/// The one that opens and shuts what grants say.
pub const GRANTS: &str = "earmark-grants.service";
/// Path unit that starts [`GRANTS`].
pub const GRANTS_PATH: &str = "earmark-grants.path";
/// Timer of the service that fetches what is published for this host.
pub const FETCH_TIMER: &str = "earmark-fetch.timer";
/// The one that says how this host is.
pub const REPORT: &str = "earmark-report.service";
/// Timer of [`REPORT`], for reports although nothing has changed.
pub const REPORT_TIMER: &str = "earmark-report.timer";
/// Path unit that starts [`REPORT`] when something has changed.
pub const REPORT_PATH: &str = "earmark-report.path";
/// The one that looks for blocks that the kernel found corrupted.
pub const CORRUPTION: &str = "earmark-corruption.service";
/// Timer of [`CORRUPTION`].
pub const CORRUPTION_TIMER: &str = "earmark-corruption.timer";
/// The one that keeps watching.
pub const AGENT: &str = "earmark-agent.service";
/// The one that a workload asks for.
pub const READY: &str = "earmark-ready.target";
/// Target of a host that did not verify, whose first boot failed, or that is not locked down.
pub const QUARANTINE: &str = "earmark-quarantine.target";

/// All of them. Their text is in the program: a unit file on the disk that was changed has no
/// effect, and is found by the verification that it was meant to stop.
pub const UNITS: [Unit; 21] = [
    Unit {
        name: AGENT,
        text: include_str!("../../../systemd/earmark-agent.service"),
    },
    Unit {
        name: CORRUPTION,
        text: include_str!("../../../systemd/earmark-corruption.service"),
    },
    Unit {
        name: CORRUPTION_TIMER,
        text: include_str!("../../../systemd/earmark-corruption.timer"),
    },
    Unit {
        name: "earmark-fetch.service",
        text: include_str!("../../../systemd/earmark-fetch.service"),
    },
    Unit {
        name: FETCH_TIMER,
        text: include_str!("../../../systemd/earmark-fetch.timer"),
    },
    Unit {
        name: FIRST_BOOT,
        text: include_str!("../../../systemd/earmark-first-boot.service"),
    },
    Unit {
        name: "earmark-follow.service",
        text: include_str!("../../../systemd/earmark-follow.service"),
    },
    Unit {
        name: GRANTS_PATH,
        text: include_str!("../../../systemd/earmark-grants.path"),
    },
    Unit {
        name: GRANTS,
        text: include_str!("../../../systemd/earmark-grants.service"),
    },
    Unit {
        name: "earmark-instance.service",
        text: include_str!("../../../systemd/earmark-instance.service"),
    },
    Unit {
        name: LOCKDOWN,
        text: include_str!("../../../systemd/earmark-lockdown.service"),
    },
    Unit {
        name: LOCKDOWN_AGAIN,
        text: include_str!("../../../systemd/earmark-lockdown-again.service"),
    },
    Unit {
        name: LOCKDOWN_TIMER,
        text: include_str!("../../../systemd/earmark-lockdown-again.timer"),
    },
    Unit {
        name: LOCKDOWN_EARLY,
        text: include_str!("../../../systemd/earmark-lockdown-early.service"),
    },
    Unit {
        name: QUARANTINE,
        text: include_str!("../../../systemd/earmark-quarantine.target"),
    },
    Unit {
        name: READY,
        text: include_str!("../../../systemd/earmark-ready.target"),
    },
    Unit {
        name: REPORT_PATH,
        text: include_str!("../../../systemd/earmark-report.path"),
    },
    Unit {
        name: REPORT,
        text: include_str!("../../../systemd/earmark-report.service"),
    },
    Unit {
        name: REPORT_TIMER,
        text: include_str!("../../../systemd/earmark-report.timer"),
    },
    Unit {
        name: "earmark-verified.target",
        text: include_str!("../../../systemd/earmark-verified.target"),
    },
    Unit {
        name: VERIFY,
        text: include_str!("../../../systemd/earmark-verify.service"),
    },
];
