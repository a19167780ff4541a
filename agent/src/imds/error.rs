//! Why the metadata service gave nothing that can be used, and what to do about it.

use super::InstanceId;

/// What went wrong. Each names what was asked for; none quotes what was answered, which may hold a
/// secret, or an escape code for the terminal that shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImdsError {
    /// 401, twice.
    #[error(
        "the metadata service answered 401 to '{path}' with a token that it had just given: \
         see what answers at 169.254.169.254"
    )]
    TokenRefused {
        /// What was asked for.
        path: String,
    },
    /// 403.
    #[error(
        "the metadata service answered 403 to '{path}': it is switched off for this instance, which \
         'aws ec2 modify-instance-metadata-options --http-endpoint enabled' changes"
    )]
    Off {
        /// What was asked for.
        path: String,
    },
    /// 404, where EC2 always has something.
    #[error(
        "the metadata service answered 404 to '{path}', which each EC2 instance has: \
         see what answers at 169.254.169.254"
    )]
    NotThere {
        /// What was asked for.
        path: String,
    },
    /// No good answer before the deadline.
    #[error(
        "the metadata service gave no answer to '{path}' in {seconds} s ({last}): see that the \
         network is up and that the service is on; in a container, that its hop limit is 2 or more"
    )]
    Late {
        /// What was asked for.
        path: String,
        /// How long there was for all.
        seconds: u64,
        /// What the last request met with.
        last: String,
    },
    /// A body without end, or of another size than EC2's.
    #[error(
        "the metadata service sent more than {bound} bytes for '{path}', which EC2's never does"
    )]
    TooLarge {
        /// What was asked for.
        path: String,
        /// What is accepted.
        bound: usize,
    },
    /// 3xx.
    #[error(
        "the metadata service answered '{path}' with a redirect, which is not followed: \
         see what answers at 169.254.169.254"
    )]
    Redirected {
        /// What was asked for.
        path: String,
    },
    /// Any other status.
    #[error(
        "the metadata service answered {status} to '{path}', which EC2's does not do: \
         see what answers at 169.254.169.254"
    )]
    Status {
        /// What was asked for.
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
        /// What was asked for.
        path: String,
    },
    /// An answer of another form.
    #[error("the metadata service's answer to '{path}' is not what EC2's is: expected {expected}")]
    Malformed {
        /// What was asked for.
        path: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Somebody else's answer.
    #[error(
        "the metadata service speaks for instance {found}, and this is {expected}: nothing is taken \
         from it; see what answers at 169.254.169.254"
    )]
    OtherInstance {
        /// What the hardware says.
        expected: InstanceId,
        /// What the service says.
        found: InstanceId,
    },
    /// A defect, or no memory.
    #[error("failed to set up the HTTP client: {cause}")]
    Client {
        /// Why.
        cause: String,
    },
}
