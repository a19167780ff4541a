//! `earmark diff` by package, on a root whose database rpm itself wrote.

use std::fs;

use earmark_tests::{Bench, rpm::Package};

/// A version of a package, one of whose files has the version in it.
fn web(version: &str) -> Package<'_> {
    Package {
        name: "web",
        version,
        install: "\
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/share/web
echo 'web %{version}' > %{buildroot}/usr/bin/web
echo 'the same in both' > %{buildroot}/usr/share/web/notice
",
        files: "%attr(0755,root,root) /usr/bin/web\n/usr/share/web/notice\n",
    }
}

#[test]
fn privileged_diff_names_the_rpm_package_that_changed() {
    let old = Bench::new();
    for version in ["1", "2"] {
        web(version).build(&old);
    }
    let how = ["--upgrade", "--replacefiles"];
    web("1").install(&old, &old.root(), &how);
    let new = old.copy();
    web("2").install(&new, &new.root(), &how);
    new.write("usr/bin/helper", b"of no package\n");
    for bench in [&old, &new] {
        bench.seal().must(0);
    }
    let (old_root, new_root) = (old.root(), new.root());
    let roots = [old_root.to_str().unwrap(), new_root.to_str().unwrap()];
    let diff = old
        .earmark(&["diff", roots[0], roots[1], "--format", "json"])
        .must(0)
        .json();
    let text = diff.to_string();
    assert!(text.contains("/usr/bin/web"), "{text}");
    assert!(text.contains("/usr/bin/helper"), "{text}");
    assert!(!text.contains("notice"), "unchanged, and yet told: {text}");
    let people = old.earmark(&["diff", roots[0], roots[1]]).must(0).out;
    let web = people
        .lines()
        .position(|line| line.contains("web") && line.contains("1-1") && line.contains("2-1"));
    assert!(web.is_some(), "no package with its two versions: {people}");

    // The control: nothing changed, and no package is named.
    let same = old.earmark(&["diff", roots[0], roots[0]]).must(0).out;
    assert!(!same.contains("/usr/bin/web"), "{same}");
}

/// A package with an example key and a configuration, whose scriptlet makes another key.
const LEAKY: Package<'_> = Package {
    name: "leaky",
    version: "1",
    install: "\
mkdir -p %{buildroot}/usr/share/leaky %{buildroot}/etc/default
cp %{_topdir}/../key.pem %{buildroot}/usr/share/leaky/example.pem
echo 'API_TOKEN=0123456789abcdef' > %{buildroot}/etc/default/leaky
",
    files: "\
/usr/share/leaky/example.pem
%config(noreplace) /etc/default/leaky
%post
cp /usr/share/leaky/example.pem /etc/leaky.pem || :
",
};

const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END PRIVATE KEY-----
";

/// Content that rpm records is no error as it was brought, and one again once it is changed.
#[test]
fn privileged_lint_lets_unchanged_content_of_rpm_packages_pass() {
    let bench = Bench::new();
    fs::write(bench.path("key.pem"), KEY).unwrap();
    LEAKY.build(&bench);
    LEAKY.install(&bench, &bench.root(), &["--install", "--noscripts"]);
    let root = bench.root().display().to_string();

    let errors = || {
        let said = bench.earmark(&["lint", "--root", &root]).out;
        let mut errors: Vec<String> = said
            .lines()
            .filter(|line| line.starts_with("error ") && line.contains("leaky"))
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect();
        errors.sort();
        errors
    };
    assert_eq!(errors(), [""; 0]);
    // What a scriptlet made is in no package.
    bench.write("etc/leaky.pem", KEY.as_bytes());
    assert_eq!(errors(), ["error private-key /etc/leaky.pem"]);
    bench.write("etc/default/leaky", b"API_TOKEN=fedcba9876543210\n");
    bench.write("usr/share/leaky/example.pem", format!("{KEY}\n").as_bytes());
    let expected = [
        "error environment-secret /etc/default/leaky",
        "error private-key /etc/leaky.pem",
        "error private-key /usr/share/leaky/example.pem",
    ];
    assert_eq!(errors(), expected);
}
