//! A routing rule, and which of those that the kernel lists decides about the metadata service.

use super::{
    super::netlink::message::{attributes, messages, u32_at},
    message::{
        self, FRA_DST, FRA_GOTO, FRA_IIFNAME, FRA_PRIORITY, FRA_PROTOCOL, FRA_TABLE, FRA_UID_RANGE,
        Family, HERE, NOP, Own, PROHIBIT, RULE_HEADER,
    },
};

/// `FIB_RULE_INVERT`: it is for what does not match.
const INVERT: u32 = 2;
/// Attributes that do not narrow a rule: its originator, the target of its jump, realms (`FRA_FLOW`), and padding.
const NARROWS_NOTHING: [u16; 4] = [FRA_PROTOCOL, FRA_GOTO, 11, 18];
/// `FRA_SUPPRESS_PREFIXLEN`, all ones if it is not set.
const SUPPRESS_PREFIX: u16 = 14;
/// `FR_ACT_NOP`, and the three by which nothing gets through: `…_BLACKHOLE`, `…_UNREACHABLE`, `…_PROHIBIT`.
const LETS_NOTHING_THROUGH: [u8; 4] = [NOP, 6, 7, PROHIBIT];
const TO_TABLE: u8 = 1;
/// The kernel's table of this host's own addresses.
const LOCAL: u32 = 255;

/// Parts of a routing rule that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rule {
    priority: u32,
    table: u32,
    action: u8,
    is_inverted: bool,
    /// Destination: an address, and the length of its prefix in bits. `None` if the rule is for any.
    to: Option<(Vec<u8>, u8)>,
    users: Option<(u32, u32)>,
    /// It is for what processes of this host send.
    is_from_here: bool,
    /// Something else narrows it.
    is_narrow: bool,
}

/// Position of the rule that forbids the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It decides.
    First,
    /// There is none.
    Missing,
    /// The rule with this priority may decide before it.
    After(u32),
}

impl Rule {
    /// From the body of a message. `None` where it is none that can be understood.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (header, rest) = body.split_first_chunk::<RULE_HEADER>()?;
        let [_, to_bits, from_bits, service, table, _, _, action, ..] = *header;
        let flags = u32_at(header, 8)?;
        let mut rule = Self {
            table: table.into(),
            action,
            is_inverted: flags & INVERT != 0,
            is_narrow: from_bits != 0 || service != 0,
            ..Self::default()
        };
        let mut to = None;
        for (kind, value) in attributes(rest)? {
            match kind {
                FRA_DST => to = Some(value.to_vec()),
                FRA_PRIORITY => rule.priority = u32_at(value, 0)?,
                FRA_TABLE => rule.table = u32_at(value, 0)?,
                FRA_UID_RANGE => {
                    rule.users = Some((u32_at(value, 0)?, u32_at(value, 4)?));
                }
                SUPPRESS_PREFIX if u32_at(value, 0)? == u32::MAX => {}
                FRA_IIFNAME if value == HERE => rule.is_from_here = true,
                kind if NARROWS_NOTHING.contains(&kind) => {}
                // What a newer kernel may add could narrow the rule: it would then forbid the service to some alone.
                _ => rule.is_narrow = true,
            }
        }
        rule.to = match (to, to_bits) {
            (_, 0) => None,
            (Some(address), bits) => Some((address, bits)),
            (None, _) => return None,
        };
        Some(rule)
    }

    /// One of ours.
    pub(super) fn own(family: Family, own: Own) -> Option<Self> {
        let message = message::add(family, own);
        Self::parse(messages(&message)?.first()?.body)
    }

    /// Returns the position of the rule that forbids the service, in the order of the kernel's look-up.
    pub(super) fn place(rules: &[Self], family: Family) -> Place {
        let Some(at) = rules.iter().position(|rule| rule.forbids(family)) else {
            return Place::Missing;
        };
        let mut before = rules.iter().take(at);
        before
            .find(|rule| rule.may_let_through(family))
            .map_or(Place::First, |rule| Place::After(rule.priority))
    }

    /// Returns whether the rule keeps everybody from the service whose packet gets to it.
    fn forbids(&self, family: Family) -> bool {
        let is_narrow = self.is_narrow || self.is_from_here || self.users.is_some();
        let to = Some((family.address().to_vec(), family.bits()));
        self.action == PROHIBIT && !self.is_inverted && !is_narrow && self.to == to
    }

    /// Returns whether the rule may let a packet to the service pass that no process of root's sent; `true` in
    /// doubt. A forwarded packet counts as root's, but does not come from here.
    fn may_let_through(&self, family: Family) -> bool {
        // The local table delivers to this host alone: by it no packet gets out to the service.
        let is_local = self.action == TO_TABLE && self.table == LOCAL;
        if LETS_NOTHING_THROUGH.contains(&self.action) || is_local {
            return false;
        }
        let is_for_root = self.is_from_here && self.users == Some((0, 0));
        let is_elsewhere = self
            .to
            .as_ref()
            .is_some_and(|(address, bits)| !covers(address, *bits, family.address()));
        // An inverted rule is not worked out: in doubt it lets through.
        self.is_inverted || !(is_for_root || is_elsewhere)
    }
}

/// Returns whether an address agrees with a network in the network's first bits.
fn covers(network: &[u8], bits: u8, address: &[u8]) -> bool {
    let mut left = u32::from(bits);
    network.iter().zip(address).all(|(one, other)| {
        let counted = left.min(8);
        left = left.saturating_sub(8);
        let mask = 0xff_u8
            .checked_shl(8_u32.saturating_sub(counted))
            .unwrap_or(0);
        (one ^ other) & mask == 0
    })
}
