//! Looks again, every minute: what root can undo is found while the host runs, and not only at its next boot.
//!
//! Nothing is shut again by this. A lock that somebody undid is no fault to be mended behind his back: it is
//! told, the policy of the image follows from it, and the host is replaced.

use std::{thread, time::Duration};

use earmark_manifest::verify::VerifiedDeclaration;
use earmark_scan::Root;

use super::{look::Look, measure, tell};
use crate::{boot::policy::Policy, exit::Exit, fleet::grants};

/// A process or a control group that goes while it is looked at may leave something unknown. What is open
/// is still open after so long, and a host is not put into quarantine for less.
const PAUSE: Duration = Duration::from_secs(2);

/// A look takes less than a second. One that takes longer than this was starved, which any process can bring about,
/// or is held up by a server that root mounted: it comes to nothing, and that is no finding.
const LONGEST: Duration = Duration::from_mins(5);

/// The unit takes this for a look that came to nothing.
const STARVED: i32 = 1;

/// Ends this process, should it still look when the time is over.
fn end_in_time() {
    let watch = thread::Builder::new().spawn(|| {
        thread::sleep(LONGEST);
        complain!("earmark-agent: the check of the locks timed out, ignoring");
        // Not left to TimeoutStartSec=: a timeout of systemd's fails the unit, and the policy would follow from that.
        std::process::exit(STARVED);
    });
    // Without a thread to be had, the look goes on all the same.
    drop(watch);
}

/// Decides what is declared. What could not be read for want of memory, or of a disk that was slow, is read after a
/// pause: what follows from a seal that cannot be read follows from what lasts.
pub fn policy(root: &Root) -> Policy {
    let policy = Policy::of(root);
    match policy {
        Policy::Declared(_) | Policy::Below(..) | Policy::Unsealed => policy,
        Policy::Strict(..) => {
            thread::sleep(PAUSE);
            Policy::of(root)
        }
    }
}

/// Looks at each lock, and tells of what has changed.
pub fn run(root: &Root, policy: &Policy, declared: &VerifiedDeclaration) -> Exit {
    end_in_time();
    // What a grant opens, or is just being shut, is looked at when that is done.
    let turn = grants::turn(root);
    // An error does not end the look: what spoils that directory would keep every open lock from being found.
    if let Err(error) = &turn {
        complain!("earmark-agent: {error:#}, ignoring");
    }
    let look = || {
        let granted = grants::opened_now(root, declared);
        measure(&Look::new(root), declared.declaration(), &granted)
    };
    // Each time with a new `Look`: it remembers the units and control groups that it has listed.
    let mut measured = look();
    if tell::exit_of(&measured) != Exit::Done {
        thread::sleep(PAUSE);
        measured = look();
    }
    tell::tell_change(root, policy, &measured);
    tell::exit_of(&measured)
}
