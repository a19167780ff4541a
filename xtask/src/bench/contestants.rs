//! Contestants of the bench: shell lines over `$ROOT`, `$WORK` and `$BIN`, so that a person can repeat each.

/// Role of a contestant in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Another tool that a person could use instead.
    Peer,
    /// A part of the bound: work that no verification can do without.
    Part,
    /// Earmark.
    Ours,
}

#[derive(Debug, Clone, Copy)]
pub struct Contestant {
    pub name: &'static str,
    pub role: Role,
    /// Run once before anything is measured: what the tool compares with.
    pub prepare: &'static str,
    pub line: &'static str,
}

pub const AIDE: &str = "aide --check, 2 workers";
pub const MTREE: &str = "mtree -f";
pub const SHA256SUM: &str = "sha256sum -c";
pub const HASHDEEP: &str = "hashdeep -a";
pub const B3SUM: &str = "b3sum --check";
pub const OPENSSL: &str = "openssl dgst -sha256, 2 jobs";
pub const READ: &str = "reading alone, 2 jobs";
pub const WALK: &str = "bare walk (find)";
pub const SIGNATURE: &str = "earmark-agent verify --gate signature";
pub const CRITICAL: &str = "earmark-agent verify --gate critical";
pub const FULL: &str = "earmark-agent verify --gate full";
pub const MEASURE: &str = "earmark measure";
pub const SEAL: &str = "earmark seal";

/// AIDE compares what the others do: type, mode, owner, size, links, ACLs, xattrs and SHA-256.
pub const AIDE_CONF: &str = "\
database_in=file:@@WORK@@/aide.db
database_out=file:@@WORK@@/aide.db
database_new=file:@@WORK@@/aide.db
num_workers=2
report_url=stdout
/ ftype+p+u+g+s+l+acl+xattrs+sha256
";

/// Shell lines that list the files of the root, run before all `prepare` lines.
pub const PREPARE_ALL: &str = r#"
find "$ROOT" -xdev -type f -print0 > "$WORK/files0"
tr '\0' '\n' < "$WORK/files0" > "$WORK/files"
"#;

pub const ALL: &[Contestant] = &[
    Contestant {
        name: AIDE,
        role: Role::Peer,
        prepare: r#"sed "s|^/ |$ROOT |; s|@@WORK@@|$WORK|" "$WORK/aide.in" > "$WORK/aide.conf"; rm -f "$WORK/aide.db"; aide --init --config="$WORK/aide.conf""#,
        line: r#"aide --check --config="$WORK/aide.conf""#,
    },
    Contestant {
        name: MTREE,
        role: Role::Peer,
        prepare: r#"mtree -c -k type,mode,uid,gid,size,link,nlink,device,sha256 -p "$ROOT" > "$WORK/mtree""#,
        line: r#"mtree -f "$WORK/mtree" -p "$ROOT""#,
    },
    Contestant {
        name: SHA256SUM,
        role: Role::Peer,
        prepare: r#"xargs -0 sha256sum < "$WORK/files0" > "$WORK/sha256sums""#,
        line: r#"sha256sum --check --quiet "$WORK/sha256sums""#,
    },
    Contestant {
        name: HASHDEEP,
        role: Role::Peer,
        prepare: r#"hashdeep -c sha256 -f "$WORK/files" > "$WORK/hashdeep""#,
        line: r#"hashdeep -c sha256 -a -k "$WORK/hashdeep" -f "$WORK/files""#,
    },
    Contestant {
        name: "bsdtar --format=mtree (creates)",
        role: Role::Peer,
        prepare: "",
        line: r#"bsdtar -cf "$WORK/bsdtar" --format=mtree --options='!all,type,mode,uid,gid,size,link,sha256' -C "$ROOT" ."#,
    },
    Contestant {
        name: "fsverity digest, 2 jobs",
        role: Role::Peer,
        prepare: "",
        line: r#"xargs -0 -P 2 -n 1000 fsverity digest < "$WORK/files0" > /dev/null"#,
    },
    Contestant {
        name: OPENSSL,
        role: Role::Peer,
        prepare: "",
        line: r#"xargs -0 -P 2 -n 1000 openssl dgst -sha256 < "$WORK/files0" > /dev/null"#,
    },
    Contestant {
        name: B3SUM,
        role: Role::Peer,
        prepare: r#"xargs -0 "$B3SUM" < "$WORK/files0" > "$WORK/b3sums""#,
        line: r#""$B3SUM" --check --quiet "$WORK/b3sums""#,
    },
    Contestant {
        name: READ,
        role: Role::Part,
        prepare: "",
        line: r#"xargs -0 -P 2 -n 1000 cat < "$WORK/files0" > /dev/null"#,
    },
    Contestant {
        name: WALK,
        role: Role::Part,
        prepare: "",
        line: r#"find "$ROOT" -xdev -printf '%y %m %U %G %s %n %p\n' > /dev/null"#,
    },
    Contestant {
        name: SIGNATURE,
        role: Role::Ours,
        prepare: "",
        line: r#""$BIN/earmark-agent" verify --gate signature --root "$ROOT""#,
    },
    Contestant {
        name: CRITICAL,
        role: Role::Ours,
        prepare: "",
        line: r#""$BIN/earmark-agent" verify --gate critical --root "$ROOT""#,
    },
    Contestant {
        name: FULL,
        role: Role::Ours,
        prepare: "",
        line: r#""$BIN/earmark-agent" verify --gate full --root "$ROOT""#,
    },
    Contestant {
        name: MEASURE,
        role: Role::Ours,
        prepare: "",
        line: r#"rm -rf "$WORK/out"; "$BIN/earmark" measure --root "$ROOT" --spec "$WORK/earmark.toml" --version 1.0.0 --out "$WORK/out""#,
    },
    Contestant {
        name: SEAL,
        role: Role::Ours,
        prepare: "",
        line: r#""$BIN/earmark" seal --root "$ROOT" --spec "$WORK/earmark.toml" --version 1.0.0 --key "$WORK/release.key" --trust "$WORK/trust.toml""#,
    },
];

/// Shell lines that make the root a sealed image, before the peers take their baselines of it.
pub const MAKE_IMAGE: &str = r#"
install -m 0755 "$BIN/earmark-agent" "$ROOT/usr/bin/earmark-agent"
"$BIN/earmark" keygen --out "$WORK/release.key"
"$BIN/earmark" trust --key "$WORK/release.pub" --out "$WORK/trust.toml"
"$BIN/earmark" seal --root "$ROOT" --spec "$WORK/earmark.toml" --version 1.0.0 --key "$WORK/release.key" --trust "$WORK/trust.toml"
"#;

pub const DECLARATION: &str = r#"[image]
name = "bench"
epoch = 1
platform = "file"

[tree]
profile = "debian-12"

[[lint.allow]]
rule = "private-key"
reason = "That of the package ssl-cert, and those of manuals."
"#;
