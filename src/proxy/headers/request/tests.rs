//! What an upstream gets to see.

use std::sync::Arc;

use http::header::COOKIE;
use proptest::prelude::*;

use super::*;
use crate::proxy::fixture::{HOST as PUBLIC, admitted, header_map, permit, principal};

static REQUEST: HeaderValue = HeaderValue::from_static("r1");

fn prepared(method: &str, target: &str, body: BodyLength, headers: &[(&str, &str)]) -> HeaderMap {
    prepared_for(&principal("ada", &["dev", "ops"]), method, target, body, headers)
}

fn prepared_for(
    principal: &Arc<Principal>,
    method: &str,
    target: &str,
    body: BodyLength,
    headers: &[(&str, &str)],
) -> HeaderMap {
    let request = admitted(method, PUBLIC, target);
    let permit = permit(&request, principal);
    let mut map = header_map(headers);
    let client = "192.0.2.7".parse().expect("an address");
    let up = Upward {
        permit: &permit,
        request: &request,
        body,
        client,
        request_id: &REQUEST,
        theia_token: None,
        assertion: None,
    };
    prepare_request(&mut map, &up);
    map
}

fn get(headers: &[(&str, &str)]) -> HeaderMap {
    prepared("GET", "/ide/x", BodyLength::None, headers)
}

