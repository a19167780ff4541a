//! The ways to show a fleet: for people in a terminal or a browser, for programs, for Prometheus.

mod html;
mod json;
mod prometheus;
mod table;

pub use table::{Table, states_text};

use super::Status;
use crate::exit::Outcome;

/// A way to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs: every host, with a schema number
    Json,
    /// For the textfile collector of Prometheus' node exporter
    Prometheus,
    /// One page for a browser, with nothing beside it
    Html,
}

impl Format {
    pub fn bytes(self, status: &Status) -> Outcome<Vec<u8>> {
        match self {
            Self::Table => Ok(Table::of(status).to_string().into_bytes()),
            Self::Json => json::bytes(status),
            Self::Prometheus => Ok(prometheus::text(status).into_bytes()),
            Self::Html => Ok(html::page(status).into_bytes()),
        }
    }
}
