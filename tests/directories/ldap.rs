//! `identity` at a real slapd: how people and their groups are found, what comes of a sign-in, and of servers that fail.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use usher::clock::SystemClock;
use usher::config::Config;
use usher::identity::{Identity, Means, Password, SignInError};
use usher::metrics::Metrics;
use usher::model::{Principal, TenantId, UserId};

use crate::beds::{ADMIN_PASSWORD, Authority, BASE, Fault, Relay, Slapd, Target, Town, dn_of};
use crate::support::{PASSWORD, within};

/// A gateway's identity with one directory, and the folder with its files.
struct Bed {
    identity: Identity,
    metrics: Arc<Metrics>,
    folder: tempfile::TempDir,
}

impl Bed {
    /// One directory of these keys, over what [`Slapd::config`] has; `null` takes a key away.
    fn new(urls: &[String], changes: &Value) -> Self {
        usher::edge::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::new(prometheus::Registry::new(), 10);
        let config = config(&folder, urls, changes);
        let means = Means {
            control: tokio::runtime::Handle::current(),
            metrics: metrics.clone(),
            clock: SystemClock::shared(),
        };
        let identity = Identity::build_with(&config, means).unwrap();
        Self { identity, metrics, folder }
    }

    async fn sign_in(&self, user: &str, password: &str) -> Result<Principal, SignInError> {
        let signed_in = within(self.identity.sign_in(user, &Password::new(password.to_owned()).unwrap())).await;
        signed_in.map_err(|refused| refused.error)
    }

    async fn look_up(&self, user: &str, tenant: &str) -> Result<Option<Principal>, String> {
        let (user, tenant) = (UserId::new(user).unwrap(), TenantId::new(tenant).unwrap());
        within(self.identity.look_up("corp", &user, &tenant)).await.map_err(|error| error.to_string())
    }

    fn metric(&self, line: &str) -> bool {
        String::from_utf8(self.metrics.encode().unwrap()).unwrap().lines().any(|known| known == line)
    }
}

fn config(folder: &tempfile::TempDir, urls: &[String], changes: &Value) -> Config {
    let password = folder.path().join("password");
    std::fs::write(&password, format!("{ADMIN_PASSWORD}\n")).unwrap();
    let mut ldap = Slapd::config(urls, password.to_str().unwrap());
    ldap["connect_timeout"] = json!("2s");
    ldap["operation_timeout"] = json!("1s");
    ldap["timeout"] = json!("6s");
    for (key, value) in changes.as_object().unwrap() {
        ldap[key] = value.clone();
    }
    ldap.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let yaml = json!({
        "public_url": "https://dev.example.com",
        "listen": { "public": { "address": "127.0.0.1:0", "tls": { "certificate": "c", "key": "k" } } },
        "session": { "keys": [{ "id": "k1", "file": "k1" }] },
        "identity": {
            "directories": [{ "name": "corp", "ldap": ldap }],
            "tenant": [{ "attribute": "departmentNumber" }],
        },
    });
    serde_saphyr::from_str(&yaml.to_string()).unwrap()
}

fn groups(principal: &Principal) -> Vec<&str> {
    principal.groups.iter().map(usher::model::GroupName::as_str).collect()
}

fn label(outcome: &Result<Principal, SignInError>) -> &'static str {
    outcome.as_ref().map_or_else(SignInError::label, |_| "success")
}

#[tokio::test]
async fn who_signed_in_by_another_of_their_names_is_known_and_found_again_by_one() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let filter = "(&(objectClass=person)(|(uid={user})(mail={user})))";
    let users = json!({ "base": format!("ou=People,{BASE}"), "filter": filter });
    let bed = Bed::new(&[slapd.plain_url()], &json!({ "users": users }));
    let ada = bed.sign_in("countess@example.com", PASSWORD).await.unwrap();
    assert_eq!((ada.user.as_str(), ada.tenant.as_str(), &*ada.source), ("ada", "acme", "corp"));
    assert_eq!(groups(&ada), ["devs", "tenant-acme"]);
    assert_eq!(bed.look_up("ada", "acme").await.unwrap().unwrap(), ada);
    assert_eq!(bed.look_up("countess@example.com", "acme").await, Ok(None));
}

