//! The critical set of an image, as far as it follows from the image itself: programs that its units,
//! udev rules and scripts start, and what these load.
//!
//! Directories that every Linux host reads at boot are in the format crate's list. What is added here
//! lies elsewhere: a unit's program in `/opt`, a library in a directory of its own, the modules of a
//! Python service. Too much is harmless, it is only read earlier; too little is not, since the gate
//! `critical` would let a changed program run before anything has read it.

mod elf;
mod image;
mod python;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use earmark_manifest::{
    class::{PathClass, Pattern, Rule, RuleAttributes, RuleKind},
    entry::{Entry, Node},
    path::ImagePath,
};

use crate::{io::output, seal::measured::Measured};
use image::Image;

/// Rules that are added at most; a tree holds [`earmark_manifest::limits::RULES`] of all kinds.
const RULES: usize = 3_000;
/// Bytes of a script or unit file that are looked at.
const TEXT: usize = 4 << 20;
/// Directories of unit files, udev rules and the like: whatever they name may be started.
const CONFIGURATION: [&str; 12] = [
    "etc/",
    "lib/systemd/",
    "lib/udev/",
    "usr/lib/kernel/",
    "usr/lib/modprobe.d/",
    "usr/lib/systemd/",
    "usr/lib/udev/",
    "usr/lib/sysctl.d/",
    "usr/lib/tmpfiles.d/",
    "usr/local/lib/systemd/",
    "usr/share/dbus-1/",
    "usr/share/initramfs-tools/",
];

/// Derives the rules that follow from a measured root. Those that it was measured with are not repeated.
pub fn derive(measured: &Measured<'_>) -> Vec<Rule> {
    let rules = measured.rules();
    let mut walk = Walk {
        image: Image::new(measured),
        open: Vec::new(),
        seen: BTreeSet::new(),
        trees: BTreeSet::new(),
        python: python::Modules::default(),
    };
    // Programs on the search path are looked at where something names them: not all of them are started
    // at boot, and each that is in Python or Perl would bring all that it imports.
    let starts = |entry: &&Entry| {
        let path = entry.path.as_bytes();
        let named = COMMANDS
            .iter()
            .any(|place| path.starts_with(place.as_bytes()));
        !named && rules.is_critical(&entry.path)
    };
    for entry in measured.entries().iter().filter(starts) {
        if walk.image.is_file(&entry.path) {
            walk.visit(entry.path.clone());
        }
    }
    // Programs run helpers by paths that are nowhere in the image but in them: `dhcpcd`, which `ifup` and cloud-init
    // run, has hooks in `/usr/lib/dhcpcd`. Few have such a directory, so that it counts for each, named or not.
    for entry in measured.entries() {
        walk.trees.extend(walk.image.helpers(&entry.path));
    }
    walk.run();
    let (seen, trees) = (walk.seen, walk.trees);
    let trees: Vec<Pattern> = trees
        .iter()
        .filter_map(|tree| Pattern::parse(format!("/{tree}").as_bytes()).ok())
        .collect();
    let is_covered =
        |path: &ImagePath| rules.is_critical(path) || trees.iter().any(|tree| tree.matches(path));
    let files: Vec<&ImagePath> = seen.iter().filter(|path| !is_covered(path)).collect();
    let patterns = trees.into_iter().chain(compact(&files));
    patterns.map(critical_rule).collect()
}

fn critical_rule(pattern: Pattern) -> Rule {
    Rule {
        kind: RuleKind::Critical,
        pattern,
        attributes: RuleAttributes::default(),
    }
}

/// Bytes of the whole image that are worth reading for each byte of the critical set: five for four.
const CHEAP: (u64, u64) = (5, 4);

/// Makes all of the image critical where reading it costs about as much as reading its critical set: a boot waits little
/// longer, and no changed file is left to be found once the host is ready. For images that declare no gate.
///
/// Measured in bytes, which is what a cold verification waits for: all of a small stock root is 4 to 13 % more than its
/// critical set, all of a large server twice as much.
/// Returns `derived` where it is more.
pub fn whole_where_cheap(measured: &Measured<'_>, derived: Vec<Rule>) -> Vec<Rule> {
    let rules = measured.rules();
    let is_critical = |path: &ImagePath| {
        rules.is_critical(path) || derived.iter().any(|rule| rule.pattern.matches(path))
    };
    let (mut all, mut critical) = (0_u64, 0_u64);
    let mut tops = BTreeSet::new();
    for entry in measured.entries() {
        let (Node::Regular(Some(content)), PathClass::Sealed) = (&entry.node, entry.class) else {
            continue;
        };
        all = all.saturating_add(content.size);
        if is_critical(&entry.path) {
            critical = critical.saturating_add(content.size);
        }
        let path = entry.path.as_bytes();
        tops.insert(match path.iter().position(|byte| *byte == b'/') {
            Some(end) => [b"/", path.get(..end).unwrap_or_default(), b"/**"].concat(),
            None => [b"/", path].concat(),
        });
    }
    if all > critical.saturating_mul(CHEAP.0) / CHEAP.1 {
        return derived;
    }
    // No pattern is for the whole root, and none has such a name as `/a*b`.
    let whole: Result<Vec<Pattern>, _> = tops.iter().map(|top| Pattern::parse(top)).collect();
    let Ok(whole) = whole else { return derived };
    output::note(&format!(
        "[verify] declares no gate, and the critical set has {} of the {} in files: all of them are critical",
        output::size(critical),
        output::size(all)
    ));
    whole.into_iter().map(critical_rule).collect()
}

