//! Reasons why the metadata service gave nothing that can be used, each with the next step.

use super::InstanceId;

/// Failure of a request to the metadata service. No message quotes the answer, which may hold a secret,
/// or an escape code for the terminal that shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImdsError {
    /// 401, twice.
    #[error(
        "the metadata service answered 401 to '{path}' with a token that it had just given: \
         see what answers at 169.254.169.254"
    )]
    TokenRefused {
        /// Path of the request, beneath `/latest/`.
        path: String,
    },
    /// 403.
    #[error(
        "the metadata service answered 403 to '{path}': it is switched off for this instance, which \
         'aws ec2 modify-instance-metadata-options --http-endpoint enabled' changes"
    )]
    Off {
        /// Path of the request, beneath `/latest/`.
        path: String,
    },
    /// 404, where EC2 always has something.
    #[error(
        "the metadata service answered 404 to '{path}', which each EC2 instance has: \
         see what answers at 169.254.169.254"
    )]
    NotThere {
        /// Path of the request, beneath `/latest/`.
        path: String,
    },
    /// No good answer before the deadline.
    #[error(
        "the metadata service gave no answer to '{path}' in {seconds} s ({last}): see that the \
         network is up and that the service is on; in a container, that its hop limit is 2 or more"
    )]
    Late {
        /// Path of the request, beneath `/latest/`.
        path: String,
        /// Time allowed for all requests together, in seconds.
        seconds: u64,
        /// Cause of the last failed attempt.
        last: String,
    },
    /// A body without end, or of another size than EC2's.
    #[error(
        "the metadata service sent more than {bound} bytes for '{path}', which EC2's never does"
    )]
    TooLarge {
        /// Path of the request, beneath `/latest/`.
        path: String,
        /// Most bytes that are accepted.
        bound: usize,
    },
    /// 3xx.
    #[error(
        "the metadata service answered '{path}' with a redirect, which is not followed: \
         see what answers at 169.254.169.254"
    )]
    Redirected {
        /// Path of the request, beneath `/latest/`.
        path: String,
    },
    /// Any other status.
    #[error(
        "the metadata service answered {status} to '{path}', which EC2's does not do: \
         see what answers at 169.254.169.254"
    )]
    Status {
        /// Path of the request, beneath `/latest/`.
        path: String,
        /// The status.
        status: u16,
    },
    /// Something that is no HTTP.
    #[error(
        "what answers '{path}' does not speak HTTP, or not as EC2's metadata service does: \
         see what answers at 169.254.169.254"
    )]
    NotHttp {
        /// Path of the request, beneath `/latest/`.
        path: String,
    },
    /// An answer of another form.
    #[error("the metadata service's answer to '{path}' is not what EC2's is: expected {expected}")]
    Malformed {
        /// Path of the request, beneath `/latest/`.
        path: String,
        /// Form that EC2's answer has.
        expected: &'static str,
    },
    /// Somebody else's answer.
    #[error(
        "the metadata service answers for instance {found}: expected {expected}; nothing is used \
         from it; see what answers at 169.254.169.254"
    )]
    OtherInstance {
        /// Id that the hardware says.
        expected: InstanceId,
        /// Id that the service says.
        found: InstanceId,
    },
    /// A defect, or no memory.
    #[error("failed to set up the HTTP client: {cause}")]
    Client {
        /// Cause, in the words of the library.
        cause: String,
    },
}
