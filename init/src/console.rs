//! Console: the one place where an initrd can say anything.
//!
//! EC2 shows the serial console of a host that did not come up. Each line goes there and into the kernel's log, where
//! the journal of the running system finds it.

use std::{fs::File, io::Write};

/// Console and kernel log.
#[derive(Debug)]
pub struct Console {
    console: Option<File>,
    log: Option<File>,
}

impl Console {
    /// Opens both. What cannot be opened is done without: nobody could be told.
    pub fn open() -> Self {
        let open = |path| File::options().write(true).open(path).ok();
        Self {
            console: open("/dev/console"),
            log: open("/dev/kmsg"),
        }
    }

    /// Says a line. Control characters of unsigned bytes reach no terminal: reports escape them.
    pub fn say(&self, text: &str) {
        let line = format!("earmark-init: {text}\n");
        for mut file in [&self.console, &self.log].into_iter().flatten() {
            // A console that takes nothing must not keep a host from booting, or from being refused.
            let _ = file.write_all(line.as_bytes());
        }
    }
}
