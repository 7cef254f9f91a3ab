//! Admission: the first stage, which gives a request one reading or refuses it. Pure.
//!
//! What leaves here as [`Admitted`] has a method of the allow-list, one authority, one canonical path,
//! one body length, and no header whose name some upstream could take for one of ours. Everything after
//! this stage — the route, the decision, what the upstream is sent — works on that one reading.
//!
//! Left to others: what hyper has already settled before a service sees a request (a message with both
//! `Content-Length` and `Transfer-Encoding` arrives with the former removed, bare line feeds arrive as CRLF,
//! fragments are cut off), and the removal of headers, which is `proxy::headers`.

mod authority;
mod fields;
mod path;
mod rejection;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri, Version};

use crate::config;

pub use authority::Authority;
pub(crate) use fields::parse_length;
pub use rejection::Rejection;

use fields::Fields;

/// The methods that are forwarded, as an `Allow` header lists them.
pub const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Longest header name in bytes; what exceeds it is refused.
const MAX_HEADER_NAME: usize = 256;
/// Most header lines of one request: hyper's own limit for HTTP/1.1, which this makes one for HTTP/2 too.
const MAX_HEADERS: usize = 100;

/// How large the head of a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request target in bytes.
    pub target: usize,
    /// Most bytes of all header names and values together.
    pub headers: usize,
}

impl From<&config::Http> for Limits {
    fn from(http: &config::Http) -> Self {
        let bytes = |size: config::ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
        Self { target: bytes(http.max_target_size), headers: bytes(http.max_header_size) }
    }
}

/// What is known of the connection that a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionFacts<'a> {
    /// Whether it speaks HTTP/2.
    pub http2: bool,
    /// The host name that the client named in its TLS handshake.
    pub server_name: Option<&'a str>,
}

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// So many bytes.
    Exact(u64),
    /// It ends when it ends: chunked over HTTP/1.1, the stream's end over HTTP/2.
    Unknown,
}

impl BodyLength {
    /// Sharpens an unknown length when the body itself is at hand: over HTTP/2 only the stream knows whether
    /// a request without `Content-Length` has a body at all.
    #[must_use]
    pub const fn resolve(self, at_end: bool) -> Self {
        match self {
            Self::Unknown if at_end => Self::None,
            other => other,
        }
    }
}

/// A request with one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    method: Method,
    target: PathAndQuery,
    authority: Authority,
    body: BodyLength,
    tunnel: bool,
    expects_continue: bool,
}

impl Admitted {
    /// The method; one of [`ALLOWED_METHODS`].
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The canonical path. Starts with `/`; has no dot segments, no empty segments but the last,
    /// and stays so under any number of rounds of percent-decoding.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query as it was sent, without `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// Canonical path and query as sent.
    #[must_use]
    pub const fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// Host and port that the request is for.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// How the body is delimited; over HTTP/2 see [`BodyLength::resolve`].
    #[must_use]
    pub const fn body(&self) -> BodyLength {
        self.body
    }

    /// Whether it is a sound WebSocket handshake, so that a 101 may answer it.
    #[must_use]
    pub const fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// Whether the client waits for a 100 before it sends the body.
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether the method promises to change nothing (RFC 9110 §9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

/// Gives a request its one reading.
///
/// # Errors
/// Returns the first rule that the request breaks.
pub fn admit(parts: &Parts, limits: &Limits, connection: &ConnectionFacts<'_>) -> Result<Admitted, Rejection> {
    allow_method(&parts.method)?;
    let target = target(&parts.uri, limits)?;
    let fields = Fields::read(&parts.headers, limits)?;
    let authority = agreed_authority(&parts.uri, fields.host, connection)?;
    let body = fields.body_length(parts.version, connection.http2)?;
    let expects_continue = fields.expects_continue()?;
    let tunnel = fields.tunnel(&parts.method, parts.version, body)?;
    Ok(Admitted { method: parts.method.clone(), target, authority, body, tunnel, expects_continue })
}

/// Methods are compared as they are written: `get` is not `GET` (RFC 9110 §9.1).
fn allow_method(method: &Method) -> Result<(), Rejection> {
    let allowed = matches!(
        *method,
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS
    );
    if allowed { Ok(()) } else { Err(Rejection::Method) }
}

fn target(uri: &Uri, limits: &Limits) -> Result<PathAndQuery, Rejection> {
    let Some(given) = uri.path_and_query() else { return Err(Rejection::TargetForm) };
    if given.as_str().len() > limits.target {
        return Err(Rejection::TargetTooLong);
    }
    // `admin` and `host:80` read as an authority without a scheme.
    if uri.authority().is_some() != uri.scheme().is_some() {
        return Err(Rejection::TargetForm);
    }
    // The public listener is HTTPS; a target that says otherwise was meant for somebody else.
    if uri.scheme_str().is_some_and(|scheme| scheme != "https") {
        return Err(Rejection::Scheme);
    }
    path::canonical_target(given)
}

/// The host by `:authority` or an absolute-form target, and by `Host`: at least one, and if both, the same.
fn agreed_authority(
    uri: &Uri,
    host: Option<&HeaderValue>,
    connection: &ConnectionFacts<'_>,
) -> Result<Authority, Rejection> {
    // HTTP/1.1 must have a Host even in absolute form (RFC 9112 §3.2).
    if host.is_none() && !connection.http2 {
        return Err(Rejection::HostMissing);
    }
    let from_header = host.map(|value| Authority::parse(value.as_bytes())).transpose()?;
    let from_target = uri.authority().map(|a| Authority::parse(a.as_str().as_bytes())).transpose()?;
    let authority = match (from_target, from_header) {
        (Some(target), Some(header)) if target != header => return Err(Rejection::HostsDisagree),
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err(Rejection::HostMissing),
    };
    if connection.server_name.is_some_and(|name| !name.eq_ignore_ascii_case(authority.host())) {
        return Err(Rejection::Misdirected);
    }
    Ok(authority)
}

/// `version` is HTTP/1.0, for which neither chunked bodies nor upgrades exist.
fn is_http10(version: Version) -> bool {
    version < Version::HTTP_11
}

#[cfg(test)]
mod tests;
