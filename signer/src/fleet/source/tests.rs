use std::fs;

use super::*;

#[test]
fn report_source_accepts_directory_or_s3_url_only() {
    let shown = |text: &str| text.parse::<Source>().map(|source| source.to_string());
    for (text, expected) in [
        ("/srv/reports", "'/srv/reports'"),
        ("file:///srv/reports/", "'/srv/reports/'"),
        ("s3://reports", "'s3://reports/'"),
        ("s3://reports/", "'s3://reports/'"),
        ("s3://reports/web", "'s3://reports/web/'"),
        ("s3://reports/web/", "'s3://reports/web/'"),
    ] {
        assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
    }
    for bad in [
        "",
        "https://reports.example.com/",
        "s3://Reports/",
        "s3://reports/../x/",
        "s3://reports//",
        "gs://x/",
    ] {
        assert!(shown(bad).is_err(), "{bad}");
    }
}

#[test]
fn named_report_list_is_bounded_sorted_and_escaped() {
    let mut named = Named::default();
    for number in (0..100).rev() {
        named.add(&format!("{number:03}\u{1b}[2J"), "why");
    }
    let mut other = Named::default();
    other.add("\u{202e}", "why");
    named.merge(other);
    let first: Vec<&str> = named.first().map(|(name, _)| name).collect();
    assert_eq!((named.count(), first.len()), (101, 20));
    assert_eq!(first.first(), Some(&"000\\u{1b}[2J"));
}

#[test]
fn report_directory_reads_regular_files_and_never_follows_or_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let asked = Asked {
        now: 1_795_400_000,
        silent_after: 900,
        certificates: None,
        inventory: None,
    };
    let name = "i-0123456789abcdef0.7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a11.json";
    let good = include_str!("good.json");
    fs::write(at(name), good).unwrap();
    let alone = directory::read(directory.path(), asked).unwrap();
    assert_eq!((alone.reports.len(), alone.names), (1, 1));

    fs::write(at("renamed.json"), good).unwrap();
    fs::write(at("large.json"), vec![b' '; 1 << 20]).unwrap();
    fs::write(at("empty.json"), "").unwrap();
    fs::write(at(".i-1.json.tmp"), good).unwrap();
    fs::create_dir(at("directory.json")).unwrap();
    std::os::unix::fs::symlink(at(name), at("link.json")).unwrap();
    let (fifo, read) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo.json"), fifo, read, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.json")).unwrap();
    let found = directory::read(directory.path(), asked).unwrap();
    let unusable: Vec<(&str, &str)> = found.unusable.first().collect();
    let irregular = "it is not a regular file";
    let kinds = ["directory.json", "fifo.json", "link.json", "socket.json"];
    for kind in kinds {
        assert!(
            unusable.contains(&(kind, irregular)),
            "{kind}: {unusable:?}"
        );
    }
    assert_eq!((found.reports.len(), found.unusable.count()), (1, 7));
    assert_eq!(found.unread, Named::default());
    assert!(directory::read(&at("missing"), asked).is_err());
    assert!(directory::read(&at(name), asked).is_err());
}
