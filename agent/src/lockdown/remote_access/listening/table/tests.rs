use super::*;
use crate::testing::TestRoot;

const COLUMNS: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                       retrnsmt   uid  timeout inode\n";

fn line(local: &str, state: &str) -> String {
    let remote = local.split_once(':').map_or("", |(ip, _)| ip).len();
    let remote = "0".repeat(remote);
    format!(
        "   0: {local} {remote}:0000 {state} 00000000:00000000 00:00000000 00000000     0 \
         0 4711 1 0000000000000000 100 0 0 10 0\n"
    )
}

fn lists(version_4: &[String], version_6: Option<&[String]>) -> TestRoot {
    let root = TestRoot::bare();
    let text = |lines: &[String]| format!("{COLUMNS}{}", lines.concat());
    let [path_4, path_6] = LISTS;
    root.write(path_4, text(version_4).as_bytes());
    if let Some(lines) = version_6 {
        root.write(path_6, text(lines).as_bytes());
    }
    root
}

fn of_user(local: &str, user: &str) -> String {
    line(local, "0A").replacen("00000000     0 ", &format!("00000000  {user} "), 1)
}

/// Those of root, and those of others.
fn found(root: &TestRoot) -> Result<(String, String), Unseen> {
    let mut found = Found::default();
    read(&root.open(), &[22, 2222], &mut found)?;
    let text = |listeners: &super::super::answer::Listeners| listeners.text().unwrap_or_default();
    Ok((text(&found.root), text(&found.others)))
}

#[test]
#[cfg(target_endian = "little")]
fn listeners_are_found_in_tcp_and_tcp6_and_split_by_user() {
    let none = (String::new(), String::new());
    assert_eq!(found(&lists(&[], None)).unwrap(), none);
    let connected = line("0100007F:0016", "01");
    let other = line("00000000:0050", "0A");
    let root = lists(&[other, connected.clone()], Some(&[]));
    assert_eq!(found(&root).unwrap(), none);
    let root = lists(
        &[
            line("00000000:0016", "0A"),
            of_user("0100007F:08AE", "33"),
            connected,
        ],
        Some(&[
            line("00000000000000000000000000000000:0016", "0A"),
            of_user("0000000000000000FFFF00000100007F:0016", "1000"),
        ]),
    );
    let expected = (
        "0.0.0.0:22 (user id 0), [::]:22 (user id 0)".to_owned(),
        "127.0.0.1:2222 (user id 33), [::ffff:127.0.0.1]:22 (user id 1000)".to_owned(),
    );
    assert_eq!(found(&root).unwrap(), expected);
}

#[test]
fn tcp_table_is_read_only_up_to_the_first_connection() {
    let listens = line("00000000:0016", "0A");
    // What follows the first connection is not even of the right form.
    let lines = [listens, line("0100007F:0016", "01"), "x\n".repeat(100_000)];
    assert_eq!(
        found(&lists(&lines, None)).unwrap().0,
        "0.0.0.0:22 (user id 0)"
    );
    let unread = lists(&["x\n".to_owned()], None);
    assert!(found(&unread).is_err());
}

#[test]
fn tcp_table_of_the_running_kernel_is_parsed() {
    let root = TestRoot::bare();
    for (list, address) in LISTS.iter().zip(["127.0.0.1:0", "[::1]:0"]) {
        // A machine may have no version 6.
        let Ok(listener) = std::net::TcpListener::bind(address) else {
            continue;
        };
        let here = listener.local_addr().unwrap();
        let own = list.replace("/1/", "/self/");
        root.write(list, &std::fs::read(own).unwrap());
        let mut found = Found::default();
        read(&root.open(), &[here.port()], &mut found).unwrap();
        let shown = found.root.shown.iter().chain(&found.others.shown);
        let shown = shown.map(|(address, _)| *address).collect::<Vec<_>>();
        assert!(shown.contains(&here), "{here}: {found:?}");
    }
}

#[test]
fn malformed_or_missing_tcp_table_is_an_error() {
    assert!(
        found(&TestRoot::bare())
            .unwrap_err()
            .text()
            .contains("cannot be seen")
    );
    for bad in [
        "",
        "0: 00000000:0016",
        "0: 00000000:0016 00000000:0000",
        "0 00000000:0016 00000000:0000 0A",
        "x: 00000000:0016 00000000:0000 0A",
        "0: 0000000:0016 00000000:0000 0A",
        "0: 000000000:0016 00000000:0000 0A",
        "0: +0000000:0016 00000000:0000 0A",
        "0: 00000000:016 00000000:0000 0A",
        "0: 00000000:00016 00000000:0000 0A",
        "0: 00000000.0016 00000000:0000 0A",
        "0: 00000000:0016 0000000g:0000 0A",
        "0: 00000000:0016 00000000:0000 A",
        "0: 00000000:0016 00000000:0000 0x",
        "0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000",
        "0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 root",
        "0: 0000000000000000000000000000000:0016 00000000:0000 0A",
        "0: 000000000000000000000000000000000:0016 00000000:0000 0A",
        "0: é000000:0016 00000000:0000 0A",
    ] {
        let root = lists(&[format!("{bad}\n")], None);
        assert!(
            found(&root).unwrap_err().text().contains("malformed line"),
            "{bad}"
        );
        let root = lists(&[], Some(&[format!("{bad}\n")]));
        assert!(
            found(&root).unwrap_err().text().contains("malformed line"),
            "{bad}"
        );
    }
    let root = TestRoot::bare();
    let [path, _] = LISTS;
    for text in ["", "x\n", "   0: 00000000:0016 00000000:0000 0A\n"] {
        root.write(path, text.as_bytes());
        assert!(
            found(&root)
                .unwrap_err()
                .text()
                .contains("unexpected first line"),
            "{text}"
        );
    }
}