#[tokio::test]
async fn what_a_server_tells_anybody_of_an_account_is_not_proven() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let bed = Bed::new(&[slapd.plain_url()], &json!({}));
    assert!(matches!(bed.sign_in("barred", "wrong").await, Err(SignInError::Unproven(_))));
    assert_eq!(bed.sign_in("leaver", "wrong").await, Err(SignInError::WrongCredentials));
    assert_eq!(bed.sign_in("leaver", PASSWORD).await, Err(SignInError::Expired));
}

#[tokio::test]
async fn an_unknown_user_costs_the_same_requests_as_a_wrong_password() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let bed = Bed::new(&[format!("ldap://127.0.0.1:{}", relay.port)], &json!({}));
    let requests = |bed: &Bed| {
        let text = String::from_utf8(bed.metrics.encode().unwrap()).unwrap();
        let count = |name: &str| {
            let line =
                text.lines().find(|line| line.starts_with("usher_directory_requests_total") && line.contains(name));
            line.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).unwrap_or(0)
        };
        [count(r#""connect",result="ok""#), count(r#""search",result="ok""#), count(r#""bind",result="refused""#)]
    };
    bed.sign_in("ada", PASSWORD).await.unwrap();
    let mut costs = Vec::new();
    for user in ["ada", "not-there"] {
        let before = requests(&bed);
        assert_eq!(bed.sign_in(user, "wrong").await, Err(SignInError::WrongCredentials));
        let after = requests(&bed);
        costs.push([0, 1, 2].map(|at| after[at] - before[at]));
    }
    assert_eq!(costs, [[1, 1, 1], [1, 1, 1]]);
}

#[tokio::test]
async fn groups_come_from_every_layout() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let (named, posix) = (format!("ou=Groups,{BASE}"), format!("ou=Group,{BASE}"));
    let sudo = "(&(objectClass=sudoRole)(sudoUser={user}))";
    let sudoers = format!("ou=Sudoers,{BASE}");
    let table = [
        (json!([]), "ada", vec![]),
        (json!([{ "member_of": "memberOf" }]), "ada", vec!["devs", "tenant-acme"]),
        (json!([{ "member_of": "memberOf", "base": format!("ou=Elsewhere,{BASE}") }]), "ada", vec![]),
        (json!([{ "base": &named, "filter": "(member={dn})" }]), "bob", vec!["devs", "tenant-acme"]),
        (json!([{ "base": &named, "filter": "(uniqueMember={dn})", "name": "cn" }]), "bob", vec!["testers"]),
        (
            json!([{ "base": &posix, "filter": "(memberUid={user})", "scope": "one-level" }]),
            "eve",
            vec!["staff", "tenant-globex"],
        ),
        (json!([{ "base": &sudoers, "filter": sudo, "group": "sudoers" }]), "ada", vec!["sudoers"]),
        (json!([{ "base": &sudoers, "filter": sudo, "group": "sudoers" }]), "bob", vec![]),
        (
            json!([{ "base": &named, "filter": "(uniqueMember={dn})", "name": "dn" }]),
            "bob",
            vec!["cn=testers,ou=Groups,dc=example,dc=com"],
        ),
        (
            json!([{ "member_of": "memberOf" }, { "base": &posix, "filter": "(memberUid={user})" }]),
            "ada",
            vec!["devs", "staff", "tenant-acme"],
        ),
    ];
    for (sources, user, expected) in table {
        let bed = Bed::new(&[slapd.plain_url()], &json!({ "groups": sources }));
        assert_eq!(groups(&bed.sign_in(user, PASSWORD).await.unwrap()), expected, "{sources} {user}");
    }
}

