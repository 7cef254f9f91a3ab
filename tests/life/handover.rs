//! A new version takes over from a running one, on the same addresses.

use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;

use http::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Process, Site, closing, eventually, is_alive, say};

/// An address that nobody listens on now.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_hand_over_fails_no_request_and_stops_no_workspace() {
    let mut site = Site::new();
    std::fs::DirBuilder::new().mode(0o700).create(site.file("private")).unwrap();
    site.set("listen.public.address", json!(free_address()))
        .set("listen.admin.address", json!(free_address()))
        .set("listen.handover_socket", json!("private/socket"))
        .set("shutdown", json!({ "drain_delay": "0s", "nudge_window": "1s", "deadline": "15s" }))
        .write();
    let mut old = Process::start(&site).await;
    let browser = old.signed_in("ada").await;
    browser.open("/ide/").await;
    let pid = site.workspace_processes()[0];
    let mut socket = browser.console("/ide/").await;

    let mut new = Process::spawn(&site, &["--upgrade"]);
    // The new one waits for the sockets when its own is there.
    eventually("it waits", async || site.file("private/socket").exists().then_some(())).await;
    old.signal(Signal::QUIT);
    let mut answered = 0;
    let serving = async || {
        let answer = browser.fetch("/ide/who").await;
        assert_eq!((answer.status, &answer.json()["process"]), (StatusCode::OK, &json!(pid)), "after {answered}");
        answered += 1;
        new.said("serving").map(drop)
    };
    eventually("the new one serves", serving).await;
    new.serves().await;
    assert_eq!(new.says("took over from an earlier gateway").await["workspace"], "acme/ada/ide");
    assert_eq!(closing(&mut socket).await, (1012, "service restart".to_owned()));
    drop(socket);
    assert!(old.left().await.success());

    // What the old one has left to the new one is the new one's alone.
    assert!(is_alive(pid));
    assert_eq!(site.workspace_processes(), [pid]);
    assert_eq!(browser.fetch("/ide/who").await.json()["process"], pid);
    let mut socket = browser.console("/ide/").await;
    assert_eq!(say(&mut socket, "who").await, "ada of acme");
    new.signal(Signal::TERM);
    assert!(new.left().await.success());
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_workspace_that_is_started_again_during_a_hand_over_stays_on_record() {
    let mut site = Site::new();
    std::fs::DirBuilder::new().mode(0o700).create(site.file("private")).unwrap();
    site.set("listen.public.address", json!(free_address()))
        .set("listen.admin.address", json!(free_address()))
        .set("listen.handover_socket", json!("private/socket"))
        .set("shutdown", json!({ "drain_delay": "0s", "nudge_window": "1m", "deadline": "1m" }))
        .write();
    let mut old = Process::start(&site).await;
    let (browser, other) = (old.signed_in("ada").await, old.signed_in("bob").await);
    browser.open("/ide/").await;
    other.open("/ide/").await;
    // The first of two is told at once, the second keeps the old gateway there for half a minute.
    let _sockets = [other.console("/ide/").await, other.console("/ide/").await];

    let mut new = Process::spawn(&site, &["--upgrade"]);
    eventually("it waits", async || site.file("private/socket").exists().then_some(())).await;
    old.signal(Signal::QUIT);
    new.serves().await;
    let first = browser.fetch("/ide/who").await.json();
    browser.stop("ide").await;
    let second = browser.open("/ide/").await;
    assert_ne!(first["process"], second["process"]);
    assert!(old.lives(), "it has seen its child's end");
    let recorded = async || site.workspace_processes().iter().any(|pid| second["process"] == *pid).then_some(());
    eventually("the new run is on record", recorded).await;
    old.signal(Signal::TERM);
    assert!(old.left().await.success());
    assert!(site.workspace_processes().iter().any(|pid| second["process"] == *pid), "and stays there");
    assert_eq!(browser.fetch("/ide/who").await.json()["process"], second["process"]);
    assert_eq!(other.fetch("/ide/who").await.status, StatusCode::OK);
}
