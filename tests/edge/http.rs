//! Requests and answers over HTTP/1.1 and HTTP/2, upgrades included.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Setup, request, request2, rest, text, within};

#[tokio::test]
async fn http1_and_http2_are_served_on_one_port() {
    let server = Setup::default().start();
    let mut client = server.http1().await;
    let first = text(within(client.sender.send_request(request("/who"))).await.unwrap()).await;
    assert!(first.starts_with("HTTP/1.1 127.0.0.1:") && first.ends_with(" localhost"), "{first}");
    let again = text(within(client.sender.send_request(request("/who"))).await.unwrap()).await;
    assert_eq!(first, again, "one connection serves both");

    let mut client = server.http2().await;
    let answer = text(within(client.sender.send_request(request2("/who"))).await.unwrap()).await;
    assert!(answer.starts_with("HTTP/2.0 127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn bodies_are_streamed_both_ways_on_both_protocols() {
    let server = Setup::default().start();
    let content = Bytes::from((0..3_000_000_u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>());

    let mut client = server.http1().await;
    let (head, _) = request("/echo").into_parts();
    let sent = http::Request::from_parts(head, Full::new(content.clone()).boxed());
    let answer = within(client.sender.send_request(sent)).await.unwrap();
    assert_eq!(within(answer.into_body().collect()).await.unwrap().to_bytes(), content);

    let mut client = server.http2().await;
    let (head, _) = request2("/echo").into_parts();
    let sent = http::Request::from_parts(head, Full::new(content.clone()).boxed());
    let answer = within(client.sender.send_request(sent)).await.unwrap();
    assert_eq!(within(answer.into_body().collect()).await.unwrap().to_bytes(), content);
}

#[tokio::test]
async fn a_hundred_requests_at_once_share_an_http2_connection() {
    let server = Setup::default().start();
    let client = server.http2().await;
    let answers = (0..100).map(|_| {
        let mut sender = client.sender.clone();
        async move { within(sender.send_request(request2("/who"))).await.unwrap().status() }
    });
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.iter().all(|&status| status == StatusCode::OK));
    assert_eq!(server.drain.connections(), 1);
}

#[tokio::test]
async fn trailers_of_a_request_are_dropped() {
    let server = Setup::default().start();
    let mut client = server.http2().await;
    let trailers = http::HeaderMap::from_iter([("x-usher-user".parse().unwrap(), "admin".parse().unwrap())]);
    let frames = [http_body::Frame::data(Bytes::from("data")), http_body::Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok))).boxed();
    let (head, _) = request2("/upload").into_parts();
    let answer = within(client.sender.send_request(http::Request::from_parts(head, body))).await.unwrap();
    assert_eq!(text(answer).await, "4 false");
}

#[tokio::test]
async fn an_upgraded_connection_loses_no_early_byte() {
    let server = Setup::default().start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    let head = "GET /tunnel HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"early") {
        assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(b"later").await.unwrap();
    let mut echo = [0; 5];
    within(stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"later");
    assert_eq!(server.drain.connections(), 1, "the tunnel still counts");
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    server.ended("upgraded").await;
    crate::support::eventually("the tunnel is forgotten", || server.drain.connections() == 0).await;
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let server = Setup::default().start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    let head = "POST /early HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..20 {
        // The server reads and discards; it may also have had enough.
        let _ = within(stream.write_all(&[b'x'; 10_000])).await;
    }
    let _ = stream.shutdown().await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too much"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_not_http_gets_400_and_is_counted() {
    let server = Setup::default().start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost : localhost\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    server.ended("bad-request").await;

    let mut stream = server.tls(&[b"http/1.1"]).await;
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(33_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    server.ended("too-large").await;
}

#[tokio::test]
async fn the_kill_switch_cuts_a_connection_with_a_request_under_way() {
    let server = Setup::default().start();
    for http2 in [false, true] {
        let mut stream = server.tls(if http2 { &[b"h2"] } else { &[b"http/1.1"] }).await;
        if http2 {
            let mut client = server.http2().await;
            let answer = client.sender.send_request(request2("/hang"));
            let kill = async {
                server.service.entered.notified().await;
                server.service.last.lock().unwrap().upgrade().unwrap().close();
            };
            let (answer, ()) = within(async { tokio::join!(answer, kill) }).await;
            assert!(answer.is_err());
        } else {
            stream.write_all(b"GET /hang HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            within(server.service.entered.notified()).await;
            server.service.last.lock().unwrap().upgrade().unwrap().close();
            assert_eq!(rest(&mut stream).await, "");
        }
    }
    let dropped = || server.service.dropped.load(std::sync::atomic::Ordering::SeqCst) == 2;
    crate::support::eventually("both requests are dropped", dropped).await;
}

#[tokio::test]
async fn requests_given_up_again_and_again_end_the_http2_connection() {
    let server = Setup::default().start();
    let mut client = server.http2().await;
    let mut given_up = 0;
    while given_up < 1000 {
        let mut sender = client.sender.clone();
        if sender.ready().await.is_err() {
            break;
        }
        let answer = sender.send_request(request2("/hang"));
        tokio::select! {
            _ = answer => break,
            () = server.service.entered.notified() => given_up += 1,
        }
    }
    assert!((200..400).contains(&given_up), "{given_up} requests");
    client.closed().await;
    server.ended("cancel-budget").await;
}

#[tokio::test]
async fn what_is_not_http2_ends_the_connection_and_is_counted() {
    let server = Setup::default().start();
    let mut stream = server.tls(&[b"h2"]).await;
    // The preface, then SETTINGS on a stream, where they must not be.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 1]).await.unwrap();
    rest(&mut stream).await;
    server.ended("protocol-error").await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let server = Setup::default().start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    stream.write_all(b"GET /hang HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    within(server.service.entered.notified()).await;
    drop(stream);
    let dropped = || server.service.dropped.load(std::sync::atomic::Ordering::SeqCst) == 1;
    crate::support::eventually("the request is dropped", dropped).await;
    server.ended("client-gone").await;
}
