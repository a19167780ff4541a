//! [`Floor`]: what the seals of an image must not be below, in `floor.toml` beside the trust file.
//!
//! Protects against an older seal of the same image, with good signatures and a weaker policy, that
//! somebody puts in the place of the newer one; and against older channel documents on a host that has
//! seen none. Does not protect against somebody who can replace the floor as well (tier T0).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    declaration::{Declaration, Lock, LockName, OnFailure},
    limits,
    name::ImageName,
    statement::Statement,
    strict::{self, Table},
};

/// The least that a seal of an image may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// The image.
    pub image: ImageName,
    /// The lowest epoch.
    pub epoch: u64,
    /// The weakest policy.
    pub policy: OnFailure,
    /// The lowest counter of a channel document; 0 if none was known.
    pub channel: u64,
    /// The locks that are shut, and the most that each may except.
    pub locks: BTreeMap<LockName, Vec<String>>,
}

/// Reason why a seal is below the floor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BelowFloor {
    /// It is of another image.
    #[error("the image is '{found}', and floor.toml is of '{expected}'")]
    Image {
        /// The floor's.
        expected: ImageName,
        /// The seal's.
        found: ImageName,
    },
    /// It is older.
    #[error("epoch {found} is lower than {floor}, the floor of this image")]
    Epoch {
        /// The floor's.
        floor: u64,
        /// The seal's.
        found: u64,
    },
    /// A host that does not verify would do less.
    #[error("the policy '{}' is weaker than '{}', the floor of this image", found.name(), floor.name())]
    Policy {
        /// The floor's.
        floor: OnFailure,
        /// The seal's.
        found: OnFailure,
    },
    /// It leaves open what must be shut.
    #[error("lock {0} is open or has more exceptions than the floor of this image allows")]
    Lock(LockName),
}

/// A floor file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FloorError(String);

const SCHEMA: u64 = 1;

impl Floor {
    /// The floor that a seal sets, with this counter of its channel.
    pub fn of(statement: &Statement, declaration: &Declaration, channel: u64) -> Self {
        Self {
            image: statement.image.name.clone(),
            epoch: statement.image.epoch,
            ..Self::declared(declaration, channel)
        }
    }

    /// The floor that a seal of this declaration will set, before there is one.
    pub fn declared(declaration: &Declaration, channel: u64) -> Self {
        Self {
            image: declaration.image.name.clone(),
            epoch: declaration.image.epoch,
            policy: declaration.verify.on_failure,
            channel,
            locks: declaration.lockdown.shut_locks(),
        }
    }

