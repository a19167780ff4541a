//! Tests of the places that values come from.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use earmark_manifest::declaration::Declaration;

use super::{GatherError, Values, declared, gather, gathered, of_user_data, problems, text};
use crate::{
    platform::imds::server::{Instance, Server, reply},
    testing::TestRoot,
};

const FILE: &str = "/etc/earmark/values.toml";

async fn of_tags(tags: &[(&'static str, &'static str)]) -> Result<Values, GatherError> {
    let instance = Instance {
        tags: Some(tags.to_vec()),
        ..Instance::default()
    };
    gathered(r#"["tags"]"#, instance, &TestRoot::bare()).await
}

async fn of_file(root: &TestRoot) -> Result<Values, GatherError> {
    let declaration = declared("file", &format!("[{FILE:?}]"));
    gather(&root.open(), &declaration, None).await
}

#[tokio::test]
async fn empty_value_sources_report_the_missing_required_parameter() {
    for nothing in ["", " \n\t\n", "# nothing yet\n", "[parameters]\n"] {
        let found = problems(of_user_data(nothing).await);
        assert_eq!(found.len(), 1, "{nothing:?}: {found:?}");
        assert!(
            found[0].contains("environment: found no value"),
            "{found:?}"
        );
    }
    let found = problems(
        gathered(
            &format!(r#"["user-data", "tags", {FILE:?}]"#),
            Instance::default(),
            &TestRoot::bare(),
        )
        .await,
    );
    assert_eq!(
        found,
        [
            "user-data, tags (of which there are none, or InstanceMetadataTags is not enabled), \
          /etc/earmark/values.toml: parameters.environment: found no value, and it is required, \
          expected one of prod, staging"
        ]
    );
}

#[tokio::test]
async fn first_source_with_a_value_wins() {
    let instance = Instance {
        user_data: Some(b"[parameters]\nmotto = \"by user-data\"".to_vec()),
        tags: Some(vec![
            ("earmark:motto", "by tag"),
            ("earmark:environment", "staging"),
        ]),
        role: None,
        id: None,
    };
    let root = TestRoot::bare();
    root.write(FILE, b"[parameters]\nmotto = \"by file\"\nticket = \"A-1\"");
    let all = async |from: &str| gathered(from, instance.clone(), &root).await;
    let values = all(&format!(r#"["user-data", "tags", {FILE:?}]"#))
        .await
        .unwrap();
    let shown: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    assert_eq!(
        shown,
        [
            r#"environment: "staging" from tags"#,
            r#"motto: "by user-data" from user-data"#,
            r#"replicas: "3" from default"#,
            r#"ticket: "A-1" from /etc/earmark/values.toml"#,
        ]
    );
    let values = all(&format!(r#"["tags", {FILE:?}, "user-data"]"#))
        .await
        .unwrap();
    assert_eq!(text(&values, "motto"), Some("by tag"));
    // What is wrong is wrong, also where another place comes first.
    root.write(FILE, b"[parameters]\nmotto = 7");
    let found = problems(all(&format!(r#"["user-data", "tags", {FILE:?}]"#)).await);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("/etc/earmark/values.toml: parameters.motto: "));
}

#[tokio::test]
async fn tag_text_is_parsed_as_the_declared_type() {
    let values = of_tags(&[
        ("Name", "web-1"),
        ("earmark:environment", "prod"),
        ("earmark:replicas", "7"),
        ("earmark:debug", "false"),
        ("earmark:endpoint", "https://example.com"),
        ("earmark:motto", "7"),
    ])
    .await
    .unwrap();
    for (name, expected) in [
        ("environment", "prod"),
        ("replicas", "7"),
        ("debug", "false"),
        ("endpoint", "https://example.com"),
        ("motto", "7"),
    ] {
        assert_eq!(text(&values, name), Some(expected));
    }
    for (name, value) in [
        ("earmark:replicas", "+7"),
        ("earmark:replicas", "07"),
        ("earmark:replicas", "7.0"),
        ("earmark:replicas", "10"),
        ("earmark:replicas", "0x7"),
        ("earmark:debug", "yes"),
        ("earmark:debug", "True"),
        ("earmark:environment", "Prod"),
        ("earmark:motto", "\x1b[2J"),
        ("earmark:token", "hunter2"),
        ("earmark:enviroment", "prod"),
    ] {
        let mut tags = vec![(name, value)];
        if name != "earmark:environment" {
            tags.push(("earmark:environment", "prod"));
        }
        let found = problems(of_tags(&tags).await);
        let expected = format!("tags: {name}: found ");
        assert_eq!(found.len(), 1, "{name} {value}: {found:?}");
        assert!(found[0].starts_with(&expected), "{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[tokio::test]
async fn image_without_parameters_sends_no_imds_request() {
    let server: Server = Instance::default().serve();
    let text = b"[image]\nname = \"web\"\nplatform = \"ec2\"\n";
    let declaration = Declaration::parse(text).unwrap();
    let imds = server.client(Duration::from_secs(30));
    let values = gather(&TestRoot::bare().open(), &declaration, Some(&imds)).await;
    assert_eq!(values.unwrap(), Values::default());
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn imds_of_another_instance_supplies_no_values() {
    let root = TestRoot::bare();
    for (name, content) in [
        ("sys_vendor", "Amazon EC2\n"),
        ("board_vendor", "Amazon EC2\n"),
        ("board_asset_tag", "i-0123456789abcdef0\n"),
    ] {
        let path = format!("/sys/devices/virtual/dmi/id/{name}");
        root.write(&path, content.as_bytes());
    }
    let declaration = declared("ec2", r#"["user-data", "tags"]"#);
    let of = async |id: Option<&'static str>| {
        let instance = Instance {
            user_data: Some(b"[parameters]\nenvironment = \"prod\"\n".to_vec()),
            id,
            ..Instance::default()
        };
        let server = instance.serve();
        let imds = server.client(Duration::from_secs(30));
        let values = gather(&root.open(), &declaration, Some(&imds)).await;
        (values, server.asked())
    };
    let (values, _) = of(None).await;
    assert_eq!(text(&values.unwrap(), "environment"), Some("prod"));
    let (values, asked) = of(Some("i-0fedcba9876543210")).await;
    let error = values.unwrap_err().to_string();
    assert!(
        error.contains("answers for instance i-0fedcba9876543210"),
        "{error}"
    );
    assert_eq!(asked, ["PUT api/token", "GET meta-data/instance-id"]);
}

#[tokio::test]
async fn missing_or_disabled_imds_is_an_error_when_needed() {
    let declaration = declared("ec2", r#"["user-data"]"#);
    let error = gather(&TestRoot::bare().open(), &declaration, None).await;
    assert!(matches!(error, Err(GatherError::NoImds)));
    let server = Server::start(|_, stream| reply(stream, 403, b""));
    let imds = server.client(Duration::from_secs(30));
    let error = gather(&TestRoot::bare().open(), &declaration, Some(&imds)).await;
    assert!(matches!(error, Err(GatherError::Imds(_))));
}

#[tokio::test]
async fn values_file_writable_by_others_is_refused() {
    const GOOD: &[u8] = b"[parameters]\nenvironment = \"prod\"\n";
    let root = TestRoot::bare();
    assert_eq!(problems(of_file(&root).await).len(), 1);
    root.write(FILE, GOOD);
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(root.at(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("/etc", 0o755);
    mode("/etc/earmark", 0o755);
    mode(FILE, 0o644);
    assert_eq!(
        text(&of_file(&root).await.unwrap(), "environment"),
        Some("prod")
    );
    for (path, good, bad) in [
        (FILE, 0o600, 0o620),
        (FILE, 0o600, 0o602),
        ("/etc/earmark", 0o700, 0o770),
        ("/etc", 0o755, 0o1777),
    ] {
        mode(path, bad);
        let found = problems(of_file(&root).await);
        let expected = format!("{path}: found that others than root may write to it");
        assert!(found[0].starts_with(&expected), "{found:?}");
        mode(path, good);
        assert!(of_file(&root).await.is_ok());
    }
    root.write(FILE, b"#!/bin/sh\n");
    assert!(problems(of_file(&root).await)[0].contains("no value"));
    root.write(FILE, &vec![b'#'; 64 * 1024 + 1]);
    assert!(matches!(of_file(&root).await, Err(GatherError::Source(_))));
}

#[tokio::test]
async fn values_file_that_is_a_link_or_directory_is_refused() {
    let root = TestRoot::bare();
    root.write("/etc/other.toml", b"[parameters]\nenvironment = \"prod\"\n");
    root.link(FILE, "../other.toml");
    assert!(matches!(of_file(&root).await, Err(GatherError::Source(_))));
    let root = TestRoot::bare();
    root.write("/etc/earmark/values.toml/file", b"");
    assert!(matches!(of_file(&root).await, Err(GatherError::Source(_))));
}
