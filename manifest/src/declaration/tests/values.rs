//! Values of text, their patterns and filters, and the time that they may take.

use super::*;

/// A declaration with a string of these lines and this step.
fn with_text(parameter: &str, step: &str) -> Result<Declaration, DeclarationError> {
    let text = format!(
        "[image]\nname = \"web\"\nplatform = \"file\"\n[parameters.motto]\ntype = \"string\"\n{parameter}\n\
         [[first_boot]]\nname = \"step\"\n{step}\n"
    );
    Declaration::parse(text.as_bytes())
}

#[test]
fn text_parameter_without_pattern_is_refused_unquoted_in_a_step() {
    for (step, place) in [
        (
            "command = { argv = [\"/bin/a\", \"--x={{ motto }}\"] }",
            "an argument",
        ),
        (
            "command = { argv = [\"/bin/a\"], environment = { A = \"{{ motto }}\" } }",
            "the environment",
        ),
        ("hostname = { template = \"{{ motto }}\" }", "a host name"),
    ] {
        let error = with_text("", step).unwrap_err();
        assert_eq!(
            (error.line, error.column),
            (9, step.find('{').unwrap() + 1),
            "{error}"
        );
        let says = format!("'motto' accepts any text and would go into {place} unchanged");
        assert!(error.problem.starts_with(&says), "{error}");
        assert!(with_text("pattern = \"[a-z]+\"", step).is_ok(), "{step}");
        // A secret is refused for what it is.
        let secret = with_text("secret = true", step).unwrap_err();
        assert!(secret.problem.contains("is secret"), "{secret}");
    }
    for (step, is_good) in [
        (
            "command = { argv = [\"/bin/a\", \"{{motto|json}}\"] }",
            true,
        ),
        ("hostname = { template = \"{{ motto | shell }}\" }", false),
        // A device is opened only if it is one.
        (
            "volume = { device = \"{{ motto }}\", filesystem = \"ext4\", mount = \"/srv/a\" }\n[tree]\nstate = [\"/srv/a\"]",
            true,
        ),
        (
            "volume = { device = \"{{ motto | toml }}\", filesystem = \"ext4\", mount = \"/srv/a\" }\n[tree]\nstate = [\"/srv/a\"]",
            false,
        ),
    ] {
        let parsed = with_text("", step);
        assert_eq!(parsed.is_ok(), is_good, "{step}: {:?}", parsed.err());
    }
}

#[test]
fn template_file_requires_a_pattern_or_filter_for_text() {
    let check = |parameter: &str, template: &str| {
        let declared = with_text(parameter, "unit = { start = [\"a.service\"] }").unwrap();
        declared.check_template(&template.parse().unwrap())
    };
    let refused = check("", "a = \"{{ motto }}\"\n").unwrap_err();
    assert!(
        refused.contains("would go into a file unchanged"),
        "{refused}"
    );
    assert!(refused.contains("{{ motto | toml }}"), "{refused}");
    // Quoted once does not excuse the other time.
    assert!(check("", "{{ motto | toml }}{{ motto }}").is_err());
    assert!(check("multiline = true", "{{ motto }}").is_err());
    assert!(check("secret = true", "{{ motto }}").is_err());
    let unknown = check("", "{{ moto | toml }}").unwrap_err();
    assert!(unknown.contains("'moto' is not declared"), "{unknown}");
    for (parameter, template) in [
        ("", "{{ motto | toml }}"),
        ("pattern = \".*\"", "a = \"{{ motto }}\"\n"),
        ("secret = true", "{{ motto | shell }}"),
        ("", "{{ image_name }} {{ instance_id }} {{ image_version }}"),
    ] {
        assert_eq!(check(parameter, template), Ok(()), "{parameter} {template}");
    }
}

#[test]
fn single_line_value_refuses_control_characters() {
    let kind = |parameter: &str| {
        let declared = with_text(parameter, "unit = { start = [\"a.service\"] }").unwrap();
        let parameters = declared.parameters.into_values();
        parameters.map(|parameter| parameter.kind).next().unwrap()
    };
    let accepts = |kind: &ParameterKind, text: &str| {
        kind.accept(&toml::Value::String(text.to_owned())).is_ok()
    };
    let (one, many) = (kind(""), kind("multiline = true"));
    // A pattern cannot let in what the type does not take.
    let pattern = kind("pattern = '(?s).*'");
    for (text, in_one, in_many) in [
        ("plain text, é", true, true),
        ("", true, true),
        ("a\nb", false, true),
        ("a\tb", false, true),
        ("a\n", false, true),
        ("a\u{2028}b", false, true),
        ("a\u{85}b", false, false),
        ("a\rb", false, false),
        ("a\0b", false, false),
        ("a\u{1b}[2J", false, false),
        ("a\u{9b}2J", false, false),
        ("a\u{7f}", false, false),
    ] {
        assert_eq!(accepts(&one, text), in_one, "{text:?}");
        assert_eq!(accepts(&pattern, text), in_one, "{text:?}");
        assert_eq!(accepts(&many, text), in_many, "{text:?}");
    }
    let url = ParameterKind::Url;
    assert!(accepts(&url, "https://example.com/a?b=c&d=%27#e;(f)"));
    for bad in [
        "\n", " ", "\t", "\"", "'", "`", "\\", "$", "<", "{", "\u{85}", "é",
    ] {
        assert!(
            !accepts(&url, &format!("https://example.com/{bad}x")),
            "{bad:?}"
        );
        assert!(
            !accepts(&url, &format!("https://example.com/{bad}")),
            "{bad:?}"
        );
    }
}

#[test]
fn values_timeout_is_bounded_and_has_a_default() {
    let read = |values: &str| {
        let text = format!("[image]\nname = \"web\"\nplatform = \"ec2\"\n{values}");
        Declaration::parse(text.as_bytes()).map(|declared| declared.values)
    };
    let seconds = |values: &str| read(values).unwrap().timeout.duration().as_secs();
    assert_eq!(seconds(""), 60);
    assert_eq!(seconds("[values]\nfrom = [\"tags\"]\n"), 60);
    assert_eq!(seconds("[values]\ntimeout = \"10m\"\n"), 600);
    let named = read("[values]\ntimeout = \"5s\"\n").unwrap();
    assert_eq!(named.from, [ValueSource::UserData]);
    let long = read("[values]\ntimeout = \"11m\"\n").unwrap_err();
    assert_eq!((long.line, long.column), (5, 11), "{long}");
    assert!(long.problem.contains("at most 10m"), "{long}");
    assert!(read("[values]\ntimeout = \"0s\"\n").is_err());
}
