//! Facts of a fleet: channels, fetched documents, reports, and what `earmark fleet` tells of hosts.

super::facts! {
    /// A document is older than one that was accepted.
    ALREADY_ACCEPTED = "counter {} is lower than {}, already accepted";
    /// The same, whatever the counters are.
    ROLLBACK_REFUSED = "already accepted";
    /// Nothing is at the channel's place.
    NO_CHANNEL = "no channel exists";
    /// Another writer was faster.
    CHANGED_CONCURRENTLY = "was changed concurrently";
    /// A channel's time is over.
    EXPIRED = "EXPIRED";

    /// A fetched document is no grant.
    NOT_A_GRANT = "is not a grant";
    /// The transport failed, for a reason that follows.
    FETCH_FAILED = "failed to fetch";
    /// A server did not answer in time.
    NO_ANSWER = "no answer in time";
    /// A server answered with a redirect.
    REDIRECTED = "redirects are not followed";
    /// A server answered with an HTTP status.
    ANSWERED = "it answered {}";
    /// A document is larger than what is read.
    TOO_LARGE = "larger than the limit of {} bytes";
    /// Nothing is at the document's place.
    NO_DOCUMENT = "no such document";
    /// The instance has no role whose credentials S3 could be asked with.
    NO_ROLE = "credentials of an instance role";
    /// The id of the instance is not known yet.
    NO_INSTANCE = "the id of this instance";
    /// Only `https` is spoken with a service that takes credentials.
    ONLY_HTTPS = "only https";

    /// No report was found.
    NO_HOST = "no host was seen";
    /// A report is larger than what is read.
    REPORT_TOO_LARGE = "{} bytes";
    /// A host never sent a report.
    NEVER_REPORTED = "it never sent a report";
    /// The bucket does not exist.
    NO_BUCKET = "no such bucket";
    /// A report's document is signed by none of the given certificates.
    NO_CERTIFICATE = "no given certificate";
    /// The signature of a report's document is malformed.
    MALFORMED_SIGNATURE = "cannot be read";
    /// A report's document is of another instance.
    DOCUMENT_OF_ANOTHER = "of another instance";
    /// A report's document was changed.
    DOCUMENT_CHANGED = "not the one that was signed";
    /// A report has no signed document.
    NO_SIGNED_DOCUMENT = "no signed identity document";
    /// Nothing is wrong with the fleet, on its page.
    NOTHING_WRONG = "Nothing.";
}
