use earmark_manifest::declaration::Declaration;

use super::*;

const NOW: u64 = 1_795_430_000;

fn channel(more: &str) -> Channel {
    let text = format!(
        "[image]\nname = \"web\"\nplatform = \"file\"\n[channel]\nurl = \"file:///srv/stable.json\"\n\
         jitter = \"1s\"\n{more}"
    );
    Declaration::parse(text.as_bytes())
        .unwrap()
        .channel
        .unwrap()
}

const DRAINS: &str = "on_revoked = { start = \"drain.service\" }\n";

fn decided(
    before: Option<PendingReaction>,
    state: ChannelState,
    channel: &Channel,
    host: &str,
    time: u64,
) -> Option<PendingReaction> {
    let moment = Moment {
        host,
        manifest: ManifestDigest::of_payload(b"1"),
        chance: 0,
        time,
    };
    decide(before, state, channel, &moment)
}

#[test]
fn reaction_is_decided_only_for_declared_states() {
    let drains = channel(DRAINS);
    for state in ChannelState::ALL {
        let found = decided(None, state, &drains, "a", NOW);
        assert_eq!(found.is_some(), state == ChannelState::Revoked, "{state:?}");
        assert_eq!(decided(None, state, &channel(""), "a", NOW), None);
    }
    let halts = channel("on_behind = \"halt\"\n");
    assert_eq!(
        decided(None, ChannelState::Behind, &halts, "a", NOW)
            .unwrap()
            .action,
        "halt"
    );
    assert_eq!(decided(None, ChannelState::Revoked, &halts, "a", NOW), None);
}

#[test]
fn reactions_per_hour_stay_within_the_declared_fleet_share() {
    let hosts = 10_000_u64;
    for percent in [1, 10, 25, 100] {
        let channel = channel(&format!("{DRAINS}share = {percent}\n"));
        let mut hours = std::collections::BTreeMap::new();
        for host in 0..hosts {
            let host = format!("i-{host:017x}");
            let at = decided(None, ChannelState::Revoked, &channel, &host, NOW)
                .unwrap()
                .at;
            *hours.entry((at - NOW) / 3_600).or_insert(0_u64) += 1;
        }
        // Spread by chance, so that an hour has a little more or less.
        let most = hours.values().max().unwrap();
        let share = hosts * percent / 100;
        assert!(*most <= share + share / 5 + 50, "{percent} %: {most}");
        assert_eq!(
            u64::try_from(hours.len()).unwrap(),
            100 / percent,
            "{percent} %"
        );
    }
}

#[test]
fn pending_reaction_with_impossible_time_is_rescheduled() {
    let drains = channel(DRAINS);
    let first = decided(None, ChannelState::Revoked, &drains, "a", NOW).unwrap();
    let forged = PendingReaction {
        at: u64::MAX,
        ..first.clone()
    };
    let kept = |before: &PendingReaction| {
        decided(
            Some(before.clone()),
            ChannelState::Revoked,
            &drains,
            "a",
            NOW,
        )
    };
    assert_eq!(kept(&forged), Some(first.clone()));
    assert_eq!(kept(&first), Some(first));
    // With a clock that went back, what was done is not done again.
    let done = PendingReaction {
        done: Some(NOW),
        ..forged
    };
    assert_eq!(kept(&done), Some(done));
}

#[test]
fn pending_reaction_persists_until_its_state_ends_and_runs_once() {
    let drains = channel(DRAINS);
    let first = decided(None, ChannelState::Revoked, &drains, "a", NOW).unwrap();
    // Neither a later document nor a reboot puts it off.
    let again = decided(
        Some(first.clone()),
        ChannelState::Revoked,
        &drains,
        "a",
        NOW + 500,
    );
    assert_eq!(again.as_ref(), Some(&first));
    assert!(!first.is_due(first.at - 1) && first.is_due(first.at));
    // One that takes it back is in time.
    assert_eq!(
        decided(
            Some(first.clone()),
            ChannelState::Current,
            &drains,
            "a",
            NOW + 500
        ),
        None
    );
    let done = PendingReaction {
        done: Some(first.at),
        ..first.clone()
    };
    assert!(!done.is_due(first.at + 1));
    assert_eq!(
        decided(
            Some(done.clone()),
            ChannelState::Revoked,
            &drains,
            "a",
            NOW + 500
        ),
        Some(done.clone())
    );
    // Another image of the same host, which declares something else, decides anew.
    let halts = channel("on_revoked = \"halt\"\n");
    let anew = decided(Some(done), ChannelState::Revoked, &halts, "a", NOW + 500).unwrap();
    assert_eq!((anew.action.as_str(), anew.done), ("halt", None));
}