#[tokio::test]
async fn more_groups_than_a_page_are_all_found_and_more_than_allowed_are_a_fault() {
    let (town, authority) = (Town::large(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let filter = "(|(cn=tenant-t0*)(cn=tenant-t1*)(cn=tenant-t2*)(cn=tenant-t3*)(cn={user}))";
    let most =
        |most: u32| json!({ "groups": [{ "base": format!("ou=Group,{BASE}"), "filter": filter }], "max_groups": most });
    let found = Bed::new(&[slapd.plain_url()], &most(400)).sign_in("ada", PASSWORD).await.unwrap();
    assert_eq!(found.groups.len(), 400);
    let bed = Bed::new(&[slapd.plain_url()], &most(399));
    assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "misconfigured");
    assert!(bed.look_up("ada", "acme").await.unwrap_err().contains("max_groups"));
}

#[tokio::test]
async fn people_sign_in_under_a_name_of_their_own_with_and_without_a_service_account() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let direct = format!("uid={{user}},ou=acme,ou=People,{BASE}");
    let groups_by_search = json!([{ "base": format!("ou=Groups,{BASE}"), "filter": "(member={dn})" }]);
    let own = json!({
        "direct": direct, "users": null, "bind_dn": null, "bind_password_file": null, "groups": groups_by_search,
    });
    let with_account = json!({ "direct": direct, "users": null });
    for (changes, again) in [(own, false), (with_account, true)] {
        let bed = Bed::new(&[slapd.plain_url()], &changes);
        for user in ["ada", "bob", "star*", "müller"] {
            assert_eq!(label(&bed.sign_in(user, PASSWORD).await), "success", "{user}");
        }
        assert_eq!(groups(&bed.sign_in("ADA", PASSWORD).await.unwrap()), ["devs", "tenant-acme"]);
        for user in ["eve", "ada,ou=acme", "not-there", "twin,ou=globex,ou=People"] {
            assert_eq!(label(&bed.sign_in(user, PASSWORD).await), "wrong-credentials", "{user}");
        }
        assert_eq!(label(&bed.sign_in("ada", "wrong").await), "wrong-credentials");
        assert_eq!(bed.look_up("ada", "acme").await.is_ok(), again);
        if again {
            assert_eq!(bed.look_up("not-there", "acme").await, Ok(None));
        }
    }
    let moved = json!({ "direct": format!("uid={{user}},ou=gone,ou=People,{BASE}"), "users": null });
    let bed = Bed::new(&[slapd.plain_url()], &moved);
    assert!(bed.look_up("ada", "acme").await.is_err(), "nobody is gone because their place is");
}

#[tokio::test]
async fn nobody_becomes_somebody_else_by_a_name_that_means_another_to_the_search() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let direct = format!("uid={{user}},ou=acme,ou=People,{BASE}");
    let users = json!({ "base": format!("ou=People,{BASE}"), "filter": "(&(objectClass=person)(|(mail={user}@example.com)(uid={user})))" });
    let bed = Bed::new(&[slapd.plain_url()], &json!({ "direct": direct, "users": users }));
    assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "success");
    let mut administrator = slapd.administrator().await;
    administrator.set(&dn_of("ada"), "mail", &["bob@example.com"]).await;
    let users = json!({ "base": format!("ou=People,{BASE}"), "filter": "(mail={user}@example.com)" });
    let bed = Bed::new(&[slapd.plain_url()], &json!({ "direct": direct, "users": users }));
    match bed.sign_in("bob", PASSWORD).await {
        Err(SignInError::Misconfigured { detail, .. }) => assert!(detail.contains("somebody else"), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn passwords_cross_the_network_in_tls_of_a_server_that_is_who_it_should_be() {
    let (town, authority, stranger) = (Town::small(), Authority::new(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let start_tls = format!("ldap://localhost:{}", slapd.plain.port());
    let relay = Relay::start(Target::Address(slapd.tls)).await;
    let table = [
        (slapd.tls_url(), false, &authority, "success"),
        (start_tls.clone(), true, &authority, "success"),
        (format!("ldaps://127.0.0.1:{}", relay.port), false, &authority, "success"),
        (slapd.tls_url(), false, &stranger, "misconfigured"),
        (start_tls, true, &stranger, "misconfigured"),
        // TLS where there is none, and none where there is.
        (format!("ldaps://localhost:{}", slapd.plain.port()), false, &authority, "unreachable"),
        (format!("ldap://localhost:{}", slapd.tls.port()), true, &authority, "unreachable"),
    ];
    for (url, start_tls, authority, expected) in table {
        let changes = json!({ "start_tls": start_tls, "plaintext": false, "ca_file": authority.file() });
        let bed = Bed::new(std::slice::from_ref(&url), &changes);
        assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), expected, "{url} {start_tls}");
    }
    let Some(other) = Slapd::named(&town, &authority, &["other.example"]).await else { return };
    let bed = Bed::new(&[other.tls_url()], &json!({ "ca_file": authority.file() }));
    assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "misconfigured");
}

#[tokio::test]
async fn another_server_takes_over_and_the_one_that_failed_is_tried_last() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let (first, second) =
        (Relay::start(Target::Address(slapd.plain)).await, Relay::start(Target::Address(slapd.plain)).await);
    let url = |relay: &Relay| format!("ldap://127.0.0.1:{}", relay.port);
    for fault in [Fault::Down, Fault::Hung, Fault::HungAfterAnswers(1), Fault::CutWithinAnswer(1)] {
        first.set(fault);
        let bed = Bed::new(&[url(&first), url(&second)], &json!({}));
        assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "success", "{fault:?}");
        let health = |relay: &Relay, up: u8| {
            bed.metric(&format!(r#"usher_directory_server_up{{directory="corp",url="{}"}} {up}"#, url(relay)))
        };
        assert!(health(&first, 0) && health(&second, 1), "{fault:?}");
        first.set(Fault::None);
        first.has_open(0).await;
        assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "success");
        assert_eq!(first.open(), 0, "it is remembered");
    }
}

