//! The fleet: what hosts report, held against the release that they should run and the hosts that there
//! should be.
//!
//! Data flows one way: sources are read, each report becomes a few hundred bytes or a reason why it does not
//! count, the rest is joined with the verified channels and the inventory to hosts in one state each, and
//! these are counted and shown. A report is its host's word: what is decided here is decided by the channel's
//! document and the inventory, which the user vouches for.

mod channels;
mod group;
mod identity;
mod inventory;
mod join;
pub mod render;
mod report;
mod source;
mod state;
mod status;

use std::path::{Path, PathBuf};

pub use self::{
    channels::Channels,
    group::Dimension,
    identity::Certificates,
    report::duration,
    source::Source,
    state::State,
    status::{FailOn, Status},
};
use self::{
    inventory::Inventory,
    join::Against,
    source::{Asked, Found},
};
use crate::{channel, exit::Outcome};

/// Fleet, and the channels, inventory and certificates that it is compared with.
#[derive(Debug)]
pub struct Fleet {
    pub sources: Vec<Source>,
    pub channels: Channels,
    pub inventory: Option<PathBuf>,
    pub certificates: Option<Certificates>,
    /// In seconds.
    pub silent_after: u64,
    pub group_by: Vec<Dimension>,
}

impl Fleet {
    /// Looks at all of it, as it is now.
    pub fn look(&mut self) -> Outcome<Status> {
        let now = channel::now()?;
        let documents = self.channels.read(now)?;
        let inventory = self.inventory.as_deref().map(Path::new);
        let inventory = inventory.map(Inventory::read).transpose()?;
        let asked = Asked {
            now,
            silent_after: self.silent_after,
            certificates: self.certificates.as_ref(),
            inventory: inventory.as_ref(),
        };
        let mut found = Found::default();
        for source in &self.sources {
            found.merge(source.read(asked)?);
        }
        let reports = std::mem::take(&mut found.reports);
        let against = Against {
            documents: &documents,
            inventory: inventory.as_ref(),
            now,
            silent_after: self.silent_after,
        };
        let joined = join::join(reports, &against);
        Ok(Status::new(joined, found, &against, self))
    }
}
