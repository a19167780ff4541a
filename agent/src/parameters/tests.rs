//! Values as they come, and as they must not.

mod documents;
mod places;

use std::time::Duration;

use earmark_manifest::declaration::Declaration;

use super::{GatherError, Values, gather};
use crate::{platform::imds::server::Instance, testing::TestRoot};

/// One of each type.
const PARAMETERS: &str = r#"
[parameters.environment]
type = "enum"
values = ["prod", "staging"]
required = true
[parameters.replicas]
type = "int"
min = 1
max = 9
default = 3
[parameters.debug]
type = "bool"
[parameters.endpoint]
type = "url"
[parameters.motto]
type = "string"
max_length = 16384
multiline = true
[parameters.ticket]
type = "string"
pattern = '[A-Z]+-\d+'
[parameters.token]
type = "string"
secret = true
"#;

fn declared(platform: &str, values: &str) -> Declaration {
    let text = format!(
        "[image]\nname = \"web\"\nplatform = \"{platform}\"\n[values]\nfrom = {values}\n{PARAMETERS}"
    );
    Declaration::parse(text.as_bytes()).unwrap()
}

/// Gathers values from these places on this instance.
async fn gathered(from: &str, instance: Instance, root: &TestRoot) -> Result<Values, GatherError> {
    let imds = instance.serve().client(Duration::from_secs(30));
    gather(&root.open(), &declared("ec2", from), Some(&imds)).await
}

async fn of_user_data(text: impl Into<Vec<u8>>) -> Result<Values, GatherError> {
    let instance = Instance {
        user_data: Some(text.into()),
        ..Instance::default()
    };
    gathered(r#"["user-data"]"#, instance, &TestRoot::bare()).await
}

fn text<'a>(values: &'a Values, name: &str) -> Option<&'a str> {
    values.get(name).map(super::Value::text)
}

