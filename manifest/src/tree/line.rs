//! One entry as one line: ten fields with a space between them, then one for each attribute.

use crate::{
    class::PathClass,
    digest::{Sha256Digest, VerityDigest, push_hex},
    entry::{Content, Device, Entry, LinkGroup, Node, Owner, Xattr, XattrName},
    escape, limits, number,
    path::ImagePath,
};

use super::read::TreeFault;

/// A field that this kind of entry, or its class, does not have.
const ABSENT: &str = "-";
/// The target of a symbolic link to `-`, which would read as absent.
const DASH: &str = "\\x2d";
/// The root's own path.
const ROOT: &str = ".";

/// Appends the line of `entry`, newline included.
pub(super) fn push(text: &mut String, entry: &Entry) {
    if entry.path.is_root() {
        text.push_str(ROOT);
    } else {
        escape::push(text, entry.path.as_bytes());
    }
    text.push(' ');
    text.push(entry.node.letter());
    text.push(' ');
    text.push_str(entry.class.name());
    match &entry.owner {
        Some(Owner { mode, uid, gid }) => text.push_str(&format!(" {mode:o} {uid} {gid} ")),
        None => text.push_str(" - - - "),
    }
    match &entry.node {
        Node::Regular(Some(content)) => {
            text.push_str(&content.size.to_string());
            text.push(' ');
            push_hex(text, content.sha256.as_bytes());
            text.push(' ');
            push_hex(text, content.verity.as_bytes());
            text.push(' ');
            match content.links {
                Some(LinkGroup(group)) => text.push_str(&group.to_string()),
                None => text.push_str(ABSENT),
            }
        }
        node @ (Node::Regular(None)
        | Node::Directory
        | Node::Symlink(_)
        | Node::CharDevice(_)
        | Node::BlockDevice(_)
        | Node::Fifo
        | Node::Socket) => {
            text.push_str("- ");
            match node {
                Node::Symlink(Some(target)) if **target == *ABSENT.as_bytes() => {
                    text.push_str(DASH);
                }
                Node::Symlink(Some(target)) => escape::push(text, target),
                Node::CharDevice(Some(device)) | Node::BlockDevice(Some(device)) => {
                    text.push_str(&format!("{}:{}", device.major, device.minor));
                }
                Node::Regular(_)
                | Node::Directory
                | Node::Symlink(None)
                | Node::CharDevice(None)
                | Node::BlockDevice(None)
                | Node::Fifo
                | Node::Socket => text.push_str(ABSENT),
            }
            text.push_str(" - -");
        }
    }
    for xattr in &entry.xattrs {
        text.push(' ');
        text.push_str(xattr.name.name());
        text.push('=');
        escape::push(text, &xattr.value);
    }
    text.push('\n');
}

/// The entry of a line without its newline.
pub(super) fn parse(line: &[u8]) -> Result<Entry, TreeFault> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut field = || fields.next().ok_or(TreeFault::Fields);
    let path = match field()? {
        b"." => ImagePath::root(),
        escaped => ImagePath::from_relative(&unescape(escaped)?).map_err(TreeFault::Path)?,
    };
    let letter = field()?;
    let class = match field()? {
        b"sealed" => PathClass::Sealed,
        b"mutable" => PathClass::Mutable,
        b"rendered" => PathClass::Rendered,
        b"state" => PathClass::State,
        _ => return Err(TreeFault::Class),
    };
    let owner = parse_owner(field()?, field()?, field()?)?;
    let (size, data, verity, links) = (field()?, field()?, field()?, field()?);
    // Not `data`, which links and devices have, too.
    let file = present(size).is_some() || present(verity).is_some() || present(links).is_some();
    let node = match letter {
        b"f" => Node::Regular(match (present(size), present(data), present(verity)) {
            (Some(size), Some(data), Some(verity)) => Some(Content {
                size: number(size)?,
                sha256: Sha256Digest::from_hex(data).map_err(|_| TreeFault::Digest)?,
                verity: VerityDigest::from_hex(verity).map_err(|_| TreeFault::Digest)?,
                links: present(links).map(parse_links).transpose()?,
            }),
            (None, None, None) if present(links).is_none() => None,
            _ => return Err(TreeFault::Shape),
        }),
        _ if file => return Err(TreeFault::Shape),
        b"d" if present(data).is_none() => Node::Directory,
        b"l" => Node::Symlink(present(data).map(parse_target).transpose()?),
        b"c" => Node::CharDevice(present(data).map(parse_device).transpose()?),
        b"b" => Node::BlockDevice(present(data).map(parse_device).transpose()?),
        b"p" if present(data).is_none() => Node::Fifo,
        b"s" if present(data).is_none() => Node::Socket,
        b"d" | b"p" | b"s" => return Err(TreeFault::Shape),
        _ => return Err(TreeFault::Type),
    };
    let xattrs = fields.map(parse_xattr).collect::<Result<Vec<_>, _>>()?;
    // One order, each once: another order would be a second text, and so a second digest, of the same image.
    if !xattrs.is_sorted_by(|a, b| a.name < b.name) {
        return Err(TreeFault::Xattr);
    }
    let entry = Entry {
        path,
        class,
        node,
        owner,
        xattrs,
    };
    if has_the_fields_of_its_class(&entry) {
        Ok(entry)
    } else {
        Err(TreeFault::Shape)
    }
}

