//! An image as a release has it: a root, the agent's package, a workload; sealed, and made a disk.

use std::{
    ffi::OsStr,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::units::{GATED, UNITS};
use crate::{NO_LOCKS, run, run_with, vm};

/// The command line of the machines here, with what some tests add.
pub const LINE: &str = "console=ttyS0 quiet loglevel=1 panic=-1 oops=panic mitigations=off nokaslr \
    audit=0 root=/dev/vda ?ro ?rw ?net.ifnames=0 ?systemd.show_status=1 ?systemd.log_target=console \
    ?systemd.journald.forward_to_console=1";
/// The same time in each image, so that baking twice gives the same bytes.
const SOURCE_DATE_EPOCH: (&str, &str) = ("SOURCE_DATE_EPOCH", "1735689600");
/// The file of an image that is locked by those who use it.
const USED: &str = "used";
/// Room for a journal and whatever else a host writes.
const MIB: u64 = 960;

/// How an image is declared and signed. Each makes a disk of its own.
#[derive(Debug, Clone, Copy)]
pub struct Sealing {
    /// What its files are called here.
    pub name: &'static str,
    /// The image's name.
    pub image: &'static str,
    /// The image's version.
    pub version: &'static str,
    /// `verify.gate`
    pub gate: &'static str,
    /// `verify.on_failure`
    pub on_failure: &'static str,
    /// Which key signs: `release`, which images trust, or another.
    pub key: &'static str,
    /// `image.platform`
    pub platform: &'static str,
    /// `tree.profile`
    pub profile: &'static str,
    /// Whether `earmark lint --fix` sees the root with its declaration first.
    pub is_linted: bool,
    /// `boot.cmdline`; nothing is signed if it is empty.
    pub cmdline: &'static str,
    /// How the declaration goes on.
    pub rest: &'static str,
    /// Files that the image has besides: path, text and mode.
    pub files: &'static [(&'static str, &'static str, u32)],
    /// Files that it does not have.
    pub without: &'static [&'static str],
    /// True if `boot.initrd` is `earmark-init`, and `/boot` has the initrd that is built for it.
    pub initrd: bool,
}

/// What everything is made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// A Debian root with a kernel, as `cargo xtask roots boot` makes it.
    pub root: PathBuf,
    /// Where the `.deb` of the agent lies.
    pub packages: PathBuf,
    /// Where the programs lie.
    pub programs: PathBuf,
    /// Where images are kept from one run to the next.
    pub cache: PathBuf,
}

/// An image that is baked, and sealed as often as it is asked for.
#[derive(Debug)]
pub struct Image {
    inputs: Inputs,
    directory: PathBuf,
    /// Locked, so that a run with other inputs does not take it away meanwhile.
    used: Option<fs::File>,
}

/// Goes on, and says so.
pub const REPORT: Sealing = Sealing::of("report");
/// Isolates the host.
pub const QUARANTINE: Sealing = Sealing::of("quarantine");
/// Switches it off.
pub const HALT: Sealing = Sealing::of("halt");
/// Another image, by the same keys.
pub const OTHER: Sealing = Sealing {
    name: "other",
    image: "other",
    ..QUARANTINE
};
/// The same image, by a key that it does not trust.
pub const FORGED: Sealing = Sealing {
    name: "forged",
    key: "forger",
    ..QUARANTINE
};

impl Sealing {
    /// The declared policy, with the default gate.
    const fn of(on_failure: &'static str) -> Self {
        Self {
            name: on_failure,
            image: "host",
            version: "1.0.0",
            gate: "critical",
            on_failure,
            key: "release",
            platform: "file",
            profile: "debian-12",
            is_linted: false,
            cmdline: LINE,
            rest: "",
            files: &[],
            without: &[],
            initrd: false,
        }
    }

