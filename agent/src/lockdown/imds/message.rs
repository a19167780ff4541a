//! Messages of rtnetlink about routing rules, as bytes.

use super::super::netlink::message::{
    ACKNOWLEDGE, CREATE, DUMP, EXCLUSIVE, REQUEST, message, push_attribute,
};

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

pub(super) const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const GET_RULE: u16 = 34;

pub(super) const FRA_DST: u16 = 1;
pub(super) const FRA_IIFNAME: u16 = 3;
pub(super) const FRA_GOTO: u16 = 4;
pub(super) const FRA_PRIORITY: u16 = 6;
pub(super) const FRA_TABLE: u16 = 15;
pub(super) const FRA_UID_RANGE: u16 = 20;
pub(super) const FRA_PROTOCOL: u16 = 21;
pub(super) const GOTO: u8 = 2;
pub(super) const NOP: u8 = 3;
/// `FR_ACT_PROHIBIT`: whoever sends is told `EACCES`.
pub(super) const PROHIBIT: u8 = 8;
/// Incoming interface (`FRA_IIFNAME`) of packets that this host's own processes send.
pub(super) const HERE: &[u8] = b"lo\0";
/// Originator of a rule (`RTPROT_KERNEL`). systemd-networkd removes the rules that it does not know, except the
/// kernel's.
const BY_KERNEL: u8 = 2;

/// `struct fib_rule_hdr`.
pub(super) const RULE_HEADER: usize = 12;

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The service's address, as people write it.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::V4 => "169.254.169.254",
            Self::V6 => "fd00:ec2::254",
        }
    }

    /// The service's address.
    pub(super) const fn address(self) -> &'static [u8] {
        match self {
            Self::V4 => &[169, 254, 169, 254],
            Self::V6 => &[0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54],
        }
    }

    /// The bits of an address.
    pub(super) const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// `AF_INET`, `AF_INET6`.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// A rule of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// Nothing: where root's packets go on.
    Landing,
    /// Packets of root's processes on this host pass over the next one.
    Root,
    /// All others are forbidden: those of other users, and those that are forwarded.
    Others,
}

impl Own {
    /// In the order in which they are added: root is never kept out.
    pub(super) const ALL: [Self; 3] = [Self::Landing, Self::Root, Self::Others];

    /// Behind the kernel's own for local addresses (0) and before all that route.
    const fn priority(self) -> u32 {
        match self {
            Self::Root => 1,
            Self::Others => 2,
            Self::Landing => 3,
        }
    }
}

/// "Add this rule."
pub(super) fn add(family: Family, own: Own) -> Vec<u8> {
    // EXCLUSIVE: without it the kernel adds an equal rule again, and a grant would have to remove it twice.
    let flags = REQUEST | ACKNOWLEDGE | EXCLUSIVE | CREATE;
    message(NEW_RULE, flags, &rule(family, own))
}

/// "Remove this rule."
pub(super) fn delete(family: Family, own: Own) -> Vec<u8> {
    message(DELETE_RULE, REQUEST | ACKNOWLEDGE, &rule(family, own))
}

fn rule(family: Family, own: Own) -> Vec<u8> {
    let action = match own {
        Own::Landing => NOP,
        Own::Root => GOTO,
        Own::Others => PROHIBIT,
    };
    let mut body = rule_header(family, family.bits(), action);
    push_attribute(&mut body, FRA_DST, family.address());
    push_attribute(&mut body, FRA_PRIORITY, &own.priority().to_ne_bytes());
    push_attribute(&mut body, FRA_PROTOCOL, &[BY_KERNEL]);
    if own == Own::Root {
        let landing = Own::Landing.priority();
        // A forwarded packet has user id 0 as well: only `lo` tells what root's processes send from a container's.
        push_attribute(&mut body, FRA_IIFNAME, HERE);
        push_attribute(&mut body, FRA_UID_RANGE, &[0; 8]);
        // A jump, not a look-up of `main`: how root's packets are routed stays for the host's own rules.
        push_attribute(&mut body, FRA_GOTO, &landing.to_ne_bytes());
    }
    body
}

/// "List the rules."
pub(super) fn list(family: Family) -> Vec<u8> {
    message(GET_RULE, REQUEST | DUMP, &rule_header(family, 0, 0))
}

fn rule_header(family: Family, bits: u8, action: u8) -> Vec<u8> {
    // Family, bits of destination and source, type of service, table, two unused, action, flags.
    let header = [family.number(), bits, 0, 0, 0, 0, 0, action, 0, 0, 0, 0];
    header.to_vec()
}
