//! Hosts that there should be: what `aws ec2 describe-instances` prints, one page or several, or a list of ids.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{BufReader, Read},
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
}

enum Page {
    Ids(Vec<String>),
    Described(Described),
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
        f.write_str("an object with Reservations, or a list of instance ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Page, A::Error> {
        Described::deserialize(MapAccessDeserializer::new(map)).map(Page::Described)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Page, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Page::Ids)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    reservations: Vec<Reservation>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reservation {
    instances: Vec<Kept>,
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
    placement: Option<Placement>,
    #[serde(default)]
    tags: Vec<Tag>,
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
    value: String,
}

impl From<DescribedInstance> for Kept {
    fn from(described: DescribedInstance) -> Self {
        let tag = |key: &str| {
            let mut tags = described.tags.iter().take(TAGS);
            let tag = tags.find(|tag| tag.key == key && !tag.value.is_empty());
            tag.map(|tag| shown(&tag.value))
        };
        let zone = described.placement.as_ref();
        let zone = zone.and_then(|placement| placement.availability_zone.as_deref());
        let instance = Instance {
            running: described.state.name == "running",
            name: tag("Name"),
            asg: tag("aws:autoscaling:groupName"),
            region: zone.and_then(region).map(shown),
            ami: described.image_id.as_deref().map(shown),
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
                 instance ids"
                    .to_owned()
            })
    }

    fn parse(json: impl Read) -> Result<Self> {
        let mut inventory = Self::default();
        let (mut pages, mut more) = (0, None);
        for page in serde_json::Deserializer::from_reader(json).into_iter::<Page>() {
            pages += 1;
            let page = page.map_err(|error| anyhow!("page {pages}: {error}"))?;
            more = inventory.add(page)?;
        }
        match (pages, more) {
            (0, _) => bail!("it is empty"),
            // A host that is on a page that is not there would be missed by nobody.
            (_, Some(_)) => bail!("its last page has a NextToken: there are more pages"),
            (_, None) => Ok(inventory),
        }
    }

    fn add(&mut self, page: Page) -> Result<Option<String>> {
        let described = match page {
            Page::Ids(ids) => {
                for id in ids {
                    let running = Instance {
                        running: true,
                        ..Instance::default()
                    };
                    self.insert(id, running)?;
                }
                return Ok(None);
            }
            Page::Described(described) => described,
        };
        let instances = described.reservations.into_iter();
        for Kept { id, instance } in instances.flat_map(|reservation| reservation.instances) {
            self.insert(id, instance)?;
        }
        Ok(described.next_token.filter(|token| !token.is_empty()))
    }

    /// Of two words about one instance, the one that expects more of it counts.
    fn insert(&mut self, id: String, instance: Instance) -> Result<()> {
        let is_id = id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_id || id.is_empty() || id.len() > 64 {
            bail!("'{}' is no instance id", shown(&id));
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
        assert!(error.contains("more pages"), "{error}");
        for bad in [
            "",
            "{}",
            "null",
            "[1]",
            "[\"<script>\"]",
            "[[\"i-1\"]]",
            &whole[..whole.len() - 2],
        ] {
            assert!(parse(bad).is_err(), "{bad}");
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
