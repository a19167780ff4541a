//! `earmark initrd build`, and the initrd that a sealed image needs: the same bytes for the same inputs, and no image
//! that its own initrd would refuse.

use std::fs;

use earmark_tests::{Bench, Run, SPEC, program, run};

/// A program that has the words by which `earmark-init` is known, and nothing else of it.
const INIT: &[u8] = b"\x7fELF earmark-init: this is the first process of an initrd\n";
const INITRD: &str = "boot/initrd.img-6.1.0";
const BUILD: &str =
    "initrd build --agent init --trust trust.toml --spec earmark.toml --out built.img";

/// A root that declares the initrd `name`, not sealed, with the program of its package.
fn declaring(name: &str) -> Bench {
    let bench = Bench::new();
    let spec = format!("{SPEC}\n[boot]\ninitrd = \"{name}\"\n");
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    fs::write(bench.path("init"), INIT).unwrap();
    for directory in ["boot", "usr/lib/earmark"] {
        fs::create_dir(bench.root().join(directory)).unwrap();
    }
    bench.write("usr/lib/earmark/earmark-init", INIT);
    bench.chmod("usr/lib/earmark/earmark-init", 0o755);
    bench
}

/// Builds the initrd with these words instead of others, and puts it in its place.
fn place(bench: &Bench, instead: &[(&str, &str)]) {
    let build = instead.iter().fold(BUILD.to_owned(), |words, (from, to)| {
        words.replace(from, to)
    });
    bench.command(&build).must(0);
    bench.write(INITRD, &fs::read(bench.path("built.img")).unwrap());
}

/// A trust file `both.toml` with another key beside the one of `trust.toml`.
fn trust_both(bench: &Bench) {
    bench.keygen("other");
    bench
        .command("trust --key release.pub --key other.pub --out both.toml")
        .must(0);
}

#[track_caller]
fn must_say(run: Run, code: i32, word: &str) {
    let run = run.must(code);
    assert!(run.err.contains(word), "{}", run.err);
    assert!(run.err.contains("next:"), "{}", run.err);
}

#[test]
fn initrd_of_the_same_inputs_has_the_same_bytes() {
    let bench = declaring("earmark-init");
    fs::write(bench.path("a.ko"), "a").unwrap();
    fs::write(bench.path("b.ko.xz"), "b").unwrap();
    let build = |more: &str| {
        let told = bench.command(&format!("{BUILD} --json{more}")).must(0);
        (fs::read(bench.path("built.img")).unwrap(), told.json())
    };
    let (first, told) = build(" --module a.ko --module b.ko.xz");
    assert_eq!(told["modules"], serde_json::json!(["a.ko", "b.ko.xz"]));
    assert_eq!(told["image"], "web");
    assert_eq!(told["epoch"], 3);
    assert_eq!(told["bytes"], first.len());
    // Other times and names of the inputs are no other inputs.
    let copy = bench.copy();
    fs::rename(copy.path("init"), copy.path("renamed")).unwrap();
    let words = BUILD.replace("init --", "renamed --") + " --module a.ko --module b.ko.xz";
    copy.command(&words).must(0);
    assert_eq!(fs::read(copy.path("built.img")).unwrap(), first);
    // The order of modules is one.
    assert_ne!(build(" --module b.ko.xz --module a.ko").0, first);
    assert_ne!(build("").0, first);
    // As it is unpacked.
    let (plain, _) = build(" --uncompressed");
    assert!(plain.starts_with(b"070701"));
    assert!(plain.windows(INIT.len()).any(|window| window == INIT));
}

#[test]
fn initrd_takes_the_program_out_of_its_package_and_from_the_build() {
    let bench = declaring("earmark-init");
    let package = |name: &str, program: &str| {
        let tree = bench.path("package");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/lib/earmark")).unwrap();
        let control = "Package: earmark-agent\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n";
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        fs::write(tree.join("usr/lib/earmark").join(program), INIT).unwrap();
        let words = ["--root-owner-group", "--build", "package", name];
        run("dpkg-deb", words, Some(&bench.path(""))).must(0);
    };
    bench.command(BUILD).must(0);
    let built = fs::read(bench.path("built.img")).unwrap();
    package("agent.deb", "earmark-init");
    let of_package = BUILD.replace("--agent init", "--agent agent.deb");
    bench.command(&of_package).must(0);
    assert_eq!(fs::read(bench.path("built.img")).unwrap(), built);
    package("agent.deb", "other");
    must_say(bench.command(&of_package), 11, "earmark-init");

    let own = program("earmark-init");
    let version = run(&own, ["--version"], None).must(0).out;
    assert!(version.starts_with("earmark-init "), "{version}");
    let words = [&own.display().to_string(), "--uncompressed"];
    let agent = BUILD.replace("--agent init", &format!("--agent {}", words[0]));
    bench.command(&format!("{agent} {}", words[1])).must(0);
}

