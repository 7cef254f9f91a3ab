//! Everything that the gateway may answer instead of forwarding, as one closed list.
//!
//! `proxy::errors` maps a kind to a status; the portal has a sentence for each in both languages.

/// Why a request was not forwarded, or what went wrong after it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The request has no single reading (see `proxy::admit`).
    BadRequest,
    /// The method is not one that the gateway forwards.
    MethodNotAllowed,
    /// The target or a header is longer than the limits.
    TooLarge,
    /// `Expect` with anything but `100-continue`.
    ExpectationFailed,
    /// The request's host is not one that this connection was made for, or not ours.
    Misdirected,
    /// No route covers the address.
    NotFound,
    /// Nobody is signed in.
    SignInNeeded,
    /// Somebody is signed in, and the route is not for them.
    Forbidden,
    /// They have to prove again who they are first.
    ProofNeeded,
    /// The page that sent the request is not of this site.
    ForeignOrigin,
    /// The address names somebody else's workspace.
    NotYours,
    /// Their tenant is disabled or unknown.
    TenantRefused,
    /// The workspace is stopped or starting.
    NotRunning,
    /// The workspace could not be started.
    StartFailed,
    /// As many as allowed already run.
    Quota,
    /// Too many requests or attempts of this kind.
    TooMany,
    /// The workspace or upstream cannot be reached.
    UpstreamUnreachable,
    /// The upstream's answer breaks HTTP.
    UpstreamBroken,
    /// The upstream took too long to answer.
    UpstreamTimeout,
    /// The client's body stopped or broke off.
    BodyBroken,
    /// The gateway is shutting down or overloaded.
    Unavailable,
    /// A fault of the gateway itself.
    Internal,
}

impl ErrorKind {
    /// The value of the `kind` label and of a problem document's `type`; kebab case, never changes.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::TooLarge => "too-large",
            Self::ExpectationFailed => "expectation-failed",
            Self::Misdirected => "misdirected",
            Self::NotFound => "not-found",
            Self::SignInNeeded => "sign-in-needed",
            Self::Forbidden => "forbidden",
            Self::ProofNeeded => "proof-needed",
            Self::ForeignOrigin => "foreign-origin",
            Self::NotYours => "not-yours",
            Self::TenantRefused => "tenant-refused",
            Self::NotRunning => "not-running",
            Self::StartFailed => "start-failed",
            Self::Quota => "quota",
            Self::TooMany => "too-many",
            Self::UpstreamUnreachable => "upstream-unreachable",
            Self::UpstreamBroken => "upstream-broken",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::BodyBroken => "body-broken",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}
