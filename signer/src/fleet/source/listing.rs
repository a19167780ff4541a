//! Listing of objects in S3: a page of `ListObjectsV2`.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_continuation_token: Option<String>,
    #[serde(default)]
    contents: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    last_modified: String,
    size: u64,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name beneath the prefix.
    pub name: String,
    /// Time at which it was put there, in seconds since 1970.
    pub modified: u64,
    pub bytes: u64,
}

impl Page {
    pub fn parse(xml: &[u8]) -> Result<Self> {
        let xml = std::str::from_utf8(xml).context("the list of objects is not text")?;
        quick_xml::de::from_str(xml).context("the list of objects cannot be read")
    }

    /// Returns the token to ask for the next page with; none, if this is the last.
    pub fn next(&self) -> Result<Option<String>> {
        match (self.is_truncated, &self.next_continuation_token) {
            (false, _) => Ok(None),
            (true, Some(token)) => Ok(Some(token.clone())),
            // Hosts of a page that nobody asks for would be missed by nobody.
            (true, None) => bail!("the list of objects is truncated and has no continuation token"),
        }
    }

    /// The objects of it, in the order of their names.
    pub fn objects(self, prefix: &str) -> Result<Vec<Object>> {
        let listed = self.contents.into_iter();
        let objects = listed.map(|listed| {
            let name = listed.key.strip_prefix(prefix);
            let name = name.context("the list has an object outside of the requested prefix")?;
            let modified = seconds(&listed.last_modified);
            Ok(Object {
                name: name.to_owned(),
                modified: modified.context("the list has an object without a time")?,
                bytes: listed.size,
            })
        });
        objects.collect()
    }
}

/// `2026-11-23T20:50:48.000Z`, as seconds since 1970.
fn seconds(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let numbers = |text: &str, between: char| -> Option<[u64; 3]> {
        let mut parts = text.split(between).map(|part| part.parse().ok());
        let found = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(found)
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let is_time = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_time {
        return None;
    }
    // Days from civil, with years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>reports</Name><Prefix>web/</Prefix>
<KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>
<NextContinuationToken>1ueGcx+/==</NextContinuationToken>
<Contents><Key>web/a.json</Key><LastModified>2026-11-23T20:50:48.000Z</LastModified>
<ETag>&quot;70ee&quot;</ETag><Size>1200</Size><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>web/b&amp;c</Key><LastModified>1970-01-01T00:00:00Z</LastModified><Size>0</Size></Contents>
</ListBucketResult>"#;

    #[test]
    fn s3_listing_page_yields_objects_and_continuation_token() {
        let page = Page::parse(PAGE.as_bytes()).unwrap();
        assert_eq!(page.next().unwrap().as_deref(), Some("1ueGcx+/=="));
        let objects = page.objects("web/").unwrap();
        let expected = [("a.json", 1_795_467_048, 1200), ("b&c", 0, 0)];
        for (object, (name, modified, bytes)) in objects.iter().zip(expected) {
            assert_eq!(
                (object.name.as_str(), object.modified, object.bytes),
                (name, modified, bytes)
            );
        }
        assert_eq!(objects.len(), 2);
        let none = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        let none = Page::parse(none.as_bytes()).unwrap();
        assert_eq!(none.next().unwrap(), None);
        assert!(none.objects("web/").unwrap().is_empty());
    }

    #[test]
    fn incomplete_or_malformed_s3_listing_is_an_error() {
        for (from, to) in [
            (
                "<NextContinuationToken>1ueGcx+/==</NextContinuationToken>",
                "",
            ),
            ("web/a.json", "other/a.json"),
            ("2026-11-23T20:50:48.000Z", "2026-13-23T20:50:48.000Z"),
            ("2026-11-23T20:50:48.000Z", "yesterday"),
            ("<Size>1200</Size>", "<Size>-1</Size>"),
            ("</ListBucketResult>", ""),
        ] {
            let text = PAGE.replace(from, to);
            assert_ne!(text, PAGE);
            let page = Page::parse(text.as_bytes());
            let read = page.and_then(|page| {
                page.next()?;
                page.objects("web/")
            });
            assert!(read.is_err(), "{from}");
        }
        let whole = Page::parse(PAGE.as_bytes()).unwrap();
        assert!(whole.objects("web/").is_ok());
    }

    #[test]
    fn listing_timestamp_must_be_utc_and_parses_to_unix_seconds() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2026-09-21T14:13:20.123Z", Some(1_790_000_000)),
            ("2026-09-21 14:13:20Z", None),
            ("2026-09-21T14:13:20+01:00", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
