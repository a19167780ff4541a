use super::*;

fn line(text: &str) -> SignedLine {
    text.parse().unwrap()
}

#[track_caller]
fn differs(signed: &str, found: &[u8], unknown: &[&str], missing: &[&str]) {
    let difference = line(signed).compare(found);
    let text: Vec<String> = difference
        .unknown
        .iter()
        .map(|word| crate::escape::Escaped(word).to_string())
        .collect();
    assert_eq!(text, unknown, "unknown in {signed:?}");
    assert_eq!(difference.missing, missing, "missing of {signed:?}");
}

const SIGNED: &str = "?BOOT_IMAGE=* root=UUID=* ro console=tty0 console=ttyS0,115200 quiet";

#[test]
fn signed_words_in_any_order_are_accepted() {
    for good in [
        "BOOT_IMAGE=/boot/vmlinuz root=UUID=1-2 ro console=tty0 console=ttyS0,115200 quiet\n",
        "quiet console=ttyS0,115200  console=tty0\tro root=UUID=",
    ] {
        assert!(line(SIGNED).compare(good.as_bytes()).is_none(), "{good}");
    }
}

#[test]
fn cmdline_comparison_lists_unknown_and_missing_words() {
    let good = "root=UUID=1 ro console=tty0 console=ttyS0,115200 quiet";
    differs(SIGNED, good.as_bytes(), &[], &[]);
    differs(
        SIGNED,
        &[good.as_bytes(), b" single"].concat(),
        &["single"],
        &[],
    );
    differs(
        SIGNED,
        b"root=UUID=1 ro console=tty0 quiet",
        &[],
        &["console=ttyS0,115200"],
    );
    // One more of a word that is signed once.
    differs(SIGNED, format!("{good} quiet").as_bytes(), &["quiet"], &[]);
    differs(
        "root=UUID=* ro",
        b"root=UUID=1 root=UUID=2 ro",
        &["root=UUID=2"],
        &[],
    );
    differs("root=* ro", b"root=a root=b ro", &["root=b"], &[]);
    // What an optional word may go without is one word, not two.
    differs("?quiet ro", b"quiet quiet ro", &["quiet"], &[]);
    differs("ro", b"", &[], &["ro"]);
}

#[test]
fn cmdline_quotes_and_special_bytes_match_only_if_signed() {
    for bad in [
        &b"root=UUID=\"1 ro"[..],
        b"root=UUID='1 ro",
        b"root=UUID=1\\ ro",
        b"root=UUID=1\xa0init=/x ro",
        b"root=UUID=1\0init=/x ro",
        b"root=UUID=\x1b[2J ro",
        b"root=UUID=\xc3\xa4 ro",
        b"\"root=UUID=1\" ro",
    ] {
        let difference = line("root=UUID=* ro").compare(bad);
        assert_eq!(difference.unknown.len(), 1, "{difference:?}");
        assert_eq!(difference.missing, ["root=UUID=*"]);
    }
    differs("a=\"x y\" b=\\z ro", b"ro a=\"x y\" b=\\z", &[], &[]);
    differs("a=\"x y\"", b"a=x y", &["a=x", "y"], &["a=\"x", "y\""]);
}

#[test]
fn cmdline_words_do_not_match_across_the_separator() {
    differs("ro -- splash", b"ro -- splash", &[], &[]);
    differs("ro -- splash", b"ro splash --", &["splash"], &["splash"]);
    differs("ro splash", b"ro -- splash", &["--", "splash"], &["splash"]);
    differs("ro -- splash", b"ro splash", &["splash"], &["--", "splash"]);
    differs("ro", b"ro --", &["--"], &[]);
}

/// A word takes the place that another could have had, and that one goes elsewhere: a greedy
/// comparison would refuse the first line and accept the second.
#[test]
fn words_and_wildcards_are_matched_as_a_multiset() {
    differs("a=* a=1*", b"a=12 a=2", &[], &[]);
    differs("a=* a=1* a=12", b"a=12 a=13 a=14", &[], &[]);
    differs("a=1* a=12 ro", b"a=13 a=14 ro", &["a=14"], &["a=12"]);
    differs("?a=* a=1", b"a=1", &[], &[]);
    differs("?a=1 a=*", b"a=1", &[], &[]);
    let many = "a=* ".repeat(200);
    let found = "a=1 ".repeat(200);
    differs(&many, found.as_bytes(), &[], &[]);
    differs(&many, format!("{found}a=2").as_bytes(), &["a=2"], &[]);
}

