//! Rules about programs that are started from a place that may change: verified units that run unverified code.

use earmark_manifest::path::ImagePath;

use super::{Image, Sink, classes::is_free};
use crate::lint::{finding::Draft, image::Seen};

/// Programs whose argument is the program.
const INTERPRETERS: [&str; 9] = [
    "sh", "bash", "dash", "env", "perl", "python3", "python", "ruby", "node",
];

/// Units, timers' services, udev rules and cron tables.
pub fn from_state(image: &Image<'_>, sink: &mut Sink) {
    if image.declared.is_none() {
        return;
    }
    let units = [
        "etc/systemd/system",
        "usr/lib/systemd/system",
        "usr/local/lib/systemd/system",
        "lib/systemd/system",
    ];
    for file in units.into_iter().flat_map(|path| image.beneath(path)) {
        let above = file.path.parent().unwrap_or_default();
        let is_drop_in =
            above.as_bytes().ends_with(b".service.d") && file.name().ends_with(b".conf");
        if is_drop_in || file.name().ends_with(b".service") {
            look(image, file, unit_commands, sink);
        }
    }
    for directory in [
        "etc/udev/rules.d",
        "usr/lib/udev/rules.d",
        "lib/udev/rules.d",
    ] {
        for file in image
            .children(directory)
            .filter(|file| file.name().ends_with(b".rules"))
        {
            look(image, file, udev_commands, sink);
        }
    }
    for file in image
        .get("etc/crontab")
        .into_iter()
        .chain(image.children("etc/cron.d"))
    {
        look(image, file, cron_commands, sink);
    }
}

fn look(image: &Image<'_>, file: &Seen<'_>, commands: fn(&str) -> Vec<String>, sink: &mut Sink) {
    let Some(text) = image.text_of(file) else {
        return;
    };
    for command in commands(&text) {
        if let Some(program) = free_program(image, &command) {
            let found = format!("runs {program}, which is not sealed");
            sink.push(Draft::new(file.path, found));
            // One is enough to say what is wrong with the file.
            return;
        }
    }
}

/// The program of a command line, or what an interpreter or test there would run, if it may change.
fn free_program(image: &Image<'_>, command: &str) -> Option<ImagePath> {
    let mut words = command
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'', ';', '(', ')']));
    let program = words
        .next()?
        .trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let free = |word: &str| {
        let path = ImagePath::from_absolute(word.as_bytes()).ok()?;
        (!path.is_root() && is_free(image.class_of(&path))).then_some(path)
    };
    if let Some(path) = free(program) {
        return Some(path);
    }
    let name = program.rsplit('/').next().unwrap_or_default();
    let interpreted = INTERPRETERS.contains(&name);
    words.filter_map(free).find(|path| {
        let file = image.get(path.as_bytes());
        let runs = file.is_some_and(|file| file.is_file() && file.mode & 0o111 != 0);
        runs || (interpreted && file.is_some_and(Seen::is_file))
    })
}

fn unit_commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined
        .lines()
        .filter_map(|line| line.trim().split_once('='));
    let commands = lines.filter(|(key, _)| key.trim_end().starts_with("Exec"));
    commands
        .map(|(_, command)| command.trim().to_owned())
        .collect()
}

fn udev_commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        for key in ["RUN", "PROGRAM", "IMPORT{program}"] {
            for (at, _) in line.match_indices(key) {
                let value = line.get(at..).and_then(|rest| rest.split('"').nth(1));
                commands.extend(value.map(str::to_owned));
            }
        }
    }
    commands
}

fn cron_commands(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let tables = lines.filter(|line| !line.starts_with('#') && !line.is_empty());
    tables
        .map(|line| {
            // Five fields of time, or one such as @daily, and the account.
            let skipped = if line.starts_with('@') { 2 } else { 6 };
            let words: Vec<&str> = line.split_whitespace().skip(skipped).collect();
            words.join(" ")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_extracted_from_units_udev_rules_and_crontabs() {
        let unit =
            "[Service]\nExecStartPre=-/bin/a b\nExecStart = /bin/c \\\n  d\nEnvironment=X=/e\n";
        assert_eq!(unit_commands(unit), ["-/bin/a b", "/bin/c    d"]);
        let rules =
            "# RUN+=\"/no\"\nACTION==\"add\", RUN+=\"/bin/a x\", IMPORT{program}=\"/bin/b\"\n";
        assert_eq!(udev_commands(rules), ["/bin/a x", "/bin/b"]);
        let table = "# x\nSHELL=/bin/sh\n5 * * * * root /bin/a b\n@daily root /bin/c\n";
        assert_eq!(cron_commands(table), ["", "/bin/a b", "/bin/c"]);
    }
}
