//! Locations of documents and reports: URLs, checked when the image is baked and not when it boots.

use std::fmt;

use serde::Deserialize;

use crate::{name::Region, path::ImagePath};

/// A URL `file://`, `https://` or `s3://`, and what it names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Location {
    text: String,
    place: Place,
}

/// Object that a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path of the host.
    File(ImagePath),
    /// A path of a server. No query: a name can be put behind it.
    Https(String),
    /// An object of S3 or of what speaks as S3 does, or what the names of such begin with.
    S3(S3),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{path}"),
            Self::Https(url) => f.write_str(url),
            Self::S3(S3 { bucket, key, .. }) => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// Objects of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// The key, or what keys begin with; then it is empty or ends in a slash.
    pub key: String,
    /// Another server than AWS's, such as `https://objects.example.com`, without a slash at its end.
    pub endpoint: Option<String>,
    /// The bucket's region; that of the instance, if it is not said.
    pub region: Option<Region>,
}

impl Location {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the object that the URL names.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The place of a name beneath this one; of one beside it, if this one is of a document.
    pub fn beneath(&self, name: &str) -> Place {
        let joined = |base: &str| match base.rsplit_once('/') {
            Some((base, _)) => format!("{base}/{name}"),
            None => name.to_owned(),
        };
        match &self.place {
            Place::File(path) => {
                let path = format!("/{}", String::from_utf8_lossy(path.as_bytes()));
                let base = if self.text.ends_with('/') {
                    format!("{path}/")
                } else {
                    path
                };
                match ImagePath::from_absolute(joined(&base).as_bytes()) {
                    Ok(path) => Place::File(path),
                    // A name that is none leads nowhere else.
                    Err(_) => self.place.clone(),
                }
            }
            Place::Https(url) => Place::Https(joined(url)),
            Place::S3(s3) => Place::S3(S3 {
                key: joined(&s3.key),
                ..s3.clone()
            }),
        }
    }

    /// The same as the name of a directory: what is beneath it has its whole name before theirs.
    pub(super) fn into_directory(mut self) -> Self {
        if !self.text.ends_with('/') {
            self.text.push('/');
            match &mut self.place {
                Place::File(_) => {}
                Place::Https(url) => url.push('/'),
                Place::S3(s3) if s3.key.is_empty() => {}
                Place::S3(s3) => s3.key.push('/'),
            }
        }
        self
    }
}

impl std::str::FromStr for S3 {
    type Err = &'static str;

    /// `BUCKET[/KEY]`. The letters of a key are those that need no escapes, so that every signature of a request is
    /// over one spelling; those of a bucket may become a part of a server's name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bucket, key) = text.split_once('/').unwrap_or((text, ""));
        let of_bucket = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good_bucket = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|byte| of_bucket(byte) || b"-.".contains(&byte))
            && bucket.bytes().next().is_some_and(of_bucket)
            && bucket.bytes().next_back().is_some_and(of_bucket)
            && !bucket.contains("..");
        let parts = key.strip_suffix('/').unwrap_or(key);
        // S3 takes 1,024, and names of reports and grants are put behind this. Clients and proxies resolve `..` and
        // merge `//`: the request would be for another path than the one that was signed.
        let good_key = key.len() <= 512
            && (key.is_empty()
                || parts
                    .split('/')
                    .all(|part| !matches!(part, "" | "." | "..")))
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        if !(good_bucket && good_key) {
            return Err("expected s3://BUCKET/KEY, with letters, digits, '-', '_', '.' and '/'");
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            endpoint: None,
            region: None,
        })
    }
}

impl TryFrom<String> for Location {
    type Error = &'static str;

    /// Plain HTTP is refused: a report and a channel would be anybody's to read, hold back or delay.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str =
            "expected a file:///, https:// or s3:// URL without credentials and query";
        // `https://releases.example.com@other.example/` is a URL of the second host, and looks like one of the first.
        let good = text.len() <= 2048
            && !text.contains('@')
            && text.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
        let place = match text.split_once("://") {
            _ if !good => None,
            Some(("file", path)) => {
                // `file://host/srv` is refused here: what follows the two slashes has to be an absolute path.
                let path = path.strip_suffix('/').unwrap_or(path);
                let path = ImagePath::from_absolute(path.as_bytes()).ok();
                path.filter(|path| !path.is_root()).map(Place::File)
            }
            Some(("https", rest)) => is_server(rest).then(|| Place::Https(text.clone())),
            Some(("s3", rest)) => rest.parse().ok().map(Place::S3),
            _ => None,
        };
        let place = place.ok_or(EXPECTED)?;
        Ok(Self { text, place })
    }
}

