//! Signatures of requests to AWS (Signature Version 4), as far as objects need them: no query, a path without
//! escapes, the same headers each time.
//!
//! The specification is AWS's "Signature Version 4 for API requests". The tests compare with what botocore makes.

use earmark_manifest::crypto::{hmac_sha256, sha256};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::{host, platform::instance::Role};

/// Parts of a request that are signed.
#[derive(Debug)]
pub struct Signed<'a> {
    pub method: &'a str,
    pub host: &'a str,
    /// Letters, digits and `-_./` alone.
    pub path: &'a str,
    pub region: &'a str,
    pub role: &'a Role,
    /// In seconds since 1970.
    pub time: u64,
    /// The SHA-256 of the body, in hex.
    pub payload: &'a str,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The headers that the request needs. An error is a credential that does not fit into one.
pub fn sign(signed: &Signed<'_>) -> Result<HeaderMap, String> {
    // One reading of the clock for header and scope: two would differ at midnight, and S3 refuse the signature.
    let time = stamp(signed.time);
    let date = time.get(..8).unwrap_or_default();
    let token = signed.role.token.as_deref();
    let (token_line, token_name) = token.map_or_else(Default::default, |token| {
        (
            format!("x-amz-security-token:{token}\n"),
            ";x-amz-security-token",
        )
    });
    // Sorted, as the canonical form wants them: the server sorts, and another order is another signature.
    let names = format!("host;x-amz-content-sha256;x-amz-date{token_name}");
    // The empty line after the path is the query, of which there is none; the one before the names ends the headers.
    let canonical = format!(
        "{}\n{}\n\nhost:{}\nx-amz-content-sha256:{}\nx-amz-date:{time}\n{token_line}\n{names}\n{}",
        signed.method, signed.path, signed.host, signed.payload, signed.payload
    );
    let scope = format!("{date}/{}/s3/aws4_request", signed.region);
    let canonical = sha256(canonical.as_bytes()).hex();
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{canonical}");

    let key = format!("AWS4{}", signed.role.secret).into_bytes();
    let key = [date, signed.region, "s3", "aws4_request"]
        .into_iter()
        .fold(key, |key, part| {
            hmac_sha256(&key, part.as_bytes()).as_bytes().to_vec()
        });
    let signature = hmac_sha256(&key, text.as_bytes()).hex();
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        signed.role.key
    );

    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| {
        // The metadata service has no certificate: a line break in a credential would be a header of its choice.
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            "the credentials of the instance role are not valid in an HTTP header".to_owned()
        })?;
        // `Debug` of a request shows its headers, but not those that are marked.
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
        Ok::<(), String>(())
    };
    // Not `UNSIGNED-PAYLOAD`: with the digest S3 refuses a body that is not the one that was signed.
    put("x-amz-content-sha256", signed.payload)?;
    put("x-amz-date", &time)?;
    if let Some(token) = token {
        put("x-amz-security-token", token)?;
    }
    put("authorization", &authorization)?;
    Ok(headers)
}

/// Such as `20261123T204300Z`.
fn stamp(time: u64) -> String {
    let mut digits = host::utc(time);
    digits.retain(|letter| letter.is_ascii_digit());
    let (date, time) = digits.split_at_checked(8).unwrap_or_default();
    format!("{date}T{time}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use earmark_manifest::crypto;

    fn signed(method: &str, host: &str, path: &str, token: Option<&str>, body: &[u8]) -> HeaderMap {
        let role = Role {
            key: "AKIAEXAMPLE".to_owned(),
            secret: "secret/of+the test".to_owned(),
            token: token.map(str::to_owned),
            region: None,
        };
        sign(&Signed {
            method,
            host,
            path,
            region: "eu-central-1",
            role: &role,
            time: 1_795_466_580,
            payload: &crypto::sha256(body).hex(),
        })
        .unwrap()
    }

    /// Compares with the signatures that botocore 1.43.106 (`S3SigV4Auth`) makes.
    #[test]
    fn sigv4_signatures_match_botocore() {
        let server = "reports.s3.eu-central-1.amazonaws.com";
        let path = "/web/i-0123456789abcdef0.a.json";
        let headers = signed("PUT", server, path, Some("token=="), b"{}\n");
        assert_eq!(
            headers["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261123/eu-central-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, \
             Signature=94d1004018eef76390778e6f7180582dad116d5ffa62b97e888616097dc7420d"
        );
        assert_eq!(headers["x-amz-date"], "20261123T204300Z");
        assert_eq!(headers["x-amz-security-token"], "token==");
        let path = "/reports/web/stable.json";
        let headers = signed("GET", "objects.test:9000", path, None, b"");
        assert_eq!(
            headers["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261123/eu-central-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
             Signature=b41312bf432c8633274c0e332ac621daea7cb1dbbf065ddeab5423898697b2f4"
        );
        assert!(!headers.contains_key("x-amz-security-token"));
    }

    #[test]
    fn malformed_credentials_are_refused_and_no_credential_is_shown() {
        let role = Role {
            key: "A\nB".to_owned(),
            secret: "hidden".to_owned(),
            token: None,
            region: None,
        };
        assert!(!format!("{role:?}").contains("hidden"));
        let bad = sign(&Signed {
            method: "GET",
            host: "a",
            path: "/",
            region: "eu-central-1",
            role: &role,
            time: 0,
            payload: "",
        });
        assert!(bad.is_err());
        let headers = signed("GET", "a", "/", Some("hidden"), b"");
        assert!(!format!("{headers:?}").contains("hidden"), "{headers:?}");
    }
}
