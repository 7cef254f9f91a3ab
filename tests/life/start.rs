//! Workspaces that are started because somebody comes.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite;

use crate::support::{Answer, Browser, Gateway, HOST, Site, between, eventually, hold_until_told, sample, say, within};

const READY: &str = "usher_workspace_starts_total{kind=\"ide\",result=\"ready\"}";

#[tokio::test]
async fn a_thousand_requests_at_once_start_one_process() {
    let mut site = Site::new();
    site.set("http.max_concurrent_streams", json!(200)).write();
    let gateway = Gateway::start(&site).await;
    let browser = Arc::new(gateway.signed_in("ada").await);
    let mut connections = JoinSet::new();
    for _ in 0..10 {
        connections.spawn(hundred_requests(browser.clone()));
    }
    let mut statuses = std::collections::BTreeMap::new();
    while let Some(answers) = within(connections.join_next()).await {
        for status in answers.unwrap() {
            *statuses.entry(status.as_u16()).or_insert(0) += 1;
        }
    }
    // Start pages and later on the workspace's own page; fetches were either too early, or held until it was up.
    assert_eq!(statuses.values().sum::<u32>(), 1000);
    assert!(statuses.keys().all(|status| [200, 424, 503].contains(status)), "{statuses:?}");
    assert!(statuses[&200] >= 500, "{statuses:?}");
    let first = browser.open("/ide/").await;
    assert_eq!(site.workspace_processes().len(), 1);
    assert_eq!(json!(site.workspace_processes()[0]), first["process"]);
    assert_eq!(gateway.operator().value(READY).await, 1.0);
}

/// A connection over which fifty navigations and fifty fetches go at once.
async fn hundred_requests(browser: Arc<Browser>) -> Vec<StatusCode> {
    let stream = within(browser.connect(&[b"h2"])).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut requests = JoinSet::new();
    for at in 0..100 {
        let request = if at % 2 == 0 { browser.navigation("/ide/") } else { browser.script("/ide/who") };
        let (mut sender, request) = (sender.clone(), over_http2(request));
        requests.spawn(async move {
            sender.ready().await.unwrap();
            let answer = within(sender.send_request(request)).await.unwrap();
            let status = answer.status();
            within(answer.into_body().collect()).await.unwrap();
            status
        });
    }
    requests.join_all().await
}

fn over_http2(request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    head.headers.remove("host");
    head.uri = format!("https://{HOST}{}", head.uri).parse().unwrap();
    head.version = http::Version::HTTP_2;
    Request::from_parts(head, body)
}

#[tokio::test]
async fn a_script_does_not_start_what_is_stopped() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    let answer = browser.fetch("/ide/who").await;
    assert_eq!(answer.status, StatusCode::FAILED_DEPENDENCY);
    is_problem(&answer, "not-running");
    let Err(tungstenite::Error::Http(refused)) = browser.websocket("/ide/console").await else { panic!("opened") };
    assert_eq!(refused.status(), StatusCode::FAILED_DEPENDENCY);
    assert_eq!(browser.workspace("ide").await["phase"], "stopped");
    assert!(site.workspace_processes().is_empty());
}

fn is_problem(answer: &Answer, kind: &str) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    assert_eq!(answer.json()["type"], format!("urn:usher:problem:{kind}"));
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
}

#[tokio::test]
async fn scripts_and_websockets_wait_for_a_start_under_way() {
    let mut site = Site::new();
    site.set("workspaces.ide", hold_until_told()).write();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    let page = browser.navigate("/ide/").await;
    assert_eq!((page.status, page.header("cache-control")), (StatusCode::OK, "no-store"));
    let told = async {
        eventually("two requests wait", async || {
            (gateway.operator().value("usher_connections").await >= 3.0).then_some(())
        })
        .await;
        std::fs::write(site.home("acme", "ada", "ide").join("go"), "").unwrap();
    };
    let (answer, socket, ()) = tokio::join!(browser.fetch("/ide/who"), browser.websocket("/ide/console"), told);
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let mut socket = socket.unwrap();
    let greeting = say(&mut socket, "who").await;
    assert!(greeting.starts_with("Connected"), "{greeting}");
}

