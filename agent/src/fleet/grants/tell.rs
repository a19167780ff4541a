//! Tells what became of grants: to the console, the journal, and standard error.

use super::{record::Taken, take::Refused};
use crate::{
    host::{console, journal, utc},
    status::summary::clean,
};

/// Event of a look at the grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A grant was taken, and opens what it names.
    Opened(Taken),
    /// A grant opens nothing any more.
    Closed(Taken),
    /// Something that was brought here is not taken.
    Refused {
        /// Path at which it was found.
        place: String,
        refused: Refused,
    },
    /// Problem, in words: something could not be done.
    Problem(String),
}

/// Tells all of them, `image` first.
pub fn tell(image: &str, events: &[Event]) {
    for event in events {
        let (kind, id, text) = match event {
            Event::Opened(taken) => {
                let reason = taken.reason.as_ref();
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                let text = format!(
                    "OPENED by a grant until {}: {}{reason}",
                    utc(taken.expires),
                    locks(taken)
                );
                (journal::Grant::Opened, Some(taken.id), text)
            }
            Event::Closed(taken) => {
                let why = taken.closed.as_ref().map_or("", |(_, why)| why);
                let text = format!("a grant is closed, {why}: {}", locks(taken));
                (journal::Grant::Closed, Some(taken.id), text)
            }
            Event::Refused { place, refused } => {
                let text = format!("the grant in '{place}' is REFUSED: {}", refused.why);
                (journal::Grant::Refused, refused.id, text)
            }
            Event::Problem(problem) => (journal::Grant::Refused, None, problem.clone()),
        };
        // Paths, reasons and ids of others are in it: control characters would drive the console.
        let line = clean(&format!("{image}: {text}"));
        console::say(&line);
        complain!("earmark-agent: {}", clean(&text));
        let id = id.map(|id| id.to_string());
        if let Err(error) = journal::say_grant(kind, id.as_deref(), &line) {
            complain!("earmark-agent: failed to write to the journal: {error}, ignoring");
        }
    }
}

fn locks(taken: &Taken) -> String {
    let names: Vec<&str> = taken.locks.iter().map(|lock| lock.name()).collect();
    names.join(", ")
}
