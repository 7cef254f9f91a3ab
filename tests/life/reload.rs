//! Changes of files while the gateway runs.

use std::os::unix::fs::symlink;

use http::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{FIVE_SECONDS, Gateway, HOST, Operator, Process, Site, closing, eventually, sample, say, within};

/// Waits until `/readyz` tells of this many configurations in force, and that the last one is.
async fn in_force(operator: Operator, generation: u64) -> serde_json::Value {
    let applied = async || {
        let (status, report) = operator.ready().await;
        assert_eq!(status, StatusCode::OK);
        (report["config"]["generation"] == generation && report["config"]["in_force"] == true).then_some(report)
    };
    eventually("a configuration is in force", applied).await
}

#[tokio::test]
async fn routes_come_and_go_and_tunnels_of_a_route_that_is_gone_are_closed() {
    let mut site = Site::new();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    let mut socket = browser.console("/ide/").await;
    assert_eq!(browser.fetch("/lab/who").await.status, StatusCode::NOT_FOUND);

    let both = json!([{ "path": "/ide/", "workspace": "ide" }, { "path": "/lab/", "workspace": "lab" }]);
    site.set("workspaces.lab", sample()).set("routes", both).write();
    in_force(gateway.operator(), 2).await;
    browser.open("/lab/").await;
    assert_eq!(say(&mut socket, "still there").await, "still there");

    site.set("routes", json!([{ "path": "/lab/", "workspace": "lab" }])).write();
    let (code, reason) = timeout(FIVE_SECONDS, closing(&mut socket)).await.unwrap();
    assert_eq!((code, reason.as_str()), (4403, "access withdrawn"));
    assert_eq!(browser.fetch("/ide/who").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.fetch("/lab/who").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_broken_file_is_refused_whole_and_a_mended_one_is_taken() {
    let mut site = Site::new();
    let gateway = Process::start(&site).await;
    let (operator, browser) = (gateway.operator(), gateway.signed_in("ada").await);
    browser.open("/ide/").await;
    assert_eq!(operator.value("usher_config_valid").await, 1.0);

    let broken = json!([{ "path": "/lab/", "workspace": "ide" }, { "path": "/x/", "workspace": "no-such-kind" }]);
    site.set("routes", broken).write();
    let refused = async || Some(operator.ready().await).filter(|(_, report)| report["config"]["in_force"] == false);
    let (status, report) = eventually("it is refused", refused).await;
    assert_eq!((status, &report["ready"]), (StatusCode::OK, &json!(true)));
    let problems = report["config"]["problems"].as_array().unwrap();
    assert!(problems.len() == 1 && problems[0].as_str().unwrap().contains("no-such-kind"), "{report}");
    assert_eq!(operator.value("usher_config_valid").await, 0.0);
    assert_eq!(operator.value("usher_config_reloads_total{result=\"refused\"}").await, 1.0);
    let line = gateway.says("configuration refused").await;
    assert!(line["problem"].as_str().unwrap().contains("usher.yaml:"), "{line}");
    assert_eq!(browser.fetch("/ide/who").await.status, StatusCode::OK, "the old one is in force");
    assert_eq!(browser.fetch("/lab/who").await.status, StatusCode::NOT_FOUND, "no part of the new one is");

    site.set("routes", json!([{ "path": "/lab/", "workspace": "ide" }])).write();
    in_force(operator, 2).await;
    assert_eq!(operator.value("usher_config_valid").await, 1.0);
    assert_eq!(operator.value("usher_config_generation").await, 2.0);
    assert_eq!(browser.fetch("/lab/who").await.status, StatusCode::OK);

    // A key that cannot be changed in a running gateway is named; the rest is in force.
    site.set("listen.threads", json!(3)).set("http.max_target_size", json!("1KiB")).write();
    let report = in_force(operator, 3).await;
    assert_eq!(report["config"]["restart_needed_for"], json!(["listen.threads"]));
    assert_eq!(gateway.says("need a restart").await["keys"], "listen.threads");
    let long = format!("/lab/who?{}", "x".repeat(2000));
    assert_eq!(browser.fetch(&long).await.status, StatusCode::URI_TOO_LONG);
    site.set("listen.threads", json!(2)).write();
    assert!(in_force(operator, 4).await["config"]["restart_needed_for"].is_null());
}

#[tokio::test]
async fn a_new_certificate_serves_the_next_connection_and_the_old_one_goes_on() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    let mut socket = browser.console("/ide/").await;
    let leaf = async || {
        let stream = within(browser.connect(&[b"http/1.1"])).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let before = leaf().await;
    assert_eq!(before, leaf().await);
    site.certificate(&[HOST, "another.example.com"]);
    let changed = async || Some(leaf().await).filter(|now| *now != before);
    eventually("the new certificate is served", changed).await;
    assert_eq!(say(&mut socket, "still there").await, "still there");
    assert_eq!(gateway.operator().value("usher_config_valid").await, 1.0);
}

#[tokio::test]
async fn keys_of_sessions_rotate_and_a_key_that_is_gone_ends_its_sessions() {
    let mut site = Site::new();
    let gateway = Gateway::start(&site).await;
    let old = gateway.signed_in("ada").await;
    old.open("/ide/").await;
    let mut socket = old.console("/ide/").await;

    site.session_key("k2", 99);
    site.set("session.keys", json!([{ "id": "k2", "file": "k2" }, { "id": "k1", "file": "k1" }])).write();
    in_force(gateway.operator(), 2).await;
    let new = gateway.signed_in("ada").await;
    assert_eq!(old.fetch("/ide/who").await.status, StatusCode::OK);

    site.set("session.keys", json!([{ "id": "k2", "file": "k2" }])).write();
    let (code, _) = timeout(FIVE_SECONDS, closing(&mut socket)).await.unwrap();
    assert_eq!(code, 4401);
    assert_eq!(old.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(new.fetch("/ide/who").await.status, StatusCode::OK);
}

/// As Kubernetes mounts a ConfigMap: files are links through `..data`, which is swapped.
#[tokio::test]
async fn a_swapped_link_is_noticed_as_a_change() {
    let mut site = Site::new();
    std::fs::create_dir(site.file("mount")).unwrap();
    let swap = |site: &Site, version: &str| {
        symlink(version, site.file("mount/..fresh")).unwrap();
        std::fs::rename(site.file("mount/..fresh"), site.file("mount/..data")).unwrap();
    };
    let put = |site: &Site, version: &str| {
        let folder = site.file("mount").join(version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(site.config(), folder.join("usher.yaml")).unwrap();
    };
    // The other files stay where they are.
    let (certificate, key) = (site.file("tls.crt"), site.file("tls.key"));
    let (session_key, users, state) = (site.file("k1"), site.file("users.yaml"), site.file("state"));
    site.set("listen.public.tls", json!({ "certificate": certificate, "key": key }))
        .set("session.keys", json!([{ "id": "k1", "file": session_key }]))
        .set("identity.directories", json!([{ "name": "people", "users_file": { "path": users } }]))
        .set("state_dir", json!(state))
        .write();
    put(&site, "..first");
    site.set("routes", json!([{ "path": "/lab/", "workspace": "ide" }])).write();
    put(&site, "..second");
    swap(&site, "..first");
    symlink("..data/usher.yaml", site.file("mount/usher.yaml")).unwrap();

    let gateway = Gateway::start_from(&site, site.file("mount/usher.yaml")).await;
    let browser = gateway.signed_in("ada").await;
    assert_eq!(browser.fetch("/lab/who").await.status, StatusCode::NOT_FOUND);
    swap(&site, "..second");
    in_force(gateway.operator(), 2).await;
    browser.open("/lab/").await;
}

#[tokio::test]
async fn a_hangup_looks_at_the_file_at_once() {
    let mut site = Site::new();
    let gateway = Process::start(&site).await;
    site.set("routes", json!([{ "path": "/lab/", "workspace": "ide" }])).write();
    gateway.signal(Signal::HUP);
    in_force(gateway.operator(), 2).await;
    // One that finds nothing new changes nothing.
    gateway.signal(Signal::HUP);
    let browser = gateway.signed_in("ada").await;
    browser.open("/lab/").await;
    in_force(gateway.operator(), 2).await;
}
