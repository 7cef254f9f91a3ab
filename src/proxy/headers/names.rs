//! Which header names mean something to the gateway, and in what spellings.
//!
//! CGI, WSGI and PHP map every character of a name that is no letter or digit to `_`; nginx and others drop
//! such names, some servers join them. So a name that holds anything but letters, digits and `-` is compared in
//! the form where all of those are `-`: if that is a reserved name, the request is refused at admission.
//! Any other odd name passes as it is.

use http::{HeaderName, HeaderValue};

/// The user's id, for the upstream.
pub const USER: HeaderName = HeaderName::from_static("x-usher-user");
/// The tenant's id, for the upstream.
pub const TENANT: HeaderName = HeaderName::from_static("x-usher-tenant");
/// The groups, joined with commas, for the upstream.
pub const GROUPS: HeaderName = HeaderName::from_static("x-usher-groups");
/// Set to `1` if the groups were more than fit.
pub const GROUPS_TRUNCATED: HeaderName = HeaderName::from_static("x-usher-groups-truncated");

/// The signed statement of who sent it, for the upstream.
pub const ASSERTION: HeaderName = HeaderName::from_static("x-usher-assertion");

/// What every name of ours starts with; the whole family is kept from clients.
const OWN_PREFIX: &str = "x-usher-";

/// Headers that describe one connection, and those that only proxies speak (RFC 9110 §7.6.1).
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings" | "proxy"
    ) || name.starts_with("proxy-")
}

/// Claims about where a request came from or which path was meant, which only the gateway may make.
pub(crate) fn is_forwarding_claim(name: &str) -> bool {
    name.starts_with("x-forwarded")
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "true-client-ip"
                | "x-original-url"
                | "x-original-host"
                | "x-original-uri"
                | "x-rewrite-url"
                | "x-request-id"
        )
}

/// The identity family.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with(OWN_PREFIX)
}

/// Whether `name`, in canonical spelling, is one that the gateway sets, removes or decides by.
pub(crate) fn is_reserved(name: &str) -> bool {
    is_own(name)
        || is_hop_by_hop(name)
        || is_forwarding_claim(name)
        || name.starts_with("sec-")
        || matches!(name, "host" | "content-length" | "expect" | "cookie" | "authorization" | "origin")
}

/// Whether a name is spelled so that an upstream may read a reserved one in it.
pub(crate) fn is_alias_of_reserved(name: &HeaderName) -> bool {
    canonical_if_odd(name.as_str()).is_some_and(|canonical| is_reserved(&canonical))
}

/// The name with everything but letters and digits as `-`; `None` if it is spelled so already.
pub(crate) fn canonical_if_odd(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.bytes().all(plain) {
        return None;
    }
    Some(
        name.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b.to_ascii_lowercase()) } else { '-' })
            .collect(),
    )
}

/// The comma-separated tokens of a value; what is not UTF-8 is no token.
pub(crate) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let tokens = value.as_bytes().split(|b| *b == b',');
    tokens.filter_map(|token| std::str::from_utf8(token.trim_ascii()).ok()).filter(|token| !token.is_empty())
}
