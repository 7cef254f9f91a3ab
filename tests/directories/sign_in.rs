//! Tables of what is typed into the sign-in form, at slapd.

use serde_json::{Value, json};

use crate::beds::{
    ADMIN_PASSWORD, Authority, BASE, DIRECTORY, Fault, PASSWORD_FILE, Relay, Slapd, Target, Town, attempt, holds, me,
    opened, site_of,
};
use crate::support::{Gateway, PASSWORD, Process};

/// A directory over TLS.
fn over_tls(slapd: &Slapd, authority: &Authority) -> Value {
    let mut ldap = Slapd::config(&[slapd.tls_url()], PASSWORD_FILE);
    ldap["ca_file"] = authority.file().display().to_string().into();
    ldap
}

fn without(ldap: &mut Value, keys: &[&str]) {
    ldap.as_object_mut().unwrap().retain(|key, _| !keys.contains(&key.as_str()));
}

#[tokio::test]
async fn what_is_typed_is_found_and_proven_or_refused_by_search_and_bind() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let (_site, gateway) = opened(site_of(&over_tls(&slapd, &authority))).await;
    let (long, longer) = ("a".repeat(300), "漢".repeat(101));
    let (upper, with_nul) = (PASSWORD.to_uppercase(), format!("{PASSWORD}\0"));
    let full = format!("uid=ada,ou=acme,ou=People,{BASE}");
    let table = [
        ("ada", PASSWORD, 303, "success"),
        ("ADA", PASSWORD, 303, "success"),
        (" ada ", PASSWORD, 303, "success"),
        ("eve", PASSWORD, 303, "success"),
        ("müller", PASSWORD, 303, "success"),
        ("o,brien", PASSWORD, 303, "success"),
        ("plus+one", PASSWORD, 303, "success"),
        ("star*", PASSWORD, 303, "success"),
        // Passwords.
        ("ada", "wrong", 401, "wrong-credentials"),
        ("ada", &upper, 401, "wrong-credentials"),
        ("ada", "", 401, "wrong-credentials"),
        ("ada", " ", 401, "wrong-credentials"),
        ("ada", "\0", 401, "wrong-credentials"),
        ("ada", &with_nul, 401, "wrong-credentials"),
        ("ada", &longer, 401, "wrong-credentials"),
        // Names that nobody has, and that mean something to a filter or in a distinguished name.
        ("zoe", PASSWORD, 401, "wrong-credentials"),
        ("", PASSWORD, 401, "wrong-credentials"),
        ("*", PASSWORD, 401, "wrong-credentials"),
        ("a*", PASSWORD, 401, "wrong-credentials"),
        ("star?", PASSWORD, 401, "wrong-credentials"),
        (")(uid=*", PASSWORD, 401, "wrong-credentials"),
        ("ada)(uid=*", PASSWORD, 401, "wrong-credentials"),
        ("*)(|(uid=*", PASSWORD, 401, "wrong-credentials"),
        ("\\61da", PASSWORD, 401, "wrong-credentials"),
        ("\\00", PASSWORD, 401, "wrong-credentials"),
        ("ada\0", PASSWORD, 401, "wrong-credentials"),
        ("\0", PASSWORD, 401, "wrong-credentials"),
        ("a\nda", PASSWORD, 401, "wrong-credentials"),
        ("ada,ou=acme", PASSWORD, 401, "wrong-credentials"),
        (&full, PASSWORD, 401, "wrong-credentials"),
        ("{user}", PASSWORD, 401, "wrong-credentials"),
        ("漢字", PASSWORD, 401, "wrong-credentials"),
        (&long, PASSWORD, 401, "wrong-credentials"),
        (&longer, PASSWORD, 401, "wrong-credentials"),
        // Accounts.
        ("barred", PASSWORD, 401, "locked"),
        ("aged", PASSWORD, 403, "password-expired"),
        ("aged", "wrong", 401, "wrong-credentials"),
        ("fresh", PASSWORD, 403, "password-must-change"),
        ("fresh", "wrong", 401, "wrong-credentials"),
        ("leaver", PASSWORD, 403, "expired"),
        ("leaver", "wrong", 401, "wrong-credentials"),
        ("guessed", "wrong", 401, "wrong-credentials"),
        ("guessed", "wrong", 401, "wrong-credentials"),
        ("guessed", "wrong", 401, "wrong-credentials"),
        ("guessed", "wrong", 401, "wrong-credentials"),
        ("guessed", "wrong", 401, "wrong-credentials"),
        ("guessed", PASSWORD, 401, "locked"),
        // Who they are is clear, and not where they belong; or not even who they are.
        ("nobody", PASSWORD, 403, "tenant-refused"),
        ("twin", PASSWORD, 503, "misconfigured"),
    ];
    holds(&gateway, &table).await;
    let browser = gateway.browser();
    browser.try_sign_in("ADA", PASSWORD).await;
    assert_eq!(me(&browser).await["user"], "ada", "as the directory writes it");
}

