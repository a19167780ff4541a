//! `[lockdown]`: which ways of changing a running host are shut.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};

use super::text::AbsolutePath;
use crate::path::ImagePath;

/// One lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// Left open.
    Allow,
    /// Shut, but for these.
    Deny {
        /// Exceptions, which stay open; what the words name differs from lock to lock.
        except: Vec<String>,
    },
}

impl Default for Lock {
    fn default() -> Self {
        Self::Deny { except: Vec::new() }
    }
}

/// The locks by name. What is not declared is shut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lockdown {
    remote_access: Option<Exceptions<Allowed>>,
    packages: Plain,
    filesystems: Exceptions<Writable>,
    kernel: Exceptions<Modules>,
    cloud_init: Plain,
    schedules: Plain,
    accounts: Plain,
    imds: Plain,
}

/// The name of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockName {
    /// Password logins and authorized keys.
    Accounts,
    /// Scripts that cloud-init would run.
    CloudInit,
    /// Writing to sealed directories, running from writable ones.
    Filesystems,
    /// The instance metadata service, for others than root.
    Imds,
    /// Modules, kexec, tracing of processes.
    Kernel,
    /// Package managers.
    Packages,
    /// sshd, EC2 Instance Connect, the SSM agent, gettys.
    RemoteAccess,
    /// cron, at, user timers.
    Schedules,
}

impl Lockdown {
    /// All locks in the order in which they are declared and shown.
    pub fn locks(&self) -> [(LockName, Lock); 8] {
        [
            (
                LockName::RemoteAccess,
                self.remote_access
                    .as_ref()
                    .map_or_else(Lock::default, Exceptions::lock),
            ),
            (LockName::Packages, self.packages.lock()),
            (LockName::Filesystems, self.filesystems.lock()),
            (LockName::Kernel, self.kernel.lock()),
            (LockName::CloudInit, self.cloud_init.lock()),
            (LockName::Schedules, self.schedules.lock()),
            (LockName::Accounts, self.accounts.lock()),
            (LockName::Imds, self.imds.lock()),
        ]
    }
}

impl Lockdown {
    /// The locks that are shut, and the exceptions of each.
    pub fn shut_locks(&self) -> BTreeMap<LockName, Vec<String>> {
        let shut = self.locks().into_iter();
        let shut = shut.filter_map(|(name, lock)| match lock {
            Lock::Allow => None,
            Lock::Deny { except } => Some((name, except)),
        });
        shut.collect()
    }

    /// Returns whether the declaration says anything of `remote_access`. Without a word, nobody logs in.
    pub fn declares_remote_access(&self) -> bool {
        self.remote_access.is_some()
    }

    /// Shuts a lock, without exceptions.
    pub(crate) fn shut(&mut self, name: LockName) {
        match name {
            LockName::Accounts => self.accounts = Plain::Deny,
            LockName::CloudInit => self.cloud_init = Plain::Deny,
            LockName::Filesystems => self.filesystems = Exceptions::default(),
            LockName::Imds => self.imds = Plain::Deny,
            LockName::Kernel => self.kernel = Exceptions::default(),
            LockName::Packages => self.packages = Plain::Deny,
            LockName::RemoteAccess => self.remote_access = Some(Exceptions::default()),
            LockName::Schedules => self.schedules = Plain::Deny,
        }
    }
}

impl LockName {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 8] = [
        Self::Accounts,
        Self::CloudInit,
        Self::Filesystems,
        Self::Imds,
        Self::Kernel,
        Self::Packages,
        Self::RemoteAccess,
        Self::Schedules,
    ];

    /// As the declaration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::CloudInit => "cloud_init",
            Self::Filesystems => "filesystems",
            Self::Imds => "imds",
            Self::Kernel => "kernel",
            Self::Packages => "packages",
            Self::RemoteAccess => "remote_access",
            Self::Schedules => "schedules",
        }
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `"deny"` or `"allow"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Plain {
    Allow,
    #[default]
    Deny,
}

impl Plain {
    fn lock(self) -> Lock {
        match self {
            Self::Allow => Lock::Allow,
            Self::Deny => Lock::default(),
        }
    }
}

/// `"deny"`, `"allow"`, or a table of exceptions to `"deny"`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exceptions<T> {
    Plain(Plain),
    Deny(T),
}

impl<T> Default for Exceptions<T> {
    fn default() -> Self {
        Self::Plain(Plain::Deny)
    }
}

impl<T: AsExceptions> Exceptions<T> {
    fn lock(&self) -> Lock {
        match self {
            Self::Plain(plain) => plain.lock(),
            Self::Deny(table) => Lock::Deny {
                except: table.except(),
            },
        }
    }
}

impl<'de, T: Deserialize<'de> + AsExceptions> Deserialize<'de> for Exceptions<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand: for a mistyped exception, serde's `untagged` only says that no variant matched.
        struct Visitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de> + AsExceptions> de::Visitor<'de> for Visitor<T> {
            type Value = Exceptions<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "\"deny\", \"allow\", or exceptions such as {}",
                    T::EXAMPLE
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "allow" => Ok(Exceptions::Plain(Plain::Allow)),
                    "deny" => Ok(Exceptions::Plain(Plain::Deny)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Exceptions::Deny)
            }
        }

        deserializer.deserialize_any(Visitor(std::marker::PhantomData))
    }
}

trait AsExceptions {
    const EXAMPLE: &'static str;
    fn except(&self) -> Vec<String>;
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    allow: Vec<RemoteService>,
}

/// A way in that may stay open by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RemoteService {
    AmazonSsmAgent,
    Ec2InstanceConnect,
    Getty,
    Sshd,
}

impl AsExceptions for Allowed {
    const EXAMPLE: &'static str = "{ allow = [\"amazon-ssm-agent\"] }";

    fn except(&self) -> Vec<String> {
        let name = |service: &RemoteService| match service {
            RemoteService::AmazonSsmAgent => "amazon-ssm-agent",
            RemoteService::Ec2InstanceConnect => "ec2-instance-connect",
            RemoteService::Getty => "getty",
            RemoteService::Sshd => "sshd",
        };
        self.allow
            .iter()
            .map(|service| name(service).to_owned())
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Writable {
    writable: Vec<AbsolutePath>,
}

impl AsExceptions for Writable {
    const EXAMPLE: &'static str = "{ writable = [\"/srv/data\"] }";

    fn except(&self) -> Vec<String> {
        self.writable
            .iter()
            .map(|path| ImagePath::to_string(&path.0))
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Modules {
    modules: Vec<ModuleName>,
}

/// The name of a kernel module.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct ModuleName(String);

impl TryFrom<String> for ModuleName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // `MODULE_NAME_LEN` is 56 on 64-bit kernels, with the NUL.
        let good = (1..=55).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if good {
            Ok(Self(text))
        } else {
            Err("expected the name of a kernel module, such as \"nf_tables\"".to_owned())
        }
    }
}

impl AsExceptions for Modules {
    const EXAMPLE: &'static str = "{ modules = [\"nf_tables\"] }";

    fn except(&self) -> Vec<String> {
        self.modules.iter().map(|module| module.0.clone()).collect()
    }
}
