//! Hosts that there should be: what `aws ec2 describe-instances` and other clients print, one page or several, or a
//! `--query` of it: instances or ids, in lists that may be nested.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result, anyhow, bail};
use serde::{
    Deserialize, Deserializer,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use super::report::shown;
use crate::{
    exit::{Exit, Exits, Next, Outcome},
    io::output::quote,
};

/// An instance has some kilobytes in it, of which a few words are kept.
const FILE: u64 = 4 << 30;
const INSTANCES: usize = 1_000_000;
const TAGS: usize = 64;
/// A byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Instances, by their ids.
#[derive(Debug, Default)]
pub struct Inventory(HashMap<Box<str>, Instance>);

/// Properties that are kept of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// True, if it runs now. An instance that is about to, or that is ending, owes no report.
    pub running: bool,
    /// Its tag `Name`.
    pub name: Option<Box<str>>,
    /// Its Auto Scaling group.
    pub asg: Option<Box<str>>,
    /// Region that it is in.
    pub region: Option<Box<str>>,
    /// AMI that it was launched from.
    pub ami: Option<Box<str>>,
    /// Time at which it was launched, in seconds since 1970.
    pub launched: Option<u64>,
}

enum Page {
    Listed(Vec<Item>),
    Described(Described),
}

/// An entry of a list: `Reservations[].Instances[]` is flat, `Reservations[*].Instances[*].InstanceId` is not.
enum Item {
    Id(String),
    Described(Kept),
    List(Vec<Item>),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instance, its id, or a list of them")
    }

    fn visit_str<E>(self, id: &str) -> Result<Item, E> {
        Ok(Item::Id(id.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        Kept::deserialize(MapAccessDeserializer::new(map)).map(Item::Described)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Item, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Item::List)
    }
}

/// By hand: derived for either of two, it would hold all of the page before it knows which it is.
impl<'de> Deserialize<'de> for Page {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PageVisitor)
    }
}

struct PageVisitor;

