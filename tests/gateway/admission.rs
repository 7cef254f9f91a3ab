//! Requests with more than one reading, or with none: each is refused under its own name, and never does half of one
//! reach an upstream.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};

use crate::support::{Gateway, HOST, ORIGIN, Say, Setup, Upstream, eventually, request, request2};

/// A request, what it is answered with, and by what name it is counted; without one the codec itself refuses it.
struct Refused(&'static str, &'static str, u16, Option<&'static str>);

/// `{host}` and `{cookie}` stand for the public host and for the whole line of a valid session.
const REFUSED: &[Refused] = &[
    Refused(
        "two_hosts",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("host-doubled"),
    ),
    Refused("no_host", "GET /app/ HTTP/1.1\r\n{cookie}\r\n", 400, Some("host-missing")),
    Refused("empty_host", "GET /app/ HTTP/1.1\r\nHost:\r\n{cookie}\r\n", 400, Some("host-invalid")),
    Refused("host_list", "GET /app/ HTTP/1.1\r\nHost: {host}, evil\r\n{cookie}\r\n", 400, Some("host-invalid")),
    Refused("userinfo_in_host", "GET /app/ HTTP/1.1\r\nHost: evil@{host}\r\n{cookie}\r\n", 400, Some("host-invalid")),
    Refused(
        "host_of_another_connection",
        "GET /app/ HTTP/1.1\r\nHost: x.ide.example.com\r\n{cookie}\r\n",
        421,
        Some("misdirected"),
    ),
    Refused(
        "absolute_form_of_another_host",
        "GET https://evil.example/app/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("hosts-disagree"),
    ),
    Refused(
        "absolute_form_of_another_port",
        "GET https://dev.example.com/app/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("hosts-disagree"),
    ),
    Refused(
        "absolute_form_of_another_scheme",
        "GET http://{host}/app/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("scheme"),
    ),
    Refused(
        "absolute_form_without_host",
        "GET https://{host}/app/ HTTP/1.1\r\n{cookie}\r\n",
        400,
        Some("host-missing"),
    ),
    Refused("authority_form", "GET {host} HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("target-form")),
    Refused("a_word_as_target", "GET admin HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("target-form")),
    Refused("asterisk", "GET * HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("target-form")),
    Refused("trace", "TRACE /app/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 405, Some("method")),
    Refused("connect", "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 405, Some("method")),
    Refused("lower_case_method", "get /app/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 405, Some("method")),
    Refused("unknown_method", "FOO /app/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 405, Some("method")),
    Refused("encoded_slash", "GET /app/a%2fb HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("path-slash")),
    Refused(
        "encoded_backslash",
        "GET /app/a%5Cb HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("path-backslash"),
    ),
    Refused("backslash", "GET /app/..\\x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("path-backslash")),
    Refused("dot_segment", "GET /app/../.usher/x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("path-dots")),
    Refused(
        "encoded_dot_segment",
        "GET /app/%2e%2E/x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("path-dots"),
    ),
    Refused(
        "dot_segment_with_parameters",
        "GET /app/..;a=b/x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("path-dots"),
    ),
    Refused(
        "doubly_encoded_dots",
        "GET /app/%252e%252e/x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("path-double-encoding"),
    ),
    Refused(
        "doubly_encoded_slash",
        "GET /app/a%252fb HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("path-double-encoding"),
    ),
    Refused("encoded_nul", "GET /app/a%00 HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("path-control")),
    Refused(
        "encoded_line_feed",
        "GET /app/a%0d%0aX:%20y HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        400,
        Some("path-control"),
    ),
    Refused("half_an_escape", "GET /app/a%2 HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("path-encoding")),
    Refused("overlong_utf8", "GET /app/%c0%af HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, Some("path-utf8")),
    Refused(
        "coding_before_chunked",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n{cookie}\r\n0\r\n\r\n",
        400,
        Some("transfer-encoding"),
    ),
    Refused(
        "identity_before_chunked",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: identity, chunked\r\n{cookie}\r\n0\r\n\r\n",
        400,
        Some("transfer-encoding"),
    ),
    Refused(
        "chunked_twice",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, chunked\r\n{cookie}\r\n0\r\n\r\n",
        400,
        Some("transfer-encoding"),
    ),
    Refused(
        "chunked_on_two_lines",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n{cookie}\r\n0\r\n\r\n",
        400,
        Some("transfer-encoding"),
    ),
    Refused(
        "unknown_coding",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n{cookie}\r\n0\r\n\r\n",
        400,
        None,
    ),
    Refused(
        "chunked_not_last",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, identity\r\n{cookie}\r\n0\r\n\r\n",
        400,
        None,
    ),
    Refused(
        "chunked_on_http_1_0",
        "POST /app/ HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n{cookie}\r\n0\r\n\r\n",
        400,
        None,
    ),
    Refused(
        "two_lengths",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 6\r\n{cookie}\r\nabcdef",
        400,
        None,
    ),
    Refused(
        "length_list",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5, 5\r\n{cookie}\r\nabcde",
        400,
        None,
    ),
    Refused(
        "signed_length",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: +5\r\n{cookie}\r\nabcde",
        400,
        None,
    ),
    Refused(
        "hexadecimal_length",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0x5\r\n{cookie}\r\nabcde",
        400,
        None,
    ),
    Refused("folded_line", "GET /app/ HTTP/1.1\r\nHost: {host}\r\nX: a\r\n b\r\n{cookie}\r\n", 400, None),
    Refused(
        "blank_before_colon",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nX-Usher-User : admin\r\n{cookie}\r\n",
        400,
        None,
    ),
    Refused(
        "bare_carriage_return",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nX: a\rX-Usher-User: admin\r\n{cookie}\r\n",
        400,
        None,
    ),
    Refused("nul_in_a_value", "GET /app/ HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n{cookie}\r\n", 400, None),
    Refused("blank_in_the_target", "GET /app/ x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", 400, None),
    Refused("http_0_9", "GET /app/\r\n\r\n", 400, None),
    Refused(
        "alias_with_underscore",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nX_Usher_User: admin\r\n{cookie}\r\n",
        400,
        Some("header-alias"),
    ),
    Refused(
        "alias_with_dots",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nX.Usher.User: admin\r\n{cookie}\r\n",
        400,
        Some("header-alias"),
    ),
    Refused(
        "alias_of_a_framing_header",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nContent_Length: 5\r\n{cookie}\r\n",
        400,
        Some("header-alias"),
    ),
    Refused(
        "alias_of_forwarded",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nX_Forwarded_For: 1.2.3.4\r\n{cookie}\r\n",
        400,
        Some("header-alias"),
    ),
    Refused(
        "two_origins",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nOrigin: https://evil\r\n{cookie}\r\n",
        400,
        Some("header-doubled"),
    ),
    Refused(
        "upgrade_with_a_length",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 5\r\n{cookie}\r\nabcde",
        400,
        Some("upgrade-body"),
    ),
    Refused(
        "upgrade_with_chunks",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nTransfer-Encoding: chunked\r\n{cookie}\r\n0\r\n\r\n",
        400,
        Some("upgrade-body"),
    ),
    Refused(
        "upgrade_to_something_else_with_a_body",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n{cookie}\r\nabcde",
        400,
        Some("upgrade-body"),
    ),
    Refused(
        "handshake_of_an_old_version",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{cookie}\r\n",
        400,
        Some("websocket-handshake"),
    ),
    Refused(
        "handshake_without_a_key",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{cookie}\r\n",
        400,
        Some("websocket-handshake"),
    ),
    Refused(
        "other_expectations",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nExpect: 200-ok\r\nContent-Length: 5\r\n{cookie}\r\nabcde",
        417,
        Some("expect"),
    ),
    Refused(
        "two_expectations",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n{cookie}\r\nabcde",
        417,
        Some("expect"),
    ),
];

async fn gateway_and_upstream() -> (Gateway, Upstream) {
    let upstream = Upstream::scripted(|_| Say::ok("fine")).await;
    let gateway = Setup::new().app(&upstream).start().await;
    (gateway, upstream)
}

fn filled(text: &str, cookie: &str) -> String {
    text.replace("{host}", HOST).replace("{cookie}", &format!("{cookie}\r\n"))
}

#[tokio::test]
async fn what_has_no_single_reading_is_refused_by_name_and_never_forwarded() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.sign_in("ada").await;
    let mut wrong = Vec::new();
    for Refused(name, bytes, status, label) in REFUSED {
        let before = gateway.rejections(label.unwrap_or("none")).await;
        let answer = gateway.ask("GET", filled(bytes, &cookie)).await;
        let counted = gateway.rejections(label.unwrap_or("none")).await - before;
        if answer.status() != *status || counted != u64::from(label.is_some()) || upstream.connections() > 0 {
            wrong.push(format!("{name}: {} counted {counted}, upstream {:?}", answer.head.line, upstream.bytes()));
            upstream.forget();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.sign_in("ada").await;
    let long = |size: usize| "a".repeat(size);
    let many: String = (0..120).map(|n| format!("X-{n}: 1\r\n")).collect();
    for (name, target, lines, status, label) in [
        ("a long target", format!("/app/{}", long(9000)), String::new(), 414, Some("target-too-long")),
        ("a target beyond all measure", format!("/app/{}", long(70_000)), String::new(), 431, None),
        ("a large header", "/app/".to_owned(), format!("X: {}\r\n", long(33_000)), 431, None),
        ("many headers", "/app/".to_owned(), many, 431, None),
        ("a long name", "/app/".to_owned(), format!("{}: 1\r\n", long(300)), 431, Some("header-name-too-long")),
    ] {
        let before = gateway.rejections(label.unwrap_or("none")).await;
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{cookie}\r\n{lines}\r\n");
        let answer = gateway.ask("GET", bytes).await;
        assert_eq!(answer.status(), status, "{name}: {answer:?}");
        let counted = gateway.rejections(label.unwrap_or("none")).await - before;
        assert_eq!(counted, u64::from(label.is_some()), "{name}");
    }
    assert_eq!(upstream.connections(), 0, "{}", upstream.bytes());
}

/// A request that the codec settles or that is made canonical, and what the upstream gets: target and body.
struct Settled(&'static str, &'static str, &'static str, &'static str);

const SETTLED: &[Settled] = &[
    Settled("plain", "GET /app/x?q=1 HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", "/x?q=1", ""),
    Settled(
        "length_and_chunks",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n{cookie}\r\n5\r\nhello\r\n0\r\n\r\n",
        "/",
        "hello",
    ),
    Settled(
        "chunks_and_length",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n{cookie}\r\n0\r\n\r\nGET /app/smuggled HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        "/",
        "",
    ),
    Settled(
        "the_same_length_twice",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 5\r\n{cookie}\r\nhello",
        "/",
        "hello",
    ),
    Settled(
        "a_length_with_zeros",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0005\r\n{cookie}\r\nhello",
        "/",
        "hello",
    ),
    Settled("bare_line_feeds", "GET /app/y HTTP/1.1\nHost: {host}\nX: a\n{cookie}\n", "/y", ""),
    Settled(
        "a_coding_behind_a_bare_line_feed",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nX: a\nTransfer-Encoding: chunked\r\n{cookie}\r\n5\r\nhello\r\n0\r\n\r\n",
        "/",
        "hello",
    ),
    Settled("empty_lines_before", "\r\n\r\nGET /app/z HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", "/z", ""),
    Settled("absolute_form", "GET https://{host}/app/abs?x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", "/abs?x", ""),
    Settled("host_in_capitals", "GET /app/ HTTP/1.1\r\nHost: DEV.example.com:8443\r\n{cookie}\r\n", "/", ""),
    Settled("doubled_slashes", "GET //app///a//b/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", "/a/b/", ""),
    Settled(
        "needless_escapes",
        "GET /%61pp/%7euser/%e4%b8%ad HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        "/~user/%E4%B8%AD",
        "",
    ),
    Settled(
        "anything_in_the_query",
        "GET /app/?a=%2f..%00\\&b=//../ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n",
        "/?a=%2f..%00\\&b=//../",
        "",
    ),
    Settled(
        "another_protocol_is_not_taken_up",
        "GET /app/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n{cookie}\r\n",
        "/",
        "",
    ),
    Settled(
        "chunk_extensions_are_gone",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n{cookie}\r\n5;ext=\"1\"\r\nhello\r\n0\r\n\r\n",
        "/",
        "hello",
    ),
    Settled("http_1_0", "GET /app/old HTTP/1.0\r\nHost: {host}\r\n{cookie}\r\n", "/old", ""),
    Settled("an_empty_post", "POST /app/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n", "/", ""),
    Settled(
        "an_expectation_that_is_met",
        "POST /app/ HTTP/1.1\r\nHost: {host}\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n{cookie}\r\nhello",
        "/",
        "hello",
    ),
];

#[tokio::test]
async fn what_is_settled_reaches_the_upstream_as_exactly_one_request_with_one_reading() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.sign_in("ada").await;
    let mut wrong = Vec::new();
    for Settled(name, bytes, target, body) in SETTLED {
        upstream.forget();
        let mut client = gateway.connect().await;
        let mut answer = client.ask("GET", filled(bytes, &cookie)).await;
        if answer.status() == 100 {
            answer = client.answer("GET").await;
        }
        let got = upstream.requests().await;
        let as_it_should = got.len() == 1
            && got[0].0.target() == *target
            && got[0].1 == body.as_bytes()
            && !got[0].0.has("upgrade")
            && !got[0].0.has("http2-settings")
            && !got[0].0.has("expect")
            && got[0].0.one("host") == HOST;
        if answer.status() != 200 || !as_it_should {
            wrong.push(format!("{name}: {} {:?}", answer.head.line, upstream.bytes()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn what_follows_a_request_with_two_framings_is_not_read() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.sign_in("ada").await;
    let mut client = gateway.connect().await;
    let two = "POST /app/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n{cookie}\r\n0\r\n\r\n";
    let bytes = filled(two, &cookie) + &request("GET", "/app/smuggled", &[&cookie]);
    let answer = client.ask("POST", bytes).await;
    assert_eq!((answer.status(), answer.head.one("connection")), (200, "close"));
    assert!(client.is_closed().await);
    assert_eq!(upstream.requests().await.len(), 1, "{}", upstream.bytes());
}

#[tokio::test]
async fn a_body_that_breaks_off_never_becomes_a_whole_request() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.sign_in("ada").await;
    for (broken, (name, rest)) in [
        ("a size that is no number", "xyz\r\n"),
        ("bytes after a chunk", "5\r\nhelloXX\r\n0\r\n\r\n"),
        ("a size beyond all measure", "fffffffffffffffff\r\n"),
        ("a line feed in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-1\r\n\r\n"),
        ("a bare line feed after the size", "5\nhello\r\n0\r\n\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = gateway.connect().await;
        let head = request("POST", "/app/", &["Transfer-Encoding: chunked", &cookie]);
        client.send(head + "5\r\nhello\r\n").await.unwrap();
        eventually(name, || upstream.bytes().matches("POST /").count() > broken).await;
        let answer = client.ask("POST", rest).await;
        assert_eq!(answer.status(), 400, "{name}: {answer:?}");
        assert_eq!(answer.json()["type"], "urn:usher:problem:body-broken", "{name}");
        // What carried half a request carries no other.
        assert_eq!(upstream.connections(), broken + 1, "{name}");
        eventually(name, || upstream.closed() == broken + 1).await;
    }
    assert!(upstream.requests().await.is_empty(), "{:?}", upstream.bytes());
    assert_eq!(gateway.get("/app/next", &cookie).await.status(), 200);
    assert_eq!(upstream.requests().await.len(), 1);
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_its_sender_may_send_it() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let lines = ["Expect: 100-continue", "Content-Length: 5"];
    let mut stranger = gateway.connect().await;
    stranger.send(request("POST", "/app/", &lines)).await.unwrap();
    let answer = stranger.answer("POST").await;
    assert_eq!(answer.status(), 401, "no 100 before: {answer:?}");
    assert_eq!(answer.head.one("connection"), "close");
    assert!(stranger.is_closed().await);

    let cookie = gateway.sign_in("ada").await;
    let mut user = gateway.connect().await;
    user.send(request("POST", "/app/", &[lines[0], lines[1], &cookie])).await.unwrap();
    assert_eq!(user.answer_head().await.status(), 100);
    user.send("hello").await.unwrap();
    assert_eq!(user.answer("POST").await.text(), "fine");
    let (head, body) = upstream.only_request().await;
    assert_eq!((head.has("expect"), body.as_slice()), (false, &b"hello"[..]));
}

#[tokio::test]
async fn the_upstream_is_told_who_is_there_by_the_gateway_alone() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.session_cookie("ada").await;
    let lines = [
        "X-Usher-User: admin",
        "x-usher-user: root",
        "X-USHER-TENANT: globex",
        "X-Usher-Groups: admins",
        "X-Usher-Anything: 1",
        "Connection: keep-alive, X-Usher-User, X-Usher-Tenant, Cookie, X-Nominated, Host, X-Forwarded-For",
        "X-Nominated: 1",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Proxy-Authorization: Basic eDp5",
        "Proxy: http://evil.example",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Prefix: /evil",
        "Forwarded: for=1.2.3.4;host=evil.example",
        "X-Real-IP: 1.2.3.4",
        "X-Original-URL: /admin",
        "Authorization: Bearer of-the-application",
        "X-Kept: yes",
    ];
    let answer =
        gateway.ask("GET", request("GET", "/app/who", &[&lines[..], &[&format!("Cookie: {cookie}")]].concat())).await;
    assert_eq!(answer.status(), 200);
    let (head, _) = upstream.only_request().await;
    for (name, values) in [
        ("x-usher-user", &["ada"][..]),
        ("x-usher-tenant", &["acme"]),
        ("x-usher-groups", &["dev,ops%2C east,%E7%A0%94%E5%8F%91"]),
        ("x-usher-anything", &[]),
        ("x-nominated", &[]),
        ("connection", &[]),
        ("keep-alive", &[]),
        ("te", &[]),
        ("proxy-authorization", &[]),
        ("proxy", &[]),
        ("cookie", &[]),
        ("host", &[HOST]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-forwarded-host", &[HOST]),
        ("x-forwarded-proto", &["https"]),
        ("x-forwarded-prefix", &["/app"]),
        ("forwarded", &["for=127.0.0.1;host=\"dev.example.com:8443\";proto=https"]),
        ("x-real-ip", &[]),
        ("x-original-url", &[]),
        ("authorization", &["Bearer of-the-application"]),
        ("x-kept", &["yes"]),
    ] {
        assert_eq!(head.all(name), values, "{name}");
    }
    assert_eq!(head.all("x-request-id").len(), 1);
}

#[tokio::test]
async fn a_name_in_any_script_is_told_in_ascii() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.sign_in("王小明").await;
    assert_eq!(gateway.get("/app/", &cookie).await.status(), 200);
    let (head, _) = upstream.only_request().await;
    assert_eq!(head.all("x-usher-user"), ["%E7%8E%8B%E5%B0%8F%E6%98%8E"]);
    assert_eq!(head.all("x-usher-tenant"), ["globex"]);
    assert_eq!(head.all("x-usher-groups"), [""]);
}

#[tokio::test]
async fn our_cookies_stay_with_us_and_the_others_are_passed_on() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let ours = gateway.session_cookie("ada").await;
    for (lines, kept) in [
        (vec![format!("Cookie: {ours}")], &[][..]),
        (vec![format!("Cookie: a=1; {ours}; b=2")], &["a=1; b=2"]),
        (vec![format!("Cookie: {ours}"), "Cookie: a=1".to_owned(), "Cookie: b=2".to_owned()], &["a=1; b=2"]),
        (vec![format!("Cookie: __Host-usher-login=x; {ours}; __Host-usher-lang=zh; a=1")], &["a=1"]),
    ] {
        upstream.forget();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(gateway.ask("GET", request("GET", "/app/", &lines)).await.status(), 200);
        assert_eq!(upstream.only_request().await.0.all("cookie"), kept, "{lines:?}");
    }
    // One session is meant, and nobody can say which.
    let two = format!("Cookie: {ours}; {ours}");
    assert_eq!(gateway.get("/app/", &two).await.status(), 401);
}

#[tokio::test]
async fn a_trailer_is_no_header() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.session_cookie("ada").await;
    let lines = ["Trailer: X-Usher-User, X-Other", "Transfer-Encoding: chunked", &format!("Cookie: {cookie}")];
    let body = "5\r\nhello\r\n0\r\nX-Usher-User: admin\r\nX-Other: 1\r\n\r\n";
    let answer = gateway.ask("POST", request("POST", "/app/", &lines) + body).await;
    assert_eq!(answer.status(), 200);
    let (head, body) = upstream.only_request().await;
    assert_eq!((head.all("x-usher-user"), head.has("trailer"), body), (vec!["ada"], false, b"hello".to_vec()));

    upstream.forget();
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("x-usher-user"), HeaderValue::from_static("admin"))]);
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let post = request2("POST", "/app/", &[("trailer", "x-usher-user"), ("cookie", &cookie)]).map(|_| body.boxed());
    assert_eq!(gateway.http2().await.ask(post).await.status, 200);
    let bytes = upstream.bytes();
    assert!(!bytes.contains("admin"), "{bytes}");
    let (head, body) = upstream.only_request().await;
    assert_eq!(
        (head.all("x-usher-user"), head.one("transfer-encoding"), body),
        (vec!["ada"], "chunked", b"hello".to_vec())
    );
}

#[tokio::test]
async fn http2_is_held_to_the_same_rules() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.session_cookie("ada").await;
    let session = ("cookie", cookie.as_str());
    for (method, target, fields, status, label) in [
        ("GET", "/app/a%2fb", vec![session], 400, "path-slash"),
        ("GET", "/app/../x", vec![session], 400, "path-dots"),
        ("TRACE", "/app/", vec![session], 405, "method"),
        ("GET", "/app/", vec![session, ("x_usher_user", "admin")], 400, "header-alias"),
        ("GET", "/app/", vec![session, ("host", "evil.example")], 400, "hosts-disagree"),
        ("GET", "/app/", vec![session, ("host", HOST), ("host", HOST)], 400, "host-doubled"),
        ("POST", "/app/", vec![session, ("expect", "200-ok")], 417, "expect"),
        ("GET", "/app/", vec![session, ("origin", ORIGIN), ("origin", "https://evil")], 400, "header-doubled"),
    ] {
        let before = gateway.rejections(label).await;
        let answer = gateway.http2().await.ask(request2(method, target, &fields)).await;
        assert_eq!(answer.status, status, "{label}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(gateway.rejections(label).await - before, 1, "{label}");
    }
    // Another host on this connection: browsers open a new one for it.
    let mut elsewhere = request2("GET", "/app/", &[session]);
    *elsewhere.uri_mut() = "https://x.ide.example.com:8443/app/".parse().unwrap();
    assert_eq!(gateway.http2().await.ask(elsewhere).await.status, 421);
    assert_eq!(upstream.connections(), 0, "{}", upstream.bytes());
}

#[tokio::test]
async fn http2_reaches_the_upstream_as_one_request_with_one_reading() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let cookie = gateway.session_cookie("ada").await;
    let mut client = gateway.http2().await;

    // Cookies come in crumbs.
    let crumbs =
        request2("GET", "/app/x?y", &[("cookie", "a=1"), ("cookie", &cookie), ("cookie", "b=2"), ("te", "trailers")]);
    assert_eq!(client.ask(crumbs).await.status, 200);
    let (head, body) = upstream.only_request().await;
    assert_eq!((head.target(), head.all("cookie"), head.all("host")), ("/x?y", vec!["a=1; b=2"], vec![HOST]));
    assert!(!head.has("transfer-encoding") && !head.has("content-length") && !head.has("te") && body.is_empty());

    // A body of known length, of unknown length, and one with a GET.
    for (method, known, fields) in [
        ("POST", true, ("content-length", "5")),
        ("PUT", false, ("transfer-encoding", "chunked")),
        ("GET", false, ("transfer-encoding", "chunked")),
    ] {
        upstream.forget();
        let body = if known {
            Full::new(Bytes::from("hello")).boxed()
        } else {
            let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from("hello")))];
            StreamBody::new(futures_util::stream::iter(frames)).boxed()
        };
        let sent = request2(method, "/app/", &[("cookie", &cookie)]).map(|_| body);
        assert_eq!(client.ask(sent).await.status, 200, "{method}");
        let (head, body) = upstream.only_request().await;
        assert_eq!((head.method(), head.one(fields.0), body), (method, fields.1, b"hello".to_vec()));
    }
}
