//! The verification: what the agent does at boot and the signer offline.

mod by_initrd;
mod options;

use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use earmark_manifest::{
    declaration::Gate,
    path::ImagePath,
    tree::TreeError,
    verify::{self, Refusal, VerifiedDeclaration, VerifiedManifest},
};

pub use self::options::{Options, Place};
pub use earmark_manifest::report::Verdict;

use crate::{
    Doubt, Progress, Root, Violation, ViolationKind,
    ahead::ahead,
    architecture, beside,
    check::{Check, Outcome},
    compare::{self, CompareError},
    findings::{Bound, Findings},
    hash::{self, Job, Reader},
    identity,
    rendered::Terms,
    report::Report,
    seal::{self, SealError, Trouble},
    signed::SignedPaths,
    walk::{self, Scope, Visitor},
};

/// Reason why there is no verdict on the tree.
#[derive(Debug)]
pub enum Stop {
    /// The seal is there, and not believed.
    Refused(Refusal),
    /// The seal, the trust file or the root cannot be read.
    Unreadable(String),
    /// The signed tree is not one that this version reads.
    Tree(String),
}

/// A verification that was made, whatever came of it.
#[derive(Debug)]
pub struct Verification {
    pub(crate) manifest: Option<VerifiedDeclaration>,
    pub(crate) gate: Option<Gate>,
    pub(crate) stop: Option<Stop>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) doubts: Vec<Doubt>,
    /// Violations and doubts that were counted and not kept.
    pub(crate) dropped: (u64, u64),
    pub(crate) counts: Counts,
    /// True if the initrd of this boot judged the root.
    pub(crate) by_initrd: bool,
}

/// A verification in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Entries of the tree that were compared.
    pub entries: u64,
    /// Files whose content was compared.
    pub files_read: u64,
    /// Bytes in those.
    pub bytes_read: u64,
    /// Files whose content was left for later.
    pub files_unread: u64,
    /// Files whose content the kernel of this host enforces by fs-verity, so that it was not read.
    #[serde(default)]
    pub files_enforced: u64,
    /// Sealed files that lack the fs-verity which the image declares: they are read as any other.
    #[serde(default)]
    pub files_unenforced: u64,
    /// Files that first-boot steps wrote: their digests are the host's own word and not signed.
    #[serde(default)]
    pub files_on_host_word: u64,
    /// Violations, also those that are not listed.
    pub violations: u64,
    /// Doubts, also those that are not listed.
    pub undecided: u64,
    /// Duration of the verification, in milliseconds.
    pub milliseconds: u64,
}

impl Counts {
    /// Moves files of so many bytes from those that were read to those that the kernel vouches for.
    fn enforced(&mut self, (files, bytes): (u64, u64)) {
        self.files_enforced = files;
        self.files_read = self.files_read.saturating_sub(files);
        self.bytes_read = self.bytes_read.saturating_sub(bytes);
    }
}

/// Verifies a root. There is always an answer: what goes wrong is a part of it.
pub fn verify(root: &Root, options: &Options<'_>) -> Verification {
    let start = Instant::now();
    let mut verification = Verification::begun(options.gate);
    if let Err(stop) = verification.run(root, options) {
        verification.stop = Some(stop);
    }
    // The signature alone says nothing of the root.
    verification.by_initrd =
        options.at == Place::Initrd && verification.gate != Some(Gate::Signature);
    // Also where the comparison stopped: a wrong machine is decided, whatever else is not.
    verification.architecture(root);
    if let Some(covered) = options.covered {
        verification = verification.after_initrd(covered);
    }
    verification.count();
    let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    // Of what the initrd covered, the time stays that which it took.
    verification.counts.milliseconds = verification.counts.milliseconds.max(took);
    verification
}

/// Differences of a root from a manifest that was verified before, to the last byte. The seal that the root
/// itself has now is not read, so that this says nothing of the image that it claims to be.
#[derive(Debug)]
pub struct Changes {
    /// Violations: paths that are not as they were signed, in the order of the paths.
    pub violations: Vec<Violation>,
    /// Paths that could not be looked at.
    pub doubts: Vec<Doubt>,
}

