//! The commands beside `usher run`, as people and scripts use them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use std::io::Write;

use serde_json::{Value, json};

use crate::support::{Process, Site};

fn usher(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_usher")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn check_tells_every_problem_with_its_place_and_ends_with_1() {
    let mut site = Site::new();
    let config = shown(&site.config());
    let good = usher(&["check", &config]);
    assert_eq!((good.status.code(), text(&good.stderr)), (Some(0), ""));
    assert!(text(&good.stdout).ends_with("no problems\n"));
    let good = usher(&["check", &config, "--format", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&good.stdout).unwrap(), json!({ "valid": true, "problems": [] }));

    site.set("routes", json!([{ "path": "/lab/", "workspace": "lab" }])).set("colour", json!("blue")).write();
    let bad = usher(&["check", &config]);
    assert_eq!((bad.status.code(), text(&bad.stdout)), (Some(1), ""));
    let said = text(&bad.stderr);
    for part in ["routes[0].workspace", "colour", "2 errors", "usher.yaml:"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let bad = usher(&["check", &config, "--format", "json"]);
    assert_eq!(bad.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!(report["valid"], false);
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{report}");
    assert!(problems.iter().all(|problem| problem["line"].as_u64().unwrap() > 0), "{report}");

    let none = usher(&["check", "/nowhere/usher.yaml"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("/nowhere/usher.yaml"));
    assert_eq!(usher(&["check"]).status.code(), Some(2), "wrong usage");
}

#[test]
fn run_refuses_a_file_with_problems_as_check_does() {
    let mut site = Site::new();
    site.set("colour", json!("blue")).write();
    let refused = usher(&["run", &shown(&site.config())]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("colour"));
}

#[tokio::test]
async fn a_port_in_use_is_told_plainly() {
    let mut site = Site::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    site.set("listen.public.address", json!(address)).write();
    let mut refused = Process::spawn(&site, &[]);
    assert_eq!(refused.left().await.code(), Some(1));
    let log = refused.log.lock().unwrap().join("\n");
    assert!(log.contains(&format!("usher: cannot listen on {address}: Address already in use")), "{log}");
}

#[test]
fn hash_password_reads_a_line_and_writes_a_hash_that_signs_in() {
    let hash = |password: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        let mut child = command
            .arg("hash-password")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let (one, other) = (hash("correct horse\n"), hash("correct horse"));
    assert!(one.status.success() && other.status.success());
    assert!(text(&one.stdout).starts_with("$argon2id$"), "{one:?}");
    assert_ne!(one.stdout, other.stdout, "salted");
    assert!(!text(&one.stdout).contains("horse"));
    let empty = hash("\n");
    assert_eq!(empty.status.code(), Some(1), "{empty:?}");
}

#[test]
fn session_key_writes_a_private_file_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    assert!(usher(&["session-key", &shown(&file)]).status.success());
    let key = std::fs::read(&file).unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = usher(&["session-key", &shown(&file)]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains(&shown(&file)), "{again:?}");
    assert_eq!(std::fs::read(&file).unwrap(), key);
}

#[test]
fn assertion_key_writes_private_keys_that_a_configuration_can_name() {
    let mut site = Site::new();
    let mut keys = Vec::new();
    for algorithm in ["es256", "eddsa"] {
        let file = site.file(&format!("{algorithm}.pem"));
        let made = usher(&["assertion-key", &shown(&file), "--algorithm", algorithm]);
        assert!(made.status.success(), "{made:?}");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(usher(&["assertion-key", &shown(&file)]).status.code(), Some(1), "replaces none");
        keys.push(json!({ "id": algorithm, "file": shown(&file) }));
    }
    let routes = json!([{ "path": "/ide/", "workspace": "ide", "assertion": true }]);
    site.set("assertion", json!({ "keys": keys })).set("routes", routes).write();
    let checked = usher(&["check", &shown(&site.config())]);
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn what_the_commands_make_is_what_a_gateway_runs_with() {
    let mut site = Site::new();
    let folder = site.file("made");
    let made = usher(&["dev-certificates", &shown(&folder), "--name", "dev.example.com"]);
    assert!(made.status.success(), "{made:?}");
    for (name, mode) in [("ca.crt", 0o644), ("ca.key", 0o600), ("tls.crt", 0o644), ("tls.key", 0o600)] {
        assert_eq!(std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    let key = site.file("made/session");
    assert!(usher(&["session-key", &shown(&key)]).status.success());
    site.set("listen.public.tls", json!({ "certificate": "made/tls.crt", "key": "made/tls.key" }));
    site.set("session.keys", json!([{ "id": "k1", "file": "made/session" }])).write();
    let checked = usher(&["check", &shown(&site.config())]);
    assert!(checked.status.success(), "{checked:?}");
    site.trust("made/ca.crt");
    let gateway = Process::start(&site).await;
    gateway.signed_in("ada").await;
}
