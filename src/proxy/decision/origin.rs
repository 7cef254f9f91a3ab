//! Which page sent a request, by its `Origin`.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::ORIGIN;

use crate::proxy::admit::Authority;
use crate::routing::PublicUrl;

/// What the `Origin` header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginCheck {
    /// There is none: no browser, or a request that browsers send none with.
    Absent,
    /// Exactly the origin that the request's host is served under.
    Own,
    /// `https://` and exactly what the request has as its host, though that is not the configured address.
    SameHost,
    /// Anything else, `null` among it.
    Foreign,
}

impl OriginCheck {
    /// Compares the `Origin` of an admitted request, which has at most one.
    #[must_use]
    pub fn of(headers: &HeaderMap, public: &PublicUrl, authority: &Authority) -> Self {
        let Some(origin) = headers.get(ORIGIN) else { return Self::Absent };
        let origin = origin.as_bytes().trim_ascii();
        if origin == expected_origin(public, authority).as_bytes() {
            return Self::Own;
        }
        let host = origin.strip_prefix(b"https://");
        if host == Some(authority.as_str().as_bytes()) { Self::SameHost } else { Self::Foreign }
    }
}

/// The origin that pages of this host have: the public one, or for the host of another route its own on the same port.
#[must_use]
pub fn expected_origin<'p>(public: &'p PublicUrl, authority: &Authority) -> Cow<'p, str> {
    if authority.host() == public.host() {
        Cow::Borrowed(public.origin())
    } else {
        Cow::Owned(format!("https://{}{}", authority.host(), public.port_suffix()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(origin: &'static [u8], host: &str) -> OriginCheck {
        let public = PublicUrl::parse("https://dev.example.com:8443").expect("a public url");
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_bytes(origin).expect("a value"))]);
        OriginCheck::of(&headers, &public, &Authority::parse(host.as_bytes()).expect("a host"))
    }

    #[test]
    fn only_the_exact_origin_is_ours() {
        let host = "dev.example.com:8443";
        assert_eq!(check(b"https://dev.example.com:8443", host), OriginCheck::Own);
        for foreign in [
            &b"null"[..],
            b"https://dev.example.com",
            b"https://dev.example.com:8443/",
            b"http://dev.example.com:8443",
            b"https://DEV.example.com:8443",
            b"https://dev.example.com:8443.evil.com",
            b"https://xdev.example.com:8443",
            b"https://dev.example.com:84430",
            b"https://u@dev.example.com:8443",
            b"https://dev.example.com:8443, https://dev.example.com:8443",
            b"",
            b"\xff",
        ] {
            assert_eq!(check(foreign, host), OriginCheck::Foreign, "{foreign:?}");
        }
    }

    #[test]
    fn another_host_has_an_origin_of_its_own() {
        let host = "ada.ide.example.com:8443";
        assert_eq!(check(b"https://ada.ide.example.com:8443", host), OriginCheck::Own);
        assert_eq!(check(b"https://dev.example.com:8443", host), OriginCheck::Foreign);
        assert_eq!(check(b"https://eve.ide.example.com:8443", host), OriginCheck::Foreign);
        assert_eq!(check(b"https://dev.example.com", "dev.example.com"), OriginCheck::SameHost);
    }
}
