//! Host and port, strictly: what a browser can send and nothing else.

use std::net::Ipv6Addr;

use http::HeaderValue;

use super::Rejection;

/// Longest host name in bytes, and longest label of one (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// A host in lower case, and a port if one was given.
///
/// Two are equal if they name the same host and the same port. The text is kept as a header value, because
/// that is what it becomes again on the way up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    text: HeaderValue,
    host_length: usize,
    port: Option<u16>,
}

impl Authority {
    /// Parses `host` or `host:port`. No userinfo, no blanks, no empty port, no trailing dot, ASCII only.
    ///
    /// # Errors
    /// Returns [`Rejection::HostInvalid`] if the text is anything else.
    pub fn parse(text: &[u8]) -> Result<Self, Rejection> {
        Self::parse_canonical(text).ok_or(Rejection::HostInvalid)
    }

    fn parse_canonical(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let host_length =
            if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (host, rest) = text.split_at(host_length);
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        if let Some(literal) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            return Self::from_parts(&format!("[{}]", literal.parse::<Ipv6Addr>().ok()?), port);
        }
        if !is_host_name(host) {
            return None;
        }
        if is_canonical(host, rest) {
            return Some(Self { text: HeaderValue::from_str(text).ok()?, host_length, port });
        }
        Self::from_parts(&host.to_ascii_lowercase(), port)
    }

    fn from_parts(host: &str, port: Option<u16>) -> Option<Self> {
        let text = match port {
            Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
            None => HeaderValue::from_str(host),
        };
        Some(Self { text: text.ok()?, host_length: host.len(), port })
    }

    /// The host in lower case, without port; an IPv6 address stands in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.as_str().get(..self.host_length).unwrap_or_default()
    }

    /// The port, if one was given.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Host, and port if one was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.to_str().expect("an authority was parsed from visible ASCII")
    }

    /// The same as the value of a `Host` header.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.text
    }
}

/// 1 to 5 digits that make a port other than 0.
fn port(digits: &str) -> Option<u16> {
    let all_digits = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if all_digits { digits.parse().ok().filter(|port| *port != 0) } else { None }
}

fn is_canonical(host: &str, rest: &str) -> bool {
    !host.bytes().any(|b| b.is_ascii_uppercase()) && !rest.starts_with(":0")
}

/// Labels of letters, digits, `-` and `_`. Dotted IPv4 addresses are among these.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= MAX_HOST && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_strictly() {
        for (text, host, port) in [
            ("dev.example.com", "dev.example.com", None),
            ("Dev.Example.COM:8443", "dev.example.com", Some(8443)),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("localhost:00443", "localhost", Some(443)),
            ("[::1]:443", "[::1]", Some(443)),
            ("[2001:DB8:0::1]", "[2001:db8::1]", None),
        ] {
            let authority = Authority::parse(text.as_bytes()).expect(text);
            assert_eq!((authority.host(), authority.port()), (host, port), "{text}");
            assert_eq!(Authority::parse(authority.as_str().as_bytes()), Ok(authority.clone()), "{text} read again");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for text in [
            "", " ", "a b", "a,b", "evil@h", "u:p@h", "a:80:90", "a:", "a:0", "a:65536", "a:+80", "a:080000", "[::1",
            "[::1]x", "::1", "[::g]", "[]", "a..b", ".a", "a.", "a/b", "a\\b", "a#b", "a?b", "a%41", "h\u{fc}", "*",
            "a\tb", "http://a", "[v1.x]",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), Err(Rejection::HostInvalid), "{text:?}");
        }
        assert!(Authority::parse(&[b'a', 0xff]).is_err());
        assert!(Authority::parse("a".repeat(64).as_bytes()).is_err());
        assert!(Authority::parse("a.".repeat(127).as_bytes()).is_err());
    }
}
