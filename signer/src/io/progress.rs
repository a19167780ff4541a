//! A progress bar for scans, on terminals alone.

use std::io::{self, IsTerminal};

use earmark_scan::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how much was read. Silent if standard error is no terminal: a log is not for bars.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar that says what is being done, such as "measuring".
    pub fn new(what: &'static str) -> Self {
        let bar = if io::stderr().is_terminal() {
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8))
        } else {
            ProgressBar::hidden()
        };
        // The template is checked by a test; without it the bar would be plainer.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// Takes it from the screen, before anything is said there.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn total(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}

const TEMPLATE: &str = "{msg} [{bar:32}] {binary_bytes}/{binary_total_bytes} {eta}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_template_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
