//! Where a request came from: said by the gateway alone. What the client said about it has been taken out before,
//! so that there is one entry and it is true.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::Range;

use bytes::Bytes;
use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::admit::Authority;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Bytes of the longest IPv6 address as text.
const LONGEST_ADDRESS: usize = 45;

/// Sets `Forwarded` (RFC 7239) and its older relatives. `prefix` is what was stripped from the path.
pub(super) fn set(headers: &mut HeaderMap, client: IpAddr, authority: &Authority, prefix: Option<&str>) {
    let (forwarded, address) = forwarded(client.to_canonical(), authority);
    insert(headers, FOR, forwarded.slice(address));
    insert(headers, FORWARDED, forwarded);
    headers.insert(PROTO, HeaderValue::from_static("https"));
    headers.insert(HOST, authority.header().clone());
    if let Some(prefix) = prefix {
        insert(headers, PREFIX, Bytes::copy_from_slice(prefix.trim_end_matches('/').as_bytes()));
    }
}

/// The value of `Forwarded`, and where in it the client's address stands.
fn forwarded(client: IpAddr, authority: &Authority) -> (Bytes, Range<usize>) {
    // An IPv6 address is bracketed and quoted (RFC 7239 §6); so is a host with a port, and a plain one may be.
    let (open, close) = if client.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
    let mut text = String::with_capacity(LONGEST_ADDRESS + 32 + authority.as_str().len());
    text.push_str("for=");
    text.push_str(open);
    let start = text.len();
    write!(text, "{client}").expect("writing to a String does not fail");
    let address = start..text.len();
    for part in [close, ";host=\"", authority.as_str(), "\";proto=https"] {
        text.push_str(part);
    }
    (Bytes::from(text), address)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: Bytes) {
    // A route's prefix may hold any script, and goes up as the UTF-8 that it is configured in.
    if let Ok(value) = HeaderValue::from_maybe_shared(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_true_entry_in_each_notation() {
        let authority = Authority::parse(b"dev.example.com:8443").expect("a host");
        let mut headers = HeaderMap::new();
        set(&mut headers, "192.0.2.7".parse().expect("an address"), &authority, Some("/ide/"));
        assert_eq!(headers[FORWARDED], "for=192.0.2.7;host=\"dev.example.com:8443\";proto=https");
        assert_eq!(headers[FOR], "192.0.2.7");
        assert_eq!(headers[PROTO], "https");
        assert_eq!(headers[HOST], "dev.example.com:8443");
        assert_eq!(headers[PREFIX], "/ide");
        set(&mut headers, "2001:db8::7".parse().expect("an address"), &authority, None);
        assert_eq!(headers[FORWARDED], "for=\"[2001:db8::7]\";host=\"dev.example.com:8443\";proto=https");
        set(&mut headers, "::ffff:192.0.2.7".parse().expect("an address"), &authority, None);
        assert_eq!(headers[FOR], "192.0.2.7");
    }
}
