//! WebSockets through the whole gateway, byte by byte.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher::websocket::close_frame;
use usher::websocket::handshake::accept_key;

use crate::support::{
    Answer, Client, Gateway, HOST, Head, Log, ORIGIN, Say, Setup, Upstream, eventually, request, request2, within,
};

/// The key of RFC 6455's own example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A handshake for `target` with these header lines besides.
fn handshake(target: &str, lines: &[&str]) -> String {
    let ours = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        &format!("Sec-WebSocket-Key: {KEY}"),
    ];
    request("GET", target, &[&ours, lines].concat())
}

fn switch(head: &Head, lines: &str) -> String {
    let accept = accept_key(head.one("sec-websocket-key").as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
    )
}

/// Switches, sends `first` along with the 101, and then everything back that comes. Not all of it is noted.
async fn echo(stream: TcpStream, log: Arc<Log>, lines: &'static str, first: &'static [u8]) {
    let mut wire = log.wire(stream);
    let Ok(Some(head)) = wire.head().await else { return };
    let mut answer = switch(&head, lines).into_bytes();
    answer.extend_from_slice(first);
    answer.append(&mut wire.ahead);
    if wire.send(answer).await.is_err() {
        return;
    }
    let (mut from, mut to) = wire.stream.split();
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

async fn echoing(lines: &'static str, first: &'static [u8]) -> (Gateway, Upstream, String) {
    let upstream = Upstream::custom(move |stream, log| echo(stream, log, lines, first)).await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    (gateway, upstream, cookie)
}

/// A text frame of at most 125 bytes, masked with zeros.
fn text(payload: &str) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0x81, 0x80 | length, 0, 0, 0, 0], payload.as_bytes()].concat()
}

async fn opened(gateway: &Gateway, lines: &[&str]) -> (Client, Head) {
    let mut client = gateway.connect().await;
    let own = format!("Origin: {ORIGIN}");
    client.send(handshake("/app/socket?x=1", &[&[own.as_str()], lines].concat())).await.unwrap();
    let head = client.answer_head().await;
    assert_eq!(head.status(), 101, "{head:?}");
    (client, head)
}

#[tokio::test]
async fn only_a_page_of_this_very_origin_opens_one_for_who_is_signed_in() {
    let (gateway, upstream, cookie) = echoing("", b"").await;
    let own = format!("Origin: {ORIGIN}");
    for (name, origin, cookie, status) in [
        ("another site", "Origin: https://evil.example", cookie.as_str(), 403),
        ("no origin", "X: y", &cookie, 403),
        ("an opaque origin", "Origin: null", &cookie, 403),
        ("another port", "Origin: https://dev.example.com", &cookie, 403),
        ("another scheme", "Origin: http://dev.example.com:8443", &cookie, 403),
        ("a longer name", "Origin: https://dev.example.com:8443.evil.example", &cookie, 403),
        ("nobody", &own, "X: y", 401),
        ("a forged session", &own, "Cookie: __Host-usher=forged", 401),
        ("a user of the page", &own, &cookie, 101),
    ] {
        let mut client = gateway.connect().await;
        client.send(handshake("/app/socket", &[origin, cookie])).await.unwrap();
        let answer: Answer = client.answer("GET").await;
        assert_eq!(answer.status(), status, "{name}: {answer:?}");
    }
    assert_eq!(upstream.requests().await.len(), 1, "{}", upstream.bytes());
    let tab = ["Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", &own];
    let page = gateway.ask("GET", handshake("/", &[&tab[..], &[cookie.as_str()]].concat())).await;
    assert_eq!(page.status(), 400, "our own pages are none");
}