impl<'de> Visitor<'de> for PageVisitor {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with Reservations, or a list of instances or their ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Page, A::Error> {
        Described::deserialize(MapAccessDeserializer::new(map)).map(Page::Described)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Page, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Page::Listed)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    // Go's clients print an empty list as null, here and below.
    reservations: Option<Vec<Reservation>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reservation {
    instances: Option<Vec<Kept>>,
}

/// An instance, with no more of it than is kept.
#[derive(Deserialize)]
#[serde(from = "DescribedInstance")]
struct Kept {
    id: String,
    instance: Instance,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedInstance {
    instance_id: String,
    image_id: Option<String>,
    state: InstanceState,
    launch_time: Option<String>,
    placement: Option<Placement>,
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceState {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Placement {
    availability_zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: Option<String>,
}

impl From<DescribedInstance> for Kept {
    fn from(described: DescribedInstance) -> Self {
        let tag = |key: &str| {
            let tags = described.tags.iter().flatten().take(TAGS);
            let mut tags = tags.filter(|tag| tag.key == key);
            let value = tags.find_map(|tag| tag.value.as_deref().filter(|value| !value.is_empty()));
            value.map(shown)
        };
        let zone = described.placement.as_ref();
        let zone = zone.and_then(|placement| placement.availability_zone.as_deref());
        let instance = Instance {
            running: described.state.name == "running",
            name: tag("Name"),
            asg: tag("aws:autoscaling:groupName"),
            region: zone.and_then(region).map(shown),
            ami: described.image_id.as_deref().map(shown),
            launched: described.launch_time.as_deref().and_then(seconds),
        };
        Self {
            id: described.instance_id,
            instance,
        }
    }
}

impl Inventory {
    /// From a file.
    pub fn read(path: &Path) -> Outcome<Self> {
        let file = File::open(path);
        let file = file
            .with_context(|| format!("failed to read the inventory {}", quote(path)))
            .exits(Exit::Undecided)?;
        Self::parse(BufReader::with_capacity(1 << 20, file.take(FILE)))
            .with_context(|| format!("failed to use the inventory {}", quote(path)))
            .exits(Exit::Undecided)
            .or_next(|| {
                "expected what `aws ec2 describe-instances --output json` prints, or a JSON list of \
                 instances or their ids"
                    .to_owned()
            })
    }

    fn parse(mut json: impl BufRead) -> Result<Self> {
        let mut inventory = Self::default();
        // Windows' tools put it before what they write to a file.
        if json.fill_buf()?.starts_with(MARK) {
            json.consume(MARK.len());
        }
        let (mut pages, mut more) = (0, None);
        for page in serde_json::Deserializer::from_reader(json).into_iter::<Page>() {
            pages += 1;
            let page = page.map_err(|error| anyhow!("page {pages}: {error}"))?;
            more = inventory.add(page)?;
        }
        match (pages, more) {
            (0, _) => bail!("it is empty"),
            // A host that is on a page that is not there would be missed by nobody.
            (_, Some(_)) => bail!("it is truncated: its last page has a NextToken"),
            (_, None) => Ok(inventory),
        }
    }

    fn add(&mut self, page: Page) -> Result<Option<String>> {
        let described = match page {
            Page::Listed(items) => {
                self.add_items(items)?;
                return Ok(None);
            }
            Page::Described(described) => described,
        };
        let Some(reservations) = described.reservations else {
            bail!("it has no Reservations");
        };
        let instances = reservations.into_iter().filter_map(|it| it.instances);
        for Kept { id, instance } in instances.flatten() {
            self.insert(id, instance)?;
        }
        Ok(described.next_token.filter(|token| !token.is_empty()))
    }

    fn add_items(&mut self, items: Vec<Item>) -> Result<()> {
        for item in items {
            match item {
                Item::Id(id) => {
                    let running = Instance {
                        running: true,
                        ..Instance::default()
                    };
                    self.insert(id, running)?;
                }
                Item::Described(Kept { id, instance }) => self.insert(id, instance)?,
                // As deep as the parser goes, which has a bound of its own.
                Item::List(items) => self.add_items(items)?,
            }
        }
        Ok(())
    }

    /// Of two words about one instance, the one that expects more of it counts.
    fn insert(&mut self, id: String, instance: Instance) -> Result<()> {
        let is_id = id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_id || id.is_empty() || id.len() > 64 {
            bail!("'{}' is not an instance id", shown(&id));
        }
        if self.0.len() >= INSTANCES {
            bail!("it has more than {INSTANCES} instances");
        }
        let known = self.0.entry(id.into()).or_default();
        if instance.running || !known.running {
            *known = instance;
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn of_running(ids: &[&str]) -> Self {
        let list = serde_json::to_vec(ids).unwrap();
        Self::parse(list.as_slice()).unwrap()
    }

    /// Returns what is known of an instance; none, if the inventory does not have it.
    pub fn get(&self, id: &str) -> Option<&Instance> {
        self.0.get(id)
    }

    /// Those that run.
    pub fn running(&self) -> impl Iterator<Item = (&str, &Instance)> {
        let all = self.0.iter().map(|(id, instance)| (&**id, instance));
        all.filter(|(_, instance)| instance.running)
    }
}

/// The region of a zone: `eu-central-1` of `eu-central-1a`, `us-west-2` of `us-west-2-lax-1a`.
fn region(zone: &str) -> Option<&str> {
    let digit = zone.find(|character: char| character.is_ascii_digit())?;
    let rest = zone.get(digit..)?;
    let digits = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    zone.get(..digit + digits)
}

/// Seconds since 1970 of a time as EC2 and its clients write it: `2026-11-27T21:00:00.000Z`, or with `+00:00`.
/// `None` of what is none.
fn seconds(time: &str) -> Option<u64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = time.get(from..to)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok())?
    };
    let is = |at: usize, byte: u8| time.as_bytes().get(at) == Some(&byte);
    let has_marks = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24;
    if !has_marks || !in_range || minute > 59 || second > 60 {
        return None;
    }
    let rest = time.get(19..)?;
    let zone = rest.trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
    let ahead = match zone.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = time.len() - 5;
            let ahead = number(at, at + 2)? * 3_600 + number(at + 3, at + 5)? * 60;
            if *sign == b'-' { -ahead } else { ahead }
        }
        _ => return None,
    };
    // Days from civil, with years that begin on 1 March.
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    u64::try_from(days * 86_400 + hour * 3_600 + minute * 60 + second - ahead).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Inventory> {
        Inventory::parse(text.as_bytes())
    }

