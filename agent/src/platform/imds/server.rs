//! A metadata service for tests: EC2's, or one that lies, stalls and floods.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::Imds;

/// Request of a client.
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// Without `/latest/`.
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// A server on a port of its own, for as long as the tests run.
pub struct Server {
    /// Such as `http://127.0.0.1:40000`.
    pub endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server that answers each request with `answer`.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", answer)
    }

    /// Starts it on another address.
    pub fn start_at(
        address: &str,
        answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                thread::spawn(move || serve(stream.unwrap(), &log, &*answer));
            }
        });
        Self { endpoint, asked }
    }

    /// Such as `GET user-data`, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// A client of it.
    pub fn client(&self, deadline: Duration) -> Imds {
        Imds::at(vec![self.endpoint.clone()], deadline).unwrap()
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&Request, &mut TcpStream) + Send + Sync),
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = std::iter::from_fn(|| {
        let mut line = String::new();
        let count = reader.read_line(&mut line).ok()?;
        (count > 2).then(|| line.trim_end().to_owned())
    });
    let Some(first) = lines.next() else { return };
    let mut words = first.split(' ').map(str::to_owned);
    let request = Request {
        method: words.next().unwrap(),
        path: words
            .next()
            .unwrap()
            .strip_prefix("/latest/")
            .expect("all of it is beneath /latest/")
            .to_owned(),
        headers: lines
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_ascii_lowercase(), value.to_owned())
            })
            .collect(),
    };
    let entry = format!("{} {}", request.method, request.path);
    log.lock().unwrap().push(entry);
    let mut stream = stream;
    answer(&request, &mut stream);
}

/// A whole answer. A client that has gone is none of the server's business.
pub fn reply(stream: &mut TcpStream, status: u16, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}

/// Data that the simulated EC2 has of an instance.
#[derive(Clone, Default)]
pub struct Instance {
    /// `user-data`.
    pub user_data: Option<Vec<u8>>,
    /// All of its tags, if the service shows tags.
    pub tags: Option<Vec<(&'static str, &'static str)>>,
    /// The name of its role and what the service answers for it.
    pub role: Option<(&'static str, &'static str)>,
    /// Another id than [`ID`].
    pub id: Option<&'static str>,
}

/// The instance that these tests are on.
pub const ID: &str = "i-0123456789abcdef0";
/// The token that EC2 gives.
pub const TOKEN: &str = "AQAEAKtoken==";

impl Instance {
    /// As EC2 answers: 401 without the token, 400 to a token request without a time to live.
    pub fn answer(&self, request: &Request, stream: &mut TcpStream) {
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        if request.method == "PUT" {
            let ttl = header("x-aws-ec2-metadata-token-ttl-seconds")
                .and_then(|text| text.parse::<u32>().ok());
            return match (request.path.as_str(), ttl) {
                ("api/token", Some(1..=21_600)) => reply(stream, 200, TOKEN.as_bytes()),
                _ => reply(stream, 400, b""),
            };
        }
        if header("x-aws-ec2-metadata-token") != Some(TOKEN) {
            return reply(stream, 401, b"");
        }
        match self.body(&request.path) {
            Some(body) => reply(stream, 200, &body),
            None => reply(stream, 404, b"<html>Not Found</html>"),
        }
    }

    fn body(&self, path: &str) -> Option<Vec<u8>> {
        let id = self.id.unwrap_or(ID);
        match path {
            "user-data" => self.user_data.clone(),
            "meta-data/instance-id" => Some(id.into()),
            "dynamic/instance-identity/document" => {
                let document = format!(
                    r#"{{"accountId":"123456789012","imageId":"ami-0123456789abcdef0","instanceId":"{id}","region":"eu-west-1"}}"#
                );
                Some(document.into_bytes())
            }
            "dynamic/instance-identity/rsa2048" => Some(b"MIAGCSqGSIb3DQ==\n".to_vec()),
            "meta-data/iam/security-credentials/" => Some(self.role?.0.into()),
            "meta-data/tags/instance" => {
                let keys: Vec<&str> = self.tags.as_ref()?.iter().map(|(key, _)| *key).collect();
                Some(keys.join("\n").into_bytes())
            }
            _ if path.starts_with("meta-data/iam/") => {
                let (name, credentials) = self.role?;
                let asked = path.strip_prefix("meta-data/iam/security-credentials/");
                (asked == Some(name)).then(|| credentials.into())
            }
            _ => {
                let key = path.strip_prefix("meta-data/tags/instance/")?;
                let (_, value) = self.tags.as_ref()?.iter().find(|(name, _)| *name == key)?;
                Some((*value).into())
            }
        }
    }

    /// A service that answers so.
    pub fn serve(self) -> Server {
        Server::start(move |request, stream| self.answer(request, stream))
    }
}
