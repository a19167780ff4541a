//! Tests against services that stall, flood, break off, redirect and talk nonsense.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        Imds, ImdsError,
        server::{ID, Server, reply},
    },
    LONG, SHORT, but_token, but_user_data, instance, is_late, user_data,
};

#[tokio::test]
async fn silent_imds_times_out_at_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    is_late(&Imds::at(vec![endpoint], SHORT).unwrap()).await;
}

fn trickle(stream: &mut TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while stream.write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test]
async fn trickled_imds_response_times_out_at_the_deadline() {
    is_late(&but_user_data(trickle).client(SHORT)).await;
    is_late(&but_token(|_, stream| trickle(stream)).client(SHORT)).await;
}

#[tokio::test]
async fn slow_imds_response_does_not_consume_the_whole_deadline() {
    let count = AtomicUsize::new(0);
    let server = but_user_data(move |stream| {
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            trickle(stream);
        } else {
            reply(stream, 200, b"good");
        }
    });
    let start = Instant::now();
    let imds = server.client(LONG);
    assert_eq!(imds.user_data().await.unwrap().unwrap(), b"good");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn endless_imds_body_or_oversized_token_is_refused() {
    let server = but_user_data(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let piece = [b"1000\r\n", &[b'x'; 0x1000][..], b"\r\n"].concat();
        while stream.write_all(&piece).is_ok() {}
    });
    let error = server.client(LONG).user_data().await.unwrap_err();
    let (path, bound) = (user_data(), 64 * 1024);
    assert_eq!(error, ImdsError::TooLarge { path, bound });
    let server = but_token(|_, stream| reply(stream, 200, &[b'x'; 1025]));
    let error = server.client(LONG).user_data().await.unwrap_err();
    assert!(
        matches!(error, ImdsError::TooLarge { bound: 1024, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn user_data_is_accepted_up_to_the_size_limit() {
    let server = but_user_data(|stream| reply(stream, 200, &vec![b'#'; 64 * 1024]));
    let found = server.client(LONG).user_data().await.unwrap().unwrap();
    assert_eq!(found.len(), 64 * 1024);
    let server = but_user_data(|stream| reply(stream, 200, &vec![b'#'; 64 * 1024 + 1]));
    assert!(server.client(LONG).user_data().await.is_err());
}

#[tokio::test]
async fn imds_redirect_is_not_followed() {
    let elsewhere = instance().serve();
    let location = elsewhere.endpoint.clone();
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let server = but_user_data(move |stream| {
            let head = format!(
                "HTTP/1.1 {status} Moved\r\nLocation: {location}/latest/user-data\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
        });
        let error = server.client(LONG).user_data().await.unwrap_err();
        assert_eq!(error, ImdsError::Redirected { path: user_data() });
    }
    assert_eq!(elsewhere.asked(), [""; 0]);
}

#[tokio::test]
async fn transient_imds_error_is_retried_and_persistent_one_times_out() {
    for status in [429, 500, 503] {
        let count = AtomicUsize::new(0);
        let server = but_user_data(move |stream| {
            let status = if count.fetch_add(1, Ordering::Relaxed) < 2 {
                status
            } else {
                200
            };
            reply(stream, status, b"good");
        });
        let imds = server.client(LONG);
        assert_eq!(imds.user_data().await.unwrap().unwrap(), b"good");

        let server = but_user_data(move |stream| reply(stream, status, b""));
        let last = is_late(&server.client(SHORT)).await;
        assert_eq!(last, format!("it answered {status}"));
        // With longer and longer waits: this is no flood.
        assert!(server.asked().len() < 20);
    }
}

#[tokio::test]
async fn truncated_imds_response_is_retried() {
    for part in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha",
    ] {
        let count = AtomicUsize::new(0);
        let server = but_user_data(move |stream| {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                let _ = stream.write_all(part);
            } else {
                reply(stream, 200, b"good");
            }
        });
        let imds = server.client(LONG);
        assert_eq!(imds.user_data().await.unwrap().unwrap(), b"good");
    }
}

#[tokio::test]
async fn malformed_http_response_is_reported_as_not_http() {
    let many = b"X: y\r\n".repeat(200);
    let large = [b"X: ", &vec![b'y'; 1 << 20][..], b"\r\n"].concat();
    for garbage in [
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"\x15\x03\x01\x00\x02\x02\x46".to_vec(),
        b"HTTP/3.0 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec(),
        [b"HTTP/1.1 200 OK\r\n", &many[..], b"\r\n"].concat(),
        [b"HTTP/1.1 200 OK\r\n", &large[..], b"\r\n"].concat(),
    ] {
        let shown = garbage.get(..20).unwrap_or(&garbage).to_vec();
        let server = but_user_data(move |stream| {
            let _ = stream.write_all(&garbage);
        });
        let error = server.client(LONG).user_data().await.unwrap_err();
        assert_eq!(error, ImdsError::NotHttp { path: user_data() }, "{shown:?}");
    }
}

#[tokio::test]
async fn invalid_or_too_many_instance_tags_are_refused() {
    for key in [
        "earmark:a/../../user-data",
        "earmark:a?b",
        "earmark:a\x1b[2J",
        "earmark:a b",
    ] {
        let server = Server::start(move |request, stream| match request.path.as_str() {
            "meta-data/tags/instance" => reply(stream, 200, key.as_bytes()),
            _ => instance().answer(request, stream),
        });
        let error = server.client(LONG).tags().await.unwrap_err();
        assert!(matches!(error, ImdsError::Malformed { .. }), "{error}");
        assert_eq!(server.asked().len(), 2, "{key:?}");
    }
    let many: Vec<String> = (0..51).map(|n| format!("earmark:n{n}")).collect();
    let many = many.join("\n");
    let server = Server::start(move |request, stream| match request.path.as_str() {
        "meta-data/tags/instance" => reply(stream, 200, many.as_bytes()),
        _ => instance().answer(request, stream),
    });
    assert!(server.client(LONG).tags().await.is_err());
}

#[tokio::test]
async fn imds_errors_do_not_reveal_response_content() {
    const SECRET: &str = "hunter2";
    let server = Server::start(|request, stream| match request.path.as_str() {
        "user-data" => reply(stream, 401, SECRET.as_bytes()),
        _ if request.method == "PUT" => reply(stream, 200, SECRET.as_bytes()),
        _ => reply(stream, 200, b"\x1b[2J hunter2"),
    });
    let imds = server.client(LONG);
    for error in [
        imds.user_data().await.unwrap_err(),
        imds.identity().await.unwrap_err(),
        imds.speaks_for(&ID.parse().unwrap()).await.unwrap_err(),
    ] {
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains(SECRET) && !shown.contains('\x1b'),
            "{shown}"
        );
    }
    // The token is in it.
    assert!(!format!("{imds:?}").contains(SECRET));
}
