//! A directory that is away, hangs, breaks off or is not who it says: people who are signed in notice nothing, others
//! are told in time, and when it is back so is everything.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::beds::{
    Authority, DIRECTORY, Fault, PASSWORD_FILE, Relay, Slapd, Target, Town, at_work, attempt, holds, opened,
    read_again, site_of,
};
use crate::support::{Browser, Gateway, Operator, PASSWORD, Socket, eventually, say};

/// The `timeout` of the directory.
const LIMIT: Duration = Duration::from_secs(3);
/// By when a refusal is on the screen: the limit, and what a busy machine adds.
const IN_TIME: Duration = Duration::from_secs(8);

/// A directory at these addresses, with limits that suit a test.
fn hurried(urls: &[String]) -> Value {
    let mut ldap = Slapd::config(urls, PASSWORD_FILE);
    for (key, value) in [("connect_timeout", "700ms"), ("operation_timeout", "700ms"), ("timeout", "3s")] {
        ldap[key] = value.into();
    }
    assert_eq!(LIMIT.as_secs(), 3);
    ldap
}

fn url(relay: &Relay) -> String {
    format!("ldap://127.0.0.1:{}", relay.port)
}

/// What was asked of the directory and not answered.
async fn failures(operator: Operator) -> f64 {
    let metrics = operator.metrics().await;
    let failed = metrics.lines().filter(|line| {
        line.starts_with(&format!("usher_directory_requests_total{{directory=\"{DIRECTORY}\""))
            && !line.contains("result=\"ok\"")
    });
    failed.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

async fn notices_nothing(browser: &Browser, socket: &mut Socket) {
    assert_eq!(browser.fetch("/ide/who").await.status, StatusCode::OK);
    assert_eq!(say(socket, "still there").await, "still there");
}

#[tokio::test]
async fn whatever_befalls_the_directory_those_at_work_notice_nothing_and_others_are_told_in_time() {
    let Some(slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let mut site = site_of(&hurried(&[url(&relay)]));
    let gateway = Gateway::start(&site).await;
    let (ada, mut socket) = at_work(&gateway, "ada").await;
    let faults = [
        Fault::Down,
        Fault::Hung,
        Fault::HungAfterAnswers(0),
        Fault::HungAfterAnswers(1),
        Fault::HungAfterBytes(5),
        Fault::CutWithinAnswer(0),
        Fault::CutWithinAnswer(1),
    ];
    for fault in faults {
        relay.set(fault);
        let (found, body) = timeout(IN_TIME, attempt(&gateway, "bob", PASSWORD)).await.expect("told in time");
        assert_eq!((found.status, found.label.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "unreachable"), "{fault:?}");
        assert!(body.contains("The company directory does not answer at present."), "{fault:?}");
        notices_nothing(&ada, &mut socket).await;
        let before = failures(gateway.operator()).await;
        read_again(&mut site, &gateway).await;
        let in_vain = async || (failures(gateway.operator()).await > before).then_some(());
        eventually("they are read again in vain", in_vain).await;
        notices_nothing(&ada, &mut socket).await;
        relay.set(Fault::None);
        holds(&gateway, &[("bob", PASSWORD, 303, "success")]).await;
    }
    notices_nothing(&ada, &mut socket).await;
}

#[tokio::test]
async fn a_directory_that_hangs_in_the_midst_of_tls_is_away() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let relay = Relay::start(Target::Address(slapd.tls)).await;
    let mut ldap = hurried(&[format!("ldaps://localhost:{}", relay.port)]);
    ldap["ca_file"] = authority.file().display().to_string().into();
    let (_site, gateway) = opened(site_of(&ldap)).await;
    let (ada, mut socket) = at_work(&gateway, "ada").await;
    for fault in [Fault::Down, Fault::Hung, Fault::HungAfterBytes(0), Fault::HungAfterBytes(100)] {
        relay.set(fault);
        timeout(IN_TIME, holds(&gateway, &[("bob", PASSWORD, 503, "unreachable")])).await.expect("told in time");
        notices_nothing(&ada, &mut socket).await;
        relay.set(Fault::None);
        holds(&gateway, &[("bob", PASSWORD, 303, "success")]).await;
    }
}

#[tokio::test]
async fn a_server_with_the_name_of_another_hears_no_password() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start(&Town::small(), &authority).await else { return };
    let Some(other) = Slapd::named(&Town::small(), &authority, &["directory.example.com"]).await else { return };
    let relay = Relay::start(Target::Address(slapd.tls)).await;
    let mut ldap = hurried(&[format!("ldaps://localhost:{}", relay.port)]);
    ldap["ca_file"] = authority.file().display().to_string().into();
    let mut site = site_of(&ldap);
    let gateway = Gateway::start(&site).await;
    let (ada, mut socket) = at_work(&gateway, "ada").await;
    relay.lead_to(Target::Address(other.tls));
    relay.set(Fault::Down);
    relay.has_open(0).await;
    relay.set(Fault::None);
    holds(&gateway, &[("bob", PASSWORD, 503, "misconfigured")]).await;
    let before = failures(gateway.operator()).await;
    read_again(&mut site, &gateway).await;
    eventually("they are read again in vain", async || (failures(gateway.operator()).await > before).then_some(()))
        .await;
    notices_nothing(&ada, &mut socket).await;
    relay.lead_to(Target::Address(slapd.tls));
    holds(&gateway, &[("bob", PASSWORD, 303, "success")]).await;
    notices_nothing(&ada, &mut socket).await;
}