    fn page(id: &str, state: &str) -> serde_json::Value {
        json!({"Reservations": [{"OwnerId": "1", "Instances": [{
            "InstanceId": id, "ImageId": "ami-0123456789abcdef0", "State": {"Code": 16, "Name": state},
            "Placement": {"AvailabilityZone": "eu-central-1a", "Tenancy": "default"},
            "Tags": [{"Key": "Name", "Value": "web \u{1b}[2J"},
                     {"Key": "aws:autoscaling:groupName", "Value": "web-asg"}],
        }]}]})
    }

    #[test]
    fn inventory_accepts_ec2_pages_and_id_lists() {
        let text = format!("{}\n{}", page("i-1", "running"), page("i-2", "stopped"));
        let inventory = parse(&text).unwrap();
        let one = inventory.get("i-1").unwrap();
        assert_eq!(one.name.as_deref(), Some("web \\u{1b}[2J"));
        assert_eq!(one.asg.as_deref(), Some("web-asg"));
        assert_eq!(one.region.as_deref(), Some("eu-central-1"));
        assert_eq!(inventory.running().count(), 1);
        assert!(!inventory.get("i-2").unwrap().running);
        // The page that says that it runs wins, whichever came first.
        let both = [page("i-1", "running"), page("i-1", "stopped")];
        for text in [
            format!("{}{}", both[0], both[1]),
            format!("{}{}", both[1], both[0]),
        ] {
            assert_eq!(parse(&text).unwrap().running().count(), 1);
        }
        let list = parse("[\"i-1\", \"i-2\"]").unwrap();
        assert_eq!(list.running().count(), 2);
        assert_eq!(parse("[]").unwrap().running().count(), 0);
    }

    #[test]
    fn truncated_or_malformed_inventory_is_refused() {
        let mut more = page("i-1", "running");
        more["NextToken"] = "x".into();
        let whole = format!("{more}{}", page("i-2", "running"));
        assert_eq!(parse(&whole).unwrap().running().count(), 2);
        let error = parse(&more.to_string()).unwrap_err().to_string();
        assert!(error.contains("truncated"), "{error}");
        for bad in [
            "",
            "{}",
            "null",
            "[1]",
            "[\"<script>\"]",
            "[{}]",
            "[null]",
            "{\"Reservations\": null}",
            &whole[..whole.len() - 2],
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn inventory_of_other_clients_and_queries_is_accepted() {
        let one = |tags: &str, state: &str| {
            format!("{{\"InstanceId\":\"i-1\",\"State\":{{\"Name\":\"{state}\"}},\"Tags\":{tags}}}")
        };
        let running = one("null", "running");
        let empty = one("[{\"Key\":\"Name\",\"Value\":null}]", "running");
        for (text, count) in [
            (
                format!("{{\"Reservations\":[{{\"Instances\":[{running}]}}]}}"),
                1,
            ),
            (
                format!("\u{feff}{{\"Reservations\":[{{\"Instances\":[{empty}]}}]}}"),
                1,
            ),
            ("{\"Reservations\":[{\"Instances\":null}]}".to_owned(), 0),
            (format!("[{running}]"), 1),
            (format!("[[{running}], [\"i-2\"], []]"), 2),
            (format!("[{}, \"i-2\"]", one("[]", "stopped")), 1),
            ("\u{feff}[\"i-1\"]".to_owned(), 1),
        ] {
            assert_eq!(parse(&text).unwrap().running().count(), count, "{text}");
        }
    }

    #[test]
    fn launch_time_is_read_as_clients_write_it() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-27T22:03:09+00:00", Some(1_795_816_989)),
            ("2026-11-27T22:03:09.000Z", Some(1_795_816_989)),
            ("2026-11-27T23:33:09+01:30", Some(1_795_816_989)),
            ("2024-02-29T00:00:00-01:00", Some(1_709_168_400)),
            ("2026-13-27T22:03:09Z", None),
            ("2026-11-27 22:03:09Z", None),
            ("2026-11-27T22:03:09", None),
            ("2026-11-27T22:03:09+xx:00", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn region_is_derived_from_availability_zone() {
        for (zone, expected) in [
            ("eu-central-1a", Some("eu-central-1")),
            ("us-west-2-lax-1a", Some("us-west-2")),
            ("us-gov-west-1b", Some("us-gov-west-1")),
            ("nowhere", None),
        ] {
            assert_eq!(region(zone), expected, "{zone}");
        }
    }
}
