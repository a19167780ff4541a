//! Modules that Python code imports, by the name of the package that has them.

use std::collections::BTreeSet;

/// Names met, and those not followed yet.
#[derive(Debug, Default)]
pub(super) struct Modules {
    seen: BTreeSet<String>,
    open: Vec<String>,
}

impl Modules {
    /// Adds what a file imports: `import a.b, c` and `from d.e import f`, at any depth of code, and
    /// names in quotes, by which plug-ins are loaded (`importlib.import_module("a.b")`).
    pub(super) fn imported_by(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            let line = line.trim_start();
            if let Some(rest) = line.strip_prefix("from ") {
                self.add(rest);
            } else if let Some(rest) = line.strip_prefix("import ") {
                rest.split(',').for_each(|name| self.add(name.trim_start()));
            } else if line.contains("import_module(") || line.contains("entry_point") {
                line.split(['"', '\''])
                    .skip(1)
                    .step_by(2)
                    .for_each(|name| self.add(name));
            }
        }
    }

    /// A module that was not followed yet.
    pub(super) fn take(&mut self) -> Option<String> {
        self.open.pop()
    }

    fn add(&mut self, name: &str) {
        let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let name = &name[..end.unwrap_or(name.len())];
        if !name.is_empty() && self.seen.insert(name.to_owned()) {
            self.open.push(name.to_owned());
        }
    }
}
