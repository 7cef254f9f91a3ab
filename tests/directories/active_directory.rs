//! People from Samba's Active Directory.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::beds::{
    ADMINISTRATOR, ADMINISTRATOR_PASSWORD, DOMAIN, Relay, Samba, ad_dn_of, at_work, holds, me, opened, read_again,
    site_of,
};
use crate::support::{FIVE_SECONDS, Gateway, PASSWORD, Site, closing, say};

/// Nested groups, by Active Directory's own matching rule.
const NESTED: &str = "(member:1.2.840.113556.1.4.1941:={dn})";

fn directory(samba: &Samba, relay: &Relay) -> Value {
    json!({
        "urls": [format!("ldap://localhost:{}", relay.port)],
        "start_tls": true,
        "ca_file": samba.authority.file(),
        "bind_dn": ADMINISTRATOR,
        "bind_password_file": "administrator-password",
        // The root of the domain, so that answers have references to its other parts.
        "users": { "base": DOMAIN, "filter": "(&(objectCategory=person)(sAMAccountName={user}))" },
        "user_attribute": "sAMAccountName",
        "groups": [{ "base": DOMAIN, "filter": NESTED }],
    })
}

fn site(ldap: &Value) -> Site {
    let mut site = site_of(ldap);
    site.put("administrator-password", ADMINISTRATOR_PASSWORD);
    site.set("identity.tenant", json!([{ "group": "tenant-(?<tenant>[a-z0-9-]+)" }]));
    site.set("identity.roles", json!([{ "role": "operator", "group": "socasudoadminsgroup" }])).write();
    site
}

/// What holds however people are found.
const PEOPLE: &[(&str, &str, u16, &str)] = &[
    ("ada", PASSWORD, 303, "success"),
    ("ADA", PASSWORD, 303, "success"),
    ("bob", PASSWORD, 303, "success"),
    ("ada", "wrong", 401, "wrong-credentials"),
    ("ada", "", 401, "wrong-credentials"),
    ("zoe", PASSWORD, 401, "wrong-credentials"),
    ("*", PASSWORD, 401, "wrong-credentials"),
    ("CORP\\ada", PASSWORD, 401, "wrong-credentials"),
    ("ada@corp.example", PASSWORD, 401, "wrong-credentials"),
    ("cn=ada", PASSWORD, 401, "wrong-credentials"),
    ("disabled", PASSWORD, 403, "disabled"),
    ("disabled", "wrong", 401, "wrong-credentials"),
    ("expired", PASSWORD, 403, "expired"),
    ("expired", "wrong", 401, "wrong-credentials"),
    ("fresh", PASSWORD, 403, "password-must-change"),
    ("aged", PASSWORD, 403, "password-expired"),
    ("aged", "wrong", 401, "wrong-credentials"),
    ("offhours", PASSWORD, 403, "disabled"),
];

#[tokio::test]
async fn sub_codes_become_sentences_by_search_and_by_direct_bind() {
    let Some(samba) = Samba::shared().await else { return };
    let relay = samba.relay(389).await;
    let mut ldap = directory(samba, &relay);
    let (_site, gateway) = opened(site(&ldap)).await;
    holds(&gateway, PEOPLE).await;
    let locking = [
        ("mistaken", "wrong", 401, "wrong-credentials"),
        ("mistaken", "wrong", 401, "wrong-credentials"),
        ("mistaken", "wrong", 401, "wrong-credentials"),
        ("mistaken", PASSWORD, 401, "locked"),
    ];
    holds(&gateway, &locking).await;
    // Without a service account, everybody reads their own entry.
    ldap["direct"] = "{user}@corp.example".into();
    ldap.as_object_mut().unwrap().retain(|key, _| !["bind_dn", "bind_password_file"].contains(&key.as_str()));
    let (_site, gateway) = opened(site(&ldap)).await;
    holds(&gateway, PEOPLE).await;
}

#[tokio::test]
async fn groups_within_groups_give_tenant_and_role() {
    let Some(samba) = Samba::shared().await else { return };
    let relay = samba.relay(636).await;
    let mut ldap = directory(samba, &relay);
    ldap["urls"] = json!([format!("ldaps://localhost:{}", relay.port)]);
    ldap["start_tls"] = false.into();
    let (_site, gateway) = opened(site(&ldap)).await;
    let ada = me(&gateway.signed_in("ada").await).await;
    assert_eq!(ada["groups"], json!(["compilers", "engineering", "socasudoadminsgroup", "tenant-acme"]));
    assert_eq!(ada["tenant"], "acme");
    assert!(ada["roles"].as_array().unwrap().contains(&json!("operator")), "{ada}");
    assert_eq!(me(&gateway.signed_in("eve").await).await["groups"], json!(["tenant-globex"]));
    // memberOf tells of what somebody is in directly.
    ldap["groups"] = json!([{ "member_of": "memberOf" }]);
    let mut site = site(&ldap);
    site.set("identity.tenant", json!([{ "fixed": "acme" }])).write();
    let gateway = Gateway::start(&site).await;
    let ada = me(&gateway.signed_in("ada").await).await;
    assert_eq!(ada["groups"], json!(["compilers", "socasudoadminsgroup"]));
}

#[tokio::test]
async fn a_server_that_demands_tls_is_told_from_one_that_is_away() {
    let Some(samba) = Samba::shared().await else { return };
    let relay = samba.relay(389).await;
    let mut ldap = directory(samba, &relay);
    (ldap["start_tls"], ldap["plaintext"]) = (false.into(), true.into());
    let (_site, gateway) = opened(site(&ldap)).await;
    holds(&gateway, &[("ada", PASSWORD, 503, "misconfigured")]).await;
}

#[tokio::test]
async fn who_is_disabled_in_the_domain_is_cut_off() {
    let Some(samba) = Samba::shared().await else { return };
    let relay = samba.relay(389).await;
    let mut site = site(&directory(samba, &relay));
    let gateway = Gateway::start(&site).await;
    let (browser, mut socket) = at_work(&gateway, "leaver").await;
    let (_bob, mut of_bob) = at_work(&gateway, "bob").await;
    samba.administrator().await.set(&ad_dn_of("leaver"), "userAccountControl", &[b"66050"]).await;
    read_again(&mut site, &gateway).await;
    timeout(FIVE_SECONDS, closing(&mut socket)).await.expect("closed within five seconds");
    assert_eq!(browser.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(say(&mut of_bob, "still there").await, "still there");
}