#[test]
fn a_plain_request_gets_host_origin_of_the_request_and_identity() {
    let map = get(&[("host", "x"), ("accept", "*/*"), ("authorization", "Basic eDp5"), ("origin", "https://x")]);
    for (name, value) in [
        ("host", "dev.example.com:8443"),
        ("accept", "*/*"),
        ("authorization", "Basic eDp5"),
        ("origin", "https://x"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "dev.example.com:8443"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/ide"),
        ("forwarded", "for=192.0.2.7;host=\"dev.example.com:8443\";proto=https"),
        ("x-request-id", "r1"),
        ("x-usher-user", "ada"),
        ("x-usher-tenant", "acme"),
        ("x-usher-groups", "dev,ops"),
    ] {
        assert_eq!(map.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{name}");
    }
    assert_eq!(map.len(), 13);
    assert!(!prepared("GET", "/raw/x", BodyLength::None, &[]).contains_key("x-forwarded-prefix"));
}

#[test]
fn what_belongs_to_the_connection_or_to_us_is_taken_out() {
    let before = get(&[]).len();
    for (name, value) in [
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "X-Usher-User"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQ"),
        ("proxy", "http://evil"),
        ("proxy-connection", "close"),
        ("proxy-authorization", "x"),
        ("expect", "100-continue"),
        ("content-length", "05"),
        ("transfer-encoding", "chunked"),
        ("forwarded", "for=127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-anything", "x"),
        ("x-real-ip", "127.0.0.1"),
        ("x-original-url", "/admin"),
        ("x-usher-user", "admin"),
        ("x-usher-role", "admin"),
        ("x_usher_user", "admin"),
        ("x.usher.user", "admin"),
        ("content_length", "5"),
    ] {
        let map = get(&[(name, value)]);
        assert_eq!(map.len(), before, "{name} left something behind: {map:?}");
    }
}

#[test]
fn nominated_headers_go_and_ours_stay() {
    let map =
        get(&[("connection", "close, X-Hop, x-usher-user, Host, x-forwarded-for"), ("x-hop", "1"), ("x-end", "2")]);
    assert!(!map.contains_key("x-hop") && !map.contains_key("connection"));
    assert_eq!(map["x-end"], "2");
    assert_eq!(map[USER], "ada");
    assert_eq!(map[HOST], "dev.example.com:8443");
    assert_eq!(map["x-forwarded-for"], "192.0.2.7");
}

#[test]
fn framing_is_written_from_what_was_parsed() {
    let framing = |method, body| {
        let stale = [("content-length", "007"), ("transfer-encoding", "gzip, chunked")];
        let map = prepared(method, "/ide/", body, &stale);
        let text = |name| map.get(name).map(|value| value.to_str().expect("text").to_owned());
        (text(CONTENT_LENGTH), text(TRANSFER_ENCODING))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(framing("POST", BodyLength::Exact(5)), (some("5"), None));
    assert_eq!(framing("GET", BodyLength::Exact(5)), (some("5"), None));
    assert_eq!(framing("GET", BodyLength::Unknown), (None, some("chunked")));
    assert_eq!(framing("GET", BodyLength::None), (None, None));
    assert_eq!(framing("POST", BodyLength::None), (some("0"), None));
}

#[test]
fn a_tunnel_keeps_its_handshake() {
    let headers = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "k")];
    let map = prepared("TUNNEL", "/ide/", BodyLength::None, &headers);
    assert_eq!(
        (&map[CONNECTION], &map[UPGRADE], &map["sec-websocket-key"]),
        (&HeaderValue::from_static("Upgrade"), &HeaderValue::from_static("websocket"), &HeaderValue::from_static("k"),)
    );
}

#[test]
fn cookies_are_joined_without_ours_and_with_theias_token() {
    let request = admitted("GET", PUBLIC, "/ide/");
    let permit = permit(&request, &principal("ada", &[]));
    let mut map =
        header_map(&[("cookie", "a=1"), ("cookie", "__Host-usher=s"), ("cookie", "theia-connection-token=x")]);
    let up = Upward {
        permit: &permit,
        request: &request,
        body: BodyLength::None,
        client: [127, 0, 0, 1].into(),
        request_id: &REQUEST,
        theia_token: Some("t"),
        assertion: None,
    };
    prepare_request(&mut map, &up);
    assert_eq!(map.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; theia-connection-token=t"]);
}

#[test]
fn templates_say_who_is_there_and_no_client_copy_of_them_passes() {
    let spoofed = [("x-team", "evil"), ("X_Team", "evil"), ("x.all", "evil"), ("x-all", "evil")];
    let map = prepared("GET", "/team/", BodyLength::None, &spoofed);
    assert_eq!(map.get_all("x-team").iter().collect::<Vec<_>>(), ["acme/ada"]);
    assert_eq!(map.get_all("x-all").iter().collect::<Vec<_>>(), ["dev,ops"]);
    assert!(!map.contains_key("x_team") && !map.contains_key("x.all"));
}

#[test]
fn names_of_any_script_become_printable() {
    let zhang = principal("张,%", &["a,b", "研发"]);
    let map = prepared_for(&zhang, "GET", "/ide/", BodyLength::None, &[]);
    assert_eq!(map[USER], "%E5%BC%A0%2C%25");
    assert_eq!(map[GROUPS], "a%2Cb,%E7%A0%94%E5%8F%91");
}

#[test]
fn groups_are_cut_between_two_of_them_and_that_is_told() {
    let many: Vec<String> = (0..100).map(|n| format!("{n:0>100}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let map = prepared_for(&principal("ada", &many), "GET", "/ide/", BodyLength::None, &[]);
    let groups = map[GROUPS].to_str().expect("text");
    assert!(groups.len() <= MAX_GROUPS && groups.split(',').all(|group| group.len() == 100));
    assert_eq!(map[GROUPS_TRUNCATED], "1");
    assert!(!get(&[]).contains_key(GROUPS_TRUNCATED));
}

/// Spellings of an identity header, and what may stand round them.
fn spelling() -> impl Strategy<Value = String> {
    let mark = prop::sample::select(vec!["-", "_", ".", "!", "~"]);
    let last = prop::sample::select(vec!["user", "USER", "Tenant", "groups", "groups-truncated", "any"]);
    (mark.clone(), mark, last).prop_map(|(a, b, last)| format!("X{a}Usher{b}{last}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_of_an_identity_header_comes_through(
        names in prop::collection::vec(spelling(), 1..6),
        nominate in any::<bool>(),
    ) {
        let mut headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "forged")).collect();
        let nominated = names.join(", ");
        if nominate {
            headers.push(("connection", &nominated));
        }
        let map = get(&headers);
        prop_assert!(map.iter().all(|(_, value)| value != "forged"));
        let family = map.keys().filter(|name| {
            let spelled: String = name.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
            spelled.starts_with("xusher")
        });
        prop_assert_eq!(family.count(), 3);
        prop_assert_eq!(&map[USER], "ada");
    }
}