/// Compares a root with the manifest of the image that it was started from.
pub fn changes(
    root: &Root,
    manifest: &VerifiedManifest,
    progress: &dyn Progress,
) -> Result<Changes, Stop> {
    let mut verification = Verification::begun(Some(Gate::Full));
    verification.tree(
        root,
        manifest,
        (Gate::Full, Place::Offline),
        progress,
        Bound::ALL,
    )?;
    verification.count();
    let Verification {
        violations, doubts, ..
    } = verification;
    Ok(Changes { violations, doubts })
}

impl Verification {
    fn begun(gate: Option<Gate>) -> Self {
        Self {
            manifest: None,
            gate,
            stop: None,
            violations: Vec::new(),
            doubts: Vec::new(),
            dropped: (0, 0),
            counts: Counts::default(),
            by_initrd: false,
        }
    }

    /// The same, and what the caller found that does not lie in the root, such as words on the
    /// kernel's command line. It counts like everything else.
    #[must_use]
    pub fn with(mut self, violations: Vec<Violation>, doubts: Vec<Doubt>) -> Self {
        self.violations.extend(violations);
        self.doubts.extend(doubts);
        self.count();
        self
    }

    /// The verdict. A violation outweighs a doubt: it is decided, whatever else is not.
    pub fn verdict(&self) -> Verdict {
        match &self.stop {
            Some(Stop::Refused(_) | Stop::Tree(_)) => Verdict::Violated,
            _ if !self.violations.is_empty() => Verdict::Violated,
            Some(Stop::Unreadable(_)) => Verdict::Undecided,
            // Without a manifest nothing was compared, so that empty lists mean nothing.
            None if !self.doubts.is_empty() || self.manifest.is_none() => Verdict::Undecided,
            None if self.gate == Some(Gate::Signature) || self.counts.files_unread > 0 => {
                Verdict::Partial
            }
            None => Verdict::Verified,
        }
    }

    /// The exit code of a program that verifies: 0, 10 or 11.
    pub fn exit_code(&self) -> u8 {
        match self.verdict() {
            // Partial is 0: the gate says what to leave unread, and nothing was wrong with the rest.
            Verdict::Verified | Verdict::Partial => 0,
            Verdict::Violated => 10,
            Verdict::Undecided => 11,
        }
    }

    /// The verified manifest, if the seal was believed. Nothing is said of the root itself.
    pub fn manifest(&self) -> Option<&VerifiedDeclaration> {
        self.manifest.as_ref()
    }

    /// Everything about it, for people and for machines.
    pub fn report(&self) -> Report {
        Report::of(self)
    }

    fn count(&mut self) {
        let Self {
            violations,
            doubts,
            dropped,
            counts,
            ..
        } = self;
        // Threads tell in no order: two runs over one root must report alike.
        violations.sort_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
        doubts.sort_by(|a, b| a.path.cmp(&b.path));
        let count = |kept: usize, dropped: u64| {
            let kept = u64::try_from(kept).unwrap_or(u64::MAX);
            kept.saturating_add(dropped)
        };
        counts.violations = count(violations.len(), dropped.0);
        counts.undecided = count(doubts.len(), dropped.1);
    }