/// Puts a server and a region to objects, which have them alone.
pub(super) fn check_s3(
    mut location: Location,
    endpoint: Option<String>,
    region: Option<Region>,
) -> Result<Location, &'static str> {
    // Without effect on other URLs: whoever reads it would take `endpoint` for where the reports go.
    let Place::S3(s3) = &mut location.place else {
        return match (endpoint, region) {
            (None, None) => Ok(location),
            _ => Err("endpoint and region are allowed only for s3:// URLs"),
        };
    };
    s3.endpoint = endpoint
        .map(|endpoint| match endpoint.strip_prefix("https://") {
            Some(server) if is_server(server) && !server.contains('/') => Ok(endpoint),
            _ => Err("endpoint: expected https:// and the name of a server"),
        })
        .transpose()?;
    s3.region = region;
    Ok(location)
}

/// `HOST[:PORT][/PATH]`. A host name has no escapes, and what follows it no query.
fn is_server(rest: &str) -> bool {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    // A name is put behind this path, and would end up in a query or a fragment. Some readers of URLs take `\` for `/`.
    !host.is_empty() && host.bytes().all(of_host) && !path.contains(['?', '#', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Location {
        Location::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn location_beneath_appends_to_directory_and_replaces_document_name() {
        let https = |url: &str| Place::Https(url.to_owned());
        let document = location("https://releases.example.com/web/stable.json");
        assert_eq!(
            document.beneath("grants/i-1.json"),
            https("https://releases.example.com/web/grants/i-1.json")
        );
        for directory in [
            "https://reports.example.com/web",
            "https://reports.example.com/web/",
        ] {
            assert_eq!(
                location(directory).into_directory().beneath("a.json"),
                https("https://reports.example.com/web/a.json")
            );
        }
        let server = location("https://reports.example.com").into_directory();
        assert_eq!(
            server.beneath("a.json"),
            https("https://reports.example.com/a.json")
        );
        for (text, expected) in [
            ("s3://reports", "a.json"),
            ("s3://reports/", "a.json"),
            ("s3://reports/web", "web/a.json"),
            ("s3://reports/web/", "web/a.json"),
        ] {
            let Place::S3(s3) = location(text).into_directory().beneath("a.json") else {
                panic!("{text}");
            };
            assert_eq!(
                (s3.bucket.as_str(), s3.key.as_str()),
                ("reports", expected),
                "{text}"
            );
        }
        for text in ["file:///srv/reports", "file:///srv/reports/"] {
            let expected = ImagePath::from_absolute(b"/srv/reports/a.json").unwrap();
            let found = location(text).into_directory().beneath("a.json");
            assert_eq!(found, Place::File(expected), "{text}");
        }
        let expected = ImagePath::from_absolute(b"/srv/web/a.json").unwrap();
        let found = location("file:///srv/web/stable.json").beneath("a.json");
        assert_eq!(found, Place::File(expected));
    }

    #[test]
    fn ambiguous_or_malformed_location_is_refused() {
        for bad in [
            "",
            "web",
            "file://",
            "file:///",
            "file://host/srv",
            "file:///srv/../etc",
            "http://reports.example.com/",
            "https://",
            "https:///web",
            "https://user@reports.example.com/",
            "https://reports.example.com/?a=b",
            "https://reports.example.com/#a",
            "https://reports.example.com\\web",
            "s3://",
            "s3://re",
            "s3://Reports/web",
            "s3://reports//web",
            "s3://reports/../web",
            "s3://reports/a%20b",
            "s3://reports/web//",
        ] {
            assert!(Location::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn s3_endpoint_must_be_an_https_origin_and_only_for_s3() {
        let region: Region = "eu-central-1".parse().unwrap();
        let with = |url: &str, endpoint: &str| {
            check_s3(
                location(url),
                Some(endpoint.to_owned()),
                Some(region.clone()),
            )
        };
        let found = with("s3://reports/web", "https://objects.example.com:9000").unwrap();
        let Place::S3(s3) = found.place() else {
            panic!("{found:?}");
        };
        assert_eq!(
            s3.endpoint.as_deref(),
            Some("https://objects.example.com:9000")
        );
        for bad in [
            "http://objects.example.com",
            "https://",
            "https://a/b",
            "objects",
        ] {
            assert!(with("s3://reports/web", bad).is_err(), "{bad}");
        }
        assert!(with("https://a/", "https://b").is_err());
    }
}
