//! How the gateway leaves, and what the next one finds.

use futures_util::SinkExt;
use http::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, Instant};

use crate::support::{Browser, HOST, Process, Site, Socket, closing, eventually, is_alive, say, within};

/// A workspace that answers `/` at once, and anything else a second after it has sent the head of its answer.
const SLOW_SERVER: &str = r#"
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "8"); self.end_headers()
        self.wfile.flush()
        if self.path != "/":
            self.wfile.write(b"half"); self.wfile.flush(); time.sleep(1)
            self.wfile.write(b"done")
        else:
            self.wfile.write(b"the page")
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

fn none_left(site: &Site, pids: &[i32]) {
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?}");
    assert!(site.workspace_processes().is_empty());
}

#[tokio::test]
async fn term_takes_it_out_of_service_first_then_says_goodbye_and_stops_workspaces() {
    let mut site = Site::new();
    let shutdown = json!({ "drain_delay": "1500ms", "nudge_window": "1s", "deadline": "15s" });
    site.set("shutdown", shutdown).write();
    let mut gateway = Process::start(&site).await;
    let (operator, ada) = (gateway.operator(), gateway.signed_in("ada").await);
    let bob = gateway.signed_in("bob").await;
    ada.open("/ide/").await;
    bob.open("/ide/").await;
    let pids = site.workspace_processes();
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(ada.console("/ide/").await);
    }
    assert_eq!(operator.ready().await.0, StatusCode::OK);

    let told = Instant::now();
    gateway.signal(Signal::TERM);
    let not_ready = async || (operator.ready().await.0 == StatusCode::SERVICE_UNAVAILABLE).then_some(());
    eventually("it is not ready", not_ready).await;
    assert!(told.elapsed() < Duration::from_secs(1), "at once, not after the delay");
    assert_eq!(operator.ready().await.1["reason"], "shutting down");
    assert_eq!(operator.value("usher_draining").await, 1.0);
    assert_eq!(bob.fetch("/ide/who").await.status, StatusCode::OK, "it still accepts");
    assert_eq!(say(&mut sockets[0], "still there").await, "still there");

    let mut goodbyes = Vec::new();
    for socket in &mut sockets {
        assert_eq!(closing(socket).await, (1012, "service restart".to_owned()));
        let _ = socket.flush().await;
        goodbyes.push(told.elapsed());
    }
    let (first, last) = (goodbyes.iter().min().unwrap(), goodbyes.iter().max().unwrap());
    assert!(*first >= Duration::from_millis(1400), "after the delay: {goodbyes:?}");
    assert!(*last - *first >= Duration::from_millis(400), "spread over the window: {goodbyes:?}");
    drop(sockets);
    assert!(gateway.left().await.success());
    assert!(told.elapsed() < Duration::from_secs(10));
    none_left(&site, &pids);

    let again = Process::start(&site).await;
    let ada = ada.at(&again.browser());
    assert_eq!(ada.workspace("ide").await["last_stop"]["reason"], "gateway-shutdown");
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let mut site = Site::new();
    site.set("workspaces.ide.process.command", json!(["python3", "-c", SLOW_SERVER, "{port}"])).write();
    let mut gateway = Process::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.navigate("/ide/").await;
    browser.reaches("ide", "running").await;
    let mut stream = within(browser.connect(&[b"http/1.1"])).await.unwrap();
    let cookie = browser.cookie("__Host-usher").unwrap();
    let head = format!("GET /ide/slow HTTP/1.1\r\nhost: {HOST}\r\ncookie: __Host-usher={cookie}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"half") {
        assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0);
    }
    gateway.signal(Signal::TERM);
    // Without TLS's goodbye the end is an error; what counts is what came before.
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.ends_with(b"halfdone"), "{}", String::from_utf8_lossy(&answer));
    assert!(gateway.left().await.success());
}

#[tokio::test]
async fn an_open_home_page_does_not_hold_it_up() {
    let mut site = Site::new();
    site.set("shutdown.deadline", json!("1m")).write();
    let mut gateway = Process::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    let token = browser.token().await;
    let mut stream = within(browser.connect(&[b"http/1.1"])).await.unwrap();
    let cookie = browser.cookie("__Host-usher").unwrap();
    let head = format!(
        "GET /.usher/events HTTP/1.1\r\nhost: {HOST}\r\ncookie: __Host-usher={cookie}\r\nx-usher-token: {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("data: ") {
        assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    gateway.signal(Signal::TERM);
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.ends_with(b"0\r\n\r\n"), "it ends as an answer does");
    assert!(gateway.left().await.success());
}

#[tokio::test]
async fn a_second_term_leaves_at_once() {
    let mut site = Site::new();
    site.set("shutdown", json!({ "drain_delay": "1m", "nudge_window": "1m", "deadline": "5m" })).write();
    let mut gateway = Process::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    let pids = site.workspace_processes();
    let _socket = browser.console("/ide/").await;
    gateway.signal(Signal::TERM);
    gateway.says("leaving").await;
    assert!(gateway.lives());
    let told = Instant::now();
    gateway.signal(Signal::TERM);
    assert!(gateway.left().await.success());
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    none_left(&site, &pids);
}

/// Goes on with what an earlier gateway has left: the same process, no start page, a WebSocket that works.
async fn is_adopted(site: &Site, before: &Browser, pid: i32) -> (Process, Socket) {
    assert!(is_alive(pid));
    let next = Process::start(site).await;
    let browser = before.at(&next.browser());
    let answer = browser.fetch("/ide/who").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json()["process"], pid);
    assert_eq!(browser.workspace("ide").await["phase"], "running");
    let mut socket = browser.console("/ide/").await;
    assert_eq!(say(&mut socket, "who").await, "ada of acme");
    (next, socket)
}

#[tokio::test]
async fn workspaces_are_kept_for_the_next_start_if_so_configured() {
    let mut site = Site::new();
    site.set("shutdown.keep_workspaces", json!(true)).write();
    let mut gateway = Process::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    let pid = site.workspace_processes()[0];
    gateway.signal(Signal::TERM);
    assert!(gateway.left().await.success());

    let (mut next, _socket) = is_adopted(&site, &browser, pid).await;
    site.set("shutdown.keep_workspaces", json!(false)).write();
    next.says("configuration applied").await;
    next.signal(Signal::TERM);
    assert!(next.left().await.success());
    none_left(&site, &[pid]);
}

#[tokio::test]
async fn after_a_sudden_end_the_next_start_goes_on_with_what_runs() {
    let site = Site::new();
    let mut gateway = Process::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    let pid = site.workspace_processes()[0];
    gateway.signal(Signal::KILL);
    assert!(!gateway.left().await.success());

    let (next, mut socket) = is_adopted(&site, &browser, pid).await;
    assert_eq!(next.says("took over from an earlier gateway").await["workspace"], "acme/ada/ide");
    let browser = browser.at(&next.browser());
    browser.stop("ide").await;
    assert_eq!(closing(&mut socket).await.0, 1001);
    none_left(&site, &[pid]);
}