#[test]
fn initrd_of_unusable_inputs_is_refused_and_writes_nothing() {
    let bench = declaring("earmark-init");
    fs::write(bench.path("a.ko"), "a").unwrap();
    fs::create_dir(bench.path("twin")).unwrap();
    fs::write(bench.path("twin/a.ko"), "b").unwrap();
    fs::write(bench.path("a.txt"), "a").unwrap();
    fs::write(bench.path("plain.toml"), SPEC).unwrap();
    fs::write(bench.path("shell"), b"\x7fELF of something else").unwrap();
    fs::write(bench.path("script"), INIT.strip_prefix(b"\x7fELF").unwrap()).unwrap();
    fs::write(bench.path("damaged.toml"), "schema = 1\n").unwrap();
    for (from, to, code, word) in [
        ("--spec earmark.toml", "--spec plain.toml", 2, "none"),
        ("--agent init", "--agent shell", 2, "not earmark-init"),
        ("--agent init", "--agent script", 2, "neither"),
        ("--agent init", "--agent init --module a.txt", 2, "a.txt"),
        (
            "--agent init",
            "--agent init --module a.ko --module twin/a.ko",
            2,
            "a.ko",
        ),
        (
            "--trust trust.toml",
            "--trust damaged.toml",
            2,
            "damaged.toml",
        ),
    ] {
        must_say(bench.command(&BUILD.replace(from, to)), code, word);
        assert!(!bench.path("built.img").exists(), "{to}");
    }
    for missing in ["--trust trust.toml", "--agent init"] {
        let words = BUILD.replace(
            missing,
            &format!("{} nowhere", missing.split(' ').next().unwrap()),
        );
        bench.command(&words).must(11);
        assert!(!bench.path("built.img").exists(), "{missing}");
    }
    bench.command(&format!("{BUILD} --module a.ko")).must(0);
}

#[test]
fn seal_accepts_a_root_with_its_own_initrd_alone() {
    let bench = declaring("earmark-init");
    trust_both(&bench);
    let spec = fs::read_to_string(bench.path("earmark.toml")).unwrap();
    let later = spec.replace("epoch = 3", "epoch = 4");
    fs::write(bench.path("later.toml"), later).unwrap();
    let earlier = spec.replace("epoch = 3", "epoch = 2");
    fs::write(bench.path("earlier.toml"), earlier).unwrap();
    fs::write(bench.path("newer"), [INIT, b"newer"].concat()).unwrap();

    must_say(bench.seal(), 10, "no initrd");
    bench.write(INITRD, b"an initrd of initramfs-tools");
    must_say(bench.seal(), 10, "another maker");
    for (from, to, word) in [
        ("trust.toml", "both.toml", "another trust file"),
        ("earmark.toml", "later.toml", "epoch 3, not 4"),
        ("--agent init", "--agent newer", "another earmark-init"),
    ] {
        place(&bench, &[(from, to)]);
        must_say(bench.seal(), 10, word);
        // Nothing was placed, and the root is what it was.
        assert!(!bench.root().join("usr/lib/earmark/seal").exists(), "{to}");
    }
    // The kernel would unpack a second archive over the first.
    place(&bench, &[]);
    let own = fs::read(bench.path("built.img")).unwrap();
    bench.write(INITRD, &[&own[..], &own].concat());
    must_say(bench.seal(), 10, "another maker");
    // One number of a header: another object that the kernel would link the program to.
    let plain = [("--out", "--uncompressed --out")];
    place(&bench, &plain);
    bench.copy().seal().must(0);
    let mut linked = fs::read(bench.path("built.img")).unwrap();
    let name = linked.windows(5).position(|window| window == b"init\0");
    let links = name.unwrap() - 110 + 6 + 8 * 4 + 7;
    assert_eq!(linked[links], b'1');
    linked[links] = b'2';
    bench.write(INITRD, &linked);
    must_say(bench.seal(), 10, "otherwise");
    // A floor below the image's lets it pass, and less: that of the root is looked at as well.
    for spec in ["earlier.toml", "earmark.toml"] {
        place(&bench, &[("earmark.toml", spec)]);
        bench.seal().must(0);
        bench.verify_offline().must(0);
    }
}

#[test]
fn verify_names_an_initrd_that_was_exchanged() {
    let bench = declaring("earmark-init");
    trust_both(&bench);
    place(&bench, &[]);
    bench.seal().must(0);
    // A given trust file may have more keys than the image's, as after a rotation.
    for trust in ["--trust trust.toml", "--trust both.toml", "--own-trust"] {
        let verify = format!("verify --root root {trust} --json");
        let told = bench.command(&verify).must(0).json();
        assert_eq!(told["verdict"], "verified", "{trust}");
    }
    place(&bench, &[("trust.toml", "both.toml")]);
    let found = bench.verify_offline().must(10).violations();
    let named = format!("initrd /{INITRD}");
    assert!(found.contains(&named), "{found:?}");
    let of_file = |found: &String| found.ends_with(INITRD) && *found != named;
    assert!(found.iter().any(of_file), "{found:?}");
    place(&bench, &[]);
    bench.verify_offline().must(0);
}

#[test]
fn image_whose_initrd_cannot_be_made_is_neither_measured_nor_sealed() {
    for name in ["initramfs-tools", "dracut"] {
        let bench = declaring(name);
        must_say(bench.command(BUILD), 2, name);
        must_say(bench.measure(), 2, name);
        must_say(bench.seal(), 2, name);
    }
    let bench = declaring("none");
    must_say(bench.command(BUILD), 2, "none");
    bench.measure().must(0);
    bench.seal().must(0);
}
