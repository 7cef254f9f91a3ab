//! Upstreams that break HTTP, and what of a sound answer reaches the browser.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use crate::support::{Client, Framing, Say, Setup, Upstream, eventually, request, request2, within};

/// An answer that breaks HTTP.
struct Broken(&'static str, &'static str);

const BROKEN: &[Broken] = &[
    Broken(
        "length_and_chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    Broken(
        "chunks_and_length",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    Broken("two_lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    Broken("signed_length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    Broken("empty_length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello"),
    Broken("another_coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    Broken("chunked_twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    Broken("coding_and_length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
    Broken("coding_on_http_1_0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Broken("unasked_switch", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    Broken("unasked_switch_to_h2c", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    Broken("status_999", "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
    Broken("status_600", "HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n"),
    Broken("status_99", "HTTP/1.1 99 What\r\nContent-Length: 0\r\n\r\n"),
    Broken("garbage", "\x16\x03\x01garbage\r\n\r\n"),
    Broken("another_protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    Broken("another_version", "HTTP/2 200 OK\r\n\r\n"),
    Broken("folded_line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    Broken("nul_in_a_value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
];

#[tokio::test]
async fn an_answer_that_breaks_http_is_a_502_and_its_connection_is_never_used_again() {
    let mut wrong = Vec::new();
    for Broken(name, bytes) in BROKEN {
        let upstream = Upstream::scripted(move |heard| match heard.before {
            0 => Say::answer(bytes),
            _ => Say::ok("fine"),
        })
        .await;
        let gateway = Setup::new().app(&upstream).start().await;
        let cookie = gateway.sign_in("ada").await;
        let answer = gateway.get("/app/", &cookie).await;
        let next = gateway.get("/app/", &cookie).await;
        let problem = answer.status() == 502 && answer.json()["status"] == 502;
        if !problem || next.text() != "fine" || upstream.connections() != 2 {
            wrong.push(format!("{name}: {answer:?} then {next:?} over {} connections", upstream.connections()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_failed_upstream_is_explained_to_scripts_and_to_people() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let closes = Upstream::scripted(|_| Say::Last(Vec::new())).await;
    let half = Upstream::scripted(|_| Say::Last(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())).await;
    let silent = Upstream::scripted(|_| Say::Hold(Vec::new())).await;
    let drips = Upstream::scripted(|_| Say::Hold(b"HTTP/1.1 200 OK\r\nX: ".to_vec())).await;
    let hundreds = Upstream::scripted(|_| Say::Hold(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(50))).await;
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(100_000));
    let huge = Upstream::answering(huge).await;
    let gateway = Setup::new()
        .with("upstream: { head_timeout: 300ms }")
        .route(&format!("{{ path: /nobody/, upstream: \"http://{nobody}\" }}"))
        .route(&format!("{{ path: /closes/, upstream: \"{}\" }}", closes.url()))
        .route(&format!("{{ path: /half/, upstream: \"{}\" }}", half.url()))
        .route(&format!("{{ path: /silent/, upstream: \"{}\" }}", silent.url()))
        .route(&format!("{{ path: /drips/, upstream: \"{}\" }}", drips.url()))
        .route(&format!("{{ path: /hundreds/, upstream: \"{}\" }}", hundreds.url()))
        .route(&format!("{{ path: /huge/, upstream: \"{}\" }}", huge.url()))
        .start()
        .await;
    let cookie = gateway.sign_in("ada").await;
    for (path, status, kind) in [
        ("/nobody/", 502, "upstream-unreachable"),
        ("/closes/", 502, "upstream-unreachable"),
        ("/half/", 502, "upstream-unreachable"),
        ("/silent/", 504, "upstream-timeout"),
        ("/drips/", 504, "upstream-timeout"),
        ("/hundreds/", 504, "upstream-timeout"),
        ("/huge/", 502, "upstream-broken"),
    ] {
        let script = gateway.get(path, &cookie).await;
        assert_eq!(script.status(), status, "{path}: {script:?}");
        let problem = script.json();
        assert_eq!(problem["type"], format!("urn:usher:problem:{kind}"), "{path}");
        assert_eq!((&problem["status"], script.head.one("cache-control")), (&status.into(), "no-store"));
        assert!(problem["title"].is_string() && problem["request_id"].is_string(), "{problem}");

        let lines = ["Accept: text/html", "Accept-Language: zh", &cookie];
        let person = gateway.ask("GET", request("GET", path, &lines)).await;
        assert_eq!(person.status(), status, "{path}: {person:?}");
        assert!(person.head.one("content-type").starts_with("text/html"), "{path}: {person:?}");
        assert!(person.text().contains("lang=\"zh"), "{}", person.text());
    }
}

/// Answers one request for each connection, claims to keep it, and closes.
async fn forgetful() -> (Upstream, Arc<AtomicUsize>) {
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = posts.clone();
    let upstream = Upstream::custom(move |stream, log| {
        let counted = counted.clone();
        async move {
            let mut wire = log.wire(stream);
            let Ok(Some(_)) = wire.head().await else { return };
            let _ = wire.send("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nfine").await;
            // The next request is read and left without an answer.
            if let Ok(Some(head)) = wire.head().await {
                counted.fetch_add(usize::from(head.method() == "POST"), Ordering::SeqCst);
            }
        }
    })
    .await;
    (upstream, posts)
}

#[tokio::test]
async fn a_stale_connection_costs_an_idempotent_request_nothing_and_a_post_is_never_sent_twice() {
    let (upstream, posts) = forgetful().await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    let replayed = || gateway.metric("usher_upstream_connections_total{event=\"replayed\"}");
    for method in ["GET", "GET", "DELETE"] {
        let answer = gateway.ask(method, request(method, "/app/", &[&cookie])).await;
        assert_eq!(answer.text(), "fine", "{method}");
    }
    assert_eq!(replayed().await, 2);
    assert_eq!(upstream.connections(), 3);

    let post = request("POST", "/app/", &["Content-Length: 5", &cookie]) + "hello";
    let answer = gateway.ask("POST", post).await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    assert_eq!((posts.load(Ordering::SeqCst), replayed().await, upstream.connections()), (1, 2, 3));
}

#[tokio::test]
async fn no_request_is_sent_twice_once_a_byte_of_an_answer_came() {
    let upstream = Upstream::scripted(|heard| match heard.before {
        0 => Say::ok("fine"),
        _ => Say::Last(b"H".to_vec()),
    })
    .await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    assert_eq!(gateway.get("/app/", &cookie).await.text(), "fine");
    assert_eq!(gateway.get("/app/", &cookie).await.status(), 502);
    assert_eq!(upstream.requests().await.len(), 2);
}

#[tokio::test]
async fn a_post_is_sent_whole_over_a_new_connection_when_the_old_one_was_closed_before() {
    let upstream = Upstream::custom(|stream, log| async move {
        let mut wire = log.wire(stream);
        if let Ok(Some(head)) = wire.head().await {
            let _ = wire.body(Framing::of_request(&head)).await;
            let _ = wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await;
        }
    })
    .await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    for nth in 1..=20 {
        let post = request("POST", "/app/", &["Content-Length: 5", &cookie]) + "hello";
        assert_eq!(gateway.ask("POST", post).await.text(), "fine");
        eventually("it is closed", || upstream.closed() == nth).await;
    }
    let posts = upstream.requests().await;
    assert_eq!(posts.len(), 20);
    assert!(posts.iter().all(|(_, body)| body == b"hello"));
}

#[tokio::test]
async fn a_get_is_sent_twice_at_most() {
    let upstream = Upstream::scripted(|heard| match heard.before {
        0 => Say::ok("fine"),
        _ => Say::Last(Vec::new()),
    })
    .await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    assert_eq!(gateway.get("/app/", &cookie).await.text(), "fine");
    assert_eq!(gateway.get("/app/", &cookie).await.status(), 502);
    assert_eq!(upstream.requests().await.len(), 3);
}

#[tokio::test]
async fn a_truncated_body_is_seen_as_one() {
    for (name, bytes) in [
        ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
        ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        ("a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n"),
    ] {
        let upstream = Upstream::scripted(move |_| Say::Last(bytes.as_bytes().to_vec())).await;
        let gateway = Setup::new().app(&upstream).start().await;
        let cookie = gateway.session_cookie("ada").await;
        let mut client = gateway.connect().await;
        client.send(request("GET", "/app/", &[&format!("Cookie: {cookie}")])).await.unwrap();
        let mut everything = Vec::new();
        while within(client.more()).await.unwrap_or(false) {
            everything.append(&mut client.ahead);
        }
        let text = String::from_utf8_lossy(&everything).into_owned();
        let whole =
            text.ends_with("0\r\n\r\n") || text.starts_with("HTTP/1.1 200") && text.len() > 400 && name == "a length";
        assert!(!whole, "{name}: {text}");
        // Over HTTP/2 the stream is reset.
        let opened = gateway.http2().await.open(request2("GET", "/app/", &[("cookie", &cookie)])).await;
        if let Ok(answer) = opened {
            use http_body_util::BodyExt as _;
            assert!(within(answer.into_body().collect()).await.is_err(), "{name}");
        }
    }
}

#[tokio::test]
async fn answers_without_a_body_are_told_from_those_with_one() {
    /// Status line and headers, then method, and what the client gets: status, length, body.
    type Case = (&'static str, &'static str, u16, &'static str, &'static str);
    const CASES: &[Case] = &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", "GET", 200, "4", "fine"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nfine", "GET", 200, "4", "fine"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 04\r\n\r\nfine", "GET", 200, "4", "fine"),
        ("HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nfine", "GET", 200, "4", "fine"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n", "GET", 200, "", "fine"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4711\r\n\r\n", "HEAD", 200, "4711", ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, "", ""),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "GET", 204, "", ""),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", "GET", 304, "", ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", "DELETE", 204, "", ""),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "GET", 404, "2", "no"),
    ];
    for (bytes, method, status, length, body) in CASES {
        let upstream = Upstream::answering(bytes).await;
        let gateway = Setup::new().app(&upstream).start().await;
        let cookie = gateway.sign_in("ada").await;
        let mut client = gateway.connect().await;
        for _ in 0..2 {
            let answer = client.ask(method, request(method, "/app/", &[&cookie])).await;
            let got = (answer.status(), answer.head.one("content-length").to_owned(), answer.text());
            assert_eq!(got, (*status, (*length).to_owned(), (*body).to_owned()), "{bytes:?}: {answer:?}");
        }
        assert_eq!(upstream.connections(), 1, "kept: {bytes:?}");
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_passed_on_whole() {
    let upstream = Upstream::scripted(|_| Say::Last(b"HTTP/1.0 200 OK\r\n\r\nuntil the end".to_vec())).await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    let answer = gateway.get("/app/", &cookie).await;
    assert_eq!((answer.status(), answer.text()), (200, "until the end".to_owned()));
    assert_eq!(answer.head.one("transfer-encoding"), "chunked");
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_never_become_an_answer() {
    for extra in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "garbage"] {
        let upstream = Upstream::scripted(move |heard| match heard.before {
            0 => Say::answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine{extra}")),
            _ => Say::ok("next"),
        })
        .await;
        let gateway = Setup::new().app(&upstream).start().await;
        let cookie = gateway.sign_in("ada").await;
        assert_eq!(gateway.get("/app/", &cookie).await.text(), "fine");
        assert_eq!(gateway.get("/app/", &cookie).await.text(), "next");
        assert_eq!(upstream.connections(), 2);
    }
}

#[tokio::test]
async fn an_answer_acts_on_its_own_route_only() {
    let headers = [
        "Set-Cookie: a=1",
        "Set-Cookie: b=2; Path=/; Domain=example.com; HttpOnly; SameSite=Lax",
        "Set-Cookie: c=3; Path=/deep; Secure",
        "Set-Cookie: d=4; Path=/app/x",
        "Set-Cookie: __Host-usher=forged; Path=/; Secure",
        "Set-Cookie: __HOST-USHER-login=forged; Path=/; Secure",
        "Set-Cookie: __Host-other=1; Path=/; Secure",
        "Set-Cookie: =__Host-usher=forged",
        "Location: /next?x=/y",
        "Service-Worker-Allowed: /",
        "Clear-Site-Data: \"*\"",
        "Strict-Transport-Security: max-age=0",
        "Alt-Svc: h3=\":443\"",
        "X-Usher-User: forged",
        "Proxy-Authenticate: Basic",
        "Keep-Alive: timeout=5",
        "Trailer: X-Usher-User",
        "Connection: X-Nominated",
        "X-Nominated: 1",
        "X-Kept: yes",
        "Content-Length: 0",
    ];
    let upstream = Upstream::answering(format!("HTTP/1.1 302 Found\r\n{}\r\n\r\n", headers.join("\r\n"))).await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    let answer = gateway.get("/app/", &cookie).await;
    assert_eq!(
        answer.head.all("set-cookie"),
        [
            "a=1; Secure; Path=/app/",
            "b=2; HttpOnly; SameSite=Lax; Secure; Path=/app/",
            "c=3; Secure; Path=/app/deep",
            "d=4; Secure; Path=/app/x",
        ]
    );
    assert_eq!(answer.head.one("location"), "/app/next?x=/y");
    assert_eq!(answer.head.one("x-kept"), "yes");
    for gone in [
        "service-worker-allowed",
        "clear-site-data",
        "strict-transport-security",
        "alt-svc",
        "x-usher-user",
        "proxy-authenticate",
        "keep-alive",
        "trailer",
        "x-nominated",
    ] {
        assert!(!answer.head.has(gone), "{gone}: {answer:?}");
    }
}

#[tokio::test]
async fn a_location_is_read_as_the_upstream_meant_it() {
    for (given, shown) in [
        ("/x", "/app/x".to_owned()),
        ("/", "/app/".to_owned()),
        ("/app/x", "/app/x".to_owned()),
        ("x", "x".to_owned()),
        ("?q", "?q".to_owned()),
        ("https://dev.example.com:8443/x", "/app/x".to_owned()),
        ("http://dev.example.com:8443/x#y", "/app/x#y".to_owned()),
        ("//dev.example.com:8443/x", "/app/x".to_owned()),
        ("https://other.example/x", "https://other.example/x".to_owned()),
        ("//other.example/x", "//other.example/x".to_owned()),
        ("https://dev.example.com:8443//evil.example/", "https://dev.example.com:8443//evil.example/".to_owned()),
    ] {
        let upstream =
            Upstream::answering(format!("HTTP/1.1 302 Found\r\nLocation: {given}\r\nContent-Length: 0\r\n\r\n")).await;
        let gateway = Setup::new().app(&upstream).start().await;
        let cookie = gateway.sign_in("ada").await;
        assert_eq!(gateway.get("/app/", &cookie).await.head.one("location"), shown, "{given}");
    }
}

#[tokio::test]
async fn trailers_of_an_answer_end_at_the_gateway() {
    let bytes = "HTTP/1.1 200 OK\r\nTrailer: Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n\
                 4\r\nfine\r\n0\r\nSet-Cookie: __Host-usher=forged; Path=/; Secure\r\n\r\n";
    let upstream = Upstream::answering(bytes).await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    // The reader of these tests takes no trailers.
    let answer = gateway.ask("GET", request("GET", "/app/", &["TE: trailers", &cookie])).await;
    assert_eq!(answer.text(), "fine");
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_upstream() {
    let upstream = Upstream::scripted(|_| Say::Hold(Vec::new())).await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.session_cookie("ada").await;
    let line = format!("Cookie: {cookie}");
    let ask = request("GET", "/app/", &[&line]);

    let mut client: Client = gateway.connect().await;
    client.send(&ask).await.unwrap();
    eventually("the upstream is asked", || upstream.connections() == 1).await;
    drop(client);
    eventually("the upstream sees that nobody waits", || upstream.closed() == 1).await;

    let mut client = gateway.http2().await;
    let waits = client.sender.send_request(request2("GET", "/app/", &[("cookie", &cookie)]));
    let asked = async {
        eventually("the upstream is asked again", || upstream.connections() == 2).await;
    };
    tokio::select! {
        _ = waits => panic!("nobody answers"),
        () = asked => {}
    }
    // The stream alone was given up; the connection goes on.
    eventually("the upstream sees that too", || upstream.closed() == 2).await;
    assert_eq!(client.ask(request2("GET", "/.usher/login", &[])).await.status, 200);
}

#[tokio::test]
async fn an_early_answer_arrives_and_its_connection_closes_whether_or_not_somebody_reads_on() {
    for closes in [false, true] {
        let upstream = Upstream::custom(move |stream, log| async move {
            let mut wire = log.wire(stream);
            while let Ok(Some(head)) = wire.head().await {
                let _ = wire.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!").await;
                let length = head.one("content-length").parse().unwrap_or(0);
                if closes || wire.exactly(length).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let gateway = Setup::new().app(&upstream).start().await;
        let cookie = gateway.sign_in("ada").await;
        let mut client = gateway.connect().await;
        client.send(request("POST", "/app/", &["Content-Length: 6", &cookie]) + "abc").await.unwrap();
        let answer = client.answer("POST").await;
        assert_eq!((answer.status(), answer.text()), (413, "no!".to_owned()));
        assert_eq!(answer.head.one("connection"), "close");
        // The rest is a body and no request, and what comes after it is not looked at.
        let _ = client.send("def".to_owned() + &request("GET", "/app/", &[&cookie])).await;
        within(async { while client.more().await.unwrap_or(false) {} }).await;
        assert!(upstream.requests().await.len() <= 1);
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_one_by_one_in_their_order() {
    let upstream = Upstream::scripted(|heard| {
        let body = String::from_utf8_lossy(&heard.body).into_owned();
        Say::ok(&format!("{} {} {body}", heard.head.method(), heard.head.target()))
    })
    .await;
    let gateway = Setup::new().app(&upstream).start().await;
    let cookie = gateway.sign_in("ada").await;
    let mut client = gateway.connect().await;
    let pipelined = request("GET", "/app/1", &[&cookie])
        + &request("POST", "/app/2", &["Content-Length: 5", &cookie])
        + "hello"
        + &request("DELETE", "/app/3", &[&cookie]);
    client.send(pipelined).await.unwrap();
    for (method, text) in [("GET", "GET /1 "), ("POST", "POST /2 hello"), ("DELETE", "DELETE /3 ")] {
        assert_eq!(client.answer(method).await.text(), text);
    }
    assert_eq!(upstream.connections(), 1);
}