/// The lines of a refusal, none of which may drive a terminal.
fn problems(result: Result<Values, GatherError>) -> Vec<String> {
    let error = result.unwrap_err();
    assert!(matches!(error, GatherError::Problems(_)), "{error}");
    let shown = error.to_string();
    let is_plain = |character: char| matches!(character, ' '..='~' | '\n');
    assert!(shown.chars().all(is_plain), "{shown:?}");
    shown.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn user_data_values_of_every_type_are_read() {
    let values = of_user_data(
        r#"
        # A comment, and a document by hand.
        [parameters]
        environment = "prod"
        replicas = 7
        debug = true
        endpoint = "https://example.com/a?b=c"
        ticket = "OPS-17"
        token = "hunter2"
        "#,
    )
    .await
    .unwrap();
    for (name, expected) in [
        ("environment", "prod"),
        ("replicas", "7"),
        ("debug", "true"),
        ("endpoint", "https://example.com/a?b=c"),
        ("ticket", "OPS-17"),
        ("token", "hunter2"),
    ] {
        assert_eq!(text(&values, name), Some(expected));
        assert_eq!(values.get(name).unwrap().source, "user-data");
        assert_eq!(values.get(name).unwrap().is_secret(), name == "token");
    }
    assert_eq!(text(&values, "motto"), None);
    assert_eq!(text(&values, "no such name"), None);
    assert_eq!(values.iter().count(), 6);
    let shown = format!("{values:?}");
    assert!(
        shown.contains("prod") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[tokio::test]
async fn parameter_problems_are_all_reported_without_the_values() {
    let found = problems(
        of_user_data(
            r#"
            [parameters]
            replicas = 4711
            debug = "on"
            endpoint = "ftp://hunter2"
            motto = ["hunter2"]
            ticket = "hunter2"
            token = 17
            Token = "hunter2"
            "\u001b[2J" = 1979-05-27
            "#,
        )
        .await,
    );
    let unknown = "found a parameter that is not declared, expected one of debug, endpoint, \
                   environment, motto, replicas, ticket, token";
    assert_eq!(
        found,
        [
            format!(r"user-data: parameters.\x1b[2J: {unknown}"),
            format!("user-data: parameters.Token: {unknown}"),
            "user-data: parameters.debug: found text of 2 bytes, expected true or false".to_owned(),
            "user-data: parameters.endpoint: found text of 13 bytes, expected an http:// or \
             https:// URL"
                .to_owned(),
            "user-data: parameters.motto: found a list, expected text of at most 16384 bytes"
                .to_owned(),
            "user-data: parameters.replicas: found a whole number, expected a whole number from 1 \
             to 9"
                .to_owned(),
            "user-data: parameters.ticket: found text of 7 bytes, expected text of at most 1024 \
             bytes that matches ^(?:[A-Z]+-\\d+)$, in one line"
                .to_owned(),
            "user-data: parameters.token: found a whole number, expected text of at most 1024 bytes, in one line"
                .to_owned(),
            "user-data: parameters.environment: found no value, and it is required, expected one \
             of prod, staging"
                .to_owned(),
        ]
    );
}

#[tokio::test]
async fn parameter_value_with_shell_or_template_syntax_is_unchanged() {
    for value in [
        "$(reboot) `reboot` ; reboot | reboot & reboot > /etc/passwd",
        "{{ token }} {% raw %} ${token} %{token} %s %n",
        "'; DROP TABLE hosts; -- \" \\ \\n",
        "first line\nsecond line\n\ttab\n",
        "../../etc/passwd -rf --version",
        "\u{202e}right to left \u{1f980}",
        "",
    ] {
        let mut table = toml::Table::new();
        table.insert("environment".to_owned(), "prod".into());
        table.insert("motto".to_owned(), value.into());
        let document = toml_text(&table);
        let values = of_user_data(document).await.unwrap();
        assert_eq!(text(&values, "motto"), Some(value));
    }
}

/// A writer for these tests: the agent's `toml` has none.
fn toml_text(parameters: &toml::Table) -> String {
    let mut text = "[parameters]\n".to_owned();
    for (key, value) in parameters {
        text.push_str(&format!("{key} = \""));
        for character in value.as_str().unwrap().chars() {
            text.push_str(&format!("\\U{:08x}", u32::from(character)));
        }
        text.push_str("\"\n");
    }
    text
}

#[tokio::test]
async fn parameter_value_overlong_or_with_control_characters_is_refused() {
    for (value, class) in [
        ("a\0b", "text with control characters"),
        ("\x1b[2J", "text with control characters"),
        ("\x07", "text with control characters"),
        ("a\r\nb", "text with control characters"),
        ("\u{9b}2J", "text with control characters"),
        ("\x7f", "text with control characters"),
        ("a\nb", "text with line breaks or tabs"),
        ("a\tb", "text with line breaks or tabs"),
    ] {
        // The ticket takes one line, the motto several.
        let name = if class.contains("tabs") {
            "ticket"
        } else {
            "motto"
        };
        let table = [("environment", "prod"), (name, value)]
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into_iter()
            .collect();
        let found = problems(of_user_data(toml_text(&table)).await);
        assert_eq!(found.len(), 1, "{value:?}");
        assert!(found[0].contains(class), "{found:?}");
    }
    let long = |length: usize| {
        let value = "x".repeat(length);
        of_user_data(format!(
            "[parameters]\nenvironment = \"prod\"\nmotto = \"{value}\"\n"
        ))
    };
    // Of a secret not even the length is told.
    let secret = format!(
        "[parameters]\nenvironment = \"prod\"\ntoken = \"{:2000}\"\n",
        "x"
    );
    assert_eq!(
        problems(of_user_data(secret).await),
        [
            "user-data: parameters.token: found text, expected text of at most 1024 bytes, in one line"
        ]
    );
    assert!(long(16_384).await.is_ok());
    assert!(problems(long(16_385).await)[0].contains("text of 16385 bytes"));
    assert!(problems(long(65_000).await)[0].contains("text of 65000 bytes"));
    let error = long(65_536).await.unwrap_err();
    assert!(matches!(error, GatherError::Imds(_)), "{error}");
}
