//! One row for each kind of request, and the properties that hold for all of them.

use http::{Request, Version};
use percent_encoding::percent_decode;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { target: 8192, headers: 32 * 1024 };
const H1: ConnectionFacts<'static> = ConnectionFacts { http2: false, server_name: None };
const H2: ConnectionFacts<'static> = ConnectionFacts { http2: true, server_name: None };
const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");

type Headers<'a> = &'a [(&'a str, &'a str)];

fn parts(method: &str, target: &str, version: Version, headers: Headers<'_>) -> Parts {
    let mut builder = Request::builder().method(method).uri(target).version(version);
    for (name, value) in headers {
        builder = builder.header(*name, value.as_bytes());
    }
    builder.body(()).expect("a request that hyper lets through").into_parts().0
}

fn h1(method: &str, target: &str, headers: Headers<'_>) -> Result<Admitted, Rejection> {
    let all: Vec<_> = [("host", "dev.example.com")].iter().chain(headers).copied().collect();
    admit(&parts(method, target, Version::HTTP_11, &all), &LIMITS, &H1)
}

fn h1_without_host(target: &str, headers: Headers<'_>) -> Result<Admitted, Rejection> {
    admit(&parts("GET", target, Version::HTTP_11, headers), &LIMITS, &H1)
}

fn h2(target: &str, headers: Headers<'_>) -> Result<Admitted, Rejection> {
    admit(&parts("GET", target, Version::HTTP_2, headers), &LIMITS, &H2)
}

fn path(target: &str) -> Result<String, Rejection> {
    h1("GET", target, &[]).map(|admitted| admitted.path().to_owned())
}

#[test]
fn methods_are_on_a_list() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert!(h1(method, "/", &[]).is_ok(), "{method}");
    }
    for method in ["get", "Get", "TRACE", "CONNECT", "FOO", "PRI", "PROPFIND"] {
        assert_eq!(h1(method, "/", &[]), Err(Rejection::Method), "{method}");
    }
}

#[test]
fn a_path_has_one_canonical_form() {
    for (given, canonical) in [
        ("/", "/"),
        ("/ide/", "/ide/"),
        ("/ide", "/ide"),
        ("/a/b.c/d~e/@f:g;h=1,i/", "/a/b.c/d~e/@f:g;h=1,i/"),
        ("/.usher/login", "/.usher/login"),
        ("/%2Eusher/login", "/.usher/login"),
        ("/%69de/", "/ide/"),
        ("/a%20b", "/a%20b"),
        ("/%e5%bc%a0", "/%E5%BC%A0"),
        ("/张", "/%E5%BC%A0"),
        ("/%40%3a", "/%40%3A"),
        ("/a%3bb", "/a%3Bb"),
        ("//", "/"),
        ("//o/x", "/o/x"),
        ("/a//b///c//", "/a/b/c/"),
        ("/...", "/..."),
        ("/..a/.b", "/..a/.b"),
        ("/100%25", "/100%25"),
        ("/%2525", "/%2525"),
        ("/a|b[c]{d}\"", "/a%7Cb%5Bc%5D%7Bd%7D%22"),
        ("/a?b=%2f..//%zz\\", "/a"),
        ("https://dev.example.com", "/"),
        ("https://dev.example.com/a", "/a"),
        ("https://DEV.example.com?x", "/"),
    ] {
        assert_eq!(path(given).as_deref(), Ok(canonical), "{given}");
    }
}