#[tokio::test]
async fn a_directory_that_is_gone_is_unreachable_in_time_and_used_again_when_it_is_back() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let bed = Bed::new(&[format!("ldap://127.0.0.1:{}", relay.port)], &json!({}));
    assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "success");
    for fault in [Fault::Down, Fault::Hung, Fault::HungAfterAnswers(1), Fault::CutWithinAnswer(1)] {
        relay.set(fault);
        let before = tokio::time::Instant::now();
        assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "unreachable", "{fault:?}");
        assert!(before.elapsed() < Duration::from_secs(7), "{fault:?}: {:?}", before.elapsed());
        assert!(bed.look_up("ada", "acme").await.is_err(), "{fault:?}");
        relay.set(Fault::None);
        assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "success", "{fault:?}");
        assert!(bed.look_up("ada", "acme").await.unwrap().is_some(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_connection_that_died_unseen_is_replaced_without_anybody_noticing() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let bed = Bed::new(&[format!("ldap://127.0.0.1:{}", relay.port)], &json!({}));
    for _ in 0..3 {
        assert!(bed.look_up("ada", "acme").await.unwrap().is_some());
        relay.set(Fault::Down);
        relay.has_open(0).await;
        relay.set(Fault::None);
    }
    assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "success");
    relay.has_open(1).await;
}

#[tokio::test]
async fn nothing_that_a_server_answers_does_more_than_fail_the_request() {
    let answers: [&[u8]; 8] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        // An answer to a bind that is no result; one without its parts; one whose text is not UTF-8.
        b"\x30\x05\x02\x01\x01\x61\x00",
        b"\x30\x0a\x02\x01\x01\x61\x05\x04\x03abc",
        b"\x30\x0e\x02\x01\x01\x61\x09\x0a\x01\x00\x04\x02\xff\xfe\x04\x00",
        // A control without a name.
        b"\x30\x12\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x04\x30\x02\x30\x00",
        // Notice of disconnection, and a search's entry in answer to a bind.
        b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00",
        b"\x30\x0b\x02\x01\x01\x64\x06\x04\x00\x30\x02\x30\x00",
    ];
    for answer in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let mut servers = tokio::task::JoinSet::new();
        servers.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = client.read(&mut [0; 1024]).await;
                let _ = client.write_all(answer).await;
            }
        });
        let bed = Bed::new(&[url], &json!({}));
        assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "unreachable", "{answer:02x?}");
        assert!(bed.look_up("ada", "acme").await.is_err(), "{answer:02x?}");
    }
}

