//! Requests to S3, or to what speaks as S3 does.

use earmark_manifest::{crypto, declaration::S3};
use reqwest::{Client, Method, RequestBuilder};

use super::{
    Trouble,
    sign::{Signed, sign},
};
use crate::{host, platform::instance::Role};

/// A request that the instance's role signed.
pub fn request(
    client: &Client,
    method: &Method,
    object: &S3,
    role: &Role,
    body: &[u8],
) -> Result<RequestBuilder, Trouble> {
    let region = object.region.as_ref().map(ToString::to_string);
    let region = region.or_else(|| role.region.clone()).ok_or_else(|| {
        Trouble::Lasting("the bucket's region is not known: declare region = \"…\"".to_owned())
    })?;
    // S3 refuses a time that is more than 15 minutes off. Not lasting: time synchronisation may still come up.
    let time = host::time().ok_or_else(|| {
        Trouble::Passing(
            "the clock of this host is not set, and requests are signed with the time".to_owned(),
        )
    })?;
    let (server, path) = place(object, &region);
    let signed = sign(&Signed {
        method: method.as_str(),
        host: &server,
        path: &path,
        region: &region,
        role,
        time,
        payload: &crypto::sha256(body).hex(),
    });
    let request = client.request(method.clone(), format!("https://{server}{path}"));
    Ok(request
        .headers(signed.map_err(Trouble::Lasting)?)
        .body(body.to_vec()))
}

/// The server and the path of an object: the bucket is in the server's name where it can be, as AWS wants it.
fn place(object: &S3, region: &str) -> (String, String) {
    let S3 { bucket, key, .. } = object;
    if let Some(endpoint) = &object.endpoint {
        let server = endpoint.trim_start_matches("https://");
        // As the client writes it into `Host:`, which is signed: in small letters, without the usual port.
        let server = server
            .strip_suffix(":443")
            .unwrap_or(server)
            .to_ascii_lowercase();
        // Other servers seldom have a name and a certificate for each bucket.
        return (server, format!("/{bucket}/{key}"));
    }
    // The regions of China are a partition of AWS with a domain of its own.
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    let server = format!("s3.{region}.amazonaws.com{end}");
    // A dot in the bucket's name would be one more level than the certificate is for.
    if bucket.contains('.') {
        (server, format!("/{bucket}/{key}"))
    } else {
        (format!("{bucket}.{server}"), format!("/{key}"))
    }
}

/// Returns whether the body is an error of S3 with this code.
pub fn has_code(body: &[u8], code: &str) -> bool {
    found(body) == Some(code)
}

/// The code of an error, to be shown; nothing, if there is none.
pub fn code(body: &[u8]) -> String {
    // It goes to the console and the journal: other characters could drive a terminal or forge a line.
    let is_word =
        |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    found(body)
        .filter(is_word)
        .map_or_else(String::new, |code| format!(" {code}"))
}

/// It decides nothing but whether to try again, and so is looked for and not parsed.
fn found(body: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("<Code>")?;
    Some(rest.split_once("</")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bucket: &str, endpoint: Option<&str>) -> S3 {
        S3 {
            bucket: bucket.to_owned(),
            key: "web/a.json".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region: None,
        }
    }

    #[test]
    fn s3_uses_virtual_hosted_address_where_the_bucket_allows() {
        for (object, region, expected) in [
            (
                object("reports", None),
                "eu-central-1",
                ("reports.s3.eu-central-1.amazonaws.com", "/web/a.json"),
            ),
            (
                object("reports", None),
                "cn-north-1",
                ("reports.s3.cn-north-1.amazonaws.com.cn", "/web/a.json"),
            ),
            (
                object("my.reports", None),
                "eu-west-1",
                ("s3.eu-west-1.amazonaws.com", "/my.reports/web/a.json"),
            ),
            (
                object("reports", Some("https://objects.test:9000")),
                "eu-west-1",
                ("objects.test:9000", "/reports/web/a.json"),
            ),
            (
                object("reports", Some("https://Objects.test:443")),
                "eu-west-1",
                ("objects.test", "/reports/web/a.json"),
            ),
        ] {
            let (server, path) = place(&object, region);
            assert_eq!((server.as_str(), path.as_str()), expected);
        }
    }

    #[test]
    fn s3_error_code_is_shown_only_if_a_plain_word() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code></Error>";
        assert!(has_code(body, "SlowDown") && !has_code(body, "NoSuchBucket"));
        assert_eq!(code(body), " SlowDown");
        for other in [
            &b"<Code>\x1b[2J</Code>"[..],
            b"<Code>",
            b"",
            b"\xff<Code>A</Code>",
        ] {
            assert_eq!(code(other), "");
        }
    }
}
