//! Values and templates: hostile text stays text, and a secret is on no disk.

use super::*;

#[test]
fn hostile_parameter_value_is_passed_as_plain_text() {
    let bench = Bench::new(&[COUNT], &(command("count", "") + RENDER));
    let out = bench.out.path().display();
    let hostile = r#"$(touch \"$1\"/pwned); `id`; {{ token }} & | > < %s \\ end"#;
    let values = format!("[parameters]\nout = \"{out}\"\nenv = \"{hostile}\"\n");
    bench.root.write(VALUES, values.as_bytes());
    assert_eq!(done(&bench.perform()), 2);
    assert!(!bench.out("pwned").exists());
    assert!(bench.written("count").contains("{{ token }} & | > <"));
    let config = fs::read_to_string(bench.root.at("/etc/app/config")).unwrap();
    assert!(
        config.contains("$(touch") && config.contains("{{ token }}"),
        "{config}"
    );
}

#[test]
fn toml_filter_renders_hostile_text_as_one_value() {
    let bench = Bench::with_template("free = {{ free | toml }}\nlast = true\n", RENDER);
    let out = bench.out.path().display();
    let hostile = "x\"\nadmin = true\n[y]\n'$(id)'\t\\";
    // Each escape of JSON is one of TOML.
    let given = serde_json::to_string(hostile).unwrap();
    let values = format!("[parameters]\nout = \"{out}\"\nfree = {given}\n");
    bench.root.write(VALUES, values.as_bytes());
    assert_eq!(done(&bench.perform()), 1);
    let config = fs::read_to_string(bench.root.at("/etc/app/config")).unwrap();
    let config: toml::Table = toml::from_str(&config).unwrap();
    assert_eq!(config["free"].as_str(), Some(hostile));
    assert_eq!(config.len(), 2);
    // The same text is refused where only one line is taken, and nothing is written.
    let values = format!("[parameters]\nout = \"{out}\"\nenv = {given}\n");
    let bench = Bench::new(&[], RENDER);
    bench.root.write(VALUES, values.as_bytes());
    let (step, reason, _) = bench.fails();
    assert_eq!(step, None);
    assert!(
        reason.contains("found text with line breaks or tabs"),
        "{reason}"
    );
    assert!(!bench.root.at("/etc/app/config").exists());
}

#[test]
fn invalid_or_changed_template_fails_the_step() {
    for (template, says) in [
        ("{{ token }}", "'token' has no value"),
        ("{{ tokem }}", "'tokem' is not declared"),
        ("{{ free }}", "'free' accepts any text"),
        ("{{ free | yaml }}", "unknown filter 'yaml'"),
        ("{{ env", "without '}}'"),
        ("{% if env %}", ""),
    ] {
        let bench = Bench::with_template(template, RENDER);
        if says.is_empty() {
            assert_eq!(done(&bench.perform()), 1);
            let text = fs::read(bench.root.at("/etc/app/config")).unwrap();
            assert_eq!(text, template.as_bytes());
            continue;
        }
        let (step, reason, _) = bench.fails();
        assert_eq!(step.as_deref(), Some("render"));
        assert!(
            reason.contains("/usr/share/app.tpl") && reason.contains(says),
            "{reason}"
        );
        assert!(!bench.root.at("/etc/app/config").exists());
    }
    let bench = Bench::new(&[], RENDER);
    bench.root.write(
        "/usr/share/app.tpl",
        b"env = {{ token }}\nhost = {{ env }}\n",
    );
    let (_, reason, _) = bench.fails();
    assert!(reason.contains("not the file that was signed"), "{reason}");
}

#[test]
fn secret_is_passed_as_an_in_memory_file_and_removed_after_its_step() {
    let script = "#!/bin/sh -e\ndir=$2$CREDENTIALS_DIRECTORY\nls -ld \"$dir\" \"$dir\"/token > \"$1\"/modes\n\
                  cat \"$dir\"/token > \"$1\"/token\n(env; echo \"$@\") > \"$1\"/seen\n";
    let steps = command("uses", ", secrets = [\"token\"]");
    for (place, in_memory) in [("/dev/shm", true), ("/var/tmp", false)] {
        let bench = Bench::make(Path::new(place), &[("uses", script)], "", &steps);
        let (out, root) = (
            bench.out.path().display(),
            bench.root.at("").display().to_string(),
        );
        let root = root.trim_end_matches('/');
        let values =
            format!("[parameters]\nout = \"{out}\"\nenv = \"{root}\"\ntoken = \"hunter2\"\n");
        bench.root.write(VALUES, values.as_bytes());
        if in_memory {
            assert_eq!(done(&bench.perform()), 1);
            assert_eq!(bench.written("token"), "hunter2");
            let modes = bench.written("modes");
            assert!(
                modes.starts_with("drwx------") && modes.contains("\n-rw-------"),
                "{modes}"
            );
            assert!(!bench.written("seen").contains("hunter2"));
        } else {
            let (_, reason, _) = bench.fails();
            assert!(reason.contains("it would be on a disk"), "{reason}");
            assert_eq!(bench.written("token"), "");
        }
        assert!(
            !bench
                .root
                .at("/run/earmark-first-boot/credentials")
                .exists()
        );
        let journal = fs::read_to_string(bench.root.at(JOURNAL)).unwrap();
        assert!(!journal.contains("hunter2"), "{journal}");
    }
}