    fn declaration(&self) -> String {
        // A lock that is not declared is denied.
        let locks = if self.rest.contains("[lockdown]") {
            ""
        } else {
            NO_LOCKS
        };
        format!(
            r#"[image]
name = "{}"
epoch = 2
platform = "{}"

[tree]
profile = "{}"
state = ["/srv/data", "/srv/volume", "/var/lib/ordinary"]

[boot]
cmdline = "{}"
{}
[verify]
gate = "{}"
on_failure = "{}"
{}{locks}"#,
            self.image,
            self.platform,
            self.profile,
            self.cmdline,
            if self.initrd {
                "initrd = \"earmark-init\"\n"
            } else {
                ""
            },
            self.gate,
            self.on_failure,
            self.rest
        )
    }

    /// What its files are called here: another name for another content.
    fn file(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (self.declaration(), self.version, self.files, self.without).hash(&mut hasher);
        format!("{}-{:08x}", self.name, hasher.finish() >> 32)
    }
}

impl Inputs {
    /// As `cargo xtask test` hands them to tests.
    pub fn from_environment() -> Self {
        Self::of_root("EARMARK_ROOT_BOOT", "images")
    }

    /// The same, of the root that a variable names, and with a cache of its own.
    pub fn of_root(variable: &str, cache: &str) -> Self {
        let path = |name: &str| {
            let path = std::env::var_os(name);
            PathBuf::from(path.unwrap_or_else(|| panic!("{name}: run `cargo xtask test`")))
        };
        Self {
            root: path(variable),
            packages: path("EARMARK_PACKAGES"),
            programs: path("EARMARK_BIN_DIR"),
            cache: Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../target/earmark")
                .join(cache),
        }
    }

    /// Differs when anything differs that an image is made from.
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (
            include_str!("image.rs"),
            include_str!("units.rs"),
            &self.root,
        )
            .hash(&mut hasher);
        for file in [self.agent_package(), self.programs.join("earmark")] {
            fs::read(&file)
                .unwrap_or_else(|error| panic!("'{}': {error}", file.display()))
                .hash(&mut hasher);
        }
        hasher.finish()
    }

    fn agent_package(&self) -> PathBuf {
        let packages = fs::read_dir(&self.packages)
            .unwrap_or_else(|error| panic!("'{}': {error}", self.packages.display()));
        let of_agent = |path: &PathBuf| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            name.starts_with("earmark-agent_") && path.extension() == Some(OsStr::new("deb"))
        };
        let mut found: Vec<PathBuf> = packages
            .map(|entry| entry.expect("an entry").path())
            .filter(of_agent)
            .collect();
        assert_eq!(found.len(), 1, "packages of the agent: {found:?}");
        found.remove(0)
    }
}

impl Image {
    /// Bakes the image, unless there is one of the same inputs.
    pub fn new(inputs: Inputs) -> Self {
        let directory = inputs.cache.join(format!("{:016x}", inputs.key()));
        let mut image = Self {
            inputs,
            directory,
            used: None,
        };
        let _lock = image.lock();
        if !image.directory.exists() {
            image.remove_others();
            image.bake();
        }
        let used = fs::File::create(image.directory.join(USED)).expect("a lock");
        used.lock_shared().expect("a lock");
        image.used = Some(used);
        image
    }

    /// The kernel that boots it, its own.
    pub fn kernel(&self) -> PathBuf {
        vm::kernel(&self.plain())
    }

    /// Its root, with everything but Earmark.
    pub fn root(&self) -> PathBuf {
        self.plain()
    }

    /// Where what the machines said is kept.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// The disk of the image as it would be without Earmark.
    pub fn plain_disk(&self) -> PathBuf {
        let _lock = self.lock();
        let disk = self.directory.join("plain.disk");
        if !disk.exists() {
            make_disk(&self.plain(), &disk);
        }
        disk
    }

    /// The disk of the image that is sealed so.
    pub fn disk(&self, sealing: &Sealing) -> PathBuf {
        let _lock = self.lock();
        let disk = self.directory.join(format!("{}.disk", sealing.file()));
        if !disk.exists() {
            let root = self.seal(sealing);
            make_disk(&root, &disk);
            fs::remove_dir_all(root).expect("the root away");
        }
        disk
    }

