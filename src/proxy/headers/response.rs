//! Headers on the way down.

use http::header::{
    ALT_SVC, CONNECTION, CONTENT_LENGTH, LOCATION, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, response};

use super::{names, request, set_cookie};
use crate::proxy::admit::{Authority, parse_length};
use crate::routing::Route;

/// Why an upstream's answer cannot be passed on, and its connection cannot be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// Below 200, where only final answers are left, or above 599.
    #[error("the status is not one from 200 to 599")]
    Status,
    /// A 101 to a request that was no handshake, or not to the protocol that was asked for.
    #[error("the answer switches to a protocol that was not asked for")]
    UnaskedUpgrade,
    /// Anything but exactly one `chunked`.
    #[error("the transfer coding is not exactly one chunked")]
    TransferEncoding,
    /// Not a number, or several that differ.
    #[error("the content length is not one number")]
    ContentLength,
    /// Both ways of delimiting a body.
    #[error("both a content length and a transfer coding are given")]
    LengthClash,
}

impl BadAnswer {
    /// A stable name for the log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::UnaskedUpgrade => "unasked-upgrade",
            Self::TransferEncoding => "transfer-encoding",
            Self::ContentLength => "content-length",
            Self::LengthClash => "length-clash",
        }
    }
}

/// What an answer's headers are confined by.
#[derive(Debug, Clone, Copy)]
pub struct Downward<'a> {
    /// The route that the request took.
    pub route: &'a Route,
    /// What the request had as its host.
    pub authority: &'a Authority,
    /// Whether other routes or our own pages have the same host: `Permit::shares_host`.
    pub shared_host: bool,
}

/// Checks an answer's head before anything of it is passed on, and writes its length anew. `tunnel`: the request was
/// a WebSocket handshake.
///
/// # Errors
/// Returns an error if the answer is to be replaced by a 502 and its connection closed.
pub fn check_answer(parts: &mut response::Parts, tunnel: bool) -> Result<(), BadAnswer> {
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return check_switch(&parts.headers, tunnel);
    }
    if !(200..=599).contains(&parts.status.as_u16()) {
        return Err(BadAnswer::Status);
    }
    let chunked = check_coding(&parts.headers)?;
    let length = one_length(&parts.headers)?;
    match length {
        Some(_) if chunked => return Err(BadAnswer::LengthClash),
        // A 204 has no body and so no length (RFC 9110 §8.6).
        Some(length) if parts.status != StatusCode::NO_CONTENT => write_length(&mut parts.headers, length),
        Some(_) => {
            parts.headers.remove(CONTENT_LENGTH);
        }
        None => {}
    }
    Ok(())
}

fn check_switch(headers: &HeaderMap, tunnel: bool) -> Result<(), BadAnswer> {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let websocket = upgrades.next().is_some_and(|v| v.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket"));
    let framed = headers.contains_key(TRANSFER_ENCODING) || headers.contains_key(CONTENT_LENGTH);
    if tunnel && websocket && upgrades.next().is_none() && !framed { Ok(()) } else { Err(BadAnswer::UnaskedUpgrade) }
}

/// Whether the body is chunked.
fn check_coding(headers: &HeaderMap) -> Result<bool, BadAnswer> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(false) };
    let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if chunked && codings.next().is_none() { Ok(true) } else { Err(BadAnswer::TransferEncoding) }
}

/// The one length; the same one twice is once (RFC 9110 §8.6).
fn one_length(headers: &HeaderMap) -> Result<Option<u64>, BadAnswer> {
    let mut length = None;
    let lines = headers.get_all(CONTENT_LENGTH).iter();
    for text in lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')) {
        let parsed = parse_length(text).ok_or(BadAnswer::ContentLength)?;
        if length.is_some_and(|length| length != parsed) {
            return Err(BadAnswer::ContentLength);
        }
        length = Some(parsed);
    }
    Ok(length)
}