#[tokio::test]
async fn what_the_ends_agree_on_passes_untouched() {
    let lines = "Sec-WebSocket-Protocol: two\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15\r\n\
                 Set-Cookie: a=1; Path=/\r\nSet-Cookie: __Host-usher=forged\r\nX-Usher-User: forged\r\n";
    let (gateway, upstream, cookie) = echoing(lines, b"").await;
    let asked = [
        "Sec-WebSocket-Protocol: one, two",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        &cookie,
    ];
    let (_client, answer) = opened(&gateway, &asked).await;
    let requests = upstream.requests().await;
    let head = &requests[0].0;
    for (name, value) in [
        ("sec-websocket-protocol", "one, two"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
        ("upgrade", "websocket"),
        ("origin", ORIGIN),
        ("host", HOST),
        ("x-usher-user", "ada"),
        ("cookie", ""),
    ] {
        assert_eq!(head.one(name), value, "{name}");
    }
    assert_eq!((head.target(), head.one("connection").to_ascii_lowercase().as_str()), ("/socket?x=1", "upgrade"));
    for (name, value) in [
        ("sec-websocket-protocol", "two"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits=15"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("upgrade", "websocket"),
        ("set-cookie", "a=1; Secure; Path=/app/"),
        ("x-usher-user", ""),
        ("content-length", ""),
        ("transfer-encoding", ""),
    ] {
        assert_eq!(answer.one(name), value, "{name}");
    }
}

#[tokio::test]
async fn bytes_that_come_with_the_handshake_belong_to_the_tunnel() {
    let (gateway, upstream, cookie) = echoing("", b"\x81\x05first").await;
    let mut client = gateway.connect().await;
    // What looks like another request is none.
    let early = [text("early"), text("GET /app/ HTTP/1.1\r\nHost: x\r\n\r\n")].concat();
    let lines = [format!("Origin: {ORIGIN}"), cookie];
    let handshake = handshake("/app/socket", &[&lines[0], &lines[1]]).into_bytes();
    client.send([handshake, early.clone()].concat()).await.unwrap();
    assert_eq!(client.answer_head().await.status(), 101);
    let expected = [&b"\x81\x05first"[..], &early].concat();
    assert_eq!(within(client.exactly(expected.len())).await.unwrap(), expected);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn close_codes_pass_both_ways() {
    let upstream = Upstream::custom(|stream, log| async move {
        let mut wire = log.wire(stream);
        let Ok(Some(head)) = wire.head().await else { return };
        let _ = wire.send(switch(&head, "")).await;
        let theirs = close_frame(4001, "enough", Some([1, 2, 3, 4]));
        if head.target().ends_with("theirs") {
            if wire.exactly(theirs.len()).await.is_ok_and(|bytes| bytes == theirs) {
                let _ = wire.send(close_frame(4001, "enough", None)).await;
            }
        } else {
            let _ = wire.send(close_frame(1008, "policy", None)).await;
            let _ = wire.exactly(theirs.len()).await;
        }
    })
    .await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    let own = format!("Origin: {ORIGIN}");
    for (path, closes, answered) in [("/app/theirs", true, (4001, "enough")), ("/app/ours", false, (1008, "policy"))] {
        let mut client = gateway.connect().await;
        client.send(handshake(path, &[&own, &cookie])).await.unwrap();
        assert_eq!(client.answer_head().await.status(), 101);
        let frame = close_frame(4001, "enough", Some([1, 2, 3, 4]));
        if closes {
            client.send(&frame).await.unwrap();
        }
        let expected = close_frame(answered.0, answered.1, None);
        assert_eq!(within(client.exactly(expected.len())).await.unwrap(), expected);
        if !closes {
            client.send(&frame).await.unwrap();
        }
        assert!(client.is_closed().await, "{path}");
    }
    eventually("the upstream's ends are closed", || upstream.closed() == 2).await;
}

/// An answer to a handshake that opens nothing, and the status that the client gets.
struct NoTunnel(&'static str, &'static str, u16);

const NO_TUNNEL: &[NoTunnel] = &[
    NoTunnel(
        "wrong_accept",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        502,
    ),
    NoTunnel("no_accept", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
    NoTunnel(
        "another_protocol",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        502,
    ),
    NoTunnel(
        "no_upgrade",
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        502,
    ),
    NoTunnel(
        "a_101_with_a_length",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nContent-Length: 5\r\n\r\nhello",
        502,
    ),
    NoTunnel(
        "a_101_with_chunks",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        502,
    ),
    NoTunnel("refused", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403),
    NoTunnel("answered_as_a_page", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", 200),
    NoTunnel("redirected", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nno", 302),
    NoTunnel(
        "asked_for_another_version",
        "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2\r\n\r\nno",
        426,
    ),
    NoTunnel(
        "two_framings",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        502,
    ),
    NoTunnel("garbage", "garbage\r\n\r\n", 502),
];

#[tokio::test]
async fn a_handshake_that_is_not_accepted_opens_no_tunnel() {
    let mut wrong = Vec::new();
    for NoTunnel(name, bytes, status) in NO_TUNNEL {
        let upstream = Upstream::answering(bytes).await;
        let gateway = Setup::new().app(&upstream).start().await;
        let cookie = gateway.sign_in("ada").await;
        let own = format!("Origin: {ORIGIN}");
        let mut client = gateway.connect().await;
        let answer = client.ask("GET", handshake("/app/", &[&own, &cookie])).await;
        let body_is_whole = *status == 502 || answer.text() == "no";
        // The connection is still one for requests.
        let next = client.ask("GET", request("GET", "/.usher/login", &[])).await;
        if answer.status() != *status || !body_is_whole || next.status() != 200 {
            wrong.push(format!("{name}: {answer:?}, then {}", next.head.line));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_handshake_over_http2_is_an_ordinary_request() {
    let upstream = Upstream::scripted(|_| Say::ok("fine")).await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.session_cookie("ada").await;
    // Browsers use HTTP/1.1 for WebSockets, because extended CONNECT is not announced.
    let fields = [("cookie", cookie.as_str()), ("sec-websocket-version", "13"), ("sec-websocket-key", KEY)];
    let answer = gateway.http2().await.ask(request2("GET", "/app/", &fields)).await;
    assert_eq!(answer.status, 200);
    let (head, _) = upstream.only_request().await;
    assert!(!head.has("upgrade") && !head.has("connection"), "{head:?}");
}

#[tokio::test]
async fn five_thousand_in_a_row_open_and_close() {
    let (gateway, upstream, cookie) = echoing("", b"").await;
    let lines = [format!("Origin: {ORIGIN}"), cookie];
    let bytes = handshake("/app/socket", &[&lines[0], &lines[1]]) + "early";
    for round in 0..5_000 {
        let mut client = gateway.connect().await;
        client.send(&bytes).await.unwrap();
        assert_eq!(client.answer_head().await.status(), 101, "round {round}");
        assert_eq!(within(client.exactly(5)).await.unwrap(), b"early", "round {round}");
    }
    eventually("no end is left behind", || upstream.closed() == 5_000).await;
}

#[tokio::test]
async fn a_message_of_eight_mebibytes_passes_both_ways() {
    const SIZE: usize = 8 << 20;
    let (gateway, _upstream, cookie) = echoing("", b"").await;
    let (client, _) = opened(&gateway, &[&cookie]).await;
    let mut frame = vec![0x82, 0xff];
    frame.extend_from_slice(&(SIZE as u64).to_be_bytes());
    frame.extend_from_slice(&[7, 7, 7, 7]);
    frame.extend((0..SIZE).map(|at| at.to_le_bytes()[1]));
    let (mut from, mut to) = tokio::io::split(client.stream);
    let mut back = vec![0; frame.len()];
    let (sent, received) = within(async { tokio::join!(to.write_all(&frame), from.read_exact(&mut back)) }).await;
    sent.unwrap();
    received.unwrap();
    assert!(back == frame, "every byte in its place");
}

#[tokio::test]
async fn an_end_that_leaves_takes_the_other_with_it() {
    let (gateway, upstream, cookie) = echoing("", b"").await;
    let (client, _) = opened(&gateway, &[&cookie]).await;
    drop(client);
    eventually("the upstream is left", || upstream.closed() == 1).await;

    let brief = Upstream::custom(|stream, log| async move {
        let mut wire = log.wire(stream);
        if let Ok(Some(head)) = wire.head().await {
            let _ = wire.send(switch(&head, "") + "last words").await;
        }
    })
    .await;
    let gateway = Setup::new().app(&brief).start().await;
    let cookie = gateway.sign_in("ada").await;
    let (mut client, _) = opened(&gateway, &[&cookie]).await;
    assert_eq!(within(client.exactly(10)).await.unwrap(), b"last words");
    assert!(client.is_closed().await);
}