    /// Parses `floor.toml`.
    ///
    /// # Errors
    ///
    /// [`FloorError`] beyond [`limits::FLOOR`] bytes, for another schema, an unknown lock, and whatever is no
    /// floor.
    pub fn parse(bytes: &[u8]) -> Result<Self, FloorError> {
        // Before TOML sees it: the floor is not signed, so that its size is up to whoever writes the disk.
        if bytes.len() > limits::FLOOR {
            let problem = format!(
                "{} bytes, and at most {} are accepted",
                bytes.len(),
                limits::FLOOR
            );
            return Err(FloorError(problem));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| FloorError("not UTF-8".to_owned()))?;
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let (line, column, problem) = strict::locate(text, at, error.message());
            FloorError(format!("line {line}, column {column}: {problem}"))
        })?;
        if document.schema != SCHEMA {
            let problem = format!("unknown schema {}: expected {SCHEMA}", document.schema);
            return Err(FloorError(problem));
        }
        let lock = |(name, except): (String, Vec<String>)| {
            // A lock that this version does not know is refused: passed over, it would hold no seal to anything.
            let known = LockName::ALL.into_iter().find(|lock| lock.name() == name);
            let known =
                known.ok_or_else(|| FloorError(format!("unknown lock '{}'", name.escape_debug())));
            known.map(|name| (name, except))
        };
        Ok(Self {
            image: document.image,
            epoch: document.epoch,
            policy: document.policy,
            channel: document.channel,
            locks: document
                .locks
                .0
                .into_iter()
                .map(lock)
                .collect::<Result<_, _>>()?,
        })
    }

    /// As `floor.toml`. The same floor gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`FloorError`] if the text would be longer than [`limits::FLOOR`].
    pub fn to_toml(&self) -> Result<String, FloorError> {
        let mut text = format!(
            "# What no seal of this image may be below.\nschema = {SCHEMA}\nimage = \"{}\"\nepoch = {}\n\
             policy = \"{}\"\nchannel = {}\n\n# The locks that are shut, and the most that each excepts.\n[locks]\n",
            self.image,
            self.epoch,
            self.policy.name(),
            self.channel
        );
        for (name, except) in &self.locks {
            let except: Vec<String> = except.iter().map(|text| quoted(text)).collect();
            text.push_str(&format!("{name} = [{}]\n", except.join(", ")));
        }
        // Escapes can make it longer than the declaration: `\U` takes ten bytes for a character of two.
        if text.len() > limits::FLOOR {
            let problem = format!(
                "the floor has {} bytes, and at most {} are accepted: the locks have too many \
                 exceptions",
                text.len(),
                limits::FLOOR
            );
            return Err(FloorError(problem));
        }
        Ok(text)
    }

    /// Checks that a seal is not below the floor: image, epoch, policy and locks.
    ///
    /// # Errors
    ///
    /// [`BelowFloor`], the first that applies: another image, a lower epoch, a weaker policy, a lock that is more
    /// open.
    pub fn check(
        &self,
        statement: &Statement,
        declaration: &Declaration,
    ) -> Result<(), BelowFloor> {
        let image = &statement.image;
        // First: epochs and policies of two images cannot be compared.
        if image.name != self.image {
            return Err(BelowFloor::Image {
                expected: self.image.clone(),
                found: image.name.clone(),
            });
        }
        if image.epoch < self.epoch {
            return Err(BelowFloor::Epoch {
                floor: self.epoch,
                found: image.epoch,
            });
        }
        if declaration.verify.on_failure < self.policy {
            return Err(BelowFloor::Policy {
                floor: self.policy,
                found: declaration.verify.on_failure,
            });
        }
        match self.open(declaration).first() {
            Some(name) => Err(BelowFloor::Lock(*name)),
            None => Ok(()),
        }
    }

    /// Describes the first thing in which this floor is below the one that a seal sets when it is placed. `None` if
    /// there is nothing: a floor may be higher in its channel alone, since a higher one refuses the seal.
    pub fn short_of(&self, statement: &Statement, declaration: &Declaration) -> Option<String> {
        let declared = declaration.channel.as_ref().map_or(0, |it| it.at_least);
        self.below(&Self::of(statement, declaration, declared))
    }

    /// Describes the first thing in which this floor is below another one; `None` if there is nothing.
    pub fn below(&self, set: &Self) -> Option<String> {
        if self.image != set.image {
            return Some(format!("the image {}, not {}", self.image, set.image));
        }
        if self.epoch < set.epoch {
            return Some(format!("epoch {}, not {}", self.epoch, set.epoch));
        }
        if self.policy < set.policy {
            let (found, set) = (self.policy.name(), set.policy.name());
            return Some(format!("policy '{found}', not '{set}'"));
        }
        if self.channel < set.channel {
            return Some(format!("channel {}, not {}", self.channel, set.channel));
        }
        let is_open = |(name, except): &(&LockName, &Vec<String>)| match self.locks.get(name) {
            None => true,
            Some(most) => most.iter().any(|it| !except.contains(it)),
        };
        let open = set.locks.iter().find(is_open);
        open.map(|(name, _)| format!("the lock {name} open, or with more exceptions"))
    }

    /// The locks that a declaration leaves more open than the floor lets it.
    pub fn open(&self, declaration: &Declaration) -> Vec<LockName> {
        let locks = declaration.lockdown.locks();
        let is_open = |(name, lock): &(LockName, Lock)| match (self.locks.get(name), lock) {
            // Open when the floor was written: any seal may have it so.
            (None, _) => false,
            (Some(_), Lock::Allow) => true,
            // Word by word: a path beneath one that the floor excepts counts as more, which errs on the strict side.
            (Some(most), Lock::Deny { except }) => except.iter().any(|it| !most.contains(it)),
        };
        locks
            .iter()
            .filter(|lock| is_open(lock))
            .map(|(name, _)| *name)
            .collect()
    }
}