    /// `/usr/lib/earmark` of the image that is sealed so: its seal, and what it trusts.
    pub fn earmark(&self, sealing: &Sealing) -> PathBuf {
        let _lock = self.lock();
        let copy = self.directory.join(format!("{}.earmark", sealing.file()));
        if !copy.exists() {
            let root = self.seal(sealing);
            copy_tree(&root.join("usr/lib/earmark"), &copy);
            fs::remove_dir_all(root).expect("the root away");
        }
        copy
    }

    /// Images of other inputs, unless somebody boots them right now.
    fn remove_others(&self) {
        for entry in fs::read_dir(&self.inputs.cache).expect("a directory") {
            let path = entry.expect("an entry").path();
            let used = fs::File::open(path.join(USED));
            if path.is_dir() && used.is_ok_and(|used| used.try_lock().is_ok()) {
                fs::remove_dir_all(path).expect("an old image away");
            }
        }
    }

    fn bake(&self) {
        let partial = self.inputs.cache.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).expect("an image that was interrupted away");
        }
        fs::create_dir_all(partial.join("logs")).expect("a directory");
        let (plain, baked) = (partial.join("plain"), partial.join("baked"));
        copy_tree(&self.inputs.root, &plain);
        for directory in ["srv/data", "srv/volume"] {
            fs::create_dir_all(plain.join(directory)).expect("a directory");
        }
        for (name, text, wants) in UNITS {
            let unit = Path::new("/usr/lib/systemd/system").join(name);
            fs::write(plain.join(unit.strip_prefix("/").unwrap()), text).expect("a unit");
            let wants = plain.join("etc/systemd/system").join(wants);
            fs::create_dir_all(&wants).expect("a directory");
            symlink(unit, wants.join(name)).expect("a link");
        }
        copy_tree(&plain, &baked);
        let gate = baked.join("usr/lib/systemd/system/workload.service.d");
        fs::create_dir(&gate).expect("a directory");
        fs::write(gate.join("earmark.conf"), GATED).expect("a drop-in");
        // As a bake installs it: by the image's own package manager.
        let package = baked.join("tmp/earmark-agent.deb");
        copy_tree(&self.inputs.agent_package(), &package);
        let install = ["dpkg", "--install", "/tmp/earmark-agent.deb"];
        let words = [baked.as_os_str()]
            .into_iter()
            .chain(install.iter().map(OsStr::new));
        run_with("chroot", words, None, &[SOURCE_DATE_EPOCH]).must(0);
        fs::remove_file(package).expect("the package away");
        // The log of the package manager, for one.
        self.earmark_program(&["lint", "--fix"], &[("--root", &baked)]);
        fs::rename(partial, &self.directory).expect("the image");
    }

    /// The root that is sealed so. It stays.
    pub fn sealed_root(&self, sealing: &Sealing) -> PathBuf {
        let _lock = self.lock();
        self.seal(sealing)
    }

    /// A copy of the root, sealed so.
    fn seal(&self, sealing: &Sealing) -> PathBuf {
        let at = |name: &str, extension: &str| self.directory.join(format!("{name}.{extension}"));
        let (key, trust) = (at(sealing.key, "key"), at(sealing.key, "trust"));
        if !trust.exists() {
            let (public, grant) = (at(sealing.key, "pub"), self.grant_key(sealing));
            let mut granted = grant.with_extension("pub").into_os_string();
            granted.push(":grant,channel");
            self.earmark_program(&["keygen"], &[("--out", &key)]);
            self.earmark_program(&["keygen"], &[("--out", &grant)]);
            self.earmark_program(
                &["trust"],
                &[
                    ("--key", &public),
                    ("--key", Path::new(&granted)),
                    ("--out", &trust),
                ],
            );
        }
        let declaration = at(&sealing.file(), "toml");
        fs::write(&declaration, sealing.declaration()).expect("a declaration");
        let root = at(&sealing.file(), "root");
        if root.exists() {
            fs::remove_dir_all(&root).expect("a root that was interrupted away");
        }
        copy_tree(&self.baked(), &root);
        for path in sealing.without {
            fs::remove_file(root.join(path)).expect("a file away");
        }
        for (path, text, mode) in sealing.files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).expect("a directory");
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("a mode");
        }
        if sealing.is_linted {
            let paths = [("--root", &*root), ("--spec", &declaration)];
            self.earmark_program(&["lint", "--fix"], &paths);
        }
        if sealing.initrd {
            self.build_initrd(&declaration, &trust, &self.initrd_in(&root));
        }
        self.earmark_program(
            &["seal", "--version", sealing.version],
            &[
                ("--root", &root),
                ("--spec", &declaration),
                ("--key", &key),
                ("--trust", &trust),
            ],
        );
        root
    }

    /// Builds the initrd that judges what is declared so.
    pub fn build_initrd(&self, declaration: &Path, trust: &Path, out: &Path) {
        let package = self.inputs.agent_package();
        let modules = vm::modules(&self.plain(), &["virtio_pci", "virtio_blk", "ext4"]);
        let mut paths = vec![
            ("--agent", &*package),
            ("--trust", trust),
            ("--spec", declaration),
            ("--out", out),
        ];
        paths.extend(modules.iter().map(|module| ("--module", &**module)));
        self.earmark_program(&["initrd", "build"], &paths);
    }

    /// Declaration, trust file and initrd of the image that is sealed so.
    pub fn anchor(&self, sealing: &Sealing) -> (PathBuf, PathBuf, PathBuf) {
        self.disk(sealing);
        let _lock = self.lock();
        let at = |name: &str, extension: &str| self.directory.join(format!("{name}.{extension}"));
        let declaration = at(&sealing.file(), "toml");
        let (trust, initrd) = (at(sealing.key, "trust"), at(&sealing.file(), "initrd"));
        if !initrd.exists() {
            self.build_initrd(&declaration, &trust, &initrd);
        }
        (declaration, trust, initrd)
    }

    /// Place of the initrd in a root of this image.
    fn initrd_in(&self, root: &Path) -> PathBuf {
        let kernel = self.kernel();
        let kernel = kernel
            .file_name()
            .and_then(OsStr::to_str)
            .expect("a kernel");
        root.join("boot")
            .join(kernel.replace("vmlinuz", "initrd.img"))
    }

    /// The key for grants and channels of what is sealed so.
    pub fn grant_key(&self, sealing: &Sealing) -> PathBuf {
        self.directory.join(format!("{}-grants.key", sealing.key))
    }

    fn earmark_program(&self, words: &[&str], paths: &[(&str, &Path)]) {
        let words = words.iter().map(OsStr::new);
        let paths = paths
            .iter()
            .flat_map(|(option, path)| [OsStr::new(option), path.as_os_str()]);
        let program = self.inputs.programs.join("earmark");
        run_with(program, words.chain(paths), None, &[SOURCE_DATE_EPOCH]).must(0);
    }

    fn plain(&self) -> PathBuf {
        self.directory.join("plain")
    }

    /// Its root with everything, before it is sealed.
    pub fn baked(&self) -> PathBuf {
        self.directory.join("baked")
    }

    /// One at a time: tests of several programs share the images.
    fn lock(&self) -> fs::File {
        fs::create_dir_all(&self.inputs.cache).expect("a directory");
        let lock = fs::File::create(self.inputs.cache.join("lock")).expect("a lock");
        lock.lock().expect("a lock");
        lock
    }
}

fn copy_tree(from: &Path, to: &Path) {
    run(
        "cp",
        ["-a".as_ref(), from.as_os_str(), to.as_os_str()],
        None,
    )
    .must(0);
}

/// A disk with the content of `root`.
pub fn make_disk(root: &Path, to: &Path) {
    let partial = to.with_extension("partial");
    vm::disk(root, &partial, MIB);
    fs::rename(partial, to).expect("a disk");
}
