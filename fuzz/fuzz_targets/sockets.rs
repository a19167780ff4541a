//! Any bytes as the kernel's answer to who listens, in which every process that listens has a part.
//!
//! Invariants: no panic, no loop; a listener that is taken has the port that was asked for, and is root's or another's
//! by its user id; few are kept and all are counted, the same each time.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The modules that the parser is in, in the agent. Why there is no answer is not looked at here.
#[allow(
    dead_code,
    unused_imports,
    reason = "the fuzz target does not ask all that the agent does"
)]
#[path = "."]
mod lockdown {
    pub mod cause {
        #[derive(Debug)]
        pub enum Probe {
            ListenersFit,
        }
    }

    pub mod item {
        use super::cause::Probe;
        use rustix::io::Errno;

        #[derive(Debug)]
        pub enum Unseen {
            Hidden(String),
            Unfit(Probe, String),
        }

        impl Unseen {
            pub fn errno(_: Errno, text: String) -> Self {
                Self::Hidden(text)
            }
        }
    }

    #[path = "."]
    pub mod netlink {
        #[path = "../../agent/src/lockdown/netlink/answer.rs"]
        mod answer;
        #[path = "../../agent/src/lockdown/netlink/message.rs"]
        pub mod message;

        pub(super) use self::answer::{GARBLED, Progress, Refusal, take};
    }

    #[path = "."]
    pub mod remote_access {
        #[path = "."]
        pub mod listening {
            #[path = "../../agent/src/lockdown/remote_access/listening/answer.rs"]
            mod answer;

            use answer::{Found, take};

            const PORT: u16 = 22;

            /// What holds of each answer.
            pub fn hold(data: &[u8]) {
                let mut found = Found::default();
                let taken = take(data, PORT, &mut found);
                for listeners in [&found.root, &found.others] {
                    assert!(listeners.shown.len() <= 4 && listeners.shown.len() <= listeners.count);
                    assert!(
                        listeners
                            .shown
                            .iter()
                            .all(|(address, _)| address.port() == PORT)
                    );
                    assert_eq!(listeners.text().is_some(), listeners.count > 0);
                    // Each has a message of its own.
                    assert!(listeners.count <= data.len() / 16);
                }
                assert!(found.root.shown.iter().all(|(_, owner)| *owner == 0));
                assert!(found.others.shown.iter().all(|(_, owner)| *owner != 0));
                let once = found.clone();
                assert_eq!(take(data, PORT, &mut found), taken);
                assert_eq!(found.root.count, 2 * once.root.count);
                assert_eq!(found.others.count, 2 * once.others.count);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    lockdown::remote_access::listening::hold(data);
});
