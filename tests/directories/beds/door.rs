//! A gateway whose people come from a directory, and what happens at its sign-in form.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ADMIN_PASSWORD, Town};
use crate::support::{Browser, Gateway, Operator, Site, Socket, eventually};

/// The name of the directory in the configuration.
pub(crate) const DIRECTORY: &str = "company";
/// The file of the service account's password, beside the configuration.
pub(crate) const PASSWORD_FILE: &str = "service-password";

/// A site whose people come from `ldap`, by default with the tenant of their organizational unit.
pub(crate) fn site_of(ldap: &Value) -> Site {
    let mut site = Site::new();
    site.put(PASSWORD_FILE, &format!("{ADMIN_PASSWORD}\n"));
    let identity = json!({
        "directories": [{ "name": DIRECTORY, "ldap": ldap }],
        "tenant": [{ "dn": "uid=[^,]+,ou=(?<tenant>[a-z0-9-]+),ou=People,.*" }],
        "throttle": { "per_user": 1000, "per_address": 10_000 },
    });
    site.set("identity", identity);
    let town = Town::large();
    let tenants = town.tenants().chain(["acme", "globex"].map(str::to_owned));
    let admitted = json!({ "disabled": false });
    let mut tenants: serde_json::Map<_, _> = tenants.map(|tenant| (tenant, admitted.clone())).collect();
    // Nobody else has access.
    tenants.insert("defaults".to_owned(), json!({ "disabled": true }));
    site.set("tenants", tenants.into());
    site.write();
    site
}

/// A gateway for a site, which has to be kept as long.
pub(crate) async fn opened(site: Site) -> (Site, Gateway) {
    let gateway = Gateway::start(&site).await;
    (site, gateway)
}

/// Has the gateway take a configuration that changes nothing, which makes it read everybody again.
pub(crate) async fn read_again(site: &mut Site, gateway: &Gateway) {
    let generation = async || gateway.operator().ready().await.1["config"]["generation"].as_u64().unwrap();
    let before = generation().await;
    site.set("shutdown.deadline", format!("{}s", 10 + before).into()).write();
    eventually("a configuration is in force", async || (generation().await > before).then_some(())).await;
}

/// Somebody with a workspace open, and a WebSocket to it.
pub(crate) async fn at_work(gateway: &Gateway, user: &str) -> (Browser, Socket) {
    let browser = gateway.signed_in(user).await;
    browser.open("/ide/").await;
    let socket = browser.console("/ide/").await;
    (browser, socket)
}

/// What came of a sign-in form.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) status: StatusCode,
    /// The label that was counted.
    pub(crate) label: String,
}

/// Fills in the form, and says what came of it. Nobody else may be signing in.
pub(crate) async fn attempt(gateway: &Gateway, user: &str, password: &str) -> (Outcome, String) {
    let before = counted(gateway.operator()).await;
    let answer = gateway.browser().try_sign_in(user, password).await;
    let after = counted(gateway.operator()).await;
    let more: Vec<_> =
        after.into_iter().filter(|(label, count)| before.get(label).is_none_or(|before| before < count)).collect();
    assert_eq!(more.len(), 1, "one is counted: {more:?}");
    (Outcome { status: answer.status, label: more[0].0.clone() }, answer.body)
}

/// Sign-ins so far by result.
pub(crate) async fn counted(operator: Operator) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for line in operator.metrics().await.lines() {
        let Some(series) = line.strip_prefix("usher_logins_total{") else { continue };
        let (labels, count) = series.split_once("} ").unwrap();
        let result = labels.split_once("result=\"").unwrap().1.trim_end_matches('"');
        *counted.entry(result.to_owned()).or_default() += count.parse::<u64>().unwrap();
    }
    counted
}

/// Who somebody is to the gateway.
pub(crate) async fn me(browser: &Browser) -> Value {
    browser.api(Method::GET, "/me", Value::Null).await.json()
}

/// One row of a table of sign-ins.
pub(crate) type Row<'a> = (&'a str, &'a str, u16, &'a str);

/// Tries every row, and reports all that come out otherwise.
pub(crate) async fn holds(gateway: &Gateway, table: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for (user, password, status, label) in table {
        let (found, body) = attempt(gateway, user, password).await;
        let said = said_for(label);
        if (found.status.as_u16(), found.label.as_str()) != (*status, *label) || !body.contains(said) {
            wrong.push(format!("{user:?} {password:?}: {found:?}, and not {status} {label} with {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the page says: of a locked account the same as of a wrong password, as servers tell it to anybody.
fn said_for(label: &str) -> &'static str {
    match label {
        "wrong-credentials" | "locked" => "That user name and password do not match.",
        "disabled" => "This account has been disabled.",
        "expired" => "This account has expired.",
        "password-expired" => "Your password has expired.",
        "password-must-change" => "Your password has to be changed",
        "no-tenant" => "it cannot be matched to a company here",
        "ambiguous-tenant" => "it is matched to more than one company here",
        "tenant-refused" => "your company may not use this at present",
        "unreachable" => "The company directory does not answer at present.",
        "misconfigured" => "Signing in does not work because of a fault in our setup.",
        "busy" => "Too many people are signing in at this moment.",
        _ => "",
    }
}
