//! Names of a measured root, and what lies behind them.

use std::fs::File;

use earmark_manifest::{class::PathClass, entry::Node, path::ImagePath};
use earmark_scan::program;

use super::elf::Loaded;
use crate::seal::measured::Measured;

/// Links on the way to a file, as the kernel counts them.
const LINKS: usize = 40;
/// Directories of commands without a path, in systemd's order.
const COMMANDS: [&str; 6] = [
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];
/// Directories that the loader searches by default, beside `/etc/ld.so.conf.d`.
const LIBRARIES: [&str; 5] = ["lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib"];

/// A measured root, and where its programs find what they load.
pub(super) struct Image<'a> {
    measured: &'a Measured<'a>,
    libraries: Vec<Vec<u8>>,
    /// Directories of Python modules that packages bring.
    modules: Vec<String>,
}

impl<'a> Image<'a> {
    pub(super) fn new(measured: &'a Measured<'a>) -> Self {
        let mut image = Self {
            measured,
            libraries: LIBRARIES.map(|place| place.as_bytes().to_vec()).into(),
            modules: Vec::new(),
        };
        for entry in measured.entries() {
            let path = entry.path.as_bytes();
            let Ok(text) = std::str::from_utf8(path) else {
                continue;
            };
            let name = text.rsplit('/').next().unwrap_or_default();
            let is_directory = matches!(entry.node, Node::Directory);
            if is_directory && matches!(name, "dist-packages" | "site-packages") {
                image.modules.push(text.to_owned());
            }
            let is_multiarch =
                text.strip_prefix("usr/lib/") == Some(name) && name.contains("-linux-");
            if is_directory && is_multiarch {
                image.libraries.push(path.to_vec());
            }
            if text.starts_with("etc/ld.so.conf.d/") {
                let places = image.text(&entry.path, 4096).unwrap_or_default();
                let places = places.split(u8::is_ascii_whitespace);
                let places = places.filter_map(|place| place.strip_prefix(b"/"));
                image.libraries.extend(places.map(<[u8]>::to_vec));
            }
        }
        image
    }

    /// Tells whether a path is a sealed regular file, which is compared by content.
    pub(super) fn is_file(&self, path: &ImagePath) -> bool {
        self.measured.get(path.as_bytes()).is_some_and(|entry| {
            entry.class == PathClass::Sealed && matches!(entry.node, Node::Regular(_))
        })
    }

    fn is_directory(&self, path: &str) -> bool {
        let found = self.measured.get(path.as_bytes());
        found.is_some_and(|entry| matches!(entry.node, Node::Directory))
    }