    fn run(&mut self, root: &Root, options: &Options<'_>) -> Result<(), Stop> {
        let own;
        let trust = if let Some(trust) = options.trust {
            trust
        } else {
            // The root's own keys: who reseals it is believed. A caller from outside names keys, or says `--own-trust`.
            own = seal::read_trust(root).map_err(|error| Stop::Unreadable(error.to_string()))?;
            &own
        };
        let (envelope, declaration) = seal::read_declared(root).map_err(no_seal)?;
        let declared =
            verify::verify_declaration(&envelope, &declaration, trust).map_err(Stop::Refused)?;
        let gate = options.gate.unwrap_or(declared.declaration().verify.gate());
        self.gate = Some(gate);
        // The root's own, whoever's keys are believed: an older seal has good signatures.
        let floor = seal::read_floor(root).map_err(|error| Stop::Unreadable(error.to_string()))?;
        declared.refuse_below(&floor).map_err(Stop::Refused)?;
        if let Some(least) = options.floor {
            declared.refuse_below(least).map_err(Stop::Refused)?;
        }
        let given = (options.trust, options.floor);
        let (violations, doubts) = beside::check(root, &declared, &floor, given);
        self.violations.extend(violations);
        self.doubts.extend(doubts);
        if gate == Gate::Signature {
            // Not walked and still hashed: a signed envelope beside another image's tree is no seal.
            let tree = seal::hash_tree(root).map_err(no_seal)?;
            declared.refuse_other_tree(tree).map_err(Stop::Refused)?;
            self.identity(root, &declared);
            self.manifest = Some(declared);
            return Ok(());
        }
        let (manifest, on_disk) = seal::believe_tree(root, declared).map_err(no_seal)?;
        if let Some(covered) = options.covered.filter(|covered| covered.gate >= gate) {
            let taken = self.take_over(root, &manifest, covered);
            self.manifest = Some(manifest.without_tree());
            return taken;
        }
        let covers = (gate, options.at);
        let compared = self.tree(root, &manifest, covers, options.progress, Bound::REPORTED);
        // Kept even if the comparison failed: the report names the image, and its declared reaction.
        self.manifest = Some(manifest.without_tree());
        // What cannot be read is no fault of the tree's, and one that changed meanwhile is not the signed one.
        compared.map_err(|stop| match on_disk.and_then(|tree| tree.trouble()) {
            None => stop,
            Some(Trouble::Changed) => Stop::Refused(Refusal::TreeDigest),
            Some(Trouble::Unreadable(why)) => {
                Stop::Unreadable(format!("failed to read the signed tree: {why}"))
            }
        })
    }

    /// The manifest's architecture is a word; what the root's first process was compiled for is evidence.
    fn architecture(&mut self, root: &Root) {
        let Some(manifest) = &self.manifest else {
            return;
        };
        let expected = manifest.statement().image.architecture;
        match architecture::read(root) {
            Ok(Some(machine)) if machine.architecture != Ok(expected) => {
                self.violations.push(Violation {
                    path: machine.place(),
                    kind: ViolationKind::Identity,
                    expected: expected.to_string(),
                    found: machine.to_string(),
                });
            }
            // None is no contradiction: an image without a first process is told its architecture.
            Ok(_) => {}
            Err(error) => self
                .doubts
                .push(Doubt::new(&ImagePath::root(), error.what, error)),
        }
    }

    /// Without the walk only this tells that a seal was put on another image's root.
    fn identity(&mut self, root: &Root, manifest: &VerifiedDeclaration) {
        let image = &manifest.statement().image;
        match identity::read(root) {
            Ok(identity) => {
                let claims = [
                    (identity.name, image.name.as_str()),
                    (identity.version, image.version.as_str()),
                ];
                for (found, expected) in claims {
                    // `IMAGE_ID` and `IMAGE_VERSION` are optional in os-release: absent, they contradict nothing.
                    if let Some(found) = found.filter(|found| found != expected) {
                        let path = ImagePath::from_absolute(identity::OS_RELEASE[0].as_bytes())
                            .unwrap_or_default();
                        // At this gate these bytes are unsigned: no control character of theirs may reach a console.
                        let found = earmark_manifest::escape::Escaped(found.as_bytes()).to_string();
                        let kind = ViolationKind::Identity;
                        self.violations.push(Violation {
                            path,
                            kind,
                            expected: expected.to_owned(),
                            found,
                        });
                    }
                }
            }
            Err(error) => self
                .doubts
                .push(Doubt::new(&ImagePath::root(), error.what, error.cause)),
        }
    }

