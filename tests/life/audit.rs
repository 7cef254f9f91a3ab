//! The audit log: a line for each thing that auditors ask about, with who, from where, by what and how it ended, and
//! nothing that is secret.

use std::collections::BTreeSet;
use std::path::Path;

use http::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use usher::audit::{Action, By};

use crate::support::{Browser, PASSWORD, Process, Site, between, eventually};

/// A folder whose gateway writes the audit log to a file, and whose tenant acme is administered by eli.
fn site() -> Site {
    let mut site = Site::new();
    site.user("eli", "acme", &["acme-admins", "devs"]);
    site.set("log", json!({ "audit_file": "audit.jsonl" }));
    site.set("tenants.acme", json!({ "admins": ["acme-admins"] })).write();
    site
}

fn lines_of(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Whether `line` has these fields, each with this value.
fn has(line: &Value, fields: &Value) -> bool {
    fields.as_object().unwrap().iter().all(|(field, value)| line[field] == *value)
}

/// The one line with these fields, as soon as it is there.
async fn line(site: &Site, fields: Value) -> Value {
    let file = site.file("audit.jsonl");
    let found = async || {
        let lines = lines_of(&file);
        let found: Vec<_> = lines.iter().filter(|line| has(line, &fields)).collect();
        assert!(found.len() < 2, "more than one: {found:?}");
        found.first().map(|line| (*line).clone())
    };
    eventually(&format!("a line with {fields}"), found).await
}

/// Every field but those that differ from run to run.
fn steady(line: &Value) -> Value {
    let mut line = line.clone();
    let fields = line.as_object_mut().unwrap();
    for field in ["time", "request_id", "session", "typed"] {
        fields.remove(field);
    }
    line
}

#[tokio::test]
async fn sign_in_and_out_have_their_lines_and_the_request_can_be_found() {
    let site = site();
    let gateway = Process::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    let signed_in = line(&site, json!({ "action": "sign-in" })).await;
    let expected = json!({
        "target": "audit", "action": "sign-in", "result": "success", "by": "password", "tenant": "acme",
        "user": "ada", "source": "people", "address": "127.0.0.1",
    });
    assert_eq!(steady(&signed_in), expected);
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    assert!(text(&signed_in, "time").ends_with('Z'));
    let request = text(&signed_in, "request_id");
    let accessed = async || gateway.output.lock().unwrap().iter().any(|line| line.contains(&request)).then_some(());
    eventually("the access log has the request", accessed).await;

    browser.sign_out().await;
    let signed_out = line(&site, json!({ "action": "sign-out" })).await;
    let expected = json!({
        "target": "audit", "action": "sign-out", "result": "success", "by": "session", "tenant": "acme",
        "user": "ada", "source": "people", "address": "127.0.0.1",
    });
    assert_eq!(steady(&signed_out), expected);
    assert_eq!((&signed_out["session"], text(&signed_in, "session").len()), (&signed_in["session"], 8));
    assert!(lines_of(&site.file("audit.jsonl")).iter().all(|line| line["action"] != "session-end"), "told once");
}

#[tokio::test]
async fn a_refused_sign_in_tells_its_class_and_whose_account_it_was_only_if_it_is_known_to_be_one() {
    let mut site = site();
    site.set("identity.throttle", json!({ "per_user": 3, "per_address": 100, "window": "10m" }));
    site.set("tenants.globex", json!({ "disabled": true })).write();
    let gateway = Process::start(&site).await;
    gateway.browser().try_sign_in("ada", "wrong").await;
    let unknown = line(&site, json!({ "class": "wrong-credentials" })).await;
    assert_eq!((unknown.get("user"), unknown.get("tenant")), (None, None), "it may have been a password");
    let expected = json!({
        "target": "audit", "action": "sign-in", "result": "refused", "class": "wrong-credentials", "by": "password",
        "address": "127.0.0.1",
    });
    assert_eq!(steady(&unknown), expected);

    gateway.browser().sign_in("ADA").await;
    gateway.browser().try_sign_in(" Ada", "wrong").await;
    let known = line(&site, json!({ "class": "wrong-credentials", "user": "ada", "tenant": "acme" })).await;
    assert_eq!(known["typed"], unknown["typed"], "the same name, so it is seen whom the first try was about");

    gateway.browser().try_sign_in("eve", PASSWORD).await;
    line(&site, json!({ "class": "tenant-refused", "user": "eve", "tenant": "globex", "result": "refused" })).await;

    gateway.browser().try_sign_in("ada", "wrong").await;
    gateway.browser().try_sign_in("ada", PASSWORD).await;
    line(&site, json!({ "class": "throttled", "user": "ada" })).await;

    let browser = gateway.browser();
    browser.navigate("/.usher/login").await;
    browser.submit("/.usher/login", &[("token", "guessed"), ("user", "bob"), ("password", PASSWORD)]).await;
    let forged = line(&site, json!({ "class": "form-token" })).await;
    assert_eq!(forged.get("user"), None);
}

#[tokio::test]
async fn names_that_would_break_the_log_or_hold_a_password_do_not_come_out_in_it() {
    let site = site();
    let mut gateway = Process::start(&site).await;
    let long = "n".repeat(300);
    let longer = "n".repeat(5000);
    let typed = [PASSWORD, "ada\n{\"action\":\"sign-in\"}", "\u{1b}[2Jada", "ada\u{202e}", &long, &longer, "\0"];
    for user in typed {
        gateway.browser().try_sign_in(user, "s3cr3t-guess").await;
    }
    let browser = gateway.signed_in("ada").await;
    let cookie = browser.cookie("__Host-usher").unwrap();
    let token = browser.token().await;
    browser.sign_out().await;
    gateway.signal(Signal::TERM);
    assert!(gateway.left().await.success());
    let text = std::fs::read_to_string(site.file("audit.jsonl")).unwrap();
    let lines = lines_of(&site.file("audit.jsonl"));
    assert_eq!(lines.len(), typed.len() + 2, "one for each, written before it left:\n{text}");
    for secret in [PASSWORD, "s3cr3t-guess", &cookie, &cookie[cookie.len() - 20..], &token, "nnnn", "2J", "\u{202e}"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
    let digests: BTreeSet<_> = lines.iter().filter_map(|line| line["typed"].as_str()).collect();
    assert_eq!(digests.len(), typed.len() + 1, "each name has its own");
    assert!(text.lines().all(|line| line.len() < 600));
}

#[tokio::test]
async fn what_administrators_and_owners_do_to_a_workspace_is_recorded() {
    let site = site();
    let gateway = Process::start(&site).await;
    let (ada, bob, eli) =
        (gateway.signed_in("ada").await, gateway.signed_in("bob").await, gateway.signed_in("eli").await);
    ada.open("/ide/").await;

    let held = ada.api(Method::POST, "/workspaces/ide/hold", json!({ "seconds": 600 })).await;
    assert_eq!(held.status, StatusCode::OK);
    let hold = line(&site, json!({ "action": "workspace-hold" })).await;
    assert!(has(&hold, &json!({ "user": "ada", "by": "session", "result": "success" })), "{hold}");
    assert!(hold["detail"].as_str().unwrap().starts_with("ide until 20"), "{hold}");

    let stop = "/tenant/workspaces/ada/ide/stop";
    assert_eq!(bob.api(Method::POST, stop, Value::Null).await.status, StatusCode::FORBIDDEN);
    let forbidden = line(&site, json!({ "action": "workspace-stop", "class": "forbidden" })).await;
    assert!(has(&forbidden, &json!({ "actor": "bob", "tenant": "acme", "result": "refused" })), "{forbidden}");

    let missing = "/tenant/workspaces/nobody/ide/stop";
    assert_eq!(eli.api(Method::POST, missing, Value::Null).await.status, StatusCode::NOT_FOUND);
    line(&site, json!({ "action": "workspace-stop", "class": "not-found", "actor": "eli" })).await;

    let token = eli.token().await;
    let form = eli.submit("/.usher/tenant/stop", &[("token", &token), ("user", "ada"), ("kind", "ide")]).await;
    assert_eq!(form.status, StatusCode::SEE_OTHER);
    let stopped = line(&site, json!({ "action": "workspace-stop", "result": "success" })).await;
    let expected = json!({
        "target": "audit", "action": "workspace-stop", "result": "success", "by": "session", "tenant": "acme",
        "user": "ada", "actor": "eli", "address": "127.0.0.1", "detail": "ide",
    });
    assert_eq!(steady(&stopped), expected);
}

#[tokio::test]
async fn other_rights_and_ends_of_sessions_by_the_gateway_are_recorded() {
    let mut site = site();
    site.session_key("k2", 9);
    site.set("session.keys", json!([{ "id": "k1", "file": "k1" }])).write();
    let gateway = Process::start(&site).await;
    let ada = gateway.signed_in("ada").await;
    let _also = gateway.signed_in("ada").await;
    let bob = gateway.signed_in("bob").await;

    site.user("ada", "acme", &["acme-admins", "testers"]);
    let change = line(&site, json!({ "action": "rights-change" })).await;
    let expected = json!({
        "target": "audit", "action": "rights-change", "result": "success", "by": "directory-refresh",
        "tenant": "acme", "user": "ada", "source": "people",
        "added": ["group:acme-admins", "group:testers", "role:tenant-admin"], "removed": ["group:devs"],
    });
    assert_eq!(change["action"], "rights-change");
    assert_eq!(steady(&change), expected, "one line for both sessions");

    superseded(&bob, &gateway).await;
    let end = line(&site, json!({ "class": "superseded" })).await;
    assert!(has(&end, &json!({ "action": "session-end", "user": "bob", "by": "session" })), "{end}");

    site.remove_user("bob");
    let end = line(&site, json!({ "class": "access-withdrawn" })).await;
    assert!(has(&end, &json!({ "action": "session-end", "user": "bob", "by": "directory-refresh" })), "{end}");

    site.set("session.keys", json!([{ "id": "k2", "file": "k2" }])).write();
    let of_ada = json!({ "action": "session-end", "class": "key-removed", "user": "ada", "by": "configuration" });
    let file = site.file("audit.jsonl");
    let both = async || (lines_of(&file).iter().filter(|line| has(line, &of_ada)).count() == 2).then_some(());
    eventually("both sessions have ended", both).await;
    assert_eq!(ada.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED);
}

/// Signs in with a form that was opened before, over the session that the browser has.
async fn superseded(browser: &Browser, gateway: &Process) {
    let form = gateway.browser();
    let page = form.navigate("/.usher/login").await;
    form.set_cookie("__Host-usher", &browser.cookie("__Host-usher").unwrap());
    let token = between(&page.body, "name=\"token\" value=\"", "\"").unwrap();
    form.submit("/.usher/login", &[("token", token), ("user", "bob"), ("password", PASSWORD)]).await;
}

#[tokio::test]
async fn sessions_that_are_past_and_users_who_went_while_the_gateway_was_down_are_recorded_once() {
    let mut site = site();
    let gateway = Process::start(&site).await;
    let ada = gateway.signed_in("ada").await;
    drop(gateway);
    site.remove_user("ada");
    let gateway = Process::start(&site).await;
    let ada = ada.at(&gateway.browser());
    for _ in 0..3 {
        assert_eq!(ada.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED);
    }
    line(&site, json!({ "action": "session-end", "class": "access-withdrawn", "user": "ada" })).await;
    site.set("session.idle", json!("2s")).write();
    gateway.signed_in("bob").await;
    let end = line(&site, json!({ "class": "idle" })).await;
    assert!(has(&end, &json!({ "action": "session-end", "user": "bob", "by": "gateway" })), "{end}");
}

#[tokio::test]
async fn a_configuration_that_is_applied_or_refused_has_its_line() {
    let mut site = site();
    let _gateway = Process::start(&site).await;
    site.set("http", json!({ "idle_timeout": "55s" })).set("metrics", json!({ "max_tenants": 7 })).write();
    let applied = line(&site, json!({ "action": "config-reload", "result": "success" })).await;
    assert!(has(&applied, &json!({ "by": "configuration", "detail": "needs a restart: metrics.max_tenants" })));
    site.set("routes", json!([{ "path": "/x/", "workspace": "no-such-kind" }])).write();
    let refused = line(&site, json!({ "action": "config-reload", "result": "refused" })).await;
    assert_eq!((&refused["class"], &refused["count"]), (&json!("invalid"), &json!(1)));
    assert!(refused["detail"].as_str().unwrap().contains("no-such-kind"), "{refused}");
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew_at_a_hangup() {
    let site = site();
    let gateway = Process::start(&site).await;
    gateway.signed_in("ada").await;
    line(&site, json!({ "user": "ada" })).await;
    let file = site.file("audit.jsonl");
    std::fs::rename(&file, site.file("audit.jsonl.1")).unwrap();
    gateway.signal(Signal::HUP);
    eventually("the file is there again", async || file.exists().then_some(())).await;
    gateway.signed_in("bob").await;
    line(&site, json!({ "user": "bob" })).await;
    assert_eq!(lines_of(&site.file("audit.jsonl.1")).len(), 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_full_disk_is_told_in_the_log_and_stops_nobody() {
    let mut site = site();
    site.set("log.audit_file", json!("/dev/full")).write();
    let mut gateway = Process::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    gateway.says("audit log cannot be written").await;
    browser.open("/ide/").await;
    gateway.signal(Signal::TERM);
    assert!(gateway.left().await.success());
    assert!(gateway.said("audit log could not keep up; lines are lost").is_some());
}

#[tokio::test]
async fn without_a_file_it_goes_to_standard_output_or_error_and_nowhere_if_it_is_off() {
    for (to, output, log) in [("stdout", true, false), ("stderr", false, true), ("off", false, false)] {
        let mut site = Site::new();
        site.set("log", json!({ "audit": to })).write();
        let mut gateway = Process::start(&site).await;
        gateway.signed_in("ada").await;
        gateway.signal(Signal::TERM);
        assert!(gateway.left().await.success());
        let audited = |lines: &[String]| lines.iter().any(|line| line.contains("\"target\":\"audit\""));
        assert_eq!(audited(&gateway.output.lock().unwrap()), output, "{to}");
        assert_eq!(audited(&gateway.log.lock().unwrap()), log, "{to}");
    }
}

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap()
}

/// The names in the first column of the table under this heading.
fn table(page: &str, heading: &str) -> BTreeSet<String> {
    let section = between(page, &format!("\n## {heading}\n"), "\n## ").unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn the_page_has_every_action_with_an_example_and_every_field() {
    let page = page();
    let actions: BTreeSet<_> = Action::ALL.iter().map(|action| action.label().to_owned()).collect();
    assert_eq!(table(&page, "Actions"), actions);
    let ways: BTreeSet<_> = By::ALL.iter().map(|by| by.label().to_owned()).collect();
    assert_eq!(table(&page, "By what"), ways);
    let examples: Vec<Value> = page
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let exampled: BTreeSet<_> = examples.iter().map(|line| line["action"].as_str().unwrap().to_owned()).collect();
    assert_eq!(exampled, actions, "each has an example");
    let used: BTreeSet<_> = examples.iter().flat_map(|line| line.as_object().unwrap().keys().cloned()).collect();
    assert_eq!(table(&page, "Fields"), used, "each field is documented, and seen in an example");
    for line in &examples {
        assert!(line["by"].as_str().is_none_or(|by| ways.contains(by)), "{line}");
        assert!(["success", "refused"].contains(&line["result"].as_str().unwrap()), "{line}");
    }
}

#[tokio::test]
async fn a_refused_bearer_token_has_its_line_and_a_flood_of_them_does_not_drown_the_others() {
    let mut site = site();
    let secret = "a secret of the issuer, long enough for it";
    site.put("issuer.secret", secret);
    let issuer = json!({
        "name": "platform", "issuer": "https://id.example.com", "audience": ["usher"],
        "keys": { "secret_file": "issuer.secret" }, "tenant": [{ "fixed": "acme" }],
    });
    site.set("identity.tokens", json!([issuer])).write();
    let mut gateway = Process::start(&site).await;
    let claims = json!({ "iss": "https://id.example.com", "aud": "usher", "sub": "ada", "exp": 1_700_000_000 });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256), &claims, &key);
    let token = token.unwrap();
    let browser = gateway.browser();
    let sent = async |token: &str| {
        let mut request = browser.script("/ide/who");
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        assert_eq!(browser.send(request).await.status, StatusCode::UNAUTHORIZED);
    };
    sent(&token).await;
    let refused = line(&site, json!({ "action": "token-refusal" })).await;
    let expected = json!({
        "target": "audit", "action": "token-refusal", "result": "refused", "class": "expired", "by": "token",
        "source": "platform", "address": "127.0.0.1",
    });
    assert_eq!(steady(&refused), expected);

    for _ in 0..60 {
        sent("s3cr3t-that-is-no-token").await;
    }
    gateway.signed_in("ada").await;
    gateway.signal(Signal::TERM);
    assert!(gateway.left().await.success());
    let lines = lines_of(&site.file("audit.jsonl"));
    let of_tokens = lines.iter().filter(|line| line["action"] == "token-refusal");
    let told: u64 = of_tokens.map(|line| line["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(told, 61, "each has its line, or is counted in one");
    assert!(lines.iter().any(|line| line["action"] == "sign-in"));
    let text = std::fs::read_to_string(site.file("audit.jsonl")).unwrap();
    for secret in [secret, &token[token.len() - 20..], "s3cr3t"] {
        assert!(!text.contains(secret), "{text}");
    }
}
