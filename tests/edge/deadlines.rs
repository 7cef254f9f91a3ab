//! Peers that are silent, slow or too many.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use usher::config;

use crate::support::{PATIENCE, Setup, eventually, millis, patient, request, request2, rest, text, within};

fn limits(change: impl FnOnce(&mut config::Http)) -> Setup {
    let mut http = patient();
    change(&mut http);
    Setup { http, ..Setup::default() }
}

#[tokio::test]
async fn a_peer_that_never_shakes_hands_is_closed() {
    let server = limits(|http| http.handshake_timeout = millis(100)).start();
    let mut stream = server.connect().await;
    assert_eq!(rest(&mut stream).await, "");
    eventually("counted", || server.counted("usher_tls_handshakes_total{result=\"timeout\"} 1")).await;
    eventually("its place is free", || server.counted("usher_connections 0")).await;
}

#[tokio::test]
async fn a_peer_that_asks_nothing_is_closed_on_both_protocols() {
    let server = limits(|http| http.head_timeout = millis(100)).start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    assert_eq!(rest(&mut stream).await, "");
    server.ended("no-request").await;

    let server = limits(|http| http.head_timeout = millis(100)).start();
    let mut client = server.http2().await;
    client.closed().await;
    server.ended("no-request").await;
}

#[tokio::test]
async fn a_head_that_drips_is_cut_at_its_deadline() {
    let server = limits(|http| http.head_timeout = millis(300)).start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\nG").await.unwrap();
    let mut drip = tokio::time::interval(Duration::from_millis(20));
    let mut answer = Vec::new();
    let dripped = tokio::time::timeout(PATIENCE, async {
        loop {
            tokio::select! {
                _ = drip.tick() => if stream.write_all(b"E").await.is_err() || stream.flush().await.is_err() { break },
                read = stream.read_buf(&mut answer) => if matches!(read, Ok(0) | Err(_)) { break },
            }
        }
    });
    dripped.await.expect("the connection is cut");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "the whole request before it was answered");
    server.ended("head-timeout").await;
}

#[tokio::test]
async fn idle_connections_are_closed_on_both_protocols() {
    let server = limits(|http| http.idle_timeout = millis(150)).start();
    let mut client = server.http1().await;
    assert_eq!(within(client.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
    client.closed().await;
    server.ended("idle").await;

    let server = limits(|http| http.idle_timeout = millis(150)).start();
    let mut client = server.http2().await;
    assert_eq!(within(client.sender.send_request(request2("/who"))).await.unwrap().status(), StatusCode::OK);
    client.closed().await;
    server.ended("idle").await;
}

#[tokio::test]
async fn a_request_that_takes_long_is_not_idle() {
    let server = limits(|http| {
        http.idle_timeout = millis(50);
        http.head_timeout = millis(50);
    })
    .start();
    let mut client = server.http2().await;
    let answer = client.sender.send_request(request2("/held"));
    let release = async {
        server.service.entered.notified().await;
        // Longer than both limits: the deadlines have to have been looked at.
        tokio::time::sleep(Duration::from_millis(250)).await;
        server.service.release.notify_one();
    };
    let (answer, ()) = within(async { tokio::join!(answer, release) }).await;
    assert_eq!(text(answer.unwrap()).await, "released");
}

#[tokio::test]
async fn a_connection_has_a_lifetime() {
    let server = limits(|http| http.connection_lifetime = millis(200)).start();
    let mut client = server.http1().await;
    while let Ok(answer) = within(client.sender.send_request(request("/who"))).await {
        text(answer).await;
    }
    client.closed().await;
    server.ended("lifetime").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let server = limits(|http| http.write_stall_timeout = millis(200)).start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    stream.write_all(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    server.ended("write-stall").await;
}

#[tokio::test]
async fn an_http2_answer_that_is_not_read_is_reset_alone() {
    let server = limits(|http| http.write_stall_timeout = millis(200)).start();
    let mut client = server.http2().await;
    // The window is kept shut by not reading the body; the socket itself never blocks.
    let unread = within(client.sender.send_request(request2("/big"))).await.unwrap();
    eventually("the answer is given up", || server.service.dropped.load(Ordering::SeqCst) == 1).await;
    assert!(within(unread.into_body().collect()).await.is_err());
    let other = within(client.sender.send_request(request2("/who"))).await.unwrap();
    assert_eq!(other.status(), StatusCode::OK, "the connection lives on");
}

#[tokio::test]
async fn an_http2_answer_whose_source_is_slow_is_not_reset() {
    let server = limits(|http| http.write_stall_timeout = millis(50)).start();
    let mut client = server.http2().await;
    let answer = within(client.sender.send_request(request2("/slow"))).await.unwrap();
    assert_eq!(text(answer).await, "begin end");
}

#[tokio::test]
async fn a_stalled_upload_is_told_to_the_service() {
    let server = limits(|http| http.upload_stall_timeout = millis(100)).start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    let head = "POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.ends_with("stalled"), "{answer}");
}

#[tokio::test]
async fn a_broken_upload_is_told_apart_from_a_stalled_one() {
    let server = Setup::default().start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    let head = "POST /upload HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nnot a chunk\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("broken"), "{answer}");
}

#[tokio::test]
async fn one_address_gets_no_more_than_its_share_of_connections() {
    let server = limits(|http| http.max_connections_per_address = 2).start();
    let first = server.http1().await;
    let _second = server.http1().await;
    let mut third = server.connect().await;
    assert_eq!(rest(&mut third).await, "");
    let line = "usher_connections_refused_total{reason=\"address-full\"} 1";
    eventually("the refusal is counted", || server.counted(line)).await;
    drop(first);
    eventually("the place is free", || server.counted("usher_connections 1")).await;
    let mut fourth = server.http1().await;
    assert_eq!(within(fourth.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn there_are_no_more_connections_than_allowed() {
    let server = limits(|http| http.max_connections = 1).start();
    let first = server.http1().await;
    let mut second = server.connect().await;
    assert_eq!(rest(&mut second).await, "");
    eventually("counted", || server.counted("usher_connections_refused_total{reason=\"full\"} 1")).await;
    drop(first);
    eventually("the place is free", || server.counted("usher_connections 0")).await;
    server.http1().await;
}

#[tokio::test]
async fn limits_change_for_connections_that_come_later() {
    let server = Setup::default().start();
    let mut before = server.http1().await;
    assert_eq!(within(before.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
    server.limits.apply(&config::Http { idle_timeout: millis(50), ..patient() });
    let mut after = server.http1().await;
    assert_eq!(within(after.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
    after.closed().await;
    assert_eq!(within(before.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
}
