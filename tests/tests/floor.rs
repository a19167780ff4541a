//! Older and weaker seals of an image, and manifests for another machine, each with its control.

use std::fs;

use earmark_tests::{
    Bench, NO_LOCKS, SPEC, golden,
    golden::{masked, told},
    run,
};

const FLOOR: &str = "usr/lib/earmark/floor.toml";

fn declare(bench: &Bench, spec: &str) {
    fs::write(bench.path("earmark.toml"), spec).unwrap();
}

fn copy(bench: &Bench, from: &str, to: &str) {
    let _ = fs::remove_dir_all(bench.path(to));
    run("cp", ["-a", from, to], Some(&bench.path(""))).must(0);
}

/// A root that was sealed with `old`, then with `new`; the older seal is in `old-seal`, its floor in `old-floor`.
fn resealed(old: &str, new: &str) -> Bench {
    let bench = Bench::new();
    declare(&bench, old);
    bench.seal().must(0);
    copy(&bench, "root/usr/lib/earmark/seal", "old-seal");
    fs::copy(bench.root().join(FLOOR), bench.path("old-floor")).unwrap();
    declare(&bench, new);
    bench.seal().must(0);
    bench
}

#[test]
fn older_seal_in_the_place_of_the_newer_is_refused_at_every_gate_with_a_golden_reason() {
    let strict = format!("{SPEC}\n[lockdown]\n").replace(
        "gate = \"full\"",
        "gate = \"full\"\non_failure = \"quarantine\"",
    );
    let newer = SPEC.replace("epoch = 3", "epoch = 4");
    let open = format!("{SPEC}{NO_LOCKS}");
    let mut texts = String::new();
    for (name, old, new) in [
        ("epoch", SPEC, &*newer),
        ("policy", SPEC, &*strict),
        ("locks", &*open, SPEC),
    ] {
        let bench = resealed(old, new);
        bench.verify().must(0);
        copy(&bench, "old-seal", "root/usr/lib/earmark/seal");
        let [reason, others @ ..] = ["signature", "critical", "full"].map(|gate| {
            let refused = bench
                .agent(&["verify", "--gate", gate, "--root", "root", "--json"])
                .must(10);
            refused.json()["reason"].as_str().unwrap().to_owned()
        });
        assert!(others.iter().all(|other| *other == reason), "{others:?}");
        texts += &format!("{name}: {reason}\n");
        // Whatever the policy of the older one was, the host does what the stricter of both wants.
        let policy = bench.verify().json()["policy"].clone();
        let expected = if new == strict {
            "quarantine"
        } else {
            "report"
        };
        assert_eq!(policy, expected);
        let trust = ["--trust", "trust.toml"];
        let offline = ["verify", "--root", "root", "--full"];
        bench.earmark(&[&offline[..], &trust].concat()).must(10);
        let signature = ["verify", "--gate", "signature", "--root", "root"];
        // A floor that somebody lowered for it is found while that seal is there.
        bench.write(
            FLOOR,
            b"schema = 1\nimage = \"web\"\nepoch = 0\npolicy = \"report\"\nchannel = 0\n[locks]\n",
        );
        texts += &told(
            "verify, with a floor that was lowered",
            &bench.agent(&signature).must(10),
        );
        // The floor that belongs to it is the control.
        bench.write(FLOOR, &fs::read(bench.path("old-floor")).unwrap());
        bench.agent(&signature).must(0);
    }
    golden!("floor", masked(&texts));
}

#[test]
fn floor_of_another_image_refuses_the_seal_and_a_missing_floor_is_undecided() {
    let bench = Bench::sealed();
    bench.verify().must(0);
    let floor = fs::read_to_string(bench.root().join(FLOOR)).unwrap();
    bench.write(FLOOR, floor.replace("\"web\"", "\"db\"").as_bytes());
    bench.verify().must(10);
    for bad in ["", "schema = 2\n", &floor.replace("report", "none")] {
        bench.write(FLOOR, bad.as_bytes());
        bench.verify().must(11);
    }
    fs::remove_file(bench.root().join(FLOOR)).unwrap();
    let missing = bench.verify().must(11).json();
    assert!(
        missing["reason"].as_str().unwrap().contains(FLOOR),
        "{missing:#}"
    );
    assert_eq!(missing["policy"], "quarantine");
    // Placed again, with the same seal.
    bench.seal().must(0);
    bench.verify().must(0);
}

