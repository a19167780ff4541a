//! The agent's `.rpm` where `/usr/sbin` is a link to `bin`, as on Fedora 42 and Amazon Linux 2027, and, as the control, where it
//! is a directory of its own.

use std::{fs, path::Path};

use earmark_tests::{
    NO_LOCKS, Run,
    container::{Host, READY},
    facts::host::NO_ANSWER_UNDER_SUDO,
    overlay::{Overlay, package},
    program, run,
};

/// Programs that the distribution has, which a package of its own brings.
const MANAGERS: [&str; 3] = ["dnf", "rpm", "yum"];
/// One that is answered for whether it is there or not.
const ANOTHER: &str = "snap";

/// RPM spec of that package.
const DNF: &str = "\
Name: dnf5
Version: 1
Release: 1
Summary: A package
License: MIT
BuildArch: noarch
%description
A package.
%install
mkdir -p %{buildroot}/usr/bin
for name in dnf rpm yum; do echo \"$name itself\" > %{buildroot}/usr/bin/$name; done
%files
%attr(0755,root,root) /usr/bin/*
";
/// RPM spec of another version of the agent. An older one has the links as its files.
const AGENT: &str = "\
Name: earmark-agent
Version: %{version_to_build}
Release: 1
Summary: A package
License: MIT
%description
A package.
%install
mkdir -p %{buildroot}/usr/sbin %{buildroot}/usr/bin
for name in dnf rpm yum snap; do ln -s ../bin/earmark-agent %{buildroot}/usr/sbin/$name; done
echo 'the agent' > %{buildroot}/usr/bin/earmark-agent
%files
/usr/bin/earmark-agent
%if 0%{?has_links}
/usr/sbin/*
%else
%exclude /usr/sbin/*
%endif
";

/// Makes `/usr/sbin` and `/usr/local/sbin` links to `bin`, with their programs in that.
fn merge(root: &Path) {
    let script = "for directory in usr usr/local; do
        cp -an $directory/sbin/. $directory/bin/
        rm -r $directory/sbin
        ln -s bin $directory/sbin
    done";
    run("sh", ["-euc", script], Some(root)).must(0);
}

/// A root with rpm's database, and packages to put into it.
struct Root {
    image: Overlay,
    /// Where the links are to be, and where they lead.
    links: (&'static str, &'static str),
}

impl Root {
    fn new(is_merged: bool) -> Self {
        let image = Overlay::new("EARMARK_ROOT_SMALL");
        let links = if is_merged {
            merge(&image.root());
            ("usr/local/bin", "/usr/bin/earmark-agent")
        } else {
            ("usr/sbin", "../bin/earmark-agent")
        };
        let root = Self { image, links };
        root.build("dnf5.spec", DNF, &[]);
        root.rpm("--install", "dnf5-1-1").must(0);
        root
    }

    fn build(&self, name: &str, spec: &str, defines: &[&str]) {
        let beside = self.image.beside("");
        fs::write(beside.join(name), spec).unwrap();
        let top = format!("_topdir {}", beside.join("rpmbuild").display());
        let file = "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.rpm";
        let mut words = vec!["--quiet", "-bb", "-D", &top, "-D", file];
        for define in defines {
            words.extend(["-D", define]);
        }
        words.push(name);
        run("rpmbuild", words, Some(&beside)).must(0);
    }

    /// Hands a package that was built here to rpm, or its name.
    fn rpm(&self, action: &str, name: &str) -> Run {
        let built = self
            .image
            .beside("rpmbuild/RPMS")
            .join(format!("{name}.rpm"));
        let name = if built.exists() {
            built.display().to_string()
        } else {
            name.to_owned()
        };
        let root = self.image.root().display().to_string();
        let words = [
            action,
            "--root",
            &root,
            "--dbpath",
            "/var/lib/rpm",
            "--nodeps",
        ];
        // This machine's own rpm: the root's is a script.
        run("/usr/bin/rpm", words.iter().chain([&&*name]), None)
    }

    fn agent(&self, action: &str) -> Run {
        let package = package("earmark-agent-", ".rpm");
        self.rpm(action, package.to_str().unwrap())
    }

    /// Where each link leads that is there.
    fn links(&self) -> Vec<(&str, String)> {
        let target = |name: &str| {
            let link = self.image.at(self.links.0).join(name);
            let target = fs::read_link(link).ok()?;
            Some(target.display().to_string())
        };
        let names = MANAGERS.into_iter().chain([ANOTHER]);
        names
            .filter_map(|name| Some((name, target(name)?)))
            .collect()
    }

    #[track_caller]
    fn must_answer(&self) {
        let names = MANAGERS.into_iter().chain([ANOTHER]);
        let expected: Vec<_> = names.map(|name| (name, self.links.1.to_owned())).collect();
        assert_eq!(self.links(), expected);
        self.managers_must_be_their_own();
    }

    #[track_caller]
    fn managers_must_be_their_own(&self) {
        for name in MANAGERS {
            let text = fs::read_to_string(self.image.at("usr/bin").join(name));
            assert_eq!(text.unwrap(), format!("{name} itself\n"));
        }
        assert_eq!(self.rpm("--verify", "dnf5").must(0).out, "");
    }

    fn names_in(&self, directory: &str) -> Vec<String> {
        let names = fs::read_dir(self.image.at(directory)).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn privileged_rpm_makes_its_links_where_they_come_before_the_programs() {
    for is_merged in [true, false] {
        let root = Root::new(is_merged);
        let before = ["usr/bin", "usr/sbin", "usr/local/bin"];
        let before = before.map(|at| (at, root.names_in(at)));
        // What somebody else has put there stays.
        let other = root.image.at(root.links.0).join("pip3");
        fs::write(&other, "pip3 itself").unwrap();

        root.agent("--install").must(0);
        root.must_answer();
        assert_eq!(root.rpm("--verify", "earmark-agent").must(0).out, "");
        root.rpm("--erase", "earmark-agent").must(0);
        assert_eq!(root.links(), []);
        root.managers_must_be_their_own();
        assert_eq!(fs::read_to_string(&other).unwrap(), "pip3 itself");
        fs::remove_file(&other).unwrap();
        for (at, names) in before {
            assert_eq!(root.names_in(at), names, "{at}");
        }
    }
}

#[test]
fn privileged_rpm_keeps_its_links_across_upgrades() {
    for is_merged in [true, false] {
        let root = Root::new(is_merged);
        let version = |number: &str, has_links: &str| {
            let version = format!("version_to_build {number}");
            let has_links = format!("has_links {has_links}");
            root.build("agent.spec", AGENT, &[&version, &has_links]);
        };
        version("0.0.1", "1");
        // Before, the links were files of the package, and met dnf's own.
        let old = root.rpm("--install", "earmark-agent-0.0.1-1");
        if is_merged {
            assert_ne!(old.code, 0);
            let conflict = "/usr/sbin/dnf from install of earmark-agent-0.0.1-1";
            assert!(old.err.contains(conflict), "{}", old.err);
        } else {
            old.must(0);
            root.must_answer();
        }
        root.agent("--upgrade").must(0);
        root.must_answer();
        version("9", "0");
        root.rpm("--upgrade", "earmark-agent-9-1").must(0);
        root.must_answer();
    }
}

#[test]
fn privileged_links_of_the_rpm_are_sealed() {
    for is_merged in [true, false] {
        let root = Root::new(is_merged);
        root.agent("--install").must(0);
        let beside = root.image.beside("");
        let spec = format!(
            "[image]\nname = \"host\"\nplatform = \"file\"\n[tree]\nprofile = \"debian-12\"\n{NO_LOCKS}"
        );
        fs::write(beside.join("earmark.toml"), spec).unwrap();
        let earmark =
            |words: &str| run(program("earmark"), words.split_whitespace(), Some(&beside));
        earmark("keygen --out release.key").must(0);
        earmark("trust --key release.pub --out trust.toml").must(0);
        let linted = earmark("lint --fix --root root --spec earmark.toml").must(0);
        assert!(!linted.out.contains(root.links.0), "{}", linted.out);
        earmark("seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml")
            .must(0);
        let verify = || earmark("verify --root root --trust trust.toml --full --json");
        assert_eq!(verify().must(0).violations(), [""; 0]);
        let link = root.image.at(root.links.0).join(MANAGERS[0]);
        fs::remove_file(&link).unwrap();
        let lost = format!("missing /{}/{}", root.links.0, MANAGERS[0]);
        assert_eq!(verify().must(10).violations(), [lost]);
    }
}

/// Debian, with `/usr/sbin` as Fedora has it: what is typed is answered, and the lock is measured where the links are.
#[test]
fn privileged_package_managers_of_a_host_with_one_directory_of_programs_answer() {
    let locks = NO_LOCKS.replace("packages = \"allow\"", "packages = \"deny\"");
    let host = |sudoers: &'static str| {
        Host::declared("report", &locks, |image| {
            image.chroot(&["dpkg", "--remove", "earmark-agent"]).must(0);
            merge(&image.root());
            let root = image.root().display().to_string();
            let package = package("earmark-agent-", ".rpm");
            let package = package.to_str().unwrap();
            let words = ["--root", &root, "--dbpath", "/var/lib/rpm", "--nodeps"];
            let words = words.into_iter().chain(["--install", package]);
            run("/usr/bin/rpm", words, None).must(0);
            if !sudoers.is_empty() {
                fs::write(image.at("etc/sudoers"), sudoers).unwrap();
            }
        })
    };
    let look = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n\
                apt install x 2>&1; echo $?; dpkg --print-architecture\n\
                earmark-agent lockdown --check > /run/test/check; echo $?; grep 'commands' /run/test/check";
    let seen = host("").boot_and_look(READY, look);
    let answer = "apt: this host is the immutable image host 1.0: to change it, bake a new version and \
                  replace the host (see 'earmark-agent status')\n13\namd64\n0\n";
    let line = seen.looked.strip_prefix(answer);
    let line = line.unwrap_or_else(|| panic!("{}", seen.looked));
    assert!(
        line.contains("enforced") && !line.contains("not-enforced"),
        "{line}"
    );
    assert!(line.contains("links in /usr/local/bin"), "{line}");

    let seen =
        host("Defaults secure_path = /sbin:/bin:/usr/sbin:/usr/bin\n").boot_and_look(READY, look);
    assert!(seen.looked.contains("\n13\namd64\n13\n"), "{}", seen.looked);
    NO_ANSWER_UNDER_SUDO.must_be_in(&seen.looked);
}
