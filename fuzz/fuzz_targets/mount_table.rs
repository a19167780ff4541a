//! Any bytes as `/proc/PID/mountinfo`, in which every process with a mount namespace of its own names devices and
//! paths.
//!
//! Invariants: no panic, no loop; what is taken is the same with a line break at its end and without; each mount that
//! can be seen is the one that its own point leads to, and only such mounts are told of.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// Stand-in for the parser's module in the agent. The reason why nothing is known of a table is not looked at here.
#[allow(
    dead_code,
    reason = "the fuzz target does not ask all that the agent does"
)]
#[path = "."]
mod lockdown {
    pub mod cause {
        #[derive(Debug)]
        pub enum Probe {
            MountsFit,
        }
    }

    pub mod item {
        use super::cause::Probe;

        #[derive(Debug)]
        pub enum Unseen {
            Other(String),
            Unfit(Probe, String),
        }

        impl Unseen {
            pub fn io(_: &std::io::Error, text: String) -> Self {
                Self::Other(text)
            }
        }

        impl From<String> for Unseen {
            fn from(text: String) -> Self {
                Self::Other(text)
            }
        }

        impl From<&str> for Unseen {
            fn from(text: &str) -> Self {
                Self::Other(text.to_owned())
            }
        }
    }

    #[path = "."]
    pub mod filesystems {
        #[path = "../../agent/src/lockdown/filesystems/table.rs"]
        mod table;

        use super::item::Unseen;
        use earmark_manifest::path::ImagePath;
        use table::Table;

        /// Asserts the invariants of a table.
        pub fn hold(data: &[u8]) {
            let Ok(table) = Table::read(data) else {
                return;
            };
            let visible = table.visible();
            assert!(!visible.is_empty());
            for mount in &visible {
                assert_eq!(table.at(&mount.point).id, mount.id);
            }
            let _ = table.at(&ImagePath::root());
            for (written, run) in table.written_and_run() {
                assert!(
                    visible
                        .iter()
                        .any(|mount| mount.point == written && mount.is_writable())
                );
                assert!(
                    visible
                        .iter()
                        .any(|mount| mount.point == run && !mount.is_writable())
                );
            }
            if !data.ends_with(b"\n") {
                let ended = [data, b"\n"].concat();
                let again: Result<Table, Unseen> = Table::read(&ended[..]);
                assert_eq!(again.expect("the same table").visible(), visible);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    // Finding what is visible takes the square of the mounts.
    if data.iter().filter(|byte| **byte == b'\n').count() > 256 {
        return;
    }
    lockdown::filesystems::hold(data);
});
