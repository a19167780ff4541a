//! One request, and what its answer means.

use reqwest::{RequestBuilder, StatusCode};

use super::ImdsError;
use crate::transport::http::{causes, innermost};

/// Failure of one attempt.
pub(super) enum Fault {
    /// It may go better the next time.
    Passing(String),
    /// 401: the token is not, or no longer, believed.
    Unauthorized,
    /// It will be so the next time too.
    Final(ImdsError),
}

/// One request, and its whole answer. 404 is an answer: there is nothing.
pub(super) async fn send(
    request: RequestBuilder,
    path: &str,
    bound: usize,
) -> Result<Option<Vec<u8>>, Fault> {
    let path = || path.to_owned();
    let fault = |error: reqwest::Error| fault(&error, path());
    let mut answer = request.send().await.map_err(fault)?;
    let status = answer.status();
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        StatusCode::UNAUTHORIZED => return Err(Fault::Unauthorized),
        StatusCode::FORBIDDEN => return Err(Fault::Final(ImdsError::Off { path: path() })),
        _ if status.is_redirection() => {
            return Err(Fault::Final(ImdsError::Redirected { path: path() }));
        }
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Fault::Passing(format!("it answered {}", status.as_u16())));
        }
        _ => {
            return Err(Fault::Final(ImdsError::Status {
                path: path(),
                status: status.as_u16(),
            }));
        }
    }
    let too_large = || {
        Fault::Final(ImdsError::TooLarge {
            path: path(),
            bound,
        })
    };
    let mut body = Vec::new();
    // What the answer says of its length is only its word.
    while let Some(piece) = answer.chunk().await.map_err(fault)? {
        // Before it is kept: a body without end takes no more memory than the bound and one piece.
        if piece.len() > bound.saturating_sub(body.len()) {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// Classifies a connection's error: an answer that is not HTTP is final, all others are transient.
fn fault(error: &reqwest::Error, path: String) -> Fault {
    // The client has one kind of error for nonsense and for a connection that broke; hyper below it tells them apart.
    let is_parse = causes(error)
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_parse);
    if is_parse {
        return Fault::Final(ImdsError::NotHttp { path });
    }
    Fault::Passing(if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        format!("no connection: {}", innermost(error))
    } else {
        format!("the connection broke: {}", innermost(error))
    })
}
