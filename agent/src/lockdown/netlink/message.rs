//! Messages of netlink, as bytes: what all of its protocols have in common. Nothing here touches a socket. Every
//! length is checked against what is there: the answers are the kernel's, but what goes over a bound is an
//! error all the same.

/// The one number by which an answer is known to be to this question: there is one on a socket.
pub(in super::super) const SEQUENCE: u32 = 1;

pub(in super::super) const ERROR: u16 = 2;
pub(in super::super) const DONE: u16 = 3;
pub(in super::super) const OVERRUN: u16 = 4;

/// `NLM_F_DUMP_INTR`: what is listed changed meanwhile, and some of it may be missing.
pub(in super::super) const INTERRUPTED: u16 = 0x10;
pub(in super::super) const REQUEST: u16 = 0x1;
pub(in super::super) const ACKNOWLEDGE: u16 = 0x4;
pub(in super::super) const EXCLUSIVE: u16 = 0x200;
pub(in super::super) const DUMP: u16 = 0x300;
pub(in super::super) const CREATE: u16 = 0x400;

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;

/// A message to the kernel.
pub(in super::super) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER.saturating_add(body.len())).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(SEQUENCE.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// Adds an attribute to the body of a message.
pub(in super::super) fn push_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = ATTRIBUTE_HEADER.saturating_add(value.len());
    body.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A message of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub body: &'a [u8],
}

/// The messages in what was received at once. `None` where they do not add up.
pub(in super::super) fn messages(mut bytes: &[u8]) -> Option<Vec<Message<'_>>> {
    let mut messages = Vec::new();
    // Each takes at least its header, so that this ends.
    while !bytes.is_empty() {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        messages.push(Message {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            // A length below the header's ends here, too: a range that ends before it starts is none.
            body: bytes.get(HEADER..length)?,
        });
        // The last one need not be padded.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(messages)
}

/// The attributes of a message, as kind and value. `None` where they do not add up.
pub(in super::super) fn attributes(mut bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut attributes = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        attributes.push((u16_at(bytes, 2)?, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(attributes)
}

pub(in super::super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let (four, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u32::from_ne_bytes(*four))
}

pub(in super::super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let (two, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u16::from_ne_bytes(*two))
}
