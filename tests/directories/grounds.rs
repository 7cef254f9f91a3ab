//! The servers themselves: that they are what the other tests take them for.

use ldap3::LdapResult;

use crate::beds::{Authority, BASE, Relay, Samba, Slapd, Target, Town, ad_dn_of, connect, dn_of};
use crate::support::{PASSWORD, within};

async fn bind(url: &str, start_tls: bool, dn: &str, password: &str) -> LdapResult {
    within(connect(url, start_tls).await.simple_bind(dn, password)).await.unwrap()
}

#[tokio::test]
async fn slapd_has_eight_thousand_people_and_speaks_tls_in_both_ways() {
    let (town, authority) = (Town::large(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let somebody = format!("uid={},ou=t799,ou=People,{BASE}", town.person(7999));
    for (url, start_tls) in [(slapd.plain_url(), false), (slapd.plain_url(), true), (slapd.tls_url(), false)] {
        assert_eq!(bind(&url, start_tls, &somebody, PASSWORD).await.rc, 0, "{url}");
        assert_eq!(bind(&url, start_tls, &dn_of("ada"), "wrong").await.rc, 49, "{url}");
    }
}

#[tokio::test]
async fn samba_demands_tls_and_says_why_it_refuses() {
    let Some(samba) = Samba::shared().await else { return };
    let relay = samba.relay(389).await;
    let url = format!("ldap://127.0.0.1:{}", relay.port);
    assert_eq!(bind(&url, false, "ada@corp.example", PASSWORD).await.rc, 8);
    assert_eq!(bind(&url, true, "ada@corp.example", PASSWORD).await.rc, 0);
    for _ in 0..3 {
        bind(&url, true, &ad_dn_of("guessed"), "wrong").await;
    }
    let table = [
        ("ada", "wrong", "52e"),
        ("disabled", PASSWORD, "533"),
        ("guessed", PASSWORD, "775"),
        ("expired", PASSWORD, "701"),
        ("fresh", PASSWORD, "773"),
        ("aged", PASSWORD, "532"),
        ("offhours", PASSWORD, "530"),
    ];
    for (user, password, code) in table {
        let answer = bind(&url, true, &ad_dn_of(user), password).await;
        assert_eq!(answer.rc, 49, "{user}: {answer:?}");
        assert!(answer.text.contains(&format!("data {code},")), "{user}: {}", answer.text);
    }
    let tls = Relay::start(Target::Within(samba.namespace.clone(), 636)).await;
    assert_eq!(bind(&format!("ldaps://127.0.0.1:{}", tls.port), false, "ada@corp.example", PASSWORD).await.rc, 0);
}