#[test]
fn a_path_without_one_reading_is_refused() {
    for (given, rejection) in [
        ("/..", Rejection::PathDots),
        ("/.", Rejection::PathDots),
        ("/a/../b", Rejection::PathDots),
        ("/a/./b", Rejection::PathDots),
        ("/%2e%2e/", Rejection::PathDots),
        ("/.%2E/", Rejection::PathDots),
        ("/..;/", Rejection::PathDots),
        ("/..;a=b/c", Rejection::PathDots),
        ("/..%3bx/", Rejection::PathDots),
        ("/.;", Rejection::PathDots),
        ("/a%2fb", Rejection::PathSlash),
        ("/a%2Fb", Rejection::PathSlash),
        ("/a%5cb", Rejection::PathBackslash),
        ("/a\\b", Rejection::PathBackslash),
        ("/..\\b", Rejection::PathBackslash),
        ("/%00", Rejection::PathControl),
        ("/a%0d%0aX: y", Rejection::PathControl),
        ("/%7f", Rejection::PathControl),
        ("/%zz", Rejection::PathEncoding),
        ("/%", Rejection::PathEncoding),
        ("/%4", Rejection::PathEncoding),
        ("/%u002e", Rejection::PathEncoding),
        ("/%c0%af", Rejection::PathUtf8),
        ("/%c0%ae%c0%ae/", Rejection::PathUtf8),
        ("/%ff", Rejection::PathUtf8),
        ("/%ed%a0%80", Rejection::PathUtf8),
        ("/%252e%252e/", Rejection::PathDoubleEncoding),
        ("/%252f", Rejection::PathDoubleEncoding),
        ("/a%255cb", Rejection::PathDoubleEncoding),
        ("/%2500", Rejection::PathDoubleEncoding),
        ("/%25252f", Rejection::PathDoubleEncoding),
        ("/..%253b/", Rejection::PathDoubleEncoding),
        ("/%2525252525252525", Rejection::PathDoubleEncoding),
    ] {
        // A blank cannot be in a target that hyper lets through; the row above stands for the encoded one.
        let given = given.replace(' ', "%20");
        assert_eq!(path(&given), Err(rejection), "{given}");
    }
}

#[test]
fn targets_have_one_of_two_forms() {
    let forms = [("admin", Rejection::TargetForm), ("host:80", Rejection::TargetForm), ("*", Rejection::TargetForm)];
    for (target, rejection) in forms {
        assert_eq!(h1("GET", target, &[]), Err(rejection), "{target}");
    }
    assert_eq!(h1("OPTIONS", "*", &[]), Err(Rejection::TargetForm));
    assert_eq!(h1("GET", "http://dev.example.com/", &[]), Err(Rejection::Scheme));
    assert_eq!(h1("GET", "ftp://dev.example.com/", &[]), Err(Rejection::Scheme));
    assert_eq!(h1("GET", &format!("/{}", "a".repeat(8192)), &[]), Err(Rejection::TargetTooLong));
    assert!(h1("GET", &format!("/{}", "a".repeat(8191)), &[]).is_ok());
}

#[test]
fn the_query_goes_on_as_it_came() {
    let admitted = h1("GET", "/%69de//x?a=%2f&b=../..&c=张", &[]).expect("admitted");
    assert_eq!(admitted.query(), Some("a=%2f&b=../..&c=张"));
    assert_eq!(admitted.target(), "/ide/x?a=%2f&b=../..&c=张");
}

#[test]
fn there_is_exactly_one_host() {
    let https = "https://dev.example.com:8443/";
    let host = ("host", "dev.example.com:8443");
    assert_eq!(h1_without_host("/", &[]), Err(Rejection::HostMissing));
    assert_eq!(h1_without_host(https, &[]), Err(Rejection::HostMissing));
    assert_eq!(h1_without_host("/", &[host, host]), Err(Rejection::HostDoubled));
    assert_eq!(h1_without_host(https, &[("host", "evil.example.com")]), Err(Rejection::HostsDisagree));
    assert_eq!(h1_without_host(https, &[("host", "dev.example.com")]), Err(Rejection::HostsDisagree));
    assert!(h1_without_host(https, &[("host", "DEV.example.com:8443")]).is_ok());
    for bad in ["", "evil@dev.example.com", "a,b", "a b", "a/b", "a:80:90", "[::1", "h\u{fc}.example.com", "a."] {
        assert_eq!(h1_without_host("/", &[("host", bad)]), Err(Rejection::HostInvalid), "{bad:?}");
    }
    assert_eq!(h1("GET", "https://u:p@dev.example.com/", &[]), Err(Rejection::HostInvalid));

    assert!(h2(https, &[]).is_ok());
    assert!(h2(https, &[host]).is_ok());
    assert!(h2("/", &[host]).is_ok());
    assert_eq!(h2("/", &[]), Err(Rejection::HostMissing));
    assert_eq!(h2(https, &[host, host]), Err(Rejection::HostDoubled));
    assert_eq!(h2(https, &[("host", "evil.example.com")]), Err(Rejection::HostsDisagree));
    assert_eq!(h2("https://u@dev.example.com/", &[]), Err(Rejection::HostInvalid));
    assert_eq!(h2("http://dev.example.com/", &[]), Err(Rejection::Scheme));

    let admitted = h2(https, &[]).expect("admitted");
    assert_eq!((admitted.authority().host(), admitted.authority().port()), ("dev.example.com", Some(8443)));
}

