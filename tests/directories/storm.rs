//! Monday at nine: everybody signs in at once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::StatusCode;
use tokio::time::{Duration, timeout};

use crate::beds::{Authority, Fault, PASSWORD_FILE, Relay, Slapd, Target, Town, counted, opened, site_of};
use crate::support::{Gateway, PASSWORD};

/// How many people come at once.
const PEOPLE: usize = 500;
/// Sign-ins that are checked at once.
const AT_ONCE: usize = 8;
/// Within which everybody has an answer, on a busy machine.
const ALL_TOLD: Duration = Duration::from_secs(60);

#[tokio::test]
async fn five_hundred_people_at_once_get_in_or_are_told_that_it_is_busy() {
    let town = Town::large();
    let Some(slapd) = Slapd::start(&town, &Authority::new()).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let mut ldap = Slapd::config(&[format!("ldap://127.0.0.1:{}", relay.port)], PASSWORD_FILE);
    ldap["max_binds"] = AT_ONCE.into();
    let mut site = site_of(&ldap);
    site.set("listen.threads", 2.into()).write();
    let gateway = Gateway::start(&site).await;
    let sign_in = async |at: usize| {
        let browser = gateway.browser();
        let answer = browser.try_sign_in(&town.person(at), PASSWORD).await;
        (answer.status, answer.header("retry-after").to_owned())
    };
    let everybody = join_all((0..PEOPLE).map(sign_in));
    let most = relay.watch_most();
    let answers = timeout(ALL_TOLD, everybody).await.expect("everybody is told");
    let mut by_status = BTreeMap::<u16, usize>::new();
    for (status, retry_after) in answers {
        *by_status.entry(status.as_u16()).or_default() += 1;
        assert!(status == StatusCode::SEE_OTHER || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        assert_eq!(status == StatusCode::SERVICE_UNAVAILABLE, !retry_after.is_empty(), "busy says when to come back");
    }
    assert!(by_status.get(&303).is_some_and(|count| *count > 0), "{by_status:?}");
    let counted = counted(gateway.operator()).await;
    let known = counted.iter().all(|(label, _)| ["success", "busy"].contains(&label.as_str()));
    assert!(known && counted.values().sum::<u64>() == PEOPLE as u64, "{counted:?}");
    // One is the connection that searches, and others that are closing are still open here.
    let most = most.load(std::sync::atomic::Ordering::Relaxed);
    assert!((2..=2 * AT_ONCE).contains(&most), "{most} connections at once");
}

#[tokio::test]
async fn nobody_waits_for_ever_behind_a_directory_that_hangs() {
    let town = Town::large();
    let Some(slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    let relay = Relay::start(Target::Address(slapd.plain)).await;
    let mut ldap = Slapd::config(&[format!("ldap://127.0.0.1:{}", relay.port)], PASSWORD_FILE);
    ldap["max_binds"] = AT_ONCE.into();
    (ldap["connect_timeout"], ldap["operation_timeout"], ldap["timeout"]) = ("2s".into(), "2s".into(), "4s".into());
    let (_site, gateway) = opened(site_of(&ldap)).await;
    relay.set(Fault::Hung);
    let sign_in = async |at: usize| gateway.browser().try_sign_in(&town.person(at), PASSWORD).await.status;
    // Eight wait for 2 to 4 s each, and nobody waits for their turn for more than 10 s.
    let statuses = timeout(ALL_TOLD, join_all((0..100).map(sign_in))).await.expect("everybody is told");
    assert!(statuses.iter().all(|status| *status == StatusCode::SERVICE_UNAVAILABLE), "{statuses:?}");
    let counted = counted(gateway.operator()).await;
    assert_eq!(counted.keys().collect::<Vec<_>>(), ["busy", "unreachable"], "{counted:?}");
    relay.set(Fault::None);
    assert_eq!(gateway.browser().try_sign_in("ada", PASSWORD).await.status, StatusCode::SEE_OTHER);
}