#[tokio::test]
async fn what_is_typed_becomes_part_of_a_name_and_nothing_more_by_direct_bind() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let mut ldap = over_tls(&slapd, &authority);
    without(&mut ldap, &["bind_dn", "bind_password_file", "users"]);
    ldap["direct"] = format!("uid={{user}},ou=acme,ou=People,{BASE}").into();
    let (_site, gateway) = opened(site_of(&ldap)).await;
    let table = [
        ("ada", PASSWORD, 303, "success"),
        ("o,brien", PASSWORD, 303, "success"),
        ("plus+one", PASSWORD, 303, "success"),
        ("star*", PASSWORD, 303, "success"),
        ("müller", PASSWORD, 303, "success"),
        // There, one is enough.
        ("twin", PASSWORD, 303, "success"),
        ("ada", "wrong", 401, "wrong-credentials"),
        ("ada", "", 401, "wrong-credentials"),
        ("eve", PASSWORD, 401, "wrong-credentials"),
        ("*", PASSWORD, 401, "wrong-credentials"),
        ("eve,ou=globex", PASSWORD, 401, "wrong-credentials"),
        ("ada+cn=ada", PASSWORD, 401, "wrong-credentials"),
        ("aged", PASSWORD, 403, "password-expired"),
        ("leaver", PASSWORD, 403, "expired"),
    ];
    holds(&gateway, &table).await;
}

#[tokio::test]
async fn only_a_bind_with_result_code_0_is_a_success() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let mut ldap = over_tls(&slapd, &authority);
    ldap["direct"] = format!("uid={{user}},ou=Codes,{BASE}").into();
    let (_site, gateway) = opened(site_of(&ldap)).await;
    let table = [
        ("referred", PASSWORD, 503, "misconfigured"),
        ("busy", PASSWORD, 503, "unreachable"),
        ("unwilling", PASSWORD, 503, "misconfigured"),
        ("ada", PASSWORD, 401, "wrong-credentials"),
    ];
    holds(&gateway, &table).await;
}

/// A name for the change, the change, who signs in, and what comes of it.
type Change<'a> = (&'a str, &'a [(&'a str, Value)], &'a str, (u16, &'a str));

