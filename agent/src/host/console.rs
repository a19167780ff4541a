//! The console: the one place where a person sees a host that does not let anybody in. EC2 keeps
//! what is written there.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt};

use rustix::fs::OFlags;

/// Writes one line. The service's own user may not open the console; its standard output is
/// forwarded there instead, which is why nothing else is printed on it.
pub fn say(line: &str) {
    let line = format!("earmark: {line}\n");
    // A console that is not read must not hold the boot up, nor become this program's terminal.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let written = OpenOptions::new()
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open("/dev/console")
        .and_then(|mut console| console.write_all(line.as_bytes()));
    if written.is_err() {
        let mut out = std::io::stdout().lock();
        // There is nowhere left to say it but the journal, where it is as well.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}
