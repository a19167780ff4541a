//! Earmark's own files and what starts them: no rule may let go of these, or nothing would be left
//! that tells of any other change.

use super::{PathClass, Pattern, Rule, RuleError, RuleKind};

/// Patterns of paths that every image keeps sealed, as `docs/manifest-format.md` lists them. The seal itself
/// has a class of its own.
pub const OWN: &[&str] = &[
    "/usr/lib/earmark/**",
    "/usr/bin/earmark*",
    "/usr/sbin/earmark*",
    "/bin/earmark*",
    "/sbin/earmark*",
    // Generators: ours, and what would mask it.
    "/usr/lib/systemd/system-generators/earmark*",
    "/lib/systemd/system-generators/earmark*",
    "/usr/local/lib/systemd/system-generators/earmark*",
    "/etc/systemd/system-generators/earmark*",
    // Units, their drop-ins, and the links that enable them.
    "/usr/lib/systemd/system/earmark*",
    "/usr/lib/systemd/system/earmark*/**",
    "/usr/lib/systemd/system/*/earmark*",
    "/lib/systemd/system/earmark*",
    "/lib/systemd/system/earmark*/**",
    "/lib/systemd/system/*/earmark*",
    "/usr/local/lib/systemd/system/earmark*",
    "/usr/local/lib/systemd/system/earmark*/**",
    "/usr/local/lib/systemd/system/*/earmark*",
    "/etc/systemd/system/earmark*",
    "/etc/systemd/system/earmark*/**",
    "/etc/systemd/system/*/earmark*",
    // Comes before even the early directory of generators, which ours writes the units into.
    "/etc/systemd/system.control/earmark*",
    "/etc/systemd/system.control/earmark*/**",
    // Drop-ins of each service, ours among them.
    "/usr/lib/systemd/system/service.d/**",
    "/lib/systemd/system/service.d/**",
    "/usr/local/lib/systemd/system/service.d/**",
    "/etc/systemd/system/service.d/**",
    // PID 1, and its settings.
    "/usr/lib/systemd/systemd*",
    "/usr/lib/systemd/libsystemd*",
    "/usr/lib/*/systemd/libsystemd*",
    "/usr/lib64/systemd/libsystemd*",
    "/lib/systemd/systemd*",
    "/lib/systemd/libsystemd*",
    // The kernel and initrds start PID 1 by such a name, a link that can be led elsewhere.
    "/usr/sbin/init",
    "/usr/bin/init",
    "/sbin/init",
    "/bin/init",
    "/etc/systemd/system.conf",
    "/etc/systemd/system.conf.d/**",
    "/usr/lib/systemd/system.conf.d/**",
    "/usr/lib/systemd/system.conf",
    "/usr/local/lib/systemd/system.conf.d/**",
    // Code that the dynamic loader puts into each program.
    "/etc/ld.so.preload",
    "/usr/lib/*/ld-linux*",
    "/usr/lib/*/libc.so.6",
    "/usr/lib64/ld-linux*",
    "/usr/lib64/libc.so.6",
    "/lib/*/ld-linux*",
    "/lib/*/libc.so.6",
    "/lib64/ld-linux*",
    "/lib64/libc.so.6",
];

/// Refuses a rule that can match one of Earmark's own paths, or have it beneath it as state. A later
/// rule that takes the path back changes nothing: a declaration must not need it.
pub(super) fn refuse_letting_go(rules: &[Rule]) -> Result<(), RuleError> {
    // One that did not parse would be left out without a word: a test holds each to parse.
    let own: Vec<(&'static str, Pattern)> = OWN
        .iter()
        .filter_map(|text| Some((*text, Pattern::parse(text.as_bytes()).ok()?)))
        .collect();
    for rule in rules {
        // `critical` lets go of nothing: it has a path verified earlier.
        let RuleKind::Class(class) = rule.kind else {
            continue;
        };
        // `seal` lets go of all, but `ends_with_the_seal` has refused each rule of that class but Earmark's own.
        if matches!(class, PathClass::Sealed | PathClass::Seal) {
            continue;
        }
        let is_state = class == PathClass::State;
        let found = own.iter().find(|(_, own)| {
            rule.pattern.may_meet(own) || is_state && own.may_lie_beneath(&rule.pattern)
        });
        if let Some((own, _)) = found {
            return Err(RuleError::LetsGo {
                kind: rule.kind.name(),
                rule: rule.pattern.clone(),
                own,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_own_path_parses_as_a_pattern() {
        // One that did not parse would be a path that nobody protects.
        for own in OWN {
            assert!(Pattern::parse(own.as_bytes()).is_ok(), "{own}");
        }
    }
}