/// As a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    quoted.push('"');
    quoted
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    // No defaults: a floor that lost a line would be a lower one.
    schema: u64,
    image: ImageName,
    epoch: u64,
    policy: OnFailure,
    channel: u64,
    locks: Table<BTreeMap<String, Vec<String>>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::tests::sample;

    fn declaration(rest: &str) -> Declaration {
        let text = format!("[image]\nname = \"web\"\nepoch = 3\nplatform = \"file\"\n{rest}");
        Declaration::parse(text.as_bytes()).unwrap()
    }

    const STRICT: &str = "[verify]\non_failure = \"quarantine\"\n[lockdown]\npackages = \"allow\"\n\
        remote_access = { allow = [\"sshd\"] }\nfilesystems = { writable = [\"/srv/a \\\"b\\u00e4\"] }\n";

    #[test]
    fn floor_round_trips_through_toml() {
        let floor = Floor::of(&sample(), &declaration(STRICT), 7);
        let text = floor.to_toml().unwrap();
        assert_eq!(Floor::parse(text.as_bytes()), Ok(floor.clone()));
        assert!(!floor.locks.contains_key(&LockName::Packages));
        assert!(text.contains("remote_access = [\"sshd\"]\n"), "{text}");
        let floor = Floor::of(&sample(), &declaration(""), 0);
        assert_eq!(floor.locks.len(), LockName::ALL.len());
        assert_eq!(Floor::parse(floor.to_toml().unwrap().as_bytes()), Ok(floor));
    }

    #[test]
    fn malformed_floors_are_refused() {
        let good = Floor::of(&sample(), &declaration(""), 7).to_toml().unwrap();
        Floor::parse(good.as_bytes()).unwrap();
        for (from, to, says) in [
            ("schema = 1", "schema = 2", "schema 2"),
            ("schema = 1\n", "", "missing field"),
            ("epoch = 3\n", "", "missing field"),
            ("epoch = 3", "epoch = -1", "invalid value"),
            ("epoch = 3", "epoch = 3\nepoch = 4", "duplicate key"),
            ("epoch = 3", "epoch = 3\nextra = 4", "unknown field"),
            ("\"report\"", "\"none\"", "unknown variant"),
            ("\"web\"", "\"Web\"", "does not match"),
            ("accounts", "account", "unknown lock 'account'"),
            ("accounts = []", "accounts = \"\"", "invalid type"),
            ("[locks]", "[[locks]]", "expected a table"),
        ] {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good, "{from}");
            let error = Floor::parse(changed.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
        let long = format!("{good}#{}", "x".repeat(limits::FLOOR));
        assert!(Floor::parse(long.as_bytes()).is_err());
        assert!(Floor::parse(b"\xff").is_err());
    }

    #[test]
    fn floor_check_refuses_lower_epoch_other_image_and_weaker_policy() {
        let floor = Floor::of(&sample(), &declaration(STRICT), 7);
        let check = |rest: &str| floor.check(&sample(), &declaration(rest));
        assert_eq!(check(STRICT), Ok(()));
        // Stricter than it must be.
        assert_eq!(check(&STRICT.replace("quarantine", "halt")), Ok(()));
        assert_eq!(check(&STRICT.replace("packages = \"allow\"\n", "")), Ok(()));
        assert_eq!(
            check(&STRICT.replace("{ allow = [\"sshd\"] }", "\"deny\"")),
            Ok(())
        );
        let newer = {
            let mut statement = sample();
            statement.image.epoch = 4;
            floor.check(&statement, &declaration(STRICT))
        };
        assert_eq!(newer, Ok(()));

        let mut other = sample();
        other.image.epoch = 2;
        let below = floor.check(&other, &declaration(STRICT)).unwrap_err();
        assert_eq!(below, BelowFloor::Epoch { floor: 3, found: 2 });
        other.image.name = "db".parse().unwrap();
        let below = floor.check(&other, &declaration(STRICT)).unwrap_err();
        assert!(matches!(below, BelowFloor::Image { .. }), "{below}");
        let below = check(&STRICT.replace("quarantine", "report")).unwrap_err();
        assert!(
            below
                .to_string()
                .contains("'report' is weaker than 'quarantine'"),
            "{below}"
        );
        for (from, to, name) in [
            (
                "{ allow = [\"sshd\"] }",
                "\"allow\"",
                LockName::RemoteAccess,
            ),
            (
                "[\"sshd\"]",
                "[\"sshd\", \"getty\"]",
                LockName::RemoteAccess,
            ),
            ("packages = \"allow\"", "imds = \"allow\"", LockName::Imds),
        ] {
            let weaker = STRICT.replace(from, to);
            assert_eq!(check(&weaker), Err(BelowFloor::Lock(name)), "{to}");
        }
    }
}
