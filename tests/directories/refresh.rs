//! What changes in slapd holds for those who are signed in.

use http::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use crate::beds::{Authority, BASE, PASSWORD_FILE, Slapd, Town, at_work, dn_of, read_again, site_of};
use crate::support::{FIVE_SECONDS, Gateway, Site, Socket, closing, eventually, sample, say};

async fn office() -> Option<(Slapd, Site, Gateway)> {
    let slapd = Slapd::start(&Town::small(), &Authority::new()).await?;
    let site = site_of(&Slapd::config(&[slapd.plain_url()], PASSWORD_FILE));
    let gateway = Gateway::start(&site).await;
    Some((slapd, site, gateway))
}

async fn is_closed(socket: &mut Socket) {
    let (code, _) = timeout(FIVE_SECONDS, closing(socket)).await.expect("closed within five seconds");
    assert!([4401, 4403].contains(&code), "{code}");
}

#[tokio::test]
async fn who_is_removed_disabled_or_moved_to_another_tenant_is_cut_off_and_nobody_else() {
    let Some((slapd, mut site, gateway)) = office().await else { return };
    let mut administrator = slapd.administrator().await;
    let (_eve, mut of_eve) = at_work(&gateway, "eve").await;
    for user in ["ada", "bob", "o,brien", "müller"] {
        let (browser, mut socket) = at_work(&gateway, user).await;
        match user {
            "ada" => administrator.remove(&dn_of(user)).await,
            "bob" => administrator.set(&dn_of(user), "pwdAccountLockedTime", &["000001010000Z"]).await,
            "o,brien" => {
                administrator.add_value(&dn_of(user), "objectClass", "shadowAccount").await;
                administrator.set(&dn_of(user), "shadowExpire", &["1"]).await;
            }
            _ => administrator.relocate(&dn_of(user), &format!("ou=globex,ou=People,{BASE}")).await,
        }
        assert_eq!(say(&mut socket, "still there").await, "still there");
        read_again(&mut site, &gateway).await;
        is_closed(&mut socket).await;
        assert_eq!(browser.fetch("/ide/who").await.status, StatusCode::UNAUTHORIZED, "{user}");
        assert_eq!(say(&mut of_eve, "still there").await, "still there");
    }
    // Who moved is welcome where they are now.
    assert_eq!(crate::beds::me(&gateway.signed_in("müller").await).await["tenant"], "globex");
}

#[tokio::test]
async fn other_groups_give_other_rights_without_a_new_sign_in() {
    let Some((slapd, mut site, gateway)) = office().await else { return };
    let mut administrator = slapd.administrator().await;
    site.set("workspaces.lab", sample());
    let routes = json!([
        { "path": "/ide/", "workspace": "ide", "allow": { "groups": ["devs"] } },
        { "path": "/lab/", "workspace": "lab", "allow": { "groups": ["tenant-globex"] } },
    ]);
    site.set("routes", routes);
    read_again(&mut site, &gateway).await;
    let (ada, mut socket) = at_work(&gateway, "ada").await;
    let (_bob, mut of_bob) = at_work(&gateway, "bob").await;
    let cookie = ada.cookie("__Host-usher");
    assert_eq!(ada.fetch("/lab/who").await.status, StatusCode::FORBIDDEN);
    // The overlay writes memberOf.
    administrator.remove_value(&format!("cn=devs,ou=Groups,{BASE}"), "member", &dn_of("ada")).await;
    administrator.add_value(&format!("cn=tenant-globex,ou=Groups,{BASE}"), "member", &dn_of("ada")).await;
    read_again(&mut site, &gateway).await;
    is_closed(&mut socket).await;
    let closed = async || (ada.fetch("/ide/who").await.status == StatusCode::FORBIDDEN).then_some(());
    eventually("one door is closed", closed).await;
    assert_eq!(ada.open("/lab/").await["groups"], json!(["tenant-acme", "tenant-globex"]));
    assert_eq!(ada.cookie("__Host-usher"), cookie);
    assert_eq!(say(&mut of_bob, "still there").await, "still there");
}