    /// The regular file that an absolute path leads to, by way of links.
    pub(super) fn resolve(&self, path: &[u8]) -> Option<ImagePath> {
        let mut left: Vec<&[u8]> = path.split(|byte| *byte == b'/').rev().collect();
        let mut at: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(name) = left.pop() {
            match name {
                b"" | b"." => continue,
                b".." => {
                    let end = at.iter().rposition(|byte| *byte == b'/');
                    at.truncate(end.unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let parent = at.len();
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend(name);
            let entry = self.measured.get(&at)?;
            if let Node::Symlink(target) = &entry.node {
                links += 1;
                let target = target.as_deref().filter(|_| links <= LINKS)?;
                at.truncate(if target.starts_with(b"/") { 0 } else { parent });
                left.extend(target.split(|byte| *byte == b'/').rev());
            }
        }
        let path = ImagePath::from_relative(&at).ok()?;
        self.is_file(&path).then_some(path)
    }

    /// The program behind a command.
    pub(super) fn command(&self, name: &[u8]) -> Option<ImagePath> {
        COMMANDS.iter().find_map(|place| {
            let path = [place.as_bytes(), name].join(&b'/');
            // Most words are none: no link is followed for those.
            self.measured.get(&path)?;
            self.resolve(&path)
        })
    }

    /// The libraries that the loader takes for a program.
    pub(super) fn libraries(&self, path: &ImagePath, loaded: &Loaded) -> Vec<ImagePath> {
        let origin = path.parent().unwrap_or_default();
        let places = loaded.places.iter().map(|place| {
            let place = String::from_utf8_lossy(place).into_owned();
            let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            let place = place.replace("${ORIGIN}", "$ORIGIN");
            place.replace("$ORIGIN", &origin).into_bytes()
        });
        let places: Vec<Vec<u8>> = places.chain(self.libraries.iter().cloned()).collect();
        let find = |name: &Vec<u8>| {
            if name.contains(&b'/') {
                return self.resolve(name);
            }
            places
                .iter()
                .find_map(|place| self.resolve(&[place.as_slice(), name.as_slice()].join(&b'/')))
        };
        loaded.needed.iter().filter_map(find).collect()
    }

    pub(super) fn open(&self, path: &ImagePath) -> Option<File> {
        self.measured
            .root()
            .open_regular(path)
            .ok()
            .map(|(file, _)| file)
    }

    pub(super) fn start(&self, path: &ImagePath) -> Option<Vec<u8>> {
        self.measured.start(path, program::START).ok()
    }

    pub(super) fn text(&self, path: &ImagePath, bound: usize) -> Option<Vec<u8>> {
        self.measured.start(path, u64::try_from(bound).ok()?).ok()
    }

    /// The pattern of a module that a package brings, and its Python files.
    pub(super) fn python_module(&self, name: &str) -> Vec<(String, Vec<ImagePath>)> {
        let mut found = Vec::new();
        for place in &self.modules {
            let directory = format!("{place}/{name}");
            if self.is_directory(&directory) {
                let start = format!("{directory}/");
                let beneath = self.measured.starting_with(start.as_bytes());
                let files = beneath.map(|entry| &entry.path);
                let files = files.filter(|path| path.as_bytes().ends_with(b".py"));
                let files = files.cloned().collect();
                found.push((format!("{directory}/**"), files));
                continue;
            }
            let file = format!("{directory}.py");
            if let Some(entry) = self.measured.get(file.as_bytes()) {
                found.push((file, vec![entry.path.clone()]));
            }
            // Built modules have the interpreter's version in their names.
            let start = format!("{directory}.");
            let mut built = self.measured.starting_with(start.as_bytes());
            if built.next().is_some() {
                found.push((format!("{directory}.*"), Vec::new()));
            }
        }
        found
    }

    /// Patterns of what each Python program reads, whatever it imports.
    pub(super) fn python_library(&self) -> Vec<String> {
        let directories = self.measured.entries().iter().filter_map(|entry| {
            let text = std::str::from_utf8(entry.path.as_bytes()).ok()?;
            text.strip_suffix("/os.py").map(str::to_owned)
        });
        let mut patterns: Vec<String> = directories
            .filter(|path| path.starts_with("usr/") && path.contains("/python3"))
            .filter(|path| !path.contains("-packages"))
            .map(|path| format!("{path}/**"))
            .collect();
        // What introspection tells of libraries, for modules of `gi`.
        patterns.push("usr/lib/*/girepository-1.0/**".to_owned());
        for place in &self.modules {
            for name in [
                "*.pth",
                "*.egg-info",
                "*.egg-info/**",
                "*.dist-info/**",
                "__pycache__/**",
                "_distutils_hack/**",
                // Built modules import each other where no text says so.
                "*.so",
            ] {
                patterns.push(format!("{place}/{name}"));
            }
        }
        patterns
    }

    /// Those of each Perl program.
    pub(super) fn perl_library() -> Vec<String> {
        [
            "usr/share/perl*/**",
            "usr/lib/*/perl*/**",
            "usr/lib64/perl*/**",
            "usr/local/share/perl/**",
        ]
        .map(str::to_owned)
        .into()
    }

    /// The modules that a command's entry point is in, as packages declare it: `NAME = module:function`.
    pub(super) fn entry_points(&self, path: &ImagePath) -> Vec<u8> {
        let name = path.as_bytes().rsplit(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default();
        let mut imports = Vec::new();
        let is_declaration = |path: &ImagePath| path.as_bytes().ends_with(b"/entry_points.txt");
        let entries = self.measured.entries().iter();
        for entry in entries.filter(|entry| is_declaration(&entry.path)) {
            let text = self.text(&entry.path, 1 << 20).unwrap_or_default();
            for line in text.split(|byte| *byte == b'\n') {
                let mut sides = line.splitn(2, |byte| *byte == b'=');
                if sides.next().map(<[u8]>::trim_ascii) == Some(name) {
                    imports.extend(b"import ");
                    imports.extend(sides.next().unwrap_or_default().trim_ascii());
                    imports.push(b'\n');
                }
            }
        }
        imports
    }

    /// Patterns of directories that are a program's own: those that it lies in, and those that are called
    /// as it is.
    pub(super) fn private(&self, path: &ImagePath) -> Vec<String> {
        let Ok(text) = std::str::from_utf8(path.as_bytes()) else {
            return Vec::new();
        };
        let (directory, name) = text.rsplit_once('/').unwrap_or(("", text));
        let mut owned = self.called(name.split('.').next().unwrap_or(name));
        for place in self.holders() {
            let within = directory.strip_prefix(&*place);
            let within = within.and_then(|rest| rest.strip_prefix('/')?.split('/').next());
            owned.extend(within.and_then(|name| self.own(&place, name)));
        }
        owned
    }

    /// Patterns of directories of this name, as services have them for modules and data.
    pub(super) fn called(&self, name: &str) -> Vec<String> {
        let places = self.holders();
        places
            .iter()
            .filter_map(|place| self.own(place, name))
            .collect()
    }

    /// Patterns of the directories of helpers that a command has, if the path is a command's.
    pub(super) fn helpers(&self, path: &ImagePath) -> Vec<String> {
        let text = std::str::from_utf8(path.as_bytes()).unwrap_or_default();
        let (directory, name) = text.rsplit_once('/').unwrap_or_default();
        if !COMMANDS.contains(&directory) {
            return Vec::new();
        }
        let places = self.holders().into_iter();
        // Data of a command that nothing names is not what runs.
        let places = places.filter(|place| !matches!(&**place, "usr/share" | "opt"));
        places.filter_map(|place| self.own(&place, name)).collect()
    }

    fn own(&self, place: &str, name: &str) -> Option<String> {
        /// Not a program's own, whatever the program is called.
        const SHARED: [&str; 10] = [
            "doc", "gcc", "info", "jvm", "locale", "man", "modules", "perl", "python3", "systemd",
        ];
        let directory = format!("{place}/{name}");
        let is_own =
            !SHARED.contains(&name) && !name.starts_with("python3.") && !name.contains("-linux-");
        (is_own && self.is_directory(&directory)).then(|| format!("{directory}/**"))
    }

    /// Directories in which a directory belongs to one program.
    fn holders(&self) -> Vec<String> {
        const HOLDERS: [&str; 5] = [
            "usr/lib64",
            "usr/libexec",
            "usr/local/lib",
            "usr/share",
            "opt",
        ];
        let libraries = self.libraries.iter().filter_map(|place| {
            let place = std::str::from_utf8(place).ok()?;
            place.starts_with("usr/lib").then(|| place.to_owned())
        });
        let mut holders: Vec<String> = HOLDERS.map(str::to_owned).into();
        holders.extend(libraries);
        holders.sort_unstable();
        holders.dedup();
        holders
    }
}