/// Returns whether the entry has exactly the fields of its class. Fields that the class leaves free to change must
/// not be recorded, and all others must be: a field left out would be a field left unchecked.
fn has_the_fields_of_its_class(entry: &Entry) -> bool {
    let recorded = match &entry.node {
        Node::Regular(content) => content.is_some(),
        Node::Symlink(target) => target.is_some(),
        Node::CharDevice(device) | Node::BlockDevice(device) => device.is_some(),
        Node::Directory | Node::Fifo | Node::Socket => {
            // There is nothing to leave out here: these have an owner and attributes, and no data.
            matches!(entry.class, PathClass::Sealed | PathClass::Rendered)
        }
    };
    match entry.class {
        PathClass::Sealed => recorded && entry.owner.is_some(),
        PathClass::Rendered => {
            recorded && entry.owner.is_some() && matches!(entry.node, Node::Regular(_))
        }
        PathClass::Mutable => !recorded && entry.owner.is_some() && entry.xattrs.is_empty(),
        PathClass::State => !recorded && entry.owner.is_none() && entry.xattrs.is_empty(),
        // No line has these words: `generated` paths need not be there, and those of `seal` are not compared.
        PathClass::Generated | PathClass::Seal => false,
    }
}

fn parse_owner(mode: &[u8], uid: &[u8], gid: &[u8]) -> Result<Option<Owner>, TreeFault> {
    match (present(mode), present(uid), present(gid)) {
        (None, None, None) => Ok(None),
        (Some(mode), Some(uid), Some(gid)) => Ok(Some(Owner {
            mode: parse_mode(mode)?,
            uid: number(uid)?,
            gid: number(gid)?,
        })),
        // All three or none: a mode without its owner does not say to whom it gives the rights.
        _ => Err(TreeFault::Shape),
    }
}

/// Octal without a leading zero, `7777` at most.
fn parse_mode(text: &[u8]) -> Result<u32, TreeFault> {
    number::octal_mode(text).ok_or(TreeFault::Number)
}

/// Decimal without a sign or a leading zero.
pub(super) fn number<T: TryFrom<u64>>(text: &[u8]) -> Result<T, TreeFault> {
    number::decimal(text).ok_or(TreeFault::Number)
}

fn parse_links(text: &[u8]) -> Result<LinkGroup, TreeFault> {
    number(text).map(LinkGroup)
}

fn parse_device(text: &[u8]) -> Result<Device, TreeFault> {
    let colon = text
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(TreeFault::Number)?;
    let (major, minor) = text.split_at(colon);
    Ok(Device {
        major: number(major)?,
        minor: number(minor.get(1..).unwrap_or_default())?,
    })
}

fn parse_target(text: &[u8]) -> Result<Box<[u8]>, TreeFault> {
    if text == DASH.as_bytes() {
        return Ok(ABSENT.as_bytes().into());
    }
    let target = unescape(text)?;
    // Linux has no empty target, none longer than a path, and none with a NUL.
    if target.is_empty() || target.len() > limits::PATH || target.contains(&0) {
        return Err(TreeFault::Target);
    }
    Ok(target.into())
}

fn parse_xattr(text: &[u8]) -> Result<Xattr, TreeFault> {
    let equals = text
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or(TreeFault::Xattr)?;
    // At the first '=': the four names have none, and a value may have several.
    let (name, value) = text.split_at(equals);
    let name = XattrName::from_name(name).ok_or(TreeFault::Xattr)?;
    let value = unescape(value.get(1..).unwrap_or_default())?;
    if value.is_empty() || value.len() > limits::XATTR {
        return Err(TreeFault::Xattr);
    }
    Ok(Xattr {
        name,
        value: value.into(),
    })
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, TreeFault> {
    escape::decode(text).map_err(|_| TreeFault::Escape)
}

/// A field that is there.
fn present(field: &[u8]) -> Option<&[u8]> {
    (field != ABSENT.as_bytes()).then_some(field)
}
