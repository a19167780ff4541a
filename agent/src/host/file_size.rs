//! A limit on the size of files (`LimitFSIZE=`, `ulimit -f`): the kernel sends SIGXFSZ to who writes more, which ends a
//! program that has no handler. With one, the write fails, and ends as a disk that is full does.

use rustix::process::{Resource, Signal, getrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Has writes beyond the limit fail, if there is one. Programs that this one starts get the default back.
pub fn survive() {
    if getrlimit(Resource::Fsize).current.is_none() {
        return;
    }
    // The handler is tokio's, which is the one here that is installed without unsafe code. It stays when the runtime
    // goes. If there is nothing left to make one of, nothing will be written either.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
    else {
        return;
    };
    let _entered = runtime.enter();
    let _ = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
}
