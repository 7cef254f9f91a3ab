//! The access log: JSON with the documented fields only, one line for each request, and nothing that is secret.

use std::collections::BTreeSet;

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Process, Site, eventually, say};

/// Put everywhere that a secret can stand; must not be seen anywhere.
const SECRET: &str = "s3cr3t-that-nobody-may-read";

/// The names in the first column of the page's table.
fn documented_fields() -> BTreeSet<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access-log.md")).unwrap();
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names = cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned());
    names.collect()
}

#[tokio::test]
async fn it_has_the_documented_fields_and_no_secrets() {
    let site = Site::new();
    let mut gateway = Process::start(&site).await;
    let browser = gateway.browser();
    let mut sent = 0;
    let mut count = |requests: usize| sent += requests;

    // A page and a form for each attempt.
    browser.try_sign_in("ada", SECRET).await;
    browser.sign_in("ada").await;
    count(4);
    let session = browser.cookie("__Host-usher").unwrap();
    browser.navigate("/ide/?token=s3cr3t-that-nobody-may-read").await;
    count(1);
    let up = async || {
        count(2);
        (browser.workspace("ide").await["phase"] == "running").then_some(())
    };
    eventually("it is up", up).await;
    browser.set_cookie("tracking", SECRET);
    browser.fetch("/ide/who?password=s3cr3t-that-nobody-may-read").await;
    count(1);
    let mut authorised = browser.script("/ide/who");
    authorised.headers_mut().insert("authorization", format!("Bearer {SECRET}").parse().unwrap());
    authorised.headers_mut().insert("x-usher-user", SECRET.parse().unwrap());
    browser.send(authorised).await;
    count(1);
    browser.api(Method::POST, "/workspaces/ide/hold", json!({ "seconds": 60, SECRET: SECRET })).await;
    count(2);
    let mut socket = browser.websocket(&format!("/ide/console?key={SECRET}")).await.unwrap();
    count(1);
    assert!(say(&mut socket, SECRET).await.starts_with("Connected"));
    socket.close(None).await.unwrap();
    browser.try_send(browser.script("/ide/../../etc/passwd?s3cr3t-that-nobody-may-read")).await.unwrap();
    count(1);
    let token = browser.token().await;
    count(1);

    gateway.signal(Signal::TERM);
    assert!(gateway.left().await.success());
    let (output, log) = (gateway.output.lock().unwrap().join("\n"), gateway.log.lock().unwrap().join("\n"));
    for secret in [SECRET, PASSWORD, &session, &session[session.len() - 20..], &token] {
        assert!(!output.contains(secret) && !log.contains(secret), "{secret} in\n{output}\n{log}");
    }
    let lines = output.lines().map(|line| serde_json::from_str(line).unwrap());
    // The audit log goes the same way.
    let lines: Vec<Value> = lines.filter(|line: &Value| line["target"] != "audit").collect();
    let known = documented_fields();
    let seen: BTreeSet<String> = lines.iter().flat_map(|line| line.as_object().unwrap().keys().cloned()).collect();
    assert!(seen.is_subset(&known), "{:?} are not documented", seen.difference(&known));
    assert_eq!(lines.len(), sent, "one line for each request:\n{output}");
    let ids: BTreeSet<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), lines.len());
    assert_eq!(known, seen, "every field is seen in some line");
}