#[tokio::test]
async fn the_next_server_is_asked_when_the_first_is_away_or_hangs() {
    let Some(slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    for fault in [Fault::Down, Fault::Hung, Fault::HungAfterAnswers(1), Fault::CutWithinAnswer(0)] {
        let first = Relay::start(Target::Address(slapd.plain)).await;
        let second = Relay::start(Target::Address(slapd.plain)).await;
        let (_site, gateway) = opened(site_of(&hurried(&[url(&first), url(&second)]))).await;
        let (ada, mut socket) = at_work(&gateway, "ada").await;
        assert_eq!(second.open(), 0, "the first one answers");
        first.set(fault);
        for user in ["bob", "eve"] {
            timeout(IN_TIME, holds(&gateway, &[(user, PASSWORD, 303, "success")])).await.expect("in time");
        }
        assert!(second.open() > 0, "{fault:?}");
        let up = async |relay: &Relay| {
            let series = format!("usher_directory_server_up{{directory=\"{DIRECTORY}\",url=\"{}\"}}", url(relay));
            gateway.operator().value(&series).await
        };
        assert_eq!((up(&first).await, up(&second).await), (0.0, 1.0), "{fault:?}");
        notices_nothing(&ada, &mut socket).await;
        // Both are away, and the first one comes back.
        second.set(Fault::Down);
        timeout(IN_TIME, holds(&gateway, &[("bob", PASSWORD, 503, "unreachable")])).await.expect("told in time");
        first.set(Fault::None);
        holds(&gateway, &[("bob", PASSWORD, 303, "success")]).await;
        notices_nothing(&ada, &mut socket).await;
    }
}

#[tokio::test]
async fn a_directory_that_is_started_after_the_gateway_and_again_is_used() {
    let Some(mut slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    slapd.stop();
    let (_site, gateway) = opened(site_of(&hurried(&[slapd.plain_url()]))).await;
    holds(&gateway, &[("ada", PASSWORD, 503, "unreachable")]).await;
    for _ in 0..2 {
        slapd.start_again().await;
        holds(&gateway, &[("ada", PASSWORD, 303, "success"), ("ada", "wrong", 401, "wrong-credentials")]).await;
        slapd.stop();
        holds(&gateway, &[("ada", PASSWORD, 503, "unreachable")]).await;
    }
    let health = gateway.operator().ready().await;
    assert_eq!(health.0, StatusCode::OK, "a directory that is away is no reason to take the gateway out: {health:?}");
    assert_eq!(health.1["ready"], json!(true));
}