#[tokio::test]
async fn a_directory_that_is_set_up_wrongly_is_told_from_one_that_is_away_and_from_a_wrong_password() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let filter = "(&(objectClass=person)(uid={user}))";
    let users = |base: &str| json!({ "base": format!("{base},{BASE}"), "filter": filter });
    let by_member = json!([{ "base": format!("ou=Groups,{BASE}"), "filter": "(member={dn})" }]);
    let narrow = format!("cn=narrow,{BASE}");
    let elsewhere = json!(["ldap://127.0.0.1:1"]);
    let table: &[Change<'_>] = &[
        ("as it should be", &[], "ada", (303, "success")),
        ("wrong service password", &[("bind_password_file", "wrong-password".into())], "ada", (503, "misconfigured")),
        ("no such service account", &[("bind_dn", format!("cn=none,{BASE}").into())], "ada", (503, "misconfigured")),
        ("no such base", &[("users", users("ou=None"))], "ada", (503, "misconfigured")),
        ("base elsewhere", &[("users", users("ou=Elsewhere"))], "ada", (503, "misconfigured")),
        ("too few shown, and one fits", &[("bind_dn", narrow.clone().into())], "ada", (303, "success")),
        ("too few shown, and two fit", &[("bind_dn", narrow.clone().into())], "twin", (503, "misconfigured")),
        (
            "too few groups shown",
            &[("bind_dn", narrow.into()), ("groups", by_member.clone())],
            "ada",
            (503, "misconfigured"),
        ),
        ("more than max_groups", &[("max_groups", 1.into()), ("groups", by_member)], "ada", (503, "misconfigured")),
        ("no such attribute", &[("user_attribute", "employeeNumber".into())], "ada", (503, "misconfigured")),
        ("nobody there", &[("urls", elsewhere), ("plaintext", true.into())], "ada", (503, "unreachable")),
        ("a certificate that is not trusted", &[("ca_file", "tls.crt".into())], "ada", (503, "misconfigured")),
    ];
    let mut wrong = Vec::new();
    for (name, changes, user, (status, label)) in table {
        let mut ldap = over_tls(&slapd, &authority);
        changes.iter().for_each(|(key, value)| ldap[*key] = value.clone());
        let site = site_of(&ldap);
        site.put("wrong-password", "not the service account's");
        let gateway = Gateway::start(&site).await;
        let (found, _) = attempt(&gateway, user, PASSWORD).await;
        if (found.status.as_u16(), found.label.as_str()) != (*status, *label) {
            wrong.push(format!("{name}: {found:?}, and not {status} {label}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_service_password_that_is_no_longer_right_is_not_tried_at_every_sign_in() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let site = site_of(&over_tls(&slapd, &authority));
    site.put(PASSWORD_FILE, "not the service account's any more");
    let gateway = Gateway::start(&site).await;
    holds(&gateway, &[("ada", PASSWORD, 503, "misconfigured"); 5]).await;
    let series =
        format!("usher_directory_requests_total{{directory=\"{DIRECTORY}\",operation=\"bind\",result=\"refused\"}}");
    assert_eq!(gateway.operator().value(&series).await, 1.0);
}

#[tokio::test]
async fn starttls_comes_before_anything_else_and_must_succeed() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let mut ldap = over_tls(&slapd, &authority);
    ldap["urls"] = json!([format!("ldap://localhost:{}", slapd.plain.port())]);
    ldap["start_tls"] = true.into();
    let (_site, gateway) = opened(site_of(&ldap)).await;
    holds(&gateway, &[("ada", PASSWORD, 303, "success"), ("ada", "wrong", 401, "wrong-credentials")]).await;
    let Some(misnamed) = Slapd::named(&Town::small(), &authority, &["directory.example.com"]).await else { return };
    ldap["urls"] = json!([format!("ldap://localhost:{}", misnamed.plain.port())]);
    let (_site, gateway) = opened(site_of(&ldap)).await;
    holds(&gateway, &[("ada", PASSWORD, 503, "misconfigured")]).await;
    ldap["urls"] = json!([format!("ldaps://localhost:{}", misnamed.tls.port())]);
    ldap["start_tls"] = false.into();
    let (_site, gateway) = opened(site_of(&ldap)).await;
    holds(&gateway, &[("ada", PASSWORD, 503, "misconfigured")]).await;
}

#[tokio::test]
async fn somebody_without_a_service_account_is_found_anonymously() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let mut ldap = over_tls(&slapd, &authority);
    without(&mut ldap, &["bind_dn", "bind_password_file"]);
    let (_site, gateway) = opened(site_of(&ldap)).await;
    holds(&gateway, &[("ada", PASSWORD, 303, "success"), ("ada", "", 401, "wrong-credentials")]).await;
}

#[tokio::test]
async fn empty_and_impossible_passwords_never_leave_the_gateway() {
    let Some(slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let ldap = Slapd::config(&[format!("ldap://127.0.0.1:{}", relay.port)], PASSWORD_FILE);
    let (_site, gateway) = opened(site_of(&ldap)).await;
    let with_nul = format!("{PASSWORD}\0");
    for password in ["", "\0", &with_nul] {
        holds(&gateway, &[("ada", password, 401, "wrong-credentials")]).await;
        assert_eq!(relay.heard(), b"", "{password:?}");
    }
    holds(&gateway, &[("ada", PASSWORD, 303, "success")]).await;
    assert!(is_in(PASSWORD, &relay.heard()), "what is looked for can be found");
}

#[tokio::test]
async fn nothing_but_the_wish_for_tls_is_sent_before_tls() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let mut ldap = over_tls(&slapd, &authority);
    ldap["urls"] = json!([format!("ldap://localhost:{}", relay.port)]);
    (ldap["start_tls"], ldap["connect_timeout"]) = (true.into(), "300ms".into());
    let (_site, gateway) = opened(site_of(&ldap)).await;
    relay.set(Fault::HungAfterBytes(0));
    holds(&gateway, &[("ada", PASSWORD, 503, "unreachable")]).await;
    let heard = relay.heard();
    assert!(is_in("1.3.6.1.4.1.1466.20037", &heard) && heard.len() < 100, "{heard:x?}");
    relay.set(Fault::None);
    holds(&gateway, &[("ada", PASSWORD, 303, "success")]).await;
    let heard = relay.heard();
    assert!(!is_in(PASSWORD, &heard) && !is_in("uid", &heard));
}

#[tokio::test]
async fn no_password_and_no_service_password_is_in_the_log() {
    let Some(slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    let mut ldap = Slapd::config(&[slapd.plain_url()], PASSWORD_FILE);
    let site = site_of(&ldap);
    let gateway = Process::start(&site).await;
    for (user, password) in [("ada", PASSWORD), ("ada", "a wrong one 4711"), ("twin", PASSWORD), ("fresh", PASSWORD)] {
        gateway.browser().try_sign_in(user, password).await;
    }
    gateway.says("sign-in refused").await;
    ldap["bind_dn"] = format!("cn=none,{BASE}").into();
    let other_site = site_of(&ldap);
    let misled = Process::start(&other_site).await;
    misled.browser().try_sign_in("ada", PASSWORD).await;
    misled.says("sign-in at directory failed").await;
    for process in [gateway, misled] {
        let log = process.log.lock().unwrap().join("\n");
        for secret in [PASSWORD, "a wrong one 4711", ADMIN_PASSWORD] {
            assert!(!log.contains(secret), "{secret}");
        }
    }
}

fn is_in(text: &str, bytes: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