#[test]
fn a_connection_made_for_another_host_is_misdirected() {
    let request = parts("GET", "/", Version::HTTP_11, &[("host", "dev.example.com:8443")]);
    let with_name = |name| admit(&request, &LIMITS, &ConnectionFacts { http2: false, server_name: Some(name) });
    assert!(with_name("Dev.Example.com").is_ok());
    assert_eq!(with_name("other.example.com"), Err(Rejection::Misdirected));
    assert_eq!(Rejection::Misdirected.status(), 421);
}

#[test]
fn names_that_alias_reserved_ones_are_refused() {
    for name in [
        "x_usher_user",
        "x.usher.user",
        "x-usher_user",
        "x_usher-anything",
        "x_forwarded_for",
        "x.forwarded.proto",
        "content_length",
        "transfer.encoding",
        "x_real_ip",
        "cookie_",
        "proxy_authorization",
        "sec_fetch_mode",
    ] {
        let expected = if name == "cookie_" { Ok(()) } else { Err(Rejection::HeaderAlias) };
        assert_eq!(h1("GET", "/", &[(name, "x")]).map(|_| ()), expected, "{name}");
    }
    for name in ["x-usher-user", "my_header", "x.y", "x-usher", "proxy", "x!y"] {
        assert!(h1("GET", "/", &[(name, "x")]).is_ok(), "{name}");
    }
}

#[test]
fn what_decides_is_not_doubled() {
    for name in ["origin", "authorization", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"] {
        assert_eq!(h1("GET", "/", &[(name, "a"), (name, "a")]), Err(Rejection::HeaderDoubled), "{name}");
    }
}

