//! Against a service that is EC2's, and against all that can be in its place. Each refusal has its
//! control in [`imds_client_reads_user_data_tags_and_identity`].

mod hostile;

use std::{
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use super::{
    Imds, ImdsError, InstanceId,
    server::{ID, Instance, Request, Server, reply},
};

/// For what is answered at once.
const LONG: Duration = Duration::from_secs(30);
/// For what is never answered. With the slack it ends before a request's own timeout would end it.
const SHORT: Duration = Duration::from_millis(400);
const SLACK: Duration = Duration::from_millis(1_500);

fn instance() -> Instance {
    Instance {
        user_data: Some(b"[parameters]\n".to_vec()),
        tags: Some(vec![
            ("Name", "web-1"),
            ("earmark:environment", "prod"),
            ("earmark:team", "a b"),
        ]),
        role: None,
        id: None,
    }
}

/// EC2, but for the user-data.
fn but_user_data(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
    Server::start(move |request, stream| {
        if request.path == "user-data" {
            answer(stream);
        } else {
            instance().answer(request, stream);
        }
    })
}

/// EC2, but for the token.
fn but_token(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Server {
    Server::start(move |request, stream| {
        if request.method == "PUT" {
            answer(request, stream);
        } else {
            instance().answer(request, stream);
        }
    })
}

fn user_data() -> String {
    "user-data".to_owned()
}

/// That it is given up at the deadline, and why.
async fn is_late(imds: &Imds) -> String {
    let start = Instant::now();
    let error = imds.user_data().await.unwrap_err();
    assert!(start.elapsed() < SHORT + SLACK, "{:?}", start.elapsed());
    match error {
        ImdsError::Late { last, .. } => last,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn imds_client_reads_user_data_tags_and_identity() {
    let server = instance().serve();
    let imds = server.client(LONG);
    assert_eq!(imds.user_data().await.unwrap().unwrap(), b"[parameters]\n");
    let tags = imds.tags().await.unwrap().unwrap();
    assert_eq!(
        tags.into_iter().collect::<Vec<_>>(),
        [
            ("environment".to_owned(), "prod".to_owned()),
            ("team".to_owned(), "a b".to_owned())
        ]
    );
    let identity = imds.identity().await.unwrap();
    assert_eq!(identity.instance_id.to_string(), ID);
    assert_eq!(identity.signature.as_deref(), Some("MIAGCSqGSIb3DQ==\n"));
    // One token for all, and no look at tags that are not ours.
    assert_eq!(
        server.asked(),
        [
            "PUT api/token",
            "GET user-data",
            "GET meta-data/tags/instance",
            "GET meta-data/tags/instance/earmark:environment",
            "GET meta-data/tags/instance/earmark:team",
            "GET dynamic/instance-identity/document",
            "GET dynamic/instance-identity/rsa2048",
        ]
    );
}

#[tokio::test]
async fn absent_user_data_and_tags_read_as_none() {
    let imds = Instance::default().serve();
    let imds = imds.client(LONG);
    assert_eq!(imds.user_data().await.unwrap(), None);
    assert_eq!(imds.tags().await.unwrap(), None);
}

#[tokio::test]
async fn imds_client_falls_back_to_the_second_endpoint() {
    let server = Server::start_at("[::1]:0", |request, stream| {
        instance().answer(request, stream);
    });
    let imds = Imds::at(vec![nothing(), server.endpoint.clone()], LONG).unwrap();
    assert!(imds.user_data().await.unwrap().is_some());
    // Both requests went to the one that gave the token.
    assert_eq!(server.asked().len(), 2);
}

/// An address at which nothing listens.
fn nothing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn absent_imds_is_retried_until_the_deadline() {
    let imds = Imds::at(vec![nothing()], SHORT).unwrap();
    let last = is_late(&imds).await;
    assert!(last.contains("no connection: Connection refused"), "{last}");
    let imds = Imds::at(vec![nothing()], Duration::from_secs(1)).unwrap();
    let error = imds.identity().await.unwrap_err().to_string();
    assert!(error.contains("in 1 s"), "{error}");
}

#[tokio::test]
async fn imds_endpoint_host_name_is_never_resolved() {
    let imds = Imds::at(vec!["http://localhost:1".to_owned()], SHORT).unwrap();
    let last = is_late(&imds).await;
    assert!(last.contains("names are not looked up"), "{last}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this very program, as a test")]
fn imds_client_ignores_proxy_environment_variables() {
    // A test cannot change the environment that the others run in.
    let output = std::process::Command::new("/proc/self/exe")
        .args([
            "--exact",
            "platform::imds::tests::imds_client_reads_user_data_tags_and_identity",
        ])
        .envs(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].map(|name| (name, nothing())))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("1 passed"), "{shown}");
}

#[tokio::test]
async fn refused_imds_token_is_renewed_once() {
    let count = AtomicUsize::new(0);
    let server = but_user_data(move |stream| {
        let status = if count.fetch_add(1, Ordering::Relaxed) == 0 {
            401
        } else {
            200
        };
        reply(stream, status, b"good");
    });
    let imds = server.client(LONG);
    assert_eq!(imds.user_data().await.unwrap().unwrap(), b"good");
    let twice = ["PUT api/token", "GET user-data"].repeat(2);
    assert_eq!(server.asked(), twice);

    let wrong = but_token(|_, stream| reply(stream, 200, b"wrong"));
    let error = wrong.client(LONG).user_data().await.unwrap_err();
    assert_eq!(error, ImdsError::TokenRefused { path: user_data() });
    assert_eq!(wrong.asked(), twice);
}

#[tokio::test]
async fn imds_client_requests_nothing_without_a_valid_token() {
    for status in [400, 401, 403, 404, 405, 501] {
        let server = but_token(move |_, stream| reply(stream, status, b""));
        assert!(server.client(SHORT).user_data().await.is_err());
        let asked = server.asked();
        assert!(
            asked.iter().all(|entry| entry == "PUT api/token"),
            "{asked:?}"
        );
    }
    for token in [&b""[..], b"two words", b"line\n", b"\x1b[2J", b"\xff"] {
        let server = but_token(move |_, stream| reply(stream, 200, token));
        let error = server.client(LONG).user_data().await.unwrap_err();
        assert!(matches!(error, ImdsError::Malformed { .. }), "{error}");
        assert_eq!(server.asked(), ["PUT api/token"]);
    }
}

#[tokio::test]
async fn imds_http_status_maps_to_its_error() {
    for (status, expected) in [
        (403, ImdsError::Off { path: user_data() }),
        (301, ImdsError::Redirected { path: user_data() }),
        (
            204,
            ImdsError::Status {
                path: user_data(),
                status: 204,
            },
        ),
        (
            206,
            ImdsError::Status {
                path: user_data(),
                status: 206,
            },
        ),
        (
            418,
            ImdsError::Status {
                path: user_data(),
                status: 418,
            },
        ),
    ] {
        let server = but_user_data(move |stream| reply(stream, status, b""));
        assert_eq!(server.client(LONG).user_data().await, Err(expected));
    }
    let server = Server::start(|request, stream| match request.path.as_str() {
        "dynamic/instance-identity/document" => reply(stream, 404, b""),
        _ => instance().answer(request, stream),
    });
    let error = server.client(LONG).identity().await.unwrap_err();
    assert!(matches!(error, ImdsError::NotThere { .. }), "{error}");
}

#[tokio::test]
async fn imds_of_another_instance_is_refused() {
    let this: InstanceId = ID.parse().unwrap();
    let other: InstanceId = "i-0fedcba9876543210".parse().unwrap();
    let imds = instance().serve().client(LONG);
    imds.speaks_for(&this).await.unwrap();
    let refused = ImdsError::OtherInstance {
        expected: other.clone(),
        found: this,
    };
    assert_eq!(imds.speaks_for(&other).await, Err(refused));
    for id in ["", "i-no", "\x1b[2J"] {
        let server = Instance {
            id: Some(id),
            ..instance()
        }
        .serve();
        let error = server.client(LONG).speaks_for(&other).await.unwrap_err();
        assert!(matches!(error, ImdsError::Malformed { .. }), "{error}");
    }
}