#[tokio::test]
async fn a_wait_ends_after_hold_and_when_the_client_leaves() {
    let mut site = Site::new();
    site.set("workspaces.ide", hold_until_told()).set("workspaces.ide.hold", json!("1s")).write();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.navigate("/ide/").await;
    let answer = browser.fetch("/ide/who").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    is_problem(&answer, "not-running");
    let Err(tungstenite::Error::Http(refused)) = browser.websocket("/ide/console").await else { panic!("opened") };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);

    // Now it would wait for longer than this test may take.
    site.set("workspaces.ide.hold", json!("1h")).write();
    let generation = "usher_config_generation";
    let applied = async || (gateway.operator().value(generation).await == 2.0).then_some(());
    eventually("the other hold is in force", applied).await;
    // The look at the metrics is a connection itself.
    let connections = async |count: f64| {
        let counted = async || (gateway.operator().value("usher_connections").await == 1.0 + count).then_some(());
        eventually("the number of connections", counted).await;
    };
    connections(0.0).await;
    let cookie = browser.cookie("__Host-usher").unwrap();
    let mut waiting = Vec::new();
    for path in ["/ide/one", "/ide/two", "/ide/three"] {
        let mut stream = within(browser.connect(&[b"http/1.1"])).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\ncookie: __Host-usher={cookie}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        waiting.push(stream);
    }
    connections(3.0).await;
    drop(waiting);
    connections(0.0).await;
    let left = async || {
        let log = gateway.access_log();
        let aborted = log.iter().filter(|line| line["status"] == 0 && line["outcome"] == "aborted");
        (aborted.count() == 3).then_some(())
    };
    eventually("the access log tells that they left", left).await;
    assert_eq!(browser.workspace("ide").await["phase"], "starting", "it does not mind");
}

#[tokio::test]
async fn a_command_that_fails_gets_a_page_with_its_cause_and_a_button_that_tries_again() {
    let mut site = Site::new();
    let script = "[ -e \"$HOME/mended\" ] || { echo the disk is made of cheese >&2; exit 3; }; \
                  exec \"$0\" sample-workspace --port \"$1\"";
    let mut kind = sample();
    kind["process"]["command"] = json!(["sh", "-c", script, env!("CARGO_BIN_EXE_usher"), "{port}"]);
    site.set("workspaces.ide", kind).write();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.navigate("/ide/").await;
    let failed = browser.reaches("ide", "failed").await;
    assert_eq!(failed["failure"]["class"], "crashed-at-start");
    let page = browser.navigate("/ide/").await;
    assert_eq!(page.status, StatusCode::OK);
    for said in ["crashed-at-start", "the disk is made of cheese", "Try again", "while it was starting"] {
        assert!(page.body.contains(said), "{said} in {}", page.body);
    }
    let crashes = "usher_workspace_starts_total{kind=\"ide\",result=\"crashed-at-start\"}";
    assert_eq!(gateway.operator().value(crashes).await, 1.0, "looking at it does not start it");
    let answer = browser.fetch("/ide/who").await;
    assert!(answer.status.is_server_error() || answer.status.is_client_error(), "{answer:?}");

    std::fs::write(site.home("acme", "ada", "ide").join("mended"), "").unwrap();
    let form = between(&page.body, "class=\"retry\">", "</form>").unwrap();
    let token = between(form, "name=\"token\" value=\"", "\"").unwrap();
    let back = between(form, "name=\"return_to\" value=\"", "\"").unwrap();
    let answer = browser.submit("/.usher/workspaces/ide/start", &[("token", token), ("return_to", back)]).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/ide/"));
    browser.reaches("ide", "running").await;
    assert_eq!(browser.fetch("/ide/who").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_quota_is_told_in_words_and_makes_room_when_another_one_stops() {
    let mut site = Site::new();
    site.set("workspaces.lab", sample());
    let both = json!([{ "path": "/ide/", "workspace": "ide" }, { "path": "/lab/", "workspace": "lab" }]);
    site.set("routes", both).set("tenants.acme", json!({ "max_running_per_user": 1 })).write();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    let page = browser.navigate("/lab/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("As many workspaces as are allowed are already running."), "{}", page.body);
    let refused = browser.api(Method::POST, "/workspaces/lab/start", Value::Null).await;
    assert_eq!((refused.status, &refused.json()["type"]), (StatusCode::CONFLICT, &json!("urn:usher:problem:quota")));
    browser.stop("ide").await;
    browser.open("/lab/").await;
}

#[tokio::test]
async fn two_users_get_two_processes_and_a_stop_is_explained_on_the_next_visit() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let (ada, eve) = (gateway.signed_in("ada").await, gateway.signed_in("eve").await);
    let (of_ada, of_eve) = (ada.open("/ide/").await, eve.open("/ide/").await);
    assert_eq!((&of_ada["user"], &of_ada["tenant"]), (&json!("ada"), &json!("acme")));
    assert_eq!((&of_eve["user"], &of_eve["tenant"]), (&json!("eve"), &json!("globex")));
    assert_ne!(of_ada["process"], of_eve["process"]);
    assert_ne!(of_ada["home"], of_eve["home"]);

    ada.stop("ide").await;
    assert_eq!(ada.workspace("ide").await["last_stop"]["reason"], "user");
    assert!(ada.navigate("/").await.body.contains("You stopped it"));
    let page = ada.navigate("/ide/").await;
    assert!(page.body.contains("You stopped it"), "{}", page.body);
    let again = ada.open("/ide/").await;
    assert_ne!(again["process"], of_ada["process"]);
    assert_eq!(again["home"], of_ada["home"]);
    assert_eq!(eve.fetch("/ide/who").await.json()["process"], of_eve["process"]);
}