#[test]
fn sealing_and_installing_below_the_floor_are_refused_with_golden_texts_and_change_nothing() {
    let bench = Bench::new();
    bench.measure().must(0);
    bench
        .earmark(&["sign", "OUT", "--key", "release.key"])
        .must(0);
    declare(&bench, &SPEC.replace("epoch = 3", "epoch = 5"));
    bench.seal().must(0);
    let floor = || fs::read(bench.root().join(FLOOR)).unwrap();
    let before = floor();
    declare(&bench, SPEC);
    let mut texts = told("seal", &bench.seal().must(2));
    let install = ["install", "OUT", "--root", "root", "--trust", "trust.toml"];
    texts += &told("install", &bench.earmark(&install).must(2));
    golden!("floor-seal", texts);
    assert_eq!(floor(), before);
    bench.verify().must(0);
    // Another image starts from what it is baked on.
    declare(&bench, &SPEC.replace("\"web\"", "\"db\""));
    bench.seal().must(0);
    assert_ne!(floor(), before);
}

#[test]
fn install_places_the_floor_of_a_bundle() {
    let bench = Bench::new();
    bench.measure().must(0);
    bench
        .earmark(&["sign", "OUT", "--key", "release.key"])
        .must(0);
    let install = ["install", "OUT", "--root", "root", "--trust", "trust.toml"];
    bench.earmark(&install).must(0);
    bench.verify().must(0);
    let floor = fs::read_to_string(bench.root().join(FLOOR)).unwrap();
    assert!(
        floor.contains("epoch = 3") && floor.contains("accounts = []"),
        "{floor}"
    );
}

#[test]
fn floor_channel_counter_is_recorded_and_preserved_by_reseal() {
    let bench = Bench::new();
    bench.keygen("channel");
    fs::remove_file(bench.path("trust.toml")).unwrap();
    let trust = "trust --key release.pub --key channel.pub:channel --out trust.toml";
    bench.earmark(&trust.split(' ').collect::<Vec<_>>()).must(0);
    let init = "channel init stable.json --image web --key channel.key";
    bench.earmark(&init.split(' ').collect::<Vec<_>>()).must(0);
    let counter = || {
        let floor = fs::read_to_string(bench.root().join(FLOOR)).unwrap();
        let line = floor.lines().find(|line| line.starts_with("channel = "));
        line.unwrap().to_owned()
    };
    bench.seal().must(0);
    assert_eq!(counter(), "channel = 0");
    let seal = |more: &[&str]| {
        let words = "seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml";
        let architecture = ["--architecture", std::env::consts::ARCH];
        let words: Vec<&str> = words.split(' ').chain(architecture).collect();
        bench.earmark(&[&words[..], more].concat())
    };
    seal(&["--channel", "stable.json"]).must(0);
    assert_eq!(counter(), "channel = 1");
    bench.seal().must(0);
    assert_eq!(counter(), "channel = 1");
    let declared =
        format!("{SPEC}\n[channel]\nurl = \"https://example.com/stable.json\"\nat_least = 9\n");
    declare(&bench, &declared);
    bench.seal().must(0);
    assert_eq!(counter(), "channel = 9");
    bench.verify().must(0);
    // Signed by nobody who may.
    fs::write(bench.path("stable.json"), "{}").unwrap();
    seal(&["--channel", "stable.json"]).must(10);
}

/// An ELF header, as far as anybody reads it.
fn program(machine: u8) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    elf.extend([machine, 0, 1, 0, 0, 0]);
    elf
}

