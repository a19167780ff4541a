//! Break-glass grants: a signed permission to open locks on one instance, for a time.
//!
//! Protects against a grant that nobody with the purpose `grant` signed, that is for another instance
//! or image, or that would last for longer than a day. Whether its time has come, and whether it was
//! used before, only a host can say: this crate asks no clock.

mod payload;
mod text;

use std::collections::BTreeSet;

use crate::{
    declaration::LockName,
    digest::ManifestDigest,
    envelope::{Envelope, EnvelopeError, KeyId},
    json::JsonError,
    limits,
    name::{ImageName, Reason},
    trust::{Purpose, Trust},
    verify,
};

/// The `predicateType` of a grant.
pub const PREDICATE_TYPE: &str = "urn:earmark:grant:v1";

/// A lock that can be opened on a running host.
///
/// Two cannot. What `kernel` shuts, the kernel keeps shut until the next boot; what `cloud_init` shuts
/// are switches that are sealed with the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantedLock {
    /// Authorized keys.
    Accounts,
    /// Writing to sealed directories.
    Filesystems,
    /// The instance metadata service, for others than root.
    Imds,
    /// Programs that install and upgrade software.
    Packages,
    /// sshd, EC2 Instance Connect, the SSM agent, gettys.
    RemoteAccess,
    /// cron, at, user timers.
    Schedules,
}

/// Reason why a lock cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UngrantableLock {
    /// It is none of the locks.
    #[error("lock '{0}' cannot be granted: expected {expected}", expected = text::LOCKS)]
    Unknown(String),
    /// The kernel does not open it again.
    #[error("'kernel' cannot be granted: the running kernel keeps this lock until the next boot")]
    Kernel,
    /// The image would have to be another one.
    #[error("'cloud_init' cannot be granted: its switches are sealed with the image")]
    CloudInit,
}

/// The id of a grant: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId([u8; 16]);

/// An instance, as its host knows itself: `i-0123456789abcdef0`, or the firmware's UUID, or a machine
/// id. One spelling each, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceName(String);

/// Text that is not what its field holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' is not {expected}")]
pub struct GrantTextError {
    found: String,
    expected: &'static str,
}

/// Signed content of a grant: the locks of one host that are opened, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Id of the grant: a host accepts each id once.
    pub id: GrantId,
    /// The one host that it is for.
    pub instance: InstanceName,
    /// The image that host must run.
    pub image: ImageName,
    /// The exact version that it must run, if not any.
    pub manifest: Option<ManifestDigest>,
    /// Locks that are opened. Never empty.
    pub locks: BTreeSet<GrantedLock>,
    /// From when to when.
    pub time: GrantTime,
    /// Reason for the grant, for readers of the taint later.
    pub reason: Option<Reason>,
}

/// Validity period of a grant, in seconds since 1970: at most a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantTime {
    issued: u64,
    expires: u64,
}

/// A time that no grant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a grant lasts from 1 second to {} hours", limits::GRANT_SECONDS / 3_600)]
pub struct GrantTimeError;

/// A grant that enough trusted keys signed. It says nothing yet of this host or this hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedGrant {
    grant: Grant,
    signers: Vec<KeyId>,
}

/// Reason for which a grant is refused. Each of these is a decision, never a doubt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantRefusal {
    /// See [`EnvelopeError`].
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    /// Too few distinct trusted keys with the purpose `grant` signed.
    #[error("{signed} of {threshold} needed signatures by trusted keys with the purpose 'grant'")]
    Signatures {
        /// Distinct keys that did.
        signed: usize,
        /// Distinct keys that must sign.
        threshold: usize,
    },
    /// Signed, but not a grant that this version reads.
    #[error("payload: {0}")]
    Statement(#[from] JsonError),
    /// A good grant, for an image that this trust file is not for.
    #[error("it is for the image '{found}', and the trust file for '{expected}'")]
    Image {
        /// From the trust file.
        expected: ImageName,
        /// From the grant.
        found: ImageName,
    },
}

/// Verifies a grant's envelope against a trust file: the signatures first, over the bytes; then those
/// same bytes are parsed.
///
/// # Errors
///
/// [`GrantRefusal`] for a grant that is too long or not DSSE, has fewer signatures than the trust file's threshold,
/// does not parse, or is for another image than the trust file's.
pub fn verify_grant(envelope: &[u8], trust: &Trust) -> Result<VerifiedGrant, GrantRefusal> {
    let envelope = Envelope::parse(envelope)?;
    let signers = verify::signers(&envelope, trust, Purpose::Grant).map_err(|few| {
        GrantRefusal::Signatures {
            signed: few.signed,
            threshold: few.threshold,
        }
    })?;
    let grant = Grant::parse(envelope.unverified_payload())?;
    match trust.image() {
        // A trust file need not name an image: the host compares the grant with its own seal as well.
        Some(expected) if *expected != grant.image => Err(GrantRefusal::Image {
            expected: expected.clone(),
            found: grant.image,
        }),
        _ => Ok(VerifiedGrant { grant, signers }),
    }
}

impl VerifiedGrant {
    /// Returns the signed content.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The trusted keys that signed.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }
}

impl GrantTime {
    /// From `issued` to `expires`.
    ///
    /// # Errors
    ///
    /// Unless it lasts from 1 second to [`limits::GRANT_SECONDS`].
    pub fn new(issued: u64, expires: u64) -> Result<Self, GrantTimeError> {
        match expires.checked_sub(issued) {
            Some(1..=limits::GRANT_SECONDS) => Ok(Self { issued, expires }),
            _ => Err(GrantTimeError),
        }
    }

    /// Returns the time at which the grant was issued, in seconds since 1970.
    pub const fn issued(self) -> u64 {
        self.issued
    }

    /// Returns the time at which the grant expires, in seconds since 1970.
    pub const fn expires(self) -> u64 {
        self.expires
    }
}

impl GrantedLock {
    /// All of them, in the order in which a grant names them.
    pub const ALL: [Self; 6] = [
        Self::Accounts,
        Self::Filesystems,
        Self::Imds,
        Self::Packages,
        Self::RemoteAccess,
        Self::Schedules,
    ];

    /// Returns the lock of a declaration that this one names.
    pub const fn lock(self) -> LockName {
        match self {
            Self::Accounts => LockName::Accounts,
            Self::Filesystems => LockName::Filesystems,
            Self::Imds => LockName::Imds,
            Self::Packages => LockName::Packages,
            Self::RemoteAccess => LockName::RemoteAccess,
            Self::Schedules => LockName::Schedules,
        }
    }

    /// As the declaration spells it.
    pub const fn name(self) -> &'static str {
        self.lock().name()
    }
}

#[cfg(test)]
mod tests;
