//! Bodies of any size, at anybody's pace: nothing is gathered, and nobody waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Client, Gateway, Setup, Upstream, eventually, request, request2, within};

const MIB: u64 = 1 << 20;
/// Large enough that gathering it would show.
const LARGE: u64 = 100 * MIB;
/// More than all buffers on the way together hold; kernels give loopback connections several MiB.
const IN_FLIGHT: u64 = 32 * MIB;

/// The most that was under way at any time: sent by one end and not yet received by the other.
#[derive(Default)]
struct UnderWay(u64);

impl UnderWay {
    fn look(&mut self, sent: u64, received: u64) {
        self.0 = self.0.max(sent.saturating_sub(received));
    }

    fn check(&self) {
        assert!(self.0 < IN_FLIGHT, "{} MiB were under way", self.0 / MIB);
    }
}

/// Gives `LARGE` bytes to a GET, takes whatever comes with a POST, and counts both.
async fn pump() -> (Upstream, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (sent, taken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = (sent.clone(), taken.clone());
    let upstream = Upstream::custom(move |stream, log| {
        let (sent, taken) = counters.clone();
        async move {
            let mut wire = log.wire(stream);
            let Ok(Some(head)) = wire.head().await else { return };
            if head.method() == "GET" {
                let chunk = vec![b'x'; 64 * 1024];
                let begin = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
                let _ = wire.send(begin).await;
                while sent.load(Ordering::SeqCst) < LARGE && wire.stream.write_all(&chunk).await.is_ok() {
                    sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                }
            } else {
                // Not through the wire, which notes everything.
                taken.fetch_add(wire.ahead.len() as u64, Ordering::SeqCst);
                let mut buffer = vec![0; 64 * 1024];
                while taken.load(Ordering::SeqCst) < LARGE {
                    match wire.stream.read(&mut buffer).await {
                        Ok(read @ 1..) => taken.fetch_add(read as u64, Ordering::SeqCst),
                        _ => return,
                    };
                }
                let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await;
            }
            let _ = wire.more().await;
        }
    })
    .await;
    (upstream, sent, taken)
}

async fn gateway(upstream: &Upstream) -> (Gateway, String) {
    let gateway = Setup::new().app(upstream).start().await;
    let cookie = gateway.session_cookie("ada").await;
    (gateway, cookie)
}

#[tokio::test]
async fn a_large_answer_is_passed_on_without_gathering_it() {
    for http2 in [false, true] {
        let (upstream, sent, _) = pump().await;
        let (gateway, cookie) = gateway(&upstream).await;
        let (mut received, mut under_way) = (0, UnderWay::default());
        if http2 {
            let mut client = gateway.http2().await;
            let mut answer = client.open(request2("GET", "/app/", &[("cookie", &cookie)])).await.unwrap();
            while let Some(frame) = within(answer.frame()).await {
                received += frame.unwrap().data_ref().map_or(0, Bytes::len) as u64;
                under_way.look(sent.load(Ordering::SeqCst), received);
            }
        } else {
            let mut client = gateway.connect().await;
            client.send(request("GET", "/app/", &[&format!("Cookie: {cookie}")])).await.unwrap();
            assert_eq!(client.answer_head().await.one("content-length"), LARGE.to_string());
            received += client.ahead.len() as u64;
            let mut buffer = vec![0; 64 * 1024];
            while received < LARGE {
                received += within(client.stream.read(&mut buffer)).await.unwrap() as u64;
                under_way.look(sent.load(Ordering::SeqCst), received);
            }
        }
        assert_eq!(received, LARGE, "http2: {http2}");
        under_way.check();
    }
}

#[tokio::test]
async fn a_large_upload_is_passed_on_without_gathering_it() {
    for http2 in [false, true] {
        let (upstream, _, taken) = pump().await;
        let (gateway, cookie) = gateway(&upstream).await;
        let mut under_way = UnderWay::default();
        let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
        let chunks = LARGE / chunk.len() as u64;
        if http2 {
            let (most, received) = (Arc::new(AtomicU64::new(0)), taken.clone());
            let seen = most.clone();
            let frames = (1..=chunks).map(move |nth| {
                let sent = nth * chunk.len() as u64;
                seen.fetch_max(sent.saturating_sub(received.load(Ordering::SeqCst)), Ordering::SeqCst);
                Ok(Frame::data(chunk.clone()))
            });
            let length = LARGE.to_string();
            let post = request2("POST", "/app/", &[("cookie", &cookie), ("content-length", &length)]);
            let post = post.map(|_| BoxBody::new(StreamBody::new(stream::iter(frames))));
            assert_eq!(gateway.http2().await.ask(post).await.body, "fine");
            under_way.look(most.load(Ordering::SeqCst), 0);
        } else {
            let mut client = gateway.connect().await;
            let lines = [format!("Content-Length: {LARGE}"), format!("Cookie: {cookie}")];
            client.send(request("POST", "/app/", &[&lines[0], &lines[1]])).await.unwrap();
            for nth in 1..=chunks {
                within(client.send(&chunk)).await.unwrap();
                under_way.look(nth * chunk.len() as u64, taken.load(Ordering::SeqCst));
            }
            assert_eq!(client.answer("POST").await.text(), "fine");
        }
        assert_eq!(taken.load(Ordering::SeqCst), LARGE);
        under_way.check();
    }
}

/// Waits until nothing has been added for a while: whoever adds is held back.
async fn settled(counter: &AtomicU64) -> u64 {
    let mut last = u64::MAX;
    within(async {
        loop {
            let now = counter.load(Ordering::SeqCst);
            if now == last && now > 0 {
                return now;
            }
            last = now;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_reader_that_stalls_holds_the_upstream_back_and_is_cut() {
    let (upstream, sent, _) = pump().await;
    let gateway = Setup::new().with("http: { write_stall_timeout: 2s }").app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    let mut client: Client = gateway.connect().await;
    client.send(request("GET", "/app/", &[&cookie])).await.unwrap();
    let held_at = settled(&sent).await;
    assert!(held_at < IN_FLIGHT, "{} MiB are under way", held_at / MIB);
    // Nobody holds a workspace's connection for ever by not reading.
    eventually("the upstream is freed", || upstream.closed() == 1).await;
    assert!(sent.load(Ordering::SeqCst) < LARGE);
    drop(client);
}

#[tokio::test]
async fn an_upload_that_stalls_is_cut_and_never_becomes_a_whole_request() {
    let upstream = Upstream::scripted(|_| crate::support::Say::ok("fine")).await;
    let gateway = Setup::new().with("http: { upload_stall_timeout: 300ms }").app(&upstream).start().await;
    let cookie = gateway.session_cookie("ada").await;
    let mut client = gateway.connect().await;
    let lines = ["Content-Length: 10", &format!("Cookie: {cookie}")];
    let answer = client.ask("POST", request("POST", "/app/", &lines) + "hello").await;
    assert_eq!(answer.status(), 408, "{answer:?}");
    assert_eq!(answer.json()["type"], "urn:usher:problem:body-broken");
    assert!(client.is_closed().await);

    let endless = stream::iter([Ok(Frame::data(Bytes::from("hello")))]).chain(stream::pending());
    let post = request2("POST", "/app/", &[("cookie", &cookie), ("content-length", "10")]);
    let post = post.map(|_| BoxBody::new(StreamBody::new(endless)));
    assert_eq!(gateway.http2().await.ask(post).await.status, 408);
    eventually("half requests end", || upstream.closed() == 2).await;
    assert!(upstream.requests().await.is_empty(), "{}", upstream.bytes());
}

#[tokio::test]
async fn an_upload_is_held_back_by_an_upstream_that_does_not_read() {
    let upstream = Upstream::custom(|stream, log| async move {
        let mut wire = log.wire(stream);
        let _ = wire.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let (gateway, cookie) = gateway(&upstream).await;
    let mut client = gateway.connect().await;
    let lines = [format!("Content-Length: {LARGE}"), format!("Cookie: {cookie}")];
    client.send(request("POST", "/app/", &[&lines[0], &lines[1]])).await.unwrap();
    let sent = AtomicU64::new(0);
    let chunk = vec![b'x'; 64 * 1024];
    tokio::select! {
        () = async { while client.send(&chunk).await.is_ok() { sent.fetch_add(chunk.len() as u64, Ordering::SeqCst); } } => panic!("cut"),
        held_at = settled(&sent) => assert!(held_at < IN_FLIGHT, "{} MiB are under way", held_at / MIB),
    }
}

#[tokio::test]
async fn an_answer_is_passed_on_as_it_comes() {
    let (told, next) = tokio::sync::mpsc::channel::<&str>(1);
    let next = Arc::new(tokio::sync::Mutex::new(next));
    let upstream = Upstream::custom(move |stream, log| {
        let next = next.clone();
        async move {
            let mut wire = log.wire(stream);
            let _ = wire.head().await;
            let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
            while let Some(event) = next.lock().await.recv().await {
                let _ = wire.send(event).await;
            }
        }
    })
    .await;
    let (gateway, cookie) = gateway(&upstream).await;
    let mut client = gateway.connect().await;
    client.send(request("GET", "/app/", &[&format!("Cookie: {cookie}")])).await.unwrap();
    // The head comes before any event, and each event before the next.
    assert_eq!(client.answer_head().await.status(), 200);
    for event in ["data: one\n\n", "data: two\n\n"] {
        told.send(event).await.unwrap();
        while !String::from_utf8_lossy(&client.ahead).contains(event) {
            assert!(within(client.more()).await.unwrap());
        }
    }
}

/// An upstream that answers every request with the begin of a stream, and never ends it.
async fn endless() -> Upstream {
    Upstream::custom(|stream, log| async move {
        let mut wire = log.wire(stream);
        let _ = wire.head().await;
        let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n").await;
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn a_stream_ends_within_seconds_when_the_right_to_it_is_withdrawn() {
    let upstream = endless().await;
    for (from, to) in [
        ("acme: { title: Acme }", "acme: { title: Acme, disabled: true }"),
        ("strip_prefix: true }", "strip_prefix: true, allow: { groups: [ nobody ] } }"),
    ] {
        let (gateway, cookie) = gateway(&upstream).await;
        let mut client = gateway.connect().await;
        client.send(request("GET", "/app/", &[&format!("Cookie: {cookie}")])).await.unwrap();
        assert_eq!(client.answer_head().await.status(), 200);
        while !String::from_utf8_lossy(&client.ahead).contains("data: one") {
            assert!(within(client.more()).await.unwrap());
        }
        within(gateway.reconfigure(from, to)).await;
        let ended = async { while client.more().await.unwrap_or(false) {} };
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), ended).await;
        assert!(ended.is_ok(), "{to}");
    }
}
