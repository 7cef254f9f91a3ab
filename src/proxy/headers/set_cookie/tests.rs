//! What a workspace may set, and what becomes of it.

use proptest::prelude::*;

use super::*;
use crate::proxy::fixture::table;

fn confined(host: &str, path: &str, lines: &[&str]) -> Vec<String> {
    let found = table().find(host, path).expect("a route");
    let mut headers: HeaderMap =
        lines.iter().map(|line| (SET_COOKIE, HeaderValue::from_str(line).expect("a value"))).collect();
    confine(&mut headers, &found.route);
    headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().expect("text").to_owned()).collect()
}

fn stripped(line: &str) -> Option<String> {
    confined("dev.example.com", "/ide/", &[line]).pop()
}

#[test]
fn a_cookie_stays_on_its_route() {
    for (line, expected) in [
        ("a=1", Some("a=1; Secure; Path=/ide/")),
        ("a=1; Path=/", Some("a=1; Secure; Path=/ide/")),
        ("a=1; Path=/x", Some("a=1; Secure; Path=/ide/x")),
        ("a=1; path=/ide/x", Some("a=1; Secure; Path=/ide/x")),
        ("a=1; Path=/desktop/", Some("a=1; Secure; Path=/ide/desktop/")),
        ("a=1; Path=/ide/; Path=/", Some("a=1; Secure; Path=/ide/")),
        ("a=1; Path=", Some("a=1; Secure; Path=/ide/")),
        ("a=1; Path", Some("a=1; Secure; Path=/ide/")),
        ("a=1; Path=x", Some("a=1; Secure; Path=/ide/")),
        ("a=1; Domain=example.com; HttpOnly", Some("a=1; HttpOnly; Secure; Path=/ide/")),
        ("a=1;DOMAIN=.example.com;SameSite=Strict;Secure", Some("a=1; SameSite=Strict; Secure; Path=/ide/")),
        (
            "a=1; Max-Age=5; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
            Some("a=1; Max-Age=5; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure; Path=/ide/"),
        ),
        ("__Secure-a=1; Secure", Some("__Secure-a=1; Secure; Path=/ide/")),
        ("__Host-a=1; Secure; Path=/", None),
        ("__host-a=1; Secure; Path=/", None),
        ("__Host-usher=forged; Secure; Path=/", None),
        ("__HOST-USHER-x=forged", None),
        (" __Host-usher =forged", None),
        ("=__Host-usher=forged; Path=/", None),
        ("__Host-usher", None),
        ("", None),
    ] {
        assert_eq!(stripped(line).as_deref(), expected, "{line:?}");
    }
}

#[test]
fn a_route_that_keeps_its_prefix_and_a_host_of_its_own_are_confined_too() {
    let raw = |line| confined("dev.example.com", "/raw/", &[line]);
    assert_eq!(raw("a=1; Path=/raw/x"), ["a=1; Secure; Path=/raw/x"]);
    assert_eq!(raw("a=1; Path=/other"), ["a=1; Secure; Path=/raw/"]);
    let own_host = |line| confined("shop.example.com", "/", &[line]);
    assert_eq!(own_host("__Host-a=1; Secure; Path=/"), ["__Host-a=1; Secure; Path=/"]);
    assert_eq!(own_host("a=1; Domain=example.com; Path=/x"), ["a=1; Secure; Path=/x"]);
    assert!(own_host("__Host-usher=forged; Secure; Path=/").is_empty());
}

#[test]
fn several_lines_keep_their_order() {
    let lines = ["a=1", "__Host-usher=forged", "b=2; Path=/"];
    assert_eq!(confined("dev.example.com", "/ide/", &lines), ["a=1; Secure; Path=/ide/", "b=2; Secure; Path=/ide/"]);
}

/// What a browser makes of a line: the name, the last path, and whether a domain is given.
fn as_browser(line: &str) -> (String, String, bool) {
    let mut parts = line.split(';');
    let pair = parts.next().unwrap_or_default();
    let name = pair.split_once('=').map_or("", |(name, _)| name).trim().to_owned();
    let mut path = String::new();
    let mut domain = false;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            "path" => value.trim().clone_into(&mut path),
            "domain" => domain = true,
            _ => {}
        }
    }
    (name, path, domain)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn no_cookie_leaves_its_route(
        name in "( ?(__)?(Host|host|Secure)?-?(usher)?[a-z =]{0,3})",
        attributes in prop::collection::vec("(; ?| ;)(Path|PATH|path|Domain|domain|Secure|x)[ =]{0,2}(/|/ide/|/other|x|example\\.com)?", 0..5),
    ) {
        let line = format!("{name}={}", attributes.concat());
        if let Some(confined) = stripped(&line) {
            let (name, path, domain) = as_browser(&confined);
            prop_assert!(path.starts_with("/ide/"), "{} became {}", line, confined);
            prop_assert!(!domain && !name.is_empty(), "{} became {}", line, confined);
            prop_assert!(!name.to_ascii_lowercase().starts_with("__host-"), "{} became {}", line, confined);
        }
    }
}