#[test]
fn wildcards_stand_for_any_text_within_a_word() {
    for (pattern, word, expected) in [
        ("a=*", "a=", true),
        ("a=*", "a=b=c,d", true),
        ("a=*", "a", false),
        ("a=x*z", "a=xz", true),
        ("a=x*z", "a=xzyz", true),
        ("a=x*z", "a=xzy", false),
        ("a=*b*c", "a=bbcbc", true),
        ("a=*b*c", "a=ccb", false),
        ("a=*", "ab=", false),
    ] {
        assert_eq!(
            matching::matches(pattern.as_bytes(), word.as_bytes()),
            expected,
            "{pattern} {word}"
        );
    }
}

#[test]
fn malformed_lines_are_refused() {
    let words = "a ".repeat(limits::CMDLINE_WORDS + 1);
    for (text, says) in [
        ("", "is empty"),
        (" \n", "is empty"),
        ("*", "only in a value"),
        ("sys*=1", "only in a value"),
        ("?*=1", "only in a value"),
        ("=*", "only in a value"),
        ("?", "marks the word"),
        ("??a", "marks the word"),
        ("?--", "marks the word"),
        ("a=\u{e4}", "byte 0xc3"),
        ("a\0", "byte 0x00"),
        ("a\u{b}b", "byte 0x0b"),
        (&"a".repeat(limits::CMDLINE + 1), "2049 bytes"),
        (&words, "257 words"),
    ] {
        let error = text.parse::<SignedLine>().unwrap_err().to_string();
        assert!(error.contains(says), "{text:?}: {error}");
    }
    assert_eq!(
        line("a \t?b=*\n c -- d -- e").to_string(),
        "a ?b=* c -- d -- e"
    );
    assert_eq!(SignedLine::from_canonical("a b"), Ok(line("a b")));
    for text in ["a  b", " a", "a ", "a\tb", "a\n"] {
        assert_eq!(SignedLine::from_canonical(text), Err(LineError::Spaces));
    }
}

#[test]
fn recorded_line_wildcards_per_disk_values_and_matches_its_origin() {
    let booted = b"BOOT_IMAGE=/boot/vmlinuz-6.1 root=PARTUUID=ab-01 ro console=ttyS0,115200 \
                   initrd=\\EFI\\initrd.img resume=UUID=1 x=\"a b\"\n";
    let recorded = SignedLine::recorded(booted).unwrap();
    assert_eq!(
        recorded.to_string(),
        "?BOOT_IMAGE=* root=PARTUUID=* ro console=ttyS0,115200 initrd=\\EFI\\initrd.img \
         resume=UUID=* x=\"a b\""
    );
    assert!(recorded.compare(booted).is_none());
    // What a quote makes another word is recorded as it stands.
    let quoted = SignedLine::recorded(b"root=UUID=\"1 ro").unwrap();
    assert_eq!(quoted.to_string(), "root=UUID=\"1 ro");
    for bad in [&b"a*"[..], b"?a", b"a\xff", b" \n", b"BOOT_IMAGE=/\x01 ro"] {
        SignedLine::recorded(bad).unwrap_err();
    }
    // A pattern that an owner may declare, and that no boot may bring along; a replaced word has none.
    for own in ["acpi_osi=!*", "root=*", "root=/dev/vd*", "a=\"*\""] {
        let error = SignedLine::recorded(format!("ro {own}").as_bytes()).unwrap_err();
        assert_eq!(error, LineError::OwnWildcard(own.to_owned()));
    }
    assert!(SignedLine::recorded(b"ro acpi_osi=!").is_ok());
    let replaced = SignedLine::recorded(b"BOOT_IMAGE=/vm*").unwrap();
    assert_eq!(replaced.to_string(), "?BOOT_IMAGE=*");
    for row in PER_DISK {
        let word = format!("{}0-1", row.begins);
        let recorded = SignedLine::recorded(word.as_bytes()).unwrap();
        assert_eq!(recorded.to_string(), row.signed);
        assert!(recorded.compare(word.as_bytes()).is_none(), "{word}");
    }
}

#[test]
fn unknown_words_are_found_without_regard_to_missing_ones() {
    let signed = line("root=UUID=* ro quiet");
    assert_eq!(signed.unknown(&[b"quiet"]), [b""; 0]);
    assert_eq!(
        signed.unknown(&[b"quiet", b"quiet", b"debug"]),
        [&b"quiet"[..], b"debug"]
    );
}
