//! Nobody holds a request, a connection or a stream for longer than they may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::support::{ORIGIN, Say, Setup, Upstream, eventually, request, request2, within};

/// Reads requests and never answers.
async fn silent() -> Upstream {
    Upstream::scripted(|_| Say::Hold(Vec::new())).await
}

#[tokio::test]
async fn the_deadline_for_an_answer_holds_for_uploads_of_every_framing() {
    let upstream = silent().await;
    let gateway = Setup::new().app(&upstream).with("upstream: { head_timeout: 300ms }").start().await;
    let cookie = gateway.sign_in("ada").await;
    let post = |framing: &str, body: &str| request("POST", "/app/", &[&cookie, framing]) + body;
    let uploads = [
        ("no body", request("GET", "/app/", &[&cookie])),
        ("known length", post("Content-Length: 5", "hello")),
        ("length of nothing", post("Content-Length: 0", "")),
        ("chunks", post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")),
    ];
    for (name, upload) in uploads {
        assert_eq!(gateway.ask("POST", upload).await.status(), 504, "{name}");
    }
}

#[tokio::test]
async fn an_upload_to_an_upstream_that_reads_nothing_is_given_up_on_both_sides() {
    const LENGTH: u64 = 100 * 1024 * 1024;
    let (read, client_is_gone) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let (count, told) = (read.clone(), client_is_gone.clone());
    let upstream = Upstream::custom(move |mut stream, _| {
        let (count, told) = (count.clone(), told.clone());
        async move {
            // Held open and not read: its buffers fill. What is in them then comes to its end, or this never returns.
            told.notified().await;
            let rest = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            count.store(rest.unwrap_or(LENGTH), Ordering::SeqCst);
        }
    })
    .await;
    let gateway = Setup::new().app(&upstream).with("http: { write_stall_timeout: 500ms }").start().await;
    let cookie = gateway.sign_in("ada").await;
    let mut client = gateway.connect().await;
    let head = request("POST", "/app/", &[&cookie, &format!("Content-Length: {LENGTH}")]);
    client.send(head).await.unwrap();
    // Whatever fits into buffers on the way; then the gateway answers or closes.
    let chunk = vec![b'x'; 64 * 1024];
    within(async { while client.send(&chunk).await.is_ok() {} }).await;
    client_is_gone.notify_one();
    eventually("the upstream sees the end", || upstream.closed() == 1).await;
    let read = read.load(Ordering::SeqCst);
    assert!(0 < read && read < LENGTH, "{read} bytes and then the end, which is no whole request");
}

#[tokio::test]
async fn head_of_a_page_of_ours_has_its_length_and_no_content() {
    let gateway = Setup::new().ide().start().await;
    let mut client = gateway.http2().await;
    for target in ["/.usher/login", "/nowhere", "/ide/x"] {
        let full = client.ask(request2("GET", target, &[])).await;
        let head = client.ask(request2("HEAD", target, &[])).await;
        assert_eq!((head.status, head.body.len()), (full.status, 0), "{target}");
        let length = |headers: &http::HeaderMap| headers.get("content-length").cloned();
        assert_eq!(length(&head.headers), length(&full.headers), "{target}");
    }
}

#[tokio::test]
async fn a_stream_of_an_upstream_ends_with_the_login_that_it_was_given_to() {
    let upstream = Upstream::scripted(|_| {
        Say::Hold(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n".to_vec())
    })
    .await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    let mut client = gateway.connect().await;
    client.send(request("GET", "/app/", &[&cookie])).await.unwrap();
    assert_eq!(client.answer_head().await.status(), 200);
    let page = gateway.ask("GET", request("GET", "/", &[&cookie, "Accept: text/html"])).await.text();
    let token = page.split("name=\"usher-token\" content=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let form = format!("token={token}");
    let length = format!("Content-Length: {}", form.len());
    let lines = [&*cookie, &*format!("Origin: {ORIGIN}"), "Content-Type: application/x-www-form-urlencoded", &*length];
    let signed_out = gateway.ask("POST", request("POST", "/.usher/logout", &lines) + &form).await;
    assert_eq!(signed_out.status(), 303, "{signed_out:?}");
    within(async { while client.more().await.unwrap_or(false) {} }).await;
    eventually("the upstream's connection is closed", || upstream.closed() == 1).await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_says_that_the_connection_closes() {
    let upstream = Upstream::custom(|mut stream, _| async move {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    let upload = request("POST", "/app/", &[&cookie, "Content-Length: 1000000"]) + "beginning";
    let answer = gateway.ask("POST", upload).await;
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.head.one("connection"), "close");
}
