//! `Set-Cookie` on the way down: a cookie stays on the route that set it.
//!
//! `Path` is forced under the route's prefix, `Domain` is taken out, `Secure` is added. Dropped altogether are
//! cookies of our own name; cookies without a name, because `=__Host-usher=x` comes back as `__Host-usher=x`; and,
//! on a route with a prefix, `__Host-` cookies, because browsers keep those for `Path=/` only, where every other
//! route of the host would get them.

use http::HeaderMap;
use http::HeaderValue;
use http::header::SET_COOKIE;

use super::cookies;
use crate::routing::Route;

/// Confines every cookie of an answer to `route`.
pub(super) fn confine(headers: &mut HeaderMap, route: &Route) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let confined: Vec<HeaderValue> =
        headers.get_all(SET_COOKIE).iter().filter_map(|line| confine_line(line, route)).collect();
    headers.remove(SET_COOKIE);
    for line in confined {
        headers.append(SET_COOKIE, line);
    }
}

/// The line as the browser may have it; `None` if it may not.
fn confine_line(line: &HeaderValue, route: &Route) -> Option<HeaderValue> {
    let (name, _) = cookies::set_cookie_pair(line);
    let is_host_cookie = name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"__host-"));
    if name.is_empty() || cookies::is_own(name) || is_host_cookie && route.prefix != "/" {
        return None;
    }
    let mut parts = line.as_bytes().split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let mut out = parts.next()?.to_vec();
    let mut path: &[u8] = b"/";
    for attribute in parts.filter(|attribute| !attribute.is_empty()) {
        let mut halves = attribute.splitn(2, |b| *b == b'=').map(<[u8]>::trim_ascii);
        let key = halves.next().unwrap_or_default();
        if key.eq_ignore_ascii_case(b"path") {
            // The last one counts, and one that is no path means the default (RFC 6265bis §5.6.4).
            path = halves.next().filter(|path| path.starts_with(b"/")).unwrap_or(b"/");
        } else if !key.eq_ignore_ascii_case(b"domain") && !key.eq_ignore_ascii_case(b"secure") {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(attribute);
        }
    }
    out.extend_from_slice(b"; Secure; Path=");
    push_path(path, route, &mut out);
    HeaderValue::from_bytes(&out).ok()
}

/// A path below the prefix is kept. Of any other, a route that strips its prefix shows the upstream a world without
/// it, so the path means one below it; a route that does not strip gets the prefix itself.
fn push_path(path: &[u8], route: &Route, out: &mut Vec<u8>) {
    let prefix = route.prefix.as_bytes();
    if path.starts_with(prefix) {
        out.extend_from_slice(path);
        return;
    }
    out.extend_from_slice(prefix);
    // `/ide` is how an application that was told of the prefix may write it.
    if prefix.strip_suffix(b"/") == Some(path) {
        return;
    }
    if route.strips() {
        out.extend_from_slice(path.get(1..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