#[test]
fn a_head_has_limits() {
    let long_name = "x".repeat(257);
    assert_eq!(h1("GET", "/", &[(&long_name, "")]), Err(Rejection::HeaderNameTooLong));
    let long_value = "x".repeat(32 * 1024);
    assert_eq!(h1("GET", "/", &[("a", &long_value)]), Err(Rejection::HeadersTooLarge));
    let many: Vec<String> = (0..100).map(|n| format!("h{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(h1("GET", "/", &many), Err(Rejection::TooManyHeaders));
    assert!(h1("GET", "/", &many[..99]).is_ok());
}

#[test]
fn a_body_has_one_length() {
    let te = ("transfer-encoding", "chunked");
    for (headers, body) in [
        (&[][..], Ok(BodyLength::None)),
        (&[("content-length", "5")], Ok(BodyLength::Exact(5))),
        (&[("content-length", "00005")], Ok(BodyLength::Exact(5))),
        (&[("content-length", "0")], Ok(BodyLength::Exact(0))),
        (&[te], Ok(BodyLength::Unknown)),
        (&[("transfer-encoding", " Chunked ")], Ok(BodyLength::Unknown)),
        (&[te, te], Err(Rejection::TransferEncoding)),
        (&[("transfer-encoding", "gzip, chunked")], Err(Rejection::TransferEncoding)),
        (&[("transfer-encoding", "identity, chunked")], Err(Rejection::TransferEncoding)),
        (&[("transfer-encoding", "chunked, chunked")], Err(Rejection::TransferEncoding)),
        (&[("transfer-encoding", "xchunked")], Err(Rejection::TransferEncoding)),
        (&[("transfer-encoding", "chunked;x=y")], Err(Rejection::TransferEncoding)),
        (&[("transfer-encoding", "")], Err(Rejection::TransferEncoding)),
        (&[("content-length", "5"), te], Err(Rejection::LengthClash)),
        (&[("content-length", "5"), ("content-length", "5")], Err(Rejection::ContentLength)),
        (&[("content-length", "5, 5")], Err(Rejection::ContentLength)),
        (&[("content-length", "+5")], Err(Rejection::ContentLength)),
        (&[("content-length", "-5")], Err(Rejection::ContentLength)),
        (&[("content-length", "0x5")], Err(Rejection::ContentLength)),
        (&[("content-length", "")], Err(Rejection::ContentLength)),
        (&[("content-length", "18446744073709551616")], Err(Rejection::ContentLength)),
    ] {
        assert_eq!(h1("POST", "/", headers).map(|admitted| admitted.body()), body, "{headers:?}");
    }
    let host = ("host", "dev.example.com");
    let old = parts("POST", "/", Version::HTTP_10, &[host, te]);
    assert_eq!(admit(&old, &LIMITS, &H1), Err(Rejection::TransferEncoding));
    assert_eq!(h2("/", &[host, te]), Err(Rejection::TransferEncoding));
    assert_eq!(h2("/", &[host]).map(|admitted| admitted.body()), Ok(BodyLength::Unknown));
    assert_eq!(BodyLength::Unknown.resolve(true), BodyLength::None);
    assert_eq!(BodyLength::Unknown.resolve(false), BodyLength::Unknown);
}

#[test]
fn only_one_expectation_is_met() {
    assert_eq!(h1("POST", "/", &[]).map(|a| a.expects_continue()), Ok(false));
    assert_eq!(h1("POST", "/", &[("expect", "100-Continue")]).map(|a| a.expects_continue()), Ok(true));
    for expect in ["", "foo", "100-continue, foo"] {
        assert_eq!(h1("POST", "/", &[("expect", expect)]), Err(Rejection::Expect), "{expect}");
    }
    assert_eq!(Rejection::Expect.status(), 417);
}

#[test]
fn a_tunnel_is_a_sound_websocket_handshake() {
    let websocket = ("upgrade", "websocket");
    let connection = ("connection", "keep-alive, Upgrade");
    let version = ("sec-websocket-version", "13");
    let sound = [websocket, connection, version, KEY];
    let with = |method: &str, headers: Headers<'_>| h1(method, "/", headers).map(|admitted| admitted.is_tunnel());
    assert_eq!(with("GET", &sound), Ok(true));
    assert_eq!(with("GET", &[("upgrade", "WebSocket"), connection, version, KEY]), Ok(true));
    for (not_a_handshake, headers) in [
        ("no connection token", &[websocket, version, KEY][..]),
        ("another protocol", &[("upgrade", "foo"), connection]),
        ("a list", &[("upgrade", "websocket, h2c"), connection, version, KEY]),
        ("two lines", &[websocket, ("upgrade", "h2c"), connection, version, KEY]),
        ("two equal lines", &[websocket, websocket, connection, version, KEY]),
        ("none", &[connection, version, KEY]),
    ] {
        assert_eq!(with("GET", headers), Ok(false), "{not_a_handshake}");
    }
    for (fault, method, headers) in [
        ("method", "POST", &sound[..]),
        ("no version", "GET", &[websocket, connection, KEY]),
        ("old version", "GET", &[websocket, connection, KEY, ("sec-websocket-version", "8")]),
        ("no key", "GET", &[websocket, connection, version]),
        ("short key", "GET", &[websocket, connection, version, ("sec-websocket-key", "YQ==")]),
        ("two keys", "GET", &[websocket, connection, version, KEY, KEY]),
        ("a length", "GET", &[websocket, connection, version, KEY, ("content-length", "0")]),
    ] {
        assert_eq!(with(method, headers), Err(Rejection::WebSocketHandshake), "{fault}");
    }
    for (body, headers) in [
        ("length", &[websocket, connection, version, KEY, ("content-length", "5")]),
        ("coding", &[websocket, connection, version, KEY, ("transfer-encoding", "chunked")]),
    ] {
        assert_eq!(with("GET", headers), Err(Rejection::UpgradeBody), "{body}");
    }
    assert_eq!(with("POST", &[("upgrade", "h2c"), ("content-length", "5")]), Err(Rejection::UpgradeBody));
    let all: Vec<_> = [("host", "dev.example.com")].iter().chain(&sound).copied().collect();
    let old = admit(&parts("GET", "/", Version::HTTP_10, &all), &LIMITS, &H1);
    assert_eq!(old.map(|admitted| admitted.is_tunnel()), Ok(false));
}

#[test]
fn labels_are_distinct_and_statuses_are_client_errors() {
    let labels: std::collections::BTreeSet<_> = Rejection::ALL.iter().map(|rejection| rejection.label()).collect();
    assert_eq!(labels.len(), Rejection::ALL.len());
    assert!(Rejection::ALL.iter().all(|rejection| rejection.status().is_client_error()));
}

/// Paths made of the pieces that climbing is done with.
fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "//",
        ".",
        "..",
        "%2e",
        "%2E",
        "%252e",
        "%25252e",
        "%2f",
        "%252f",
        "%5c",
        "\\",
        ";",
        "%3b",
        "%253b",
        "a",
        "ide",
        "%69de",
        "%",
        "%2",
        "%25",
        "25",
        "2e",
        "%c0",
        "%ae",
        "%af",
        "%e5%bc%a0",
        "张",
        "~",
        "@",
        "{",
        "|",
        "%00",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// Where a path leads from the root, as a file system would resolve it; `None` if it climbs above.
fn depth_never_negative(path: &[u8]) -> bool {
    let mut depth = 0_i32;
    for segment in path.split(|b| matches!(b, b'/' | b'\\')) {
        match segment.split(|b| *b == b';').next() {
            Some(b"" | b".") => {}
            Some(b"..") => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn admission_is_idempotent(target in hostile_path()) {
        if let Ok(first) = h1("GET", &target, &[]) {
            let again = h1("GET", first.target().as_str(), &[]);
            prop_assert_eq!(again, Ok(first));
        }
    }

    #[test]
    fn no_admitted_path_climbs_under_any_rounds_of_decoding(target in hostile_path()) {
        if let Ok(canonical) = path(&target) {
            let segments = canonical.split('/').count();
            let mut decoded = canonical.clone().into_bytes();
            for round in 0..4 {
                let count = decoded.split(|b| matches!(b, b'/' | b'\\')).count();
                prop_assert_eq!(count, segments, "{} has other segments after {} rounds", canonical, round);
                prop_assert!(depth_never_negative(&decoded));
                let dots = decoded.split(|b| *b == b'/').any(|s| matches!(s.split(|b| *b == b';').next(), Some(b"." | b"..")));
                prop_assert!(!dots, "{} has dots after {} rounds", canonical, round);
                decoded = percent_decode(&decoded).collect();
            }
        }
    }

    #[test]
    fn an_arbitrary_path_is_admitted_in_canonical_bytes_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut target = b"/".to_vec();
        target.extend(bytes);
        if let Ok(given) = PathAndQuery::try_from(&*target)
            && let Ok(canonical) = path::canonical_target(&given)
        {
            let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'|' | b'{' | b'}');
            prop_assert!(canonical.path().bytes().all(plain));
            prop_assert_eq!(path::canonical_target(&canonical).ok(), Some(canonical));
        }
    }

    #[test]
    fn an_authority_is_canonical_or_refused(text in "[a-zA-Z0-9.:@\\[\\] %,_-]{0,24}") {
        if let Ok(authority) = Authority::parse(text.as_bytes()) {
            prop_assert_eq!(Authority::parse(authority.as_str().as_bytes()), Ok(authority.clone()));
            prop_assert!(!authority.host().bytes().any(|b| b.is_ascii_uppercase()));
        }
    }
}
