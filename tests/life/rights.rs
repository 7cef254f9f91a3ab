//! Rights that end while WebSockets are open: each is closed with its code and reason, within five seconds.

use http::StatusCode;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::support::{Browser, FIVE_SECONDS, Gateway, PASSWORD, Site, Socket, closing, eventually, sample, say};

const SIGNED_OUT: (u16, &str) = (4401, "signed out");
const WITHDRAWN: (u16, &str) = (4403, "access withdrawn");

async fn at_work(gateway: &Gateway, user: &str) -> (Browser, Socket) {
    let browser = gateway.signed_in(user).await;
    browser.open("/ide/").await;
    let mut socket = browser.console("/ide/").await;
    assert_eq!(say(&mut socket, "who").await.split(' ').next(), Some(user));
    (browser, socket)
}

async fn is_closed(socket: &mut Socket, expected: (u16, &str)) {
    let (code, reason) = timeout(FIVE_SECONDS, closing(socket)).await.expect("closed within five seconds");
    assert_eq!((code, reason.as_str()), expected);
}

#[tokio::test]
async fn a_sign_out_closes_the_websockets_of_that_session_and_no_others() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let (browser, mut socket) = at_work(&gateway, "ada").await;
    let (_elsewhere, mut other) = at_work(&gateway, "ada").await;
    browser.sign_out().await;
    is_closed(&mut socket, SIGNED_OUT).await;
    assert_eq!(say(&mut other, "still there").await, "still there");
    assert_eq!(browser.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_user_who_is_removed_or_whose_tenant_is_disabled_is_cut_off() {
    let mut site = Site::new();
    let gateway = Gateway::start(&site).await;
    let (ada, mut of_ada) = at_work(&gateway, "ada").await;
    let (_bob, mut of_bob) = at_work(&gateway, "bob").await;
    let (eve, mut of_eve) = at_work(&gateway, "eve").await;

    site.remove_user("ada");
    is_closed(&mut of_ada, SIGNED_OUT).await;
    assert_eq!(ada.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(say(&mut of_bob, "still there").await, "still there");

    site.set("tenants.globex", json!({ "disabled": true })).write();
    // Its people are signed out and its workspaces are stopped as well, and each of the three may come first.
    let (code, reason) = timeout(FIVE_SECONDS, closing(&mut of_eve)).await.expect("closed within five seconds");
    let told = [WITHDRAWN, SIGNED_OUT, (1001, "workspace stopped")];
    assert!(told.contains(&(code, reason.as_str())), "{code} {reason}");
    let refused = eve.fetch("/ide/who").await.status;
    assert!([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&refused), "{refused}");
    assert_eq!(gateway.browser().try_sign_in("eve", PASSWORD).await.status, StatusCode::FORBIDDEN);
    assert_eq!(say(&mut of_bob, "still there").await, "still there");
    let stops = "usher_workspace_stops_total{kind=\"ide\",reason=\"withdrawn\"}";
    let stopped = async || (gateway.operator().value(stops).await > 0.0).then_some(());
    eventually("the tenant's workspace is stopped", stopped).await;
}

#[tokio::test]
async fn a_session_lives_while_a_websocket_is_open_and_not_beyond_its_lifetime() {
    let mut site = Site::new();
    site.set("session.lifetime", json!("6s")).set("session.idle", json!("2s")).write();
    let gateway = Gateway::start(&site).await;
    let begun = Instant::now();
    let (_browser, mut socket) = at_work(&gateway, "ada").await;
    let idle = gateway.signed_in("bob").await;
    let sessions = async |count: f64| {
        let held = async || (gateway.operator().value("usher_sessions").await <= count).then_some(());
        eventually("the number of sessions", held).await;
    };
    sessions(1.0).await;
    assert_eq!(idle.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED, "it was idle for too long");
    assert_eq!(say(&mut socket, "still there").await, "still there");
    let (code, reason) = closing(&mut socket).await;
    assert_eq!((code, reason.as_str()), SIGNED_OUT);
    let lasted = begun.elapsed().as_secs();
    assert!((5..=6 + FIVE_SECONDS.as_secs()).contains(&lasted), "{lasted} s");
    sessions(0.0).await;
}

#[tokio::test]
async fn other_groups_close_some_doors_and_open_others_without_a_new_sign_in() {
    let mut site = Site::new();
    site.set("workspaces.lab", sample());
    let routes = json!([
        { "path": "/ide/", "workspace": "ide", "allow": { "groups": ["devs"] } },
        { "path": "/lab/", "workspace": "lab", "allow": { "groups": ["testers"] } },
    ]);
    site.set("routes", routes).write();
    let gateway = Gateway::start(&site).await;
    let (ada, mut socket) = at_work(&gateway, "ada").await;
    let (_bob, mut of_bob) = at_work(&gateway, "bob").await;
    assert_eq!(ada.fetch("/lab/who").await.status, StatusCode::FORBIDDEN);
    let cookie = ada.cookie("__Host-usher");

    site.user("ada", "acme", &["testers"]);
    is_closed(&mut socket, WITHDRAWN).await;
    assert_eq!(ada.fetch("/ide/who").await.status, StatusCode::FORBIDDEN);
    assert_eq!(ada.open("/lab/").await["groups"], json!(["testers"]));
    assert_eq!(say(&mut ada.console("/lab/").await, "who").await, "ada of acme");
    assert_eq!(ada.cookie("__Host-usher"), cookie);
    assert_eq!(say(&mut of_bob, "still there").await, "still there");
}

#[tokio::test]
async fn a_sign_out_everywhere_closes_the_websockets_of_every_browser_of_that_user() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let (here, mut socket) = at_work(&gateway, "ada").await;
    let (there, mut other) = at_work(&gateway, "ada").await;
    let (_bob, mut of_bob) = at_work(&gateway, "bob").await;
    let (kept, token) = (there.cookie("__Host-usher").unwrap(), here.token().await);
    let answer = here.submit("/.usher/logout/everywhere", &[("token", &token)]).await;
    assert_eq!(answer.header("location"), "/.usher/login?note=signed-out-everywhere");
    is_closed(&mut socket, SIGNED_OUT).await;
    is_closed(&mut other, SIGNED_OUT).await;
    there.set_cookie("__Host-usher", &kept);
    assert_eq!(there.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(say(&mut of_bob, "still there").await, "still there");
}

#[tokio::test]
async fn a_cookie_that_was_planted_before_a_sign_in_is_worth_nothing_after_it() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let planted = gateway.signed_in("eve").await.cookie("__Host-usher").unwrap();
    let victim = gateway.browser();
    victim.set_cookie("__Host-usher", &planted);
    let page = victim.navigate("/.usher/login").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "it is a session, of its own user: {}", page.body);
    let token = victim.token().await;
    victim.submit("/.usher/logout", &[("token", &token)]).await;
    victim.set_cookie("__Host-usher", &planted);
    victim.sign_in("ada").await;
    let own = victim.cookie("__Host-usher").unwrap();
    assert_ne!(own, planted);
    let other = gateway.browser();
    other.set_cookie("__Host-usher", &planted);
    assert_eq!(other.fetch("/.usher/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
}

fn revoke(site: &Site, arguments: &[&str]) -> std::process::Output {
    let config = site.config().display().to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_usher"));
    command.args(["session", "revoke", "--config", &config]).args(arguments).output().unwrap()
}

#[tokio::test]
async fn what_an_operator_revokes_closes_its_websockets_and_its_cookie_is_worth_nothing() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let (ada, mut of_ada) = at_work(&gateway, "ada").await;
    let (_bob, mut of_bob) = at_work(&gateway, "bob").await;
    let elsewhere = revoke(&site, &["ada", "--tenant", "globex"]);
    assert!(elsewhere.status.success(), "{elsewhere:?}");
    let done = revoke(&site, &["Ada"]);
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("Ada of every tenant"), "{done:?}");
    is_closed(&mut of_ada, SIGNED_OUT).await;
    assert_eq!(ada.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(say(&mut of_bob, "still there").await, "still there");
    assert!(revoke(&site, &["--all"]).status.success());
    is_closed(&mut of_bob, SIGNED_OUT).await;
}

#[test]
fn a_revocation_that_cannot_be_written_says_why() {
    let site = Site::new();
    let never_run = revoke(&site, &["ada"]);
    assert_eq!(never_run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&never_run.stderr).contains("no gateway has run"), "{never_run:?}");
    for wrong in [&["ada", "--tenant", "No Tenant"][..], &[" "], &[], &["ada", "--all"]] {
        let refused = revoke(&site, wrong);
        assert!(!refused.status.success() && !refused.stderr.is_empty(), "{wrong:?}");
    }
}
