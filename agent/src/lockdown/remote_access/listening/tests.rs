use std::net::TcpListener;

use super::{answer::LISTEN, *};
use crate::lockdown::netlink::{Progress, message::SEQUENCE};

/// An answer of the kernel: a socket in this state, of this user.
fn answer(family: u8, state: u8, address: &[u8], port: u16, user: u32) -> Vec<u8> {
    let mut body = vec![family, state, 0, 0];
    body.extend(port.to_be_bytes());
    body.extend([0; 2]);
    body.extend(address);
    body.resize(64, 0);
    body.extend(user.to_ne_bytes());
    body.extend([0; 4]);
    let mut message = message(BY_FAMILY, 2, &body);
    message[8..12].copy_from_slice(&SEQUENCE.to_ne_bytes());
    message
}

#[test]
fn sock_diag_request_has_the_kernel_layout() {
    let question = question(10, 2222);
    assert_eq!(question.len(), 16 + 56);
    assert_eq!(question[16..20], [10, 6, 0, 0]);
    assert_eq!(question[20..24], 1024_u32.to_ne_bytes());
    assert_eq!(question[24..26], [0x08, 0xae]);
    assert_eq!(question[64..], [0xff; 8]);
}

#[test]
fn sock_diag_answers_are_split_by_user_and_long_lists_shortened() {
    let mut found = Found::default();
    let mut piece = answer(2, LISTEN, &[127, 0, 0, 1], 22, 33);
    piece.extend(answer(2, LISTEN, &[0, 0, 0, 0], 22, 0));
    // Of another port than was asked for.
    piece.extend(answer(2, LISTEN, &[0, 0, 0, 0], 80, 0));
    assert_eq!(take(&piece, 22, &mut found), Ok(Progress::More));
    assert_eq!(found.root.text().unwrap(), "0.0.0.0:22 (user id 0)");
    assert_eq!(found.others.text().unwrap(), "127.0.0.1:22 (user id 33)");
    for last in 0..200 {
        let more = answer(2, LISTEN, &[127, 0, 1, last], 22, 33);
        take(&more, 22, &mut found).unwrap();
    }
    let text = found.others.text().unwrap();
    assert!(text.ends_with(" and 197 more"), "{text}");
    assert_eq!(found.root.text().unwrap(), "0.0.0.0:22 (user id 0)");
}

#[test]
fn malformed_sock_diag_answer_is_rejected() {
    let good = answer(10, LISTEN, &[0; 16], 22, 0);
    assert!(take(&good, 22, &mut Found::default()).is_ok());
    for bad in [
        answer(2, 1, &[0; 4], 22, 0),
        answer(1, LISTEN, &[0; 4], 22, 0),
        message(BY_FAMILY, 2, &[2, LISTEN, 0, 0]),
        message(BY_FAMILY, 2, &good[16..16 + 60]),
    ] {
        let taken = take(&bad, 22, &mut Found::default());
        assert!(matches!(taken, Err(Refusal::Answer(_))), "{taken:?}");
    }
    for length in 1..good.len() {
        assert!(take(&good[..length], 22, &mut Found::default()).is_err());
    }
}

#[test]
fn sock_diag_of_the_running_kernel_lists_listeners_and_no_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap();
    // A connection has the same local port.
    let _client = std::net::TcpStream::connect(here).unwrap();
    let _served = listener.accept().unwrap();
    let mut found = Found::default();
    match dump(2, here.port(), &mut found) {
        // A kernel without the module, and a sandbox: the table is read instead, which has a test of its own.
        Err(Refusal::Unsupported | Refusal::Errno(_)) => return,
        answer => answer.unwrap(),
    }
    let user = rustix::process::geteuid().as_raw();
    let listeners = if user == 0 {
        &found.root
    } else {
        &found.others
    };
    let expected = format!("{here} (user id {user})");
    assert_eq!(listeners.text(), Some(expected));
    assert_eq!(found.root.count + found.others.count, 1);
    drop(listener);
    let mut found = Found::default();
    dump(2, here.port(), &mut found).unwrap();
    assert_eq!(found, Found::default());
}