/// Leaves one line, in the one form of the number.
fn write_length(headers: &mut HeaderMap, length: u64) {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let is_plain =
        |line: &HeaderValue| matches!(line.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    if !lines.next().is_some_and(is_plain) || lines.next().is_some() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Turns the headers of a checked answer into those that the client gets. A 101's `Connection` and `Upgrade` are
/// written anew; `Location` is read as the upstream meant it, who knows nothing of a prefix that was stripped.
pub fn confine_answer(status: StatusCode, headers: &mut HeaderMap, down: &Downward<'_>) {
    for name in request::nominated(headers) {
        headers.remove(name);
    }
    let doomed: Vec<HeaderName> =
        headers.keys().filter(|name| is_kept_from_client(name.as_str(), down.shared_host)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    set_cookie::confine(headers, down.route);
    if down.route.strips() {
        put_prefix_before(LOCATION, headers, down);
        put_prefix_before(http::header::CONTENT_LOCATION, headers, down);
    }
}

/// What describes the upstream's connection, and what would hold beyond the route.
fn is_kept_from_client(name: &str, shared_host: bool) -> bool {
    names::is_hop_by_hop(name) || names::is_own(name) || is_host_wide(name) || shared_host && is_origin_wide(name)
}

/// Promises about the whole host and its TLS, which only the gateway may make.
fn is_host_wide(name: &str) -> bool {
    [STRICT_TRANSPORT_SECURITY, ALT_SVC].iter().any(|known| known == name)
        || matches!(name, "public-key-pins" | "public-key-pins-report-only" | "expect-ct")
}

/// What acts on everything of an origin: a service worker's reach, stored data, reports on all requests.
fn is_origin_wide(name: &str) -> bool {
    matches!(name, "service-worker-allowed" | "clear-site-data" | "nel" | "report-to")
}

/// Maps an address on this host into the route. Relative and foreign ones stay as they are.
fn put_prefix_before(name: HeaderName, headers: &mut HeaderMap, down: &Downward<'_>) {
    let Some(path) = headers.get(&name).and_then(|value| own_path(value.as_bytes(), down.authority)) else { return };
    let prefix = down.route.prefix.as_bytes();
    let mut mapped = Vec::with_capacity(prefix.len() + path.len());
    if !is_below(path, prefix) {
        mapped.extend_from_slice(prefix.strip_suffix(b"/").unwrap_or(prefix));
    }
    mapped.extend_from_slice(path);
    if let Ok(value) = HeaderValue::from_bytes(&mapped) {
        headers.insert(name, value);
    }
}

/// The path, with query and fragment, of an address on this host: `/x`, `//host/x`, or `http(s)://host/x`.
fn own_path<'v>(location: &'v [u8], authority: &Authority) -> Option<&'v [u8]> {
    let location = location.trim_ascii();
    let after_scheme = ["https:", "http:"].iter().find_map(|scheme| {
        let start = location.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then(|| location.get(scheme.len()..)).flatten()
    });
    let rest = after_scheme.unwrap_or(location);
    let Some(from_host) = rest.strip_prefix(b"//") else {
        // `http:/x` is no address that anybody writes on purpose, and `/\host` is one of another host to browsers.
        let plain = after_scheme.is_none() && location.starts_with(b"/") && location.get(1) != Some(&b'\\');
        return plain.then_some(location);
    };
    let host_length = from_host.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\')).unwrap_or(from_host.len());
    let (host, path) = from_host.split_at(host_length);
    let own = host.eq_ignore_ascii_case(authority.as_str().as_bytes());
    match path.first() {
        None if own => Some(b"/"),
        Some(b'/') if own && !matches!(path.get(1), Some(b'/' | b'\\')) => Some(path),
        _ => None,
    }
}

/// Whether the path is the prefix, its last slash or not, or lies below it.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    path.starts_with(prefix) || Some(path) == prefix.strip_suffix(b"/")
}

#[cfg(test)]
mod tests;
