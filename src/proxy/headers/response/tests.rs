//! Which answers are passed on, and with what.

use http::Response;

use super::*;
use crate::proxy::fixture::{HOST, header_map, table};

fn checked(status: u16, tunnel: bool, headers: &[(&str, &str)]) -> Result<HeaderMap, BadAnswer> {
    let mut parts = Response::builder().status(status).body(()).expect("an answer").into_parts().0;
    parts.headers = header_map(headers);
    check_answer(&mut parts, tunnel).map(|()| parts.headers)
}

fn confined(host: &str, path: &str, shared_host: bool, headers: &[(&str, &str)]) -> HeaderMap {
    let authority = Authority::parse(host.as_bytes()).expect("a host");
    let found = table().find(authority.host(), path).expect("a route");
    let mut map = header_map(headers);
    let down = Downward { route: &found.route, authority: &authority, shared_host };
    confine_answer(StatusCode::OK, &mut map, &down);
    map
}

#[test]
fn answers_that_break_the_framing_are_refused() {
    let chunked = ("transfer-encoding", "chunked");
    for (status, headers, result) in [
        (200, &[][..], Ok(None)),
        (200, &[chunked], Ok(None)),
        (200, &[("content-length", "5")], Ok(Some("5"))),
        (200, &[("content-length", "005")], Ok(Some("5"))),
        (200, &[("content-length", "2, 2")], Ok(Some("2"))),
        (200, &[("content-length", "2"), ("content-length", "2")], Ok(Some("2"))),
        (204, &[("content-length", "0")], Ok(None)),
        (304, &[("content-length", "5")], Ok(Some("5"))),
        (599, &[], Ok(None)),
        (600, &[], Err(BadAnswer::Status)),
        (999, &[], Err(BadAnswer::Status)),
        (100, &[], Err(BadAnswer::Status)),
        (103, &[], Err(BadAnswer::Status)),
        (200, &[("content-length", "2"), ("content-length", "3")], Err(BadAnswer::ContentLength)),
        (200, &[("content-length", "2, 3")], Err(BadAnswer::ContentLength)),
        (200, &[("content-length", "+2")], Err(BadAnswer::ContentLength)),
        (200, &[("content-length", "")], Err(BadAnswer::ContentLength)),
        (200, &[("transfer-encoding", "gzip")], Err(BadAnswer::TransferEncoding)),
        (200, &[("transfer-encoding", "chunked, chunked")], Err(BadAnswer::TransferEncoding)),
        (200, &[chunked, chunked], Err(BadAnswer::TransferEncoding)),
        (200, &[chunked, ("content-length", "5")], Err(BadAnswer::LengthClash)),
    ] {
        let length = checked(status, false, headers)
            .map(|map| map.get(CONTENT_LENGTH).map(|value| value.to_str().expect("text").to_owned()));
        assert_eq!(length, result.map(|text| text.map(str::to_owned)), "{status} {headers:?}");
    }
}

#[test]
fn a_101_answers_a_websocket_handshake_only() {
    let upgrade = ("upgrade", "WebSocket");
    assert!(checked(101, true, &[upgrade]).is_ok());
    for (tunnel, headers) in [
        (false, &[upgrade][..]),
        (true, &[]),
        (true, &[("upgrade", "h2c")]),
        (true, &[upgrade, upgrade]),
        (true, &[upgrade, ("content-length", "5")]),
    ] {
        assert_eq!(checked(101, tunnel, headers).err(), Some(BadAnswer::UnaskedUpgrade), "{tunnel} {headers:?}");
    }
    assert!(checked(403, true, &[]).is_ok());
}

#[test]
fn what_reaches_beyond_the_route_is_taken_out() {
    for name in [
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
        "strict-transport-security",
        "alt-svc",
        "public-key-pins",
        "expect-ct",
        "x-usher-user",
    ] {
        assert!(confined("shop.example.com", "/", false, &[(name, "x")]).is_empty(), "{name}");
    }
    for name in ["service-worker-allowed", "clear-site-data", "nel", "report-to"] {
        assert!(confined(HOST, "/ide/", true, &[(name, "x")]).is_empty(), "{name}");
        assert_eq!(confined("shop.example.com", "/", false, &[(name, "x")]).len(), 1, "{name}");
    }
    let kept = ["content-security-policy", "cross-origin-opener-policy", "etag", "www-authenticate", "refresh"];
    for name in kept {
        assert_eq!(confined(HOST, "/ide/", true, &[(name, "x")]).len(), 1, "{name}");
    }
}

#[test]
fn nominated_headers_are_taken_out() {
    let map = confined(HOST, "/ide/", true, &[("connection", "close, X-Hop"), ("x-hop", "1"), ("x-end", "2")]);
    assert_eq!(map.keys().collect::<Vec<_>>(), ["x-end"]);
}

#[test]
fn a_redirect_stays_on_a_route_that_strips_its_prefix() {
    for (location, expected) in [
        ("/", "/ide/"),
        ("/x?y#z", "/ide/x?y#z"),
        ("/ide/x", "/ide/x"),
        ("/ide", "/ide"),
        ("/idex", "/ide/idex"),
        ("/.usher/logout", "/ide/.usher/logout"),
        ("https://dev.example.com:8443/x", "/ide/x"),
        ("http://DEV.example.com:8443/x", "/ide/x"),
        ("//dev.example.com:8443/x", "/ide/x"),
        ("https://dev.example.com:8443", "/ide/"),
        ("x/y", "x/y"),
        ("../x", "../x"),
        ("?x", "?x"),
        ("https://dev.example.com/x", "https://dev.example.com/x"),
        ("https://other.example.com/x", "https://other.example.com/x"),
        ("https://dev.example.com:8443.evil.com/", "https://dev.example.com:8443.evil.com/"),
        ("https://dev.example.com:8443//evil.com", "https://dev.example.com:8443//evil.com"),
        ("//evil.com/x", "//evil.com/x"),
        ("/\\evil.com", "/\\evil.com"),
        ("mailto:x", "mailto:x"),
    ] {
        assert_eq!(confined(HOST, "/ide/", true, &[("location", location)])[LOCATION], expected, "{location}");
        assert_eq!(confined(HOST, "/raw/", true, &[("location", location)])[LOCATION], location, "{location} kept");
    }
}
