//! SARIF 2.1.0, which code hosts and CI show beside a change.

use earmark_manifest::path::ImagePath;
use serde_json::{Value, json};

use super::{
    Report,
    finding::{Finding, Level},
    table::{Rule, rules},
};

/// The report as a SARIF document.
pub fn document(report: &Report) -> Value {
    let left = report.findings.iter().map(result);
    let waived = report.waived.iter().map(|waived| {
        let mut result = result(&waived.finding);
        result["suppressions"] = json!([{
            "kind": "external",
            "status": "accepted",
            "justification": waived.reason,
        }]);
        result
    });
    let notifications = |texts: &[String], level: &str| -> Vec<Value> {
        let one = |text: &String| json!({ "level": level, "message": { "text": text } });
        texts.iter().map(one).collect()
    };
    let mut told = notifications(&report.unknown, "error");
    told.extend(notifications(&report.notes, "note"));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "earmark",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules().map(rule).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": report.unknown.is_empty(),
                "toolExecutionNotifications": told,
            }],
            "originalUriBaseIds": {
                "ROOT": { "description": { "text": "The root of the image." } },
            },
            "results": left.chain(waived).collect::<Vec<_>>(),
        }],
    })
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.what },
        "fullDescription": { "text": rule.why },
        "help": { "text": rule.fix },
        "defaultConfiguration": { "level": level(rule.level) },
    })
}

fn result(finding: &Finding) -> Value {
    let index = rules().position(|rule| rule.id == finding.rule.id);
    json!({
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": level(finding.level),
        "message": { "text": format!("{} {}", finding.path, finding.found) },
        "locations": [{ "physicalLocation": { "artifactLocation": {
            "uri": uri(&finding.path),
            "uriBaseId": "ROOT",
        }}}],
    })
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
    }
}

/// A path as a relative reference of RFC 3986: all but its unreserved characters are escaped, so that no name
/// can be read as a scheme, a query or another directory.
fn uri(path: &ImagePath) -> String {
    let mut uri = String::new();
    for byte in path.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sarif_uri_percent_encodes_special_bytes() {
        for (path, expected) in [
            ("/etc/machine-id", "etc/machine-id"),
            ("/tmp/a b\n?#%:", "tmp/a%20b%0A%3F%23%25%3A"),
        ] {
            let path = ImagePath::from_absolute(path.as_bytes()).unwrap();
            assert_eq!(uri(&path), expected);
        }
        let bytes = ImagePath::from_relative(b"x/\xff").unwrap();
        assert_eq!(uri(&bytes), "x/%FF");
    }
}
