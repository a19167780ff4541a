use super::{
    listing::take,
    message::{FRA_DST, FRA_UID_RANGE, NEW_RULE},
    rule::Place,
    *,
};
use crate::status::model::LockState;
use crate::{
    lockdown::netlink::{
        Progress,
        message::{DONE, ERROR, INTERRUPTED, SEQUENCE, attributes, messages},
    },
    testing::TestRoot,
};

const LOOKUP: u8 = 1;
const GOTO: u8 = 2;
const BLACKHOLE: u8 = 6;
const PROHIBIT: u8 = 8;

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(SEQUENCE.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut attribute = length.to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// A rule as the kernel lists it. Flags are 2 for one that is inverted.
fn rule(action: u8, table: u8, flags: u32, to: Option<([u8; 4], u8)>, rest: &[&Vec<u8>]) -> Rule {
    let bits = to.map_or(0, |(_, bits)| bits);
    let mut body = vec![2, bits, 0, 0, table, 0, 0, action];
    body.extend(flags.to_ne_bytes());
    body.extend(attribute(14, &u32::MAX.to_ne_bytes()));
    body.extend(attribute(21, &[3]));
    if let Some((address, _)) = to {
        body.extend(attribute(FRA_DST, &address));
    }
    body.extend(rest.iter().copied().flatten());
    Rule::parse(&body).unwrap()
}

fn users(first: u32, last: u32) -> Vec<u8> {
    let range = [first.to_ne_bytes(), last.to_ne_bytes()].concat();
    attribute(FRA_UID_RANGE, &range)
}

/// The rules that are sent, in the order in which they come back.
fn ours(family: Family) -> Vec<Rule> {
    let order = [Own::Root, Own::Others, Own::Landing];
    order.map(|own| Rule::own(family, own).unwrap()).into()
}

fn everybody_else(family: Family) -> Rule {
    Rule::own(family, Own::Others).unwrap()
}

const SERVICE: [u8; 4] = [169, 254, 169, 254];

#[test]
fn own_routing_rules_are_found_again_and_encoded_as_by_ip_rule() {
    for family in Family::ALL {
        assert_eq!(Rule::place(&ours(family), family), Place::First);
        assert_eq!(Rule::place(&[], family), Place::Missing);
        let of_root = Rule::own(family, Own::Root).unwrap();
        assert_eq!(Rule::place(&[of_root], family), Place::Missing);
    }
    assert_eq!(Rule::place(&ours(Family::V4), Family::V6), Place::Missing);
    // Byte for byte, on a little-endian machine, as `ip rule` sends `to 169.254.169.254 iif lo uidrange
    // 0-0 goto 3 priority 1 protocol kernel`, but for the order.
    if cfg!(target_endian = "little") {
        let expected = [
            &[80, 0, 0, 0, 32, 0, 5, 6, 1, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 32, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0],
            &[8, 0, 1, 0, 169, 254, 169, 254],
            &[8, 0, 6, 0, 1, 0, 0, 0],
            &[5, 0, 21, 0, 2, 0, 0, 0],
            &[7, 0, 3, 0, b'l', b'o', 0, 0],
            &[12, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[8, 0, 4, 0, 3, 0, 0, 0],
        ];
        assert_eq!(message::add(Family::V4, Own::Root), expected.concat());
    }
}

#[test]
fn imds_is_shut_only_by_an_unconditional_prohibit_rule() {
    let service = Some((SERVICE, 32));
    let place = |rule: Rule| Rule::place(&[rule], Family::V4);
    assert_eq!(place(rule(PROHIBIT, 0, 0, service, &[])), Place::First);
    let nearby = Some(([169, 254, 169, 253], 32));
    for open in [
        rule(PROHIBIT, 0, 0, service, &[&users(1000, u32::MAX - 1)]),
        // What is forwarded is root's.
        rule(PROHIBIT, 0, 0, service, &[&users(1, u32::MAX - 1)]),
        rule(PROHIBIT, 0, 2, service, &[]),
        rule(LOOKUP, 254, 0, service, &[]),
        rule(PROHIBIT, 0, 0, nearby, &[]),
        // A mark, an interface, a port: not for all packets.
        rule(PROHIBIT, 0, 0, service, &[&attribute(10, &[1, 0, 0, 0])]),
        rule(PROHIBIT, 0, 0, service, &[&attribute(3, b"eth0\0")]),
        rule(PROHIBIT, 0, 0, service, &[&attribute(3, b"lo\0")]),
        rule(PROHIBIT, 0, 0, service, &[&attribute(24, &[80, 0, 80, 0])]),
    ] {
        assert_eq!(place(open.clone()), Place::Missing, "{open:?}");
    }
}

#[test]
fn earlier_routing_rule_opens_imds_unless_known_to_be_harmless() {
    let after = |before: Rule| Rule::place(&[before, everybody_else(Family::V4)], Family::V4);
    let priority = attribute(6, &7_u32.to_ne_bytes());
    for harmless in [
        rule(LOOKUP, 255, 0, None, &[]),
        rule(LOOKUP, 254, 0, Some(([10, 0, 0, 0], 8)), &[]),
        rule(LOOKUP, 254, 0, Some(([169, 254, 169, 128], 26)), &[]),
        rule(
            LOOKUP,
            254,
            0,
            None,
            &[&users(0, 0), &attribute(3, b"lo\0")],
        ),
        rule(BLACKHOLE, 0, 0, None, &[]),
    ] {
        assert_eq!(after(harmless.clone()), Place::First, "{harmless:?}");
    }
    for open in [
        rule(LOOKUP, 254, 0, None, &[&priority]),
        rule(LOOKUP, 254, 0, Some((SERVICE, 32)), &[&priority]),
        rule(LOOKUP, 254, 0, Some(([169, 254, 0, 0], 16)), &[&priority]),
        rule(
            LOOKUP,
            254,
            0,
            Some(([169, 254, 169, 192], 26)),
            &[&priority],
        ),
        rule(LOOKUP, 254, 2, Some(([10, 0, 0, 0], 8)), &[&priority]),
        rule(LOOKUP, 254, 0, None, &[&priority, &users(0, 1000)]),
        rule(
            LOOKUP,
            254,
            0,
            None,
            &[&priority, &attribute(10, &[1, 0, 0, 0])],
        ),
        rule(GOTO, 0, 0, None, &[&priority]),
        rule(LOOKUP, 254, 0, None, &[&priority, &users(0, 0)]),
        rule(LOOKUP, 254, 0, None, &[&priority, &attribute(3, b"lo\0")]),
        rule(99, 0, 0, None, &[&priority]),
    ] {
        assert_eq!(after(open.clone()), Place::After(7), "{open:?}");
    }
    // Behind it nothing matters.
    let behind = [everybody_else(Family::V4), rule(LOOKUP, 254, 0, None, &[])];
    assert_eq!(Rule::place(&behind, Family::V4), Place::First);
}

#[test]
fn netlink_rule_dump_is_read_in_pieces_until_done() {
    let rule = &message::add(Family::V4, Own::Others)[16..];
    let listed = message(NEW_RULE, 2, rule);
    let mut rules = Vec::new();
    let both = [listed.clone(), listed.clone()].concat();
    assert_eq!(take(&both, &mut rules), Ok(Progress::More));
    let last = [listed.clone(), message(DONE, 2, &[0; 4])].concat();
    assert_eq!(take(&last, &mut rules), Ok(Progress::Done));
    assert_eq!(rules, vec![everybody_else(Family::V4); 3]);
    // Another's answer, and something that is no rule.
    let mut foreign = listed.clone();
    foreign[8..12].copy_from_slice(&99_u32.to_ne_bytes());
    let other = [foreign, message(24, 2, b"")].concat();
    assert_eq!(take(&other, &mut rules), Ok(Progress::More));
    assert_eq!(rules.len(), 3);
    let changed = message(DONE, 2 | INTERRUPTED, &[0; 4]);
    assert_eq!(take(&changed, &mut rules), Ok(Progress::Again));
    let error = |number: i32| message(ERROR, 0, &number.to_ne_bytes());
    assert_eq!(take(&error(0), &mut rules), Ok(Progress::Done));
    assert_eq!(take(&error(-17), &mut rules), Err(Refusal::Exists));
    assert_eq!(take(&error(-97), &mut rules), Err(Refusal::Unsupported));
    let denied = Err(Refusal::Errno(rustix::io::Errno::PERM));
    assert_eq!(take(&error(-1), &mut rules), denied);
    for number in [1, i32::MIN, i32::MAX, -4096] {
        assert!(matches!(
            take(&error(number), &mut rules),
            Err(Refusal::Answer(_))
        ));
    }
}

#[test]
fn truncated_netlink_answer_is_rejected_and_hostile_lengths_terminate() {
    let good = message(NEW_RULE, 2, &message::add(Family::V6, Own::Root)[16..]);
    // Cut short anywhere, it is refused or has nothing in it.
    for length in 0..good.len() {
        let mut rules = Vec::new();
        let taken = take(&good[..length], &mut rules);
        assert!(length == 0 || taken.is_err(), "{length}");
        assert!(rules.is_empty());
    }
    // Every length that a message or an attribute could claim.
    for at in [0, 28, 28 + 20, 28 + 28] {
        for claimed in 0..=u16::MAX {
            let mut bad = good.clone();
            bad[at..at + 2].copy_from_slice(&claimed.to_ne_bytes());
            let mut rules = Vec::new();
            let _ = take(&bad, &mut rules);
            assert!(rules.len() <= 1);
        }
    }
    assert_eq!(messages(&[0; 64]), None);
    assert_eq!(attributes(&[0; 64]), None);
    assert_eq!(messages(&[0xff; 64]), None);
    assert_eq!(attributes(&[0xff; 64]), None);
    assert_eq!(attributes(&[4, 0, 1, 0]).map(|all| all.len()), Some(1));
    // A rule to somewhere that does not say where.
    assert_eq!(Rule::parse(&[2, 32, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]), None);
}

#[test]
fn imds_lock_outside_the_host_network_namespace_is_unknown() {
    let declared = |platform: &str| {
        let text = format!("[image]\nname = \"web\"\nplatform = \"{platform}\"\n");
        Declaration::parse(text.as_bytes()).unwrap()
    };
    let root = TestRoot::bare();
    root.write("/proc/sys/net/ipv6/.keep", b"");
    let states = |platform: &str| {
        let open = root.open();
        let items = probe(&Look::new(&open), &declared(platform));
        items.into_iter().map(|item| (item.state, item.found))
    };
    for (state, _) in states("file") {
        assert_eq!(state, LockState::NotApplicable);
    }
    for (state, found) in states("ec2") {
        assert_eq!(state, LockState::Unknown);
        assert!(found.contains("cannot tell"), "{found}");
    }
    root.link("/proc/self/ns/net", "net:[4026531841]");
    root.link("/proc/1/ns/net", "net:[4026531840]");
    for (state, found) in states("ec2") {
        assert_eq!(state, LockState::Unknown);
        assert!(found.contains("not the network of the host"), "{found}");
    }
    // Without IPv6 there is nothing to shut there.
    let bare = TestRoot::bare();
    let open = bare.open();
    let items = probe(&Look::new(&open), &declared("ec2"));
    assert_eq!(items[1].state, LockState::NotApplicable);
}
