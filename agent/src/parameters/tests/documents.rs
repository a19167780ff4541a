//! User-data that is something else.

use super::{super::gathering::Gathering, declared, of_user_data, problems};

#[tokio::test]
async fn user_data_of_another_format_is_refused_by_name() {
    let encoded = b"W3BhcmFtZXRlcnNdCmVudmlyb25tZW50ID0gInByb2QiCg==\n";
    for (document, name) in [
        (&b"#!/bin/sh\necho hunter2\n"[..], "a script"),
        (b"#cloud-config\nruncmd: [hunter2]\n", "cloud-config"),
        (b"\n  #Cloud-Config\n[parameters]\n", "cloud-config"),
        (b"#include\nhttps://hunter2/\n", "#include"),
        (b"#include-once\nhttps://hunter2/\n", "#include"),
        (b"#cloud-boothook\nhunter2\n", "a boot hook"),
        (b"#part-handler\nhunter2\n", "a part handler"),
        (b"## template: jinja\n#cloud-config\nhunter2", "a template"),
        (
            b"Content-Type: multipart/mixed; boundary=\"hunter2\"\n",
            "a MIME message",
        ),
        (b"MIME-Version: 1.0\nhunter2\n", "a MIME message"),
        (
            b"<powershell>\nhunter2\n</powershell>",
            "a PowerShell script",
        ),
        (b"{\"ignition\": {\"hunter2\": \"3.4.0\"}}", "JSON"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03hunter2", "gzip"),
        (b"\xfd7zXZ\0\0\x04hunter2", "xz"),
        (b"\x28\xb5\x2f\xfd\x24\0hunter2", "zstd"),
        (b"BZh91AY&SYhunter2", "bzip2"),
        (encoded, "base64"),
        (b"\xff\xfe[\0p\0a\0r\0", "UTF-16"),
        (b"\xfe\xff\0[\0p", "UTF-16"),
        (
            b"[parameters]\nx = \"\xff\"\n",
            "not UTF-8 (line 2, column 6)",
        ),
        (
            b"\xef\xbb\xbf#cloud-config\nruncmd: [hunter2]\n",
            "cloud-config",
        ),
        (
            b"\n\xef\xbb\xbf \xef\xbb\xbf#!/bin/sh\nhunter2\n",
            "a script",
        ),
        (
            b"From nobody Fri Jan 11 07:00:00 1980\nMIME-Version: 1.0\nhunter2\n",
            "a mailbox (mbox) with a MIME message",
        ),
        (b"Subject: hunter2\nMIME-Version: 1.0\n", "a MIME message"),
        (b"<?xml version=\"1.0\"?><hunter2/>\n", "XML"),
        (b"ENVIRONMENT=prod\nTOKEN=hunter2\n", "lines of KEY=VALUE"),
        (b"ENVIRONMENT=prod\n", "lines of KEY=VALUE"),
        (
            b"\xef\xbb\xbf# A comment.\r\n\r\nexport TOKEN=hunter2==\r\n",
            "lines of KEY=VALUE",
        ),
    ] {
        let found = problems(of_user_data(document).await);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("user-data: found "), "{found:?}");
        assert!(found[0].contains(name), "{found:?}");
        assert!(
            found[0].contains("expected TOML with one table, [parameters]"),
            "{found:?}"
        );
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[tokio::test]
async fn invalid_toml_is_refused_with_its_position_and_not_quoted() {
    for (document, place) in [
        ("[parameters]\ntoken = hunter2\n", "line 2, column 9"),
        ("[parameters]\ntoken = \"hunter2\n", "line 2, column"),
        ("[parameters]\ntoken = 'hunter2", "line 2, column"),
        ("[parameters]\ntoken = \"\"\"hunter2", "line"),
        ("[parameters]\ntoken = \"\\hunter2\"\n", "line 2, column"),
        (
            "[parameters]\ntoken = \"hunter2\" \"hunter2\"\n",
            "line 2, column",
        ),
        ("[parameters]\ntoken: hunter2\n", "line 2, column"),
        ("[parameters]\nhunter2\n", "line 2, column"),
        ("[parameters\nhunter2 = 1", "line 1, column"),
        (
            "[parameters]\nhunter2 = 1\nhunter2 = 2\n",
            "line 3, column 1",
        ),
        (
            "[parameters]\nx = 1\n[parameters]\nhunter2 = 2\n",
            "line 3, column",
        ),
        (
            "[parameters]\nhunter2 = 1\nhunter2.a = 2\n",
            "line 3, column",
        ),
        ("[parameters]\nhunter2 = [1, \n", "line"),
        (
            "[parameters]\nhunter2 = { a = 1, a = 2 }\n",
            "line 2, column",
        ),
        (
            "[parameters]\nhunter2 = 99999999999999999999\n",
            "line 2, column",
        ),
        ("[parameters]\nhunter2 = 2024-13-45\n", "line 2, column"),
        ("[parameters]\nhunter2 = 12hunter2\n", "line 2, column"),
        ("[parameters]\nhunter2 = \"\x1b[2J\"\n", "line 2, column"),
        ("[parameters]\nhunter2 = \"a\0b\"\n", "line 2, column"),
        (
            "[parameters]\nenvironment = \"prod\"\n\u{202e}hunter2",
            "line 3, column",
        ),
    ] {
        let found = problems(of_user_data(document).await);
        assert_eq!(found.len(), 1, "{document:?}: {found:?}");
        assert!(found[0].contains("not TOML"), "{document:?}: {found:?}");
        assert!(found[0].contains(place), "{document:?}: {found:?}");
        assert!(!found[0].contains("hunter"), "{document:?}: {found:?}");
    }
    let deep = format!("[parameters]\ntoken = {}", "[".repeat(60_000));
    assert_eq!(problems(of_user_data(deep).await).len(), 1);
}

#[tokio::test]
async fn user_data_outside_the_parameters_table_is_refused() {
    let found = problems(
        of_user_data("environment = \"prod\"\nparameters = 7\n[first_boot]\ncommand = 1\n").await,
    );
    assert_eq!(
        found,
        [
            "user-data: environment: found a key that means nothing here, expected [parameters] alone",
            "user-data: first_boot: found a table that means nothing here, expected [parameters] alone",
            "user-data: parameters: found something else than a table, expected TOML with one table, \
             [parameters], and a line such as name = \"value\" for each",
        ]
    );
    let many: Vec<String> = (0..1000).map(|n| format!("k{n} = 1\n")).collect();
    let found = problems(of_user_data(many.concat()).await);
    assert_eq!(found.len(), 41);
    assert_eq!(found[40], "and 960 more");
    let long = format!("[parameters]\n{} = 1\n", "k".repeat(60_000));
    assert!(
        problems(of_user_data(long).await)
            .iter()
            .all(|line| line.len() < 400)
    );
}

#[test]
fn user_data_error_reveals_no_secret_for_any_changed_byte() {
    const GOOD: &[u8] = b"# A comment\n[parameters]\nenvironment = \"prod\"\ntoken = \"hunter2\"\n\
        motto = 'hunter2'\nreplicas = 7\n";
    let declaration = declared("ec2", r#"["user-data"]"#);
    let refusal = |bytes: &[u8]| {
        let mut gathering = Gathering::new(&declaration.parameters);
        gathering.document("user-data", bytes);
        gathering
            .finish()
            .err()
            .map(|problems| problems.to_string())
    };
    assert_eq!(refusal(GOOD), None);
    let mut refused = 0;
    let mut check = |bytes: &[u8]| {
        if let Some(shown) = refusal(bytes) {
            refused += 1;
            let is_plain = |character: char| matches!(character, ' '..='~' | '\n');
            assert!(shown.chars().all(is_plain), "{shown:?}");
            assert!(!shown.contains("unter2"), "{shown}");
        }
    };
    for position in 0..GOOD.len() {
        check(&GOOD[..position]);
        for byte in 0..=u8::MAX {
            let mut changed = GOOD.to_vec();
            changed[position] = byte;
            check(&changed);
        }
    }
    assert!(refused > 10_000, "{refused}");
}

#[tokio::test]
async fn toml_resembling_another_format_is_accepted() {
    for document in [
        "parameters.environment = \"prod\"\n",
        "parameters={environment=\"prod\"}\n",
        "# from here on\n[parameters]\nenvironment=\"prod\"\n",
    ] {
        let values = of_user_data(document).await;
        let values = values.unwrap_or_else(|error| panic!("{document}: {error}"));
        assert_eq!(super::text(&values, "environment"), Some("prod"));
    }
    // Variables that are TOML are told what is wrong with them one by one.
    let found = problems(of_user_data("environment = \"prod\"\n").await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("environment: found a key that means nothing here"),
        "{found:?}"
    );
}
