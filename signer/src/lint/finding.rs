//! Findings of lint, and how bad they are.

use std::fmt;

use earmark_manifest::path::ImagePath;
use serde::Serialize;

use super::table::Rule;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `seal` and `measure` refuse it: the image would be a pet, or would leak a secret.
    Error,
    /// It is said, and nothing else.
    Warn,
}

/// Repair that `--fix` makes for a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Removes these, directories with all that is in them.
    Remove(Vec<ImagePath>),
    /// Leaves the file, with its owner and mode, and nothing in it.
    Empty(ImagePath),
    /// Makes these, unless something else is in their place.
    Write(Vec<NewFile>),
}

/// A file that the image lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its place.
    pub path: ImagePath,
    /// Its content.
    pub text: String,
    /// Its permission bits; a directory that is made for it is no wider.
    pub mode: u16,
}

impl NewFile {
    /// With this content and these permission bits.
    pub fn new(path: &ImagePath, text: String, mode: u16) -> Self {
        Self {
            path: path.clone(),
            text,
            mode,
        }
    }
}

/// A finding, before its rule's name is put to it.
#[derive(Debug)]
pub struct Draft {
    /// Path of the object.
    pub path: ImagePath,
    /// Description of what was found, safe to show.
    pub found: String,
    /// True, if this one is only warned of, whatever the rule's level is.
    pub warns: bool,
    /// Repair that `--fix` makes, if any.
    pub repair: Option<Repair>,
}

/// One finding.
#[derive(Debug)]
pub struct Finding {
    /// By which rule.
    pub rule: &'static Rule,
    /// The rule's level, or a lower one.
    pub level: Level,
    /// Path of the object.
    pub path: ImagePath,
    /// Description of what was found, safe to show.
    pub found: String,
    /// Repair that `--fix` makes, if any.
    pub repair: Option<Repair>,
}

impl Level {
    /// As text has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Draft {
    /// With nothing that `--fix` would do.
    pub fn new(path: &ImagePath, found: impl Into<String>) -> Self {
        Self {
            path: path.clone(),
            found: found.into(),
            warns: false,
            repair: None,
        }
    }

    /// `--fix` removes what is at the path.
    pub fn removed(mut self) -> Self {
        self.repair = Some(Repair::Remove(vec![self.path.clone()]));
        self
    }

    /// `--fix` removes these, which lie beneath the path.
    pub fn removing(mut self, paths: Vec<ImagePath>) -> Self {
        self.repair = Some(Repair::Remove(paths));
        self
    }

    /// `--fix` empties the file at the path.
    pub fn emptied(mut self) -> Self {
        self.repair = Some(Repair::Empty(self.path.clone()));
        self
    }

    /// `--fix` makes these files.
    pub fn written(mut self, files: Vec<NewFile>) -> Self {
        self.repair = Some(Repair::Write(files));
        self
    }

    /// Warned of, if `so`.
    pub fn warns_if(mut self, so: bool) -> Self {
        self.warns = so;
        self
    }

    /// Not repaired, if `so`.
    pub fn kept_if(mut self, so: bool) -> Self {
        if so {
            self.repair = None;
        }
        self
    }

    /// As a finding of `rule`.
    pub fn of(self, rule: &'static Rule) -> Finding {
        Finding {
            rule,
            level: if self.warns { Level::Warn } else { rule.level },
            path: self.path,
            found: self.found,
            repair: self.repair,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, rule, path) = (self.level, self.rule.id, &self.path);
        write!(f, "{level} {rule} {path}: {}", self.found)
    }
}