#[test]
fn architecture_is_read_from_the_image_and_a_contradiction_is_refused() {
    let seal = |bench: &Bench, more: &[&str]| {
        let words = "seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml";
        let words: Vec<&str> = words.split(' ').collect();
        bench.earmark(&[&words[..], more].concat())
    };
    let bench = Bench::new();
    let unknown = seal(&bench, &["--json"]).must(0);
    assert!(unknown.err.contains("--architecture"), "{}", unknown.err);
    assert_eq!(unknown.json()["architecture"], std::env::consts::ARCH);
    fs::create_dir_all(bench.root().join("usr/lib/systemd")).unwrap();
    for (machine, architecture, other) in [(183, "aarch64", "x86_64"), (62, "x86_64", "aarch64")] {
        bench.write("usr/lib/systemd/systemd", &program(machine));
        let refused = seal(&bench, &["--architecture", other]).must(2);
        assert!(refused.err.contains(architecture), "{}", refused.err);
        let sealed = seal(&bench, &["--json"]).must(0);
        assert_eq!(sealed.json()["architecture"], architecture);
        bench
            .earmark(&["verify", "--root", "root", "--own-trust"])
            .must(0);
    }
    bench.write("usr/lib/systemd/systemd", &program(243));
    seal(&bench, &["--architecture", "x86_64"]).must(2);
}

#[test]
fn manifest_of_another_architecture_than_the_root_is_a_violation() {
    let bench = Bench::new();
    fs::create_dir_all(bench.root().join("usr/lib/systemd")).unwrap();
    let own = if cfg!(target_arch = "x86_64") {
        62
    } else {
        183
    };
    bench.write("usr/lib/systemd/systemd", &program(own));
    bench.seal().must(0);
    let verify = |gate| bench.agent(&["verify", "--gate", gate, "--root", "root", "--json"]);
    verify("signature").must(0);
    verify("full").must(0);
    // Without its content, this is all that the gate can tell.
    bench.write("usr/lib/systemd/systemd", &program(245 - own));
    let identity = "identity /usr/lib/systemd/systemd";
    assert_eq!(verify("signature").must(10).violations(), [identity]);
    let full = verify("full").must(10).violations();
    assert!(full.contains(&identity.to_owned()), "{full:?}");
}

/// Files beside the seal have no signature: whoever keeps the trust file compares them.
#[test]
fn root_that_believes_more_than_the_given_trust_file_is_a_violation_with_a_golden_text() {
    let bench = Bench::sealed();
    bench.earmark(&["keygen", "--out", "evil.key"]).must(0);
    let trust = |out: &str, image: Option<&str>, keys: &[&str]| {
        let _ = fs::remove_file(bench.path(out));
        let mut words = vec!["trust", "--out", out];
        for key in keys {
            words.extend(["--key", key]);
        }
        words.extend(image.iter().flat_map(|image| ["--image", image]));
        bench.earmark(&words).must(0);
    };
    let outside =
        |with: &str| bench.earmark(&["verify", "--root", "root", "--trust", with, "--full"]);
    trust("given.toml", Some("web"), &["release.pub:image"]);
    let place = bench.root().join("usr/lib/earmark/trust.toml");
    let mut texts = String::new();
    for (image, keys, code) in [
        (Some("web"), &["release.pub:image"][..], 0),
        (
            Some("web"),
            &["release.pub:image", "evil.pub:grant,channel"],
            10,
        ),
        (Some("web"), &["release.pub:image,grant"], 10),
        (Some("web"), &["evil.pub:image"], 10),
        // The floor names the image, too.
        (None, &["release.pub:image"], 0),
    ] {
        trust("own.toml", image, keys);
        fs::copy(bench.path("own.toml"), &place).unwrap();
        let run = outside("given.toml").must(code);
        if code != 0 {
            let keys = keys.join(" ");
            texts += &told(&format!("verify, of a root that believes {keys}"), &run);
        }
    }
    golden!("floor-trust", texts);
    // A trust file that believes less than the given one is none that believes more.
    trust("own.toml", Some("web"), &["release.pub:image"]);
    fs::copy(bench.path("own.toml"), &place).unwrap();
    trust(
        "given.toml",
        Some("web"),
        &["release.pub:image,grant", "evil.pub:channel"],
    );
    outside("given.toml").must(0);
    fs::write(&place, b"schema = 1\n").unwrap();
    outside("given.toml").must(10);
    fs::remove_file(&place).unwrap();
    outside("given.toml").must(10);
}
