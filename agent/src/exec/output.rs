//! Output of a step: copied line by line to this program's own output, which the journal keeps, bounded
//! in all, and the last lines kept for whoever looks at the console.

use std::{
    collections::VecDeque,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::status::summary::clean;

/// A step's output in the journal is at most this long, with what stands before each line: lines without
/// anything in them are a flood, too.
const BOUND: usize = 64 * 1024;
/// Lines that are kept.
const KEPT: usize = 5;
/// Characters of a line; what is longer is shown in several.
const WIDTH: usize = 400;

/// Takes the output of one step.
#[derive(Debug, Clone)]
pub struct Output {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    label: String,
    left: usize,
    tail: VecDeque<String>,
}

impl Output {
    /// Of the step with this label.
    pub fn new(label: &str) -> Self {
        let shared = Shared {
            label: label.to_owned(),
            left: BOUND,
            tail: VecDeque::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Reads to the end, so that a step never waits for somebody to read. Of a flood, what is over the
    /// bound is read and dropped.
    pub async fn take(self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 8 * 1024];
        let mut line = Vec::new();
        while let Ok(count) = from.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            for byte in buffer.get(..count).unwrap_or_default() {
                // Output without a newline must not grow in memory for as long as the step runs.
                if *byte == b'\n' || line.len() >= WIDTH {
                    self.line(&line);
                    line.clear();
                }
                if *byte != b'\n' {
                    line.push(*byte);
                }
            }
        }
        if !line.is_empty() {
            self.line(&line);
        }
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.tail.iter().cloned().collect()
    }

    fn line(&self, line: &[u8]) {
        // A step may print what it got from the network: control characters would drive the terminal that shows it.
        let text = clean(&String::from_utf8_lossy(line));
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Also beyond the bound: the last lines are where a program says why it failed.
        if shared.tail.len() == KEPT {
            shared.tail.pop_front();
        }
        shared.tail.push_back(text.clone());
        let cost = shared.label.len() + ": \n".len() + text.len();
        let Some(left) = shared.left.checked_sub(cost) else {
            if shared.left > 0 {
                shared.left = 0;
                say(&shared.label, "… output truncated");
            }
            return;
        };
        shared.left = left;
        say(&shared.label, &text);
    }
}

fn say(label: &str, text: &str) {
    // Nothing can be done about a journal that is gone.
    let _ = writeln!(std::io::stderr().lock(), "{label}: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn step_output_tail_is_sanitized_and_a_flood_is_dropped() {
        // What is kept of it is seen in the test's own output, and so is made short.
        let label = "step 'test' ".repeat(40);
        for line in [&"x".repeat(WIDTH)[..], ""] {
            let output = Output::new(&label);
            let mut text = format!("{line}\n").repeat(1_000).into_bytes();
            text.extend(b"one\x1b[31m\ntwo\xff");
            output.clone().take(&text[..]).await;
            assert_eq!(
                output.tail(),
                [line, line, line, "one\u{fffd}[31m", "two\u{fffd}"]
            );
            assert_eq!(output.shared.lock().unwrap().left, 0);
        }
    }
}
