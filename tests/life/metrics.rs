//! The metrics: what docs/metrics.md says is what a gateway tells, and Prometheus' own check has nothing to add.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::support::{Gateway, Site, eventually};

/// Type and labels of a family.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

/// The families of the page's table.
fn documented() -> BTreeMap<String, Family> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `usher_"));
    let family = |row: &str| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, meaning, event] = cells[..] else { panic!("six cells: {row}") };
        let name = name.trim_matches('`').to_owned();
        assert!(!meaning.is_empty() && !event.is_empty(), "{row}");
        let ending = name.trim_end_matches("_total").rsplit('_').next().unwrap();
        let expected = if ["seconds", "bytes"].contains(&ending) { ending } else { "" };
        assert_eq!(unit, expected, "{name}");
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        (name, Family { kind: kind.to_owned(), labels })
    };
    rows.map(family).collect()
}

/// The families of an exposition.
fn exposed(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::new();
    for (name, kind) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        families.insert(name.to_owned(), Family { kind: kind.to_owned(), labels: BTreeSet::new() });
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, labels) = line.split_once('{').map_or((line, ""), |(name, rest)| (name, rest));
        let series = series.split(' ').next().unwrap();
        let whole = ["", "_bucket", "_sum", "_count"].into_iter().filter_map(|end| series.strip_suffix(end));
        let name = whole.into_iter().find(|name| families.contains_key(*name)).expect("a family of its own");
        let names = labels.split("\"").step_by(2).filter_map(|part| part.trim_matches([',', '}']).strip_suffix('='));
        let family = families.get_mut(name).expect("found just now");
        family.labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
    }
    families
}

/// A life in which everything happens once; returns what the gateway tells of it.
async fn life() -> String {
    let mut site = Site::new();
    let autostop = json!({ "human_idle": "1s", "idle_after": "500ms", "warning": "500ms" });
    // A directory that is asked after the first, and is not there.
    let nowhere = json!({ "urls": ["ldap://127.0.0.1:1"], "plaintext": true, "direct": "uid={user},dc=example" });
    let people = json!({ "name": "people", "users_file": { "path": "users.yaml" } });
    site.set(
        "identity.directories",
        json!([people, { "name": "corp", "ldap": nowhere, "tenant": [{ "fixed": "acme" }] }]),
    );
    // An issuer of tokens whose keys cannot be had.
    let keys = json!({ "url": "https://127.0.0.1:1/keys", "ca_file": "tls.crt" });
    site.set(
        "identity.tokens",
        json!([{ "name": "id", "issuer": "i", "audience": ["a"], "keys": keys, "tenant": [{ "fixed": "acme" }] }]),
    );
    site.set("workspaces.ide.autostop", autostop).set("workspaces.ide.activity", json!(["websocket"])).write();
    let gateway = Gateway::start(&site).await;
    let operator = gateway.operator();
    gateway.browser().try_sign_in("ada", "wrong").await;
    let stranger = gateway.browser();
    let mut request = stranger.script("/ide/who");
    request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer opaque"));
    assert_eq!(stranger.send(request).await.status, StatusCode::UNAUTHORIZED);
    let browser = gateway.signed_in("ada").await;
    assert_eq!(browser.fetch("/ide/%00").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.fetch("/ide/who").await.status, StatusCode::FAILED_DEPENDENCY);
    browser.open("/ide/").await;
    let hold = browser.api(Method::POST, "/workspaces/ide/hold", json!({ "seconds": 60 })).await;
    assert_eq!(hold.status, StatusCode::OK);
    let kept =
        async || (operator.value("usher_autostop_kept_total{by=\"hold\",kind=\"ide\"}").await == 1.0).then_some(());
    eventually("kept by the hold", kept).await;
    browser.stop("ide").await;
    browser.open("/ide/").await;
    let sockets = [browser.console("/ide/").await, browser.console("/ide/").await];
    site.set("http.max_connections_per_address", json!(2)).write();
    let refused = async || {
        let _ = browser.try_send(browser.script("/ide/who")).await;
        (operator.value("usher_connections_refused_total{reason=\"address-full\"}").await > 0.0).then_some(())
    };
    eventually("a connection too many is refused", refused).await;
    let told = operator.metrics().await;
    for mut socket in sockets {
        socket.close(None).await.unwrap();
    }
    told
}

#[tokio::test]
async fn the_page_and_a_gateway_agree_and_promtool_has_nothing_to_add() {
    let told = life().await;
    let (documented, exposed) = (documented(), exposed(&told));
    for (name, family) in &documented {
        assert_eq!(exposed.get(name), Some(family), "{name} is documented");
    }
    for name in exposed.keys() {
        assert!(documented.contains_key(name), "{name} is not documented");
    }
    for person in ["ada", "bob"] {
        assert!(!told.contains(&format!("\"{person}\"")), "no series is about a person");
    }
    promtool(&told);
}

/// Every name in the source is on the page, so that a family is not missed because this life lacks its event.
#[test]
fn every_family_of_the_source_is_documented() {
    let documented = documented();
    let mut names = BTreeSet::new();
    for file in ["families.rs", "tenant.rs"] {
        let path = format!("{}/src/metrics/{file}", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).unwrap();
        let literals = source.split('"').skip(1).step_by(2);
        let is_name =
            |text: &&str| text.starts_with("usher_") && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        names.extend(literals.filter(is_name).map(str::to_owned));
    }
    assert_eq!(names, documented.into_keys().collect());
}

/// `promtool check metrics`, of Debian's package prometheus. Where it is missing this is skipped, but not in CI.
#[expect(clippy::print_stdout, reason = "what is skipped is told")]
fn promtool(exposition: &str) {
    let mut command = Command::new("promtool");
    let piped = command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match piped.spawn() {
        Ok(child) => child,
        Err(error) => {
            let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!in_ci, "promtool: {error}; install Debian's package prometheus");
            println!("skipped: promtool: {error}");
            return;
        }
    };
    child.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.trim().is_empty(), "{}: {said}", output.status);
}