    fn tree(
        &mut self,
        root: &Root,
        manifest: &VerifiedManifest,
        (gate, at): (Gate, Place),
        progress: &dyn Progress,
        bound: Bound,
    ) -> Result<(), Stop> {
        let unusable = |error: &TreeError| {
            // A host that is out of memory is no changed image.
            if error.is_shortage() {
                Stop::Unreadable(format!("failed to read the signed tree: {error}"))
            } else {
                Stop::Tree(error.to_string())
            }
        };
        let mut tree = manifest.tree().map_err(|error| unusable(&error))?;
        let mounts = &manifest.declaration().tree.mounts;
        let rules = tree.rules().clone();
        let entries = tree.summary().entries;
        let reads =
            |path: &ImagePath, class| compare::reads(gate, class, || rules.is_critical(path));
        // Only a directory of more names than can be kept has this read the tree once more.
        let paths = OnceLock::new();
        let signed = |path: &ImagePath| {
            let read = || {
                let tree = manifest.tree();
                tree.and_then(|tree| SignedPaths::of(entries, tree))
            };
            let paths: &Result<SignedPaths, TreeError> = paths.get_or_init(read);
            paths.as_ref().is_ok_and(|paths| paths.contains(path))
        };
        let scope = Scope {
            rules: &rules,
            mounts,
            state: false,
            reads: &reads,
            signed: Some(&signed),
        };
        let findings = Mutex::new(Findings::new(bound));
        let believed = (at.is_before_first_boot(), at.believes_kernel());
        let (terms, doubts) = Terms::read(root, manifest, &rules, believed);
        for doubt in doubts {
            lock(&findings).doubt(doubt);
        }
        let enforced = Mutex::new((0_u64, 0_u64));
        let tell = |outcome| match outcome {
            Outcome::Doubt(doubt) => lock(&findings).doubt(doubt),
            Outcome::Enforced(bytes) => {
                let mut enforced = enforced.lock().unwrap_or_else(PoisonError::into_inner);
                enforced.0 = enforced.0.saturating_add(1);
                enforced.1 = enforced.1.saturating_add(bytes);
            }
            Outcome::Violations(mut found) => lock(&findings).take(&mut found),
        };
        let (compared, _) = hash::for_each(
            root,
            mounts,
            progress,
            hash::BATCH,
            Check::sought,
            |hand_out| {
                ahead(&mut tree, |tree| {
                    let walk = |visitor: &mut dyn Visitor| walk::walk(root, &scope, visitor);
                    compare::compare(entries, tree, walk, &terms, &findings, hand_out)
                })
            },
            |reader: &mut Reader<'_>, queue| {
                hash::digests(reader, queue, &tell);
                Vec::<()>::new()
            },
        );
        let compared = compared.map_err(|error| match error {
            CompareError::Tree(error) => unusable(&error),
            CompareError::Walk(error) => Stop::Unreadable(error.to_string()),
        })?;
        // Without the set, signed names passed for unsigned ones: what was found counts for nothing.
        if let Some(Err(error)) = paths.get() {
            return Err(unusable(error));
        }
        if tree.summary() != manifest.statement().summary {
            let problem = "the size of the tree does not match the manifest";
            return Err(Stop::Tree(problem.to_owned()));
        }
        self.counts.entries = entries;
        self.counts.files_on_host_word = compared.on_host_word;
        self.counts.files_unread = compared.unread;
        self.counts.files_unenforced = compared.unenforced;
        self.counts.files_read = compared.files_read;
        self.counts.bytes_read = compared.bytes_read;
        self.counts.enforced(
            enforced
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let findings = findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        self.take(findings);
        Ok(())
    }

    fn take(&mut self, findings: Findings) {
        let dropped = |all: u64, kept: usize| {
            let kept = u64::try_from(kept).unwrap_or(u64::MAX);
            all.saturating_sub(kept)
        };
        let counts = findings.counts();
        let (violations, doubts) = findings.into_lists();
        self.dropped = (
            dropped(counts.0, violations.len()),
            dropped(counts.1, doubts.len()),
        );
        // Beside what was found before the walk.
        self.violations.extend(violations);
        self.doubts.extend(doubts);
    }
}

fn lock(findings: &Mutex<Findings>) -> MutexGuard<'_, Findings> {
    findings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file of the seal that cannot be one is a seal that does not match; one that cannot be read is a doubt.
fn no_seal(error: SealError) -> Stop {
    match error {
        SealError::Refused(refusal) => Stop::Refused(refusal),
        SealError::Read(_) | SealError::Floor { .. } | SealError::Trust { .. } => {
            Stop::Unreadable(error.to_string())
        }
    }
}