#[tokio::test]
async fn who_is_read_again_is_as_the_directory_has_them_now() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let bed = Bed::new(&[slapd.plain_url()], &json!({}));
    let mut administrator = slapd.administrator().await;
    let devs = format!("cn=devs,ou=Groups,{BASE}");
    assert_eq!(groups(&bed.look_up("bob", "acme").await.unwrap().unwrap()), ["devs", "tenant-acme"]);
    administrator.remove_value(&devs, "member", &dn_of("bob")).await;
    assert_eq!(groups(&bed.look_up("bob", "acme").await.unwrap().unwrap()), ["tenant-acme"]);
    administrator.set(&dn_of("bob"), "departmentNumber", &["globex"]).await;
    assert_eq!(bed.look_up("bob", "acme").await, Ok(None), "moved to another tenant");
    assert_eq!(bed.look_up("barred", "acme").await, Ok(None), "locked by an administrator");
    assert_eq!(bed.look_up("leaver", "acme").await, Ok(None), "expired");
    for _ in 0..6 {
        let _ = bed.sign_in("guessed", "wrong").await;
    }
    assert!(matches!(bed.sign_in("guessed", PASSWORD).await, Err(SignInError::Unproven(_))));
    assert!(bed.look_up("guessed", "acme").await.unwrap().is_some(), "who is guessed at stays signed in");
    administrator.remove(&dn_of("eve")).await;
    assert_eq!(bed.look_up("eve", "globex").await, Ok(None));
}

#[tokio::test]
async fn what_is_set_up_wrongly_is_said_and_never_taken_for_absence() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let users = |base: &str, filter: &str| json!({ "users": { "base": base, "filter": filter } });
    let people = format!("ou=People,{BASE}");
    let table = [
        (users(&format!("ou=Nobody,{BASE}"), "(uid={user})"), "what people stand under is not there"),
        (users("not a name", "(uid={user})"), "result code 34"),
        (users(&format!("ou=Elsewhere,{BASE}"), "(uid={user})"), "referral"),
        (users(&people, "(|(uid={user})(objectClass=person))"), "more than one entry"),
        (json!({ "bind_dn": format!("cn=nobody,{BASE}") }), "bind_dn cannot sign in"),
        (json!({ "user_attribute": "employeeNumber" }), "user_attribute employeeNumber"),
        (json!({ "groups": [{ "base": format!("ou=Nothing,{BASE}"), "filter": "(member={dn})" }] }), "base of groups"),
    ];
    for (changes, expected) in table {
        let bed = Bed::new(&[slapd.plain_url()], &changes);
        match bed.sign_in("ada", PASSWORD).await {
            Err(SignInError::Misconfigured { directory, detail }) => {
                assert_eq!(directory, "corp");
                assert!(detail.contains(expected), "{changes}: {detail}");
                assert!(!detail.contains(PASSWORD) && !detail.contains(ADMIN_PASSWORD), "{detail}");
            }
            other => panic!("{changes}: {other:?}"),
        }
        // By the attribute that names them, one entry fits, or none.
        if !["more than one entry", "user_attribute employeeNumber"].contains(&expected) {
            assert!(bed.look_up("ada", "acme").await.is_err(), "{changes}");
        }
    }
}

#[tokio::test]
async fn a_reload_keeps_a_directory_that_is_as_before_and_takes_a_changed_password() {
    let (town, authority) = (Town::small(), Authority::new());
    let Some(slapd) = Slapd::start(&town, &authority).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let urls = [format!("ldap://127.0.0.1:{}", relay.port)];
    let bed = Bed::new(&urls, &json!({}));
    assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "success");
    relay.has_open(1).await;
    bed.identity.apply(&config(&bed.folder, &urls, &json!({}))).unwrap();
    assert_eq!(relay.open(), 1, "the connection for searches is kept");
    let changed = config(&bed.folder, &urls, &json!({}));
    std::fs::write(bed.folder.path().join("password"), "another").unwrap();
    bed.identity.apply(&changed).unwrap();
    relay.has_open(0).await;
    assert_eq!(label(&bed.sign_in("ada", PASSWORD).await), "misconfigured");
}