/// One rule a file, and where that would be too many, one for the directories that have most of them.
fn compact(files: &[&ImagePath]) -> Vec<Pattern> {
    let mut by_directory: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for file in files {
        let text = [b"/".as_slice(), file.as_bytes()].concat();
        let directory = file.parent().unwrap_or_default();
        let names = by_directory.entry(directory.as_bytes().to_vec());
        names.or_default().push(text);
    }
    let mut groups: Vec<(Vec<u8>, Vec<Vec<u8>>)> = by_directory.into_iter().collect();
    groups.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let mut left = files.len();
    for (directory, names) in &mut groups {
        if left <= RULES {
            break;
        }
        left = left - names.len() + 1;
        *names = vec![[b"/".as_slice(), directory, b"/*"].concat()];
    }
    let texts = groups.into_iter().flat_map(|(_, names)| names);
    texts
        .filter_map(|text| Pattern::parse(&text).ok())
        .collect()
}

/// The critical directories that are followed by name alone.
const COMMANDS: [&str; 6] = [
    "bin/",
    "sbin/",
    "usr/bin/",
    "usr/sbin/",
    "usr/lib/modules/",
    "boot/",
];

struct Walk<'a> {
    image: Image<'a>,
    open: Vec<ImagePath>,
    seen: BTreeSet<ImagePath>,
    /// Patterns without their first slash: directories that are taken whole.
    trees: BTreeSet<String>,
    python: python::Modules,
}

impl Walk<'_> {
    fn run(&mut self) {
        loop {
            while let Some(path) = self.open.pop() {
                self.look(&path);
            }
            // Modules are followed once every script is known; each may be a script's, too.
            let Some(module) = self.python.take() else {
                return;
            };
            for (pattern, files) in self.image.python_module(&module) {
                self.trees.insert(pattern);
                for file in files {
                    if let Some(text) = self.image.text(&file, TEXT) {
                        self.python.imported_by(&text);
                    }
                }
            }
        }
    }

    fn visit(&mut self, path: ImagePath) {
        if self.seen.insert(path.clone()) {
            self.open.push(path);
        }
    }

    /// A path as something in the image spells it: links are followed.
    fn visit_named(&mut self, path: &[u8]) {
        if let Some(path) = self.image.resolve(path) {
            self.visit(path);
        }
    }

    fn look(&mut self, path: &ImagePath) {
        let Some(start) = self.image.start(path) else {
            return;
        };
        if start.starts_with(elf::MAGIC) {
            self.look_at_program(path);
        } else if let Some(line) = start.strip_prefix(b"#!") {
            self.look_at_script(path, line);
        } else if is_configuration(path) {
            let text = self.image.text(path, TEXT).unwrap_or_default();
            self.names(&text, false);
            let name = path.as_bytes().rsplit(|byte| *byte == b'/').next();
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            if let Some(service) = name.strip_suffix(".service") {
                let service = service.split('@').next().unwrap_or(service);
                self.trees.extend(self.image.called(service));
            }
        }
    }

    fn look_at_program(&mut self, path: &ImagePath) {
        let Some(loaded) = self.image.open(path).and_then(|file| elf::read(&file)) else {
            return;
        };
        if let Some(interpreter) = &loaded.interpreter {
            self.visit_named(interpreter);
        }
        for library in self.image.libraries(path, &loaded) {
            self.visit(library);
        }
    }

    fn look_at_script(&mut self, path: &ImagePath, line: &[u8]) {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = self.image.text(path, TEXT).unwrap_or_default();
        let words = String::from_utf8_lossy(line).into_owned();
        let mut words = words.split_whitespace();
        let mut interpreter = words.next().unwrap_or_default().to_owned();
        self.visit_named(interpreter.as_bytes());
        if interpreter.ends_with("/env") {
            let named = words.find(|word| !word.starts_with('-') && !word.contains('='));
            named.unwrap_or_default().clone_into(&mut interpreter);
            self.command(interpreter.as_bytes());
        }
        let name = interpreter.rsplit('/').next().unwrap_or_default();
        if name.starts_with("python") {
            // Modules beside it come first.
            self.trees.extend(self.image.private(path));
            self.trees.extend(self.image.python_library());
            self.python.imported_by(&text);
            let declared = self.image.entry_points(path);
            self.python.imported_by(&declared);
        } else {
            if name.starts_with("perl") {
                self.trees.extend(Image::perl_library());
            }
            self.names(&text, true);
        }
    }

    /// Visits what a text names: each path that is there, and in a script each command.
    fn names(&mut self, text: &[u8], is_script: bool) {
        for word in text::words(text, is_script) {
            let found = if word.starts_with(b"/") {
                self.image.resolve(word)
            } else {
                self.image.command(word)
            };
            let Some(path) = found else { continue };
            // Modules and data of a service, which it opens by a path that is in the program.
            if !is_script {
                self.trees.extend(self.image.private(&path));
            }
            self.visit(path);
        }
    }

    fn command(&mut self, name: &[u8]) {
        if let Some(path) = self.image.command(name) {
            self.visit(path);
        }
    }
}

fn is_configuration(path: &ImagePath) -> bool {
    let path = path.as_bytes();
    CONFIGURATION
        .iter()
        .any(|directory| path.starts_with(directory.as_bytes()))
}

#[cfg(test)]
mod tests;
