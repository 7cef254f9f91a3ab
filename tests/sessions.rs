//! Browser logins over restarts, key rotations and changes of the users file.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use usher::clock::{Clock, ManualClock};
use usher::config::Config;
use usher::identity::{Directory, Identity, LookUpError, Password, Person, SignInError};
use usher::metrics::Metrics;
use usher::model::{Principal, Timestamp, UserId};
use usher::session::{Authentication, EndReason, Session, Sessions, Whom, revoke};

const CONFIG: &str = r#"
public_url: https://dev.example.com
state_dir: FOLDER/state
listen: { public: { address: "127.0.0.1:0", tls: { certificate: c, key: k } } }
session: { keys: [ KEYS ], lifetime: 12h, idle: 2h }
identity: { directories: [ { name: local, users_file: { path: FOLDER/users.yaml } } ] }
"#;
const USERS: [&str; 2] =
    ["- { name: ann, tenant: acme, password: HASH }", "- { name: bob, tenant: acme, password: HASH }"];
/// argon2id of something, cheap to check.
const HASH: &str = "'$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMTI'";
const HOUR: Duration = Duration::from_secs(3600);

struct Fixture {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for key in ["k1", "k2"] {
            std::fs::write(folder.path().join(key), format!("{key} stands for 32 random bytes or more"))
                .expect("written");
        }
        let fixture = Self { folder, clock: ManualClock::at(Timestamp::from_secs(1_700_000_000)) };
        fixture.write_users(&USERS);
        fixture
    }

    fn write_users(&self, users: &[&str]) {
        let text = format!("users:\n{}\n", users.join("\n").replace("HASH", HASH));
        std::fs::write(self.folder.path().join("users.yaml"), text).expect("written");
    }

    fn config(&self, keys: &[&str]) -> Config {
        let keys: Vec<_> = keys.iter().map(|key| format!("{{ id: {key}, file: FOLDER/{key} }}")).collect();
        let text =
            CONFIG.replace("KEYS", &keys.join(", ")).replace("FOLDER", &self.folder.path().display().to_string());
        serde_saphyr::from_str(&text).expect("a configuration")
    }

    fn identity(&self) -> Identity {
        Identity::build(&self.config(&["k1"])).expect("builds")
    }

    /// A gateway's sessions, as after a start of the process.
    fn open(&self, keys: &[&str]) -> Sessions {
        self.open_with(keys, self.identity())
    }

    fn open_with(&self, keys: &[&str], identity: Identity) -> Sessions {
        let metrics = Metrics::new(prometheus::Registry::new(), 10);
        Sessions::open_store(&self.config(keys), identity, self.clock.clone(), metrics).expect("opens")
    }

    async fn principal(&self, user: &str) -> Principal {
        let user = UserId::new(user).expect("a user");
        let tenant = "acme".parse().expect("a tenant");
        self.identity().look_up("local", &user, &tenant).await.expect("can tell").expect("is there")
    }

    async fn sign_in(&self, sessions: &Sessions, user: &str) -> (Arc<Session>, String) {
        let (session, line) = sessions.start(self.principal(user).await);
        (session, value_of(&line))
    }
}

/// The cookie's value in a `Set-Cookie` line.
fn value_of(line: &str) -> String {
    let value = line.strip_prefix("__Host-usher=").and_then(|rest| rest.split(';').next());
    value.expect("our cookie").to_owned()
}

/// Writes the state files, as at an orderly end of the process.
async fn close(sessions: &Sessions) {
    let stop = CancellationToken::new();
    stop.cancel();
    sessions.run(stop).await;
}

/// What a request with this cookie finds, the directory asked if need be: a session, or why there is none.
async fn request(sessions: &Sessions, cookie: &str) -> Result<Arc<Session>, &'static str> {
    let first = sessions.authenticate(cookie);
    let answer = match first {
        Authentication::Revivable(claims) => sessions.revive(claims).await,
        other => other,
    };
    match answer {
        Authentication::Valid { session, .. } => Ok(session),
        Authentication::Invalid(why) => Err(why),
        other => panic!("not an answer to a request: {other:?}"),
    }
}

fn renewal(sessions: &Sessions, cookie: &str) -> Option<String> {
    match sessions.authenticate(cookie) {
        Authentication::Valid { renew, .. } => renew,
        other => panic!("not valid: {other:?}"),
    }
}

#[tokio::test]
async fn a_session_lasts_from_sign_in_to_sign_out() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (session, line) = sessions.start(fixture.principal("ann").await);
    assert!(line.ends_with("; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Lax"), "{line}");
    let cookie = value_of(&line);
    assert!("__Host-usher=".len() + cookie.len() < 300);
    let found = request(&sessions, &cookie).await.expect("signed in");
    assert_eq!((found.id(), found.principal().user.as_str()), (session.id(), "ann"));
    assert!(!session.ended().is_cancelled());

    sessions.end(session.id(), EndReason::SignedOut);
    assert!(session.ended().is_cancelled());
    assert_eq!(session.end_reason(), Some(EndReason::SignedOut));
    assert_eq!(request(&sessions, &cookie).await.err(), Some("ended"));
    assert!(sessions.clear_cookie().starts_with("__Host-usher=; Path=/; Max-Age=0;"));
}

#[tokio::test]
async fn every_sign_in_gets_an_id_and_form_token_of_its_own() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (one, first) = fixture.sign_in(&sessions, "ann").await;
    let (two, second) = fixture.sign_in(&sessions, "ann").await;
    assert!(one.id() != two.id() && first != second);
    assert!(one.verify_form_token(&one.form_token()));
    assert!(!one.verify_form_token(&two.form_token()));
    assert!(!one.verify_form_token(""));
    assert!(!first.contains(&one.form_token()));
}

#[tokio::test]
async fn a_session_comes_back_after_a_restart_with_the_same_form_token() {
    let fixture = Fixture::new();
    let before = fixture.open(&["k1"]);
    let (session, cookie) = fixture.sign_in(&before, "ann").await;
    close(&before).await;

    let after = fixture.open(&["k1"]);
    assert!(matches!(after.authenticate(&cookie), Authentication::Revivable(_)));
    let revived = request(&after, &cookie).await.expect("revived");
    assert_eq!(revived.id(), session.id());
    assert_eq!(revived.opened(), session.opened());
    assert_eq!(revived.form_token(), session.form_token());
    assert!(matches!(after.authenticate(&cookie), Authentication::Valid { .. }), "known from now on");
}

#[tokio::test]
async fn a_session_that_was_ended_does_not_come_back_after_a_restart() {
    let fixture = Fixture::new();
    let before = fixture.open(&["k1"]);
    let (one, out) = fixture.sign_in(&before, "ann").await;
    let (_, everywhere) = fixture.sign_in(&before, "bob").await;
    let (_, stays) = fixture.sign_in(&before, "ann").await;
    before.end(one.id(), EndReason::SignedOut);
    let bob = fixture.principal("bob").await;
    assert_eq!(before.end_user(&bob.tenant, &bob.user, EndReason::SignedOutEverywhere), 1);
    close(&before).await;

    let after = fixture.open(&["k1"]);
    assert_eq!(request(&after, &out).await.err(), Some("ended"));
    assert_eq!(request(&after, &everywhere).await.err(), Some("ended"));
    assert!(request(&after, &stays).await.is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    let (_, anew) = fixture.sign_in(&after, "bob").await;
    close(&after).await;
    assert!(request(&fixture.open(&["k1"]), &anew).await.is_ok(), "a new sign-in is not held back");
}

#[tokio::test]
async fn signing_out_everywhere_reaches_sessions_that_were_not_used_since_the_restart() {
    let fixture = Fixture::new();
    let (session, cookie) = fixture.sign_in(&fixture.open(&["k1"]), "ann").await;
    let after = fixture.open(&["k1"]);
    let ann = session.principal();
    assert_eq!(after.end_user(&ann.tenant, &ann.user, EndReason::Revoked), 0);
    assert_eq!(request(&after, &cookie).await.err(), Some("ended"));
}

#[tokio::test]
async fn ends_are_written_while_the_process_runs() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (session, _) = fixture.sign_in(&sessions, "ann").await;
    let stop = CancellationToken::new();
    let file = fixture.folder.path().join("state/sessions/ended");
    let written = async {
        sessions.end(session.id(), EndReason::SignedOut);
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.starts_with("session ")) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let both = async { tokio::join!(sessions.run(stop.clone()), written) };
    tokio::time::timeout(Duration::from_secs(10), both).await.expect("written within the bound");
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_used_costs_nothing_but_memory_of_the_past() {
    let fixture = Fixture::new();
    std::fs::write(fixture.folder.path().join("state"), "a file where the folder should be").expect("written");
    let sessions = fixture.open(&["k1"]);
    fixture.clock.advance(Duration::from_secs(1));
    let (session, cookie) = fixture.sign_in(&sessions, "ann").await;
    assert!(request(&sessions, &cookie).await.is_ok());
    sessions.end(session.id(), EndReason::SignedOut);
    close(&sessions).await;
    assert_eq!(request(&sessions, &cookie).await.err(), Some("ended"));
}

#[tokio::test]
async fn lifetime_ends_a_session_however_much_it_is_used() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (session, mut cookie) = fixture.sign_in(&sessions, "ann").await;
    for _ in 0..11 {
        fixture.clock.advance(HOUR);
        if let Some(line) = renewal(&sessions, &cookie) {
            cookie = value_of(&line);
        }
    }
    fixture.clock.advance(HOUR - Duration::from_secs(1));
    assert!(request(&sessions, &cookie).await.is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(request(&sessions, &cookie).await.err(), Some("lifetime"));
    assert!(session.ended().is_cancelled());
    assert_eq!(request(&fixture.open(&["k1"]), &cookie).await.err(), Some("lifetime"), "nor after a restart");
}

#[tokio::test]
async fn the_sweep_ends_idle_sessions_and_a_tunnel_keeps_one() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (idle, idle_cookie) = fixture.sign_in(&sessions, "ann").await;
    let (busy, _) = fixture.sign_in(&sessions, "bob").await;
    fixture.clock.advance(HOUR);
    busy.touch(fixture.clock.now());
    fixture.clock.advance(HOUR);
    sessions.sweep();
    assert_eq!(idle.end_reason(), Some(EndReason::Idle));
    assert!(idle.ended().is_cancelled() && !busy.ended().is_cancelled());
    assert_eq!(request(&sessions, &idle_cookie).await.err(), Some("idle"));
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_a_session_learns_of_its_end_within_two_seconds() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (session, _) = fixture.sign_in(&sessions, "ann").await;
    fixture.clock.advance(HOUR * 2);
    tokio::select! {
        () = sessions.run(CancellationToken::new()) => panic!("runs until it is stopped"),
        told = tokio::time::timeout(Duration::from_secs(2), session.ended().cancelled()) => told.expect("in time"),
    }
    assert_eq!(session.end_reason(), Some(EndReason::Idle));
}

#[tokio::test]
async fn use_by_a_tunnel_alone_counts_after_a_restart_too() {
    let fixture = Fixture::new();
    let before = fixture.open(&["k1"]);
    let (session, cookie) = fixture.sign_in(&before, "ann").await;
    for _ in 0..3 {
        fixture.clock.advance(HOUR);
        session.touch(fixture.clock.now());
    }
    close(&before).await;
    let after = fixture.open(&["k1"]);
    assert!(request(&after, &cookie).await.is_ok(), "used a moment ago, though the cookie says three hours");
    close(&after).await;
    fixture.clock.advance(HOUR * 2);
    assert_eq!(request(&fixture.open(&["k1"]), &cookie).await.err(), Some("idle"));
}

#[tokio::test]
async fn a_cookie_is_renewed_once_in_an_eighth_of_the_idle_limit() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (_, cookie) = fixture.sign_in(&sessions, "ann").await;
    fixture.clock.advance(Duration::from_secs(899));
    assert_eq!(renewal(&sessions, &cookie), None);
    fixture.clock.advance(Duration::from_secs(1));
    let line = renewal(&sessions, &cookie).expect("it is time");
    assert!(line.contains("; Max-Age=42300; "), "{line}");
    assert_eq!(renewal(&sessions, &cookie), None, "requests beside it do not get one each");
    assert_eq!(renewal(&sessions, &value_of(&line)), None);
    fixture.clock.advance(Duration::from_secs(900));
    assert!(renewal(&sessions, &cookie).is_some(), "the first one may have been lost");
}

#[tokio::test]
async fn an_older_cookie_of_the_same_session_stays_good_and_ends_with_it() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (session, old) = fixture.sign_in(&sessions, "ann").await;
    fixture.clock.advance(HOUR);
    let new = value_of(&renewal(&sessions, &old).expect("it is time"));
    for cookie in [&old, &new, &old, &new] {
        assert!(request(&sessions, cookie).await.is_ok());
    }
    sessions.end(session.id(), EndReason::SignedOut);
    for cookie in [&old, &new] {
        assert_eq!(request(&sessions, cookie).await.err(), Some("ended"));
    }
}

#[tokio::test]
async fn an_old_key_verifies_until_it_is_taken_out_and_then_its_sessions_end() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (old, old_cookie) = fixture.sign_in(&sessions, "ann").await;

    sessions.apply(&fixture.config(&["k2", "k1"])).expect("applies");
    let (new, new_cookie) = fixture.sign_in(&sessions, "ann").await;
    assert!(request(&sessions, &old_cookie).await.is_ok());
    assert!(request(&fixture.open(&["k2", "k1"]), &old_cookie).await.is_ok(), "after a restart too");
    fixture.clock.advance(HOUR);
    let renewed = value_of(&renewal(&sessions, &old_cookie).expect("it is time"));

    sessions.apply(&fixture.config(&["k2"])).expect("applies");
    assert_eq!(old.end_reason(), Some(EndReason::KeyRemoved));
    assert!(request(&sessions, &old_cookie).await.is_err());
    assert!(request(&sessions, &renewed).await.is_err(), "renewing does not launder a session of a leaked key");
    assert!(!new.ended().is_cancelled());
    assert!(request(&sessions, &new_cookie).await.is_ok());
}

#[tokio::test]
async fn a_key_that_cannot_be_read_changes_nothing() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (_, cookie) = fixture.sign_in(&sessions, "ann").await;
    assert!(sessions.apply(&fixture.config(&["k3", "k1"])).is_err());
    assert!(request(&sessions, &cookie).await.is_ok());
}

#[tokio::test]
async fn who_leaves_the_users_file_is_signed_out_and_who_changes_has_the_new_rights() {
    let fixture = Fixture::new();
    let identity = fixture.identity();
    let sessions = fixture.open_with(&["k1"], identity.clone());
    let (ann, _) = fixture.sign_in(&sessions, "ann").await;
    let (bob, bob_cookie) = fixture.sign_in(&sessions, "bob").await;

    fixture.write_users(&["- { name: ann, tenant: acme, password: HASH, groups: [desktop-users] }"]);
    identity.apply(&fixture.config(&["k1"])).expect("applies");
    let refreshed = sessions.refresh_principals().await;
    assert_eq!((refreshed.changed, refreshed.ended, refreshed.unknown), (1, 1, 0));
    assert!(ann.principal().in_group("desktop-users") && !ann.ended().is_cancelled());
    assert_eq!(bob.end_reason(), Some(EndReason::AccessWithdrawn));
    assert!(bob.ended().is_cancelled());

    fixture.write_users(&USERS);
    identity.apply(&fixture.config(&["k1"])).expect("applies");
    assert_eq!(request(&sessions, &bob_cookie).await.err(), Some("ended"), "coming back takes a new sign-in");
}

#[tokio::test]
async fn who_is_disabled_moved_or_gone_is_not_revived() {
    let fixture = Fixture::new();
    let (_, cookie) = fixture.sign_in(&fixture.open(&["k1"]), "ann").await;
    for users in [
        "- { name: ann, tenant: acme, password: HASH, disabled: true }",
        "- { name: ann, tenant: other, password: HASH }",
        "- { name: bob, tenant: acme, password: HASH }",
    ] {
        fixture.write_users(&[users]);
        assert_eq!(request(&fixture.open(&["k1"]), &cookie).await.err(), Some("access withdrawn"), "{users}");
    }
}

/// A directory that cannot tell.
struct Down;

#[async_trait]
impl Directory for Down {
    fn name(&self) -> &str {
        "local"
    }

    async fn verify(&self, _: &str, _: &Password) -> Result<Person, SignInError> {
        Err(SignInError::Unreachable { directory: "local".to_owned() })
    }

    async fn look_up(&self, _: &UserId) -> Result<Option<Person>, LookUpError> {
        Err(LookUpError { directory: "local".to_owned(), detail: "down".to_owned() })
    }
}

#[tokio::test]
async fn a_directory_that_is_down_neither_ends_sessions_nor_takes_cookies_away() {
    let fixture = Fixture::new();
    let down = Identity::of(vec![Arc::new(Down)], &fixture.config(&["k1"]));
    let sessions = fixture.open_with(&["k1"], down);
    let (session, _) = fixture.sign_in(&sessions, "ann").await;
    assert_eq!(sessions.refresh_principals().await.unknown, 1);
    assert!(!session.ended().is_cancelled());

    let (_, cookie) = fixture.sign_in(&fixture.open(&["k1"]), "bob").await;
    let Authentication::Revivable(claims) = sessions.authenticate(&cookie) else { panic!("genuine and not known") };
    assert!(matches!(sessions.revive(claims).await, Authentication::Unknown));
}

#[tokio::test]
async fn requests_that_revive_one_session_together_share_it() {
    let fixture = Fixture::new();
    let (_, cookie) = fixture.sign_in(&fixture.open(&["k1"]), "ann").await;
    let sessions = fixture.open(&["k1"]);
    let (one, two) = tokio::join!(request(&sessions, &cookie), request(&sessions, &cookie));
    assert!(Arc::ptr_eq(&one.expect("revived"), &two.expect("revived")));
}

#[tokio::test]
async fn a_session_that_is_signed_out_while_it_is_revived_stays_out() {
    let fixture = Fixture::new();
    let (session, cookie) = fixture.sign_in(&fixture.open(&["k1"]), "ann").await;
    let sessions = fixture.open(&["k1"]);
    let Authentication::Revivable(claims) = sessions.authenticate(&cookie) else { panic!("genuine and not known") };
    sessions.end(session.id(), EndReason::SignedOut);
    assert!(matches!(sessions.revive(claims).await, Authentication::Invalid("ended")));
}

#[tokio::test]
async fn a_user_with_names_too_long_for_a_cookie_can_work_but_signs_in_again_after_a_restart() {
    let fixture = Fixture::new();
    let long = "l".repeat(250);
    fixture.write_users(&[&format!("- {{ name: {long}, tenant: acme, password: HASH }}")]);
    let sessions = fixture.open(&["k1"]);
    let (_, cookie) = fixture.sign_in(&sessions, &long).await;
    assert!(!cookie.contains(&long));
    assert!(request(&sessions, &cookie).await.is_ok());
    assert_eq!(request(&fixture.open(&["k1"]), &cookie).await.err(), Some("not revivable"));
}

#[tokio::test]
async fn worthless_cookies_are_told_apart_for_the_log() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (_, good) = fixture.sign_in(&sessions, "ann").await;
    let foreign = fixture.sign_in(&fixture.open(&["k2"]), "ann").await.1;
    let tampered = format!("{}{}", &good[..good.len() - 4], if good.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    let table = [
        ("", "malformed"),
        ("garbage", "malformed"),
        ("%00", "malformed"),
        (foreign.as_str(), "unknown key"),
        (tampered.as_str(), "bad signature"),
    ];
    for (cookie, expected) in table {
        assert_eq!(request(&sessions, cookie).await.err(), Some(expected), "{cookie:?}");
    }
    fixture.clock.set(Timestamp::from_secs(1_700_000_000) - HOUR);
    let elsewhere = fixture.open(&["k1"]);
    assert_eq!(request(&elsewhere, &good).await.err(), Some("from the future"));
}

#[tokio::test]
async fn rights_that_change_while_a_password_is_checked_hold_for_the_session_that_it_opens() {
    let fixture = Fixture::new();
    let identity = fixture.identity();
    let sessions = fixture.open_with(&["k1"], identity.clone());
    let (ann, bob) = (fixture.principal("ann").await, fixture.principal("bob").await);
    let generation = identity.generation();
    // Their passwords were right; before their sessions are there, everybody who has one is read again.
    fixture.write_users(&["- { name: bob, tenant: acme, password: HASH, groups: [ new ] }"]);
    identity.apply(&fixture.config(&["k1"])).expect("applies");
    sessions.refresh_principals().await;
    let ((ann, _), (bob, _)) = (sessions.start(ann), sessions.start(bob));
    sessions.catch_up(&ann, generation).await;
    sessions.catch_up(&bob, generation).await;
    assert!(ann.ended().is_cancelled(), "she is gone from the directory");
    assert_eq!(bob.principal().groups.len(), 1);
    assert!(!bob.ended().is_cancelled());
}

#[tokio::test]
async fn what_was_prepared_is_not_in_force_until_it_is_adopted() {
    let fixture = Fixture::new();
    let identity = fixture.identity();
    let sessions = fixture.open_with(&["k1"], identity.clone());
    let (ann, _) = fixture.sign_in(&sessions, "ann").await;
    fixture.write_users(&[USERS[1]]);
    let people = identity.prepare(&fixture.config(&["k2"])).expect("is read");
    let keys = sessions.prepare(&fixture.config(&["k2"])).expect("is read");
    sessions.refresh_principals().await;
    assert!(!ann.ended().is_cancelled(), "something else of the configuration may fail still");
    identity.adopt(people);
    sessions.adopt(keys);
    assert!(ann.ended().is_cancelled());
}

/// A directory that tells what it was told to, and counts.
#[derive(Default)]
struct Counting {
    asked: std::sync::Mutex<Vec<(String, tokio::time::Duration)>>,
    at_once: std::sync::atomic::AtomicUsize,
    most_at_once: std::sync::atomic::AtomicUsize,
    hangs: std::sync::atomic::AtomicBool,
    begun: std::sync::OnceLock<tokio::time::Instant>,
}

#[async_trait]
impl Directory for Counting {
    fn name(&self) -> &str {
        "local"
    }

    async fn verify(&self, _: &str, _: &Password) -> Result<Person, SignInError> {
        Err(SignInError::WrongCredentials)
    }

    async fn look_up(&self, user: &UserId) -> Result<Option<Person>, LookUpError> {
        use std::sync::atomic::Ordering::SeqCst;
        let begun = *self.begun.get_or_init(tokio::time::Instant::now);
        self.asked.lock().expect("whole").push((user.to_string(), begun.elapsed()));
        self.most_at_once.fetch_max(self.at_once.fetch_add(1, SeqCst) + 1, SeqCst);
        if self.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.at_once.fetch_sub(1, SeqCst);
        Ok((!user.as_str().starts_with("gone")).then(|| person(user)))
    }
}

fn person(user: &UserId) -> Person {
    Person {
        user: user.clone(),
        display_name: None,
        groups: Arc::from([]),
        tenant: Some("acme".parse().expect("a tenant")),
        dn: None,
        claims: Arc::default(),
        source: Arc::from("local"),
    }
}

fn counted(fixture: &Fixture) -> (Arc<Counting>, Sessions) {
    let directory = Arc::new(Counting::default());
    let _ = directory.begun.set(tokio::time::Instant::now());
    let identity = Identity::of(vec![directory.clone()], &fixture.config(&["k1"]));
    (directory, fixture.open_with(&["k1"], identity))
}

async fn signed_in(fixture: &Fixture, sessions: &Sessions, user: &str) -> Arc<Session> {
    let principal = Principal { user: UserId::new(user).expect("a user"), ..fixture.principal("ann").await };
    sessions.start(principal).0
}

#[tokio::test(start_paused = true)]
async fn people_are_read_again_once_in_an_interval_each_at_a_time_of_their_own() {
    let fixture = Fixture::new();
    let (directory, sessions) = counted(&fixture);
    for at in 0..600 {
        let user = format!("user{at}");
        // Two browsers of one user are one question.
        signed_in(&fixture, &sessions, &user).await;
        signed_in(&fixture, &sessions, &user).await;
    }
    let stop = CancellationToken::new();
    let round = tokio::time::timeout(Duration::from_secs(301), sessions.run(stop));
    assert!(round.await.is_err());
    let asked = directory.asked.lock().expect("whole").clone();
    let users: std::collections::HashSet<_> = asked.iter().map(|(user, _)| user).collect();
    assert_eq!(users.len(), 600, "everybody");
    assert!(asked.len() < 620, "{} questions", asked.len());
    let busiest = (0..301).map(|second| asked.iter().filter(|(_, at)| at.as_secs() == second).count()).max();
    assert!(busiest.is_some_and(|most| most <= 20), "{busiest:?} in one second");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_hangs_is_asked_for_a_few_and_then_no_more_and_ends_nothing() {
    let fixture = Fixture::new();
    let (directory, sessions) = counted(&fixture);
    let mut all = Vec::new();
    for at in 0..100 {
        all.push(signed_in(&fixture, &sessions, &format!("user{at}")).await);
    }
    directory.hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    let refreshed = tokio::time::timeout(Duration::from_secs(600), sessions.refresh_principals()).await;
    assert_eq!(refreshed.expect("bounded").unknown, 100);
    let asked = directory.most_at_once.load(std::sync::atomic::Ordering::SeqCst);
    assert!((8..16).contains(&asked), "{asked} were asked for, and none came back");
    assert!(all.iter().all(|session| !session.ended().is_cancelled()));
}

/// A directory that never answers.
struct Hung;

#[async_trait]
impl Directory for Hung {
    fn name(&self) -> &str {
        "hung"
    }

    async fn verify(&self, _: &str, _: &Password) -> Result<Person, SignInError> {
        std::future::pending().await
    }

    async fn look_up(&self, _: &UserId) -> Result<Option<Person>, LookUpError> {
        std::future::pending().await
    }
}

/// Ten people who are gone from one directory, beside many of another that hangs.
async fn gone_beside_a_hung_directory(fixture: &Fixture) -> (Sessions, Vec<Arc<Session>>) {
    let directories: Vec<Arc<dyn Directory>> = vec![Arc::new(Hung), Arc::<Counting>::default()];
    let sessions = fixture.open_with(&["k1"], Identity::of(directories, &fixture.config(&["k1"])));
    for at in 0..600 {
        let user = UserId::new(&format!("user{at}")).expect("a user");
        let _ = sessions.start(Principal { user, source: Arc::from("hung"), ..fixture.principal("ann").await });
    }
    let mut gone = Vec::new();
    for at in 0..10 {
        gone.push(signed_in(fixture, &sessions, &format!("gone{at}")).await);
    }
    (sessions, gone)
}

async fn all_end(sessions: &[Arc<Session>]) {
    for session in sessions {
        session.ended().cancelled().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_hangs_does_not_delay_who_is_gone_from_another() {
    let fixture = Fixture::new();
    let (sessions, gone) = gone_beside_a_hung_directory(&fixture).await;
    let interval = tokio::time::timeout(Duration::from_secs(302), all_end(&gone));
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(async { (interval.await, stop.cancel()).0 }, sessions.run(stop.clone()));
    assert!(ended.is_ok(), "within an interval");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_hangs_does_not_delay_another_after_a_reload() {
    let fixture = Fixture::new();
    let (sessions, gone) = gone_beside_a_hung_directory(&fixture).await;
    let at_once = tokio::time::timeout(Duration::from_secs(1), all_end(&gone));
    let (ended, refreshed) = tokio::join!(at_once, sessions.refresh_principals());
    assert!(ended.is_ok(), "at once");
    assert_eq!((refreshed.ended, refreshed.unknown), (10, 600));
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_loses_their_sessions_within_an_interval_and_the_others_keep_theirs() {
    let fixture = Fixture::new();
    let (directory, sessions) = counted(&fixture);
    let gone = signed_in(&fixture, &sessions, "gone").await;
    let stays = signed_in(&fixture, &sessions, "stays").await;
    let run = tokio::time::timeout(Duration::from_secs(310), sessions.run(CancellationToken::new()));
    let (ended, _) = tokio::join!(tokio::time::timeout(Duration::from_secs(305), gone.ended().cancelled()), run);
    assert!(ended.is_ok());
    assert_eq!(gone.end_reason(), Some(EndReason::AccessWithdrawn));
    assert!(!stays.ended().is_cancelled());
    assert!(directory.most_at_once.load(std::sync::atomic::Ordering::SeqCst) <= 8);
}

#[tokio::test]
async fn what_an_operator_revokes_ends_in_memory_and_out_of_it_and_a_new_sign_in_holds() {
    let fixture = Fixture::new();
    let config = fixture.config(&["k1"]);
    let (_, forgotten) = fixture.sign_in(&fixture.open(&["k1"]), "ann").await;
    let sessions = fixture.open(&["k1"]);
    let (session, cookie) = fixture.sign_in(&sessions, "ann").await;
    let (other, _) = fixture.sign_in(&sessions, "bob").await;
    let (tenant, user) = ("acme".parse().expect("a tenant"), UserId::new("ann").expect("a user"));
    assert!(!sessions.bars(&tenant, &user, session.opened()));

    let whom = Whom::User { tenant: None, user: UserId::new("ANN").expect("a user") };
    revoke(&config, whom, fixture.clock.now()).expect("written");
    sessions.exchange_ends().await;
    assert_eq!(session.end_reason(), Some(EndReason::Revoked));
    assert_eq!(other.end_reason(), None);
    for cookie in [&cookie, &forgotten] {
        assert_eq!(request(&sessions, cookie).await.err(), Some("ended"));
        assert_eq!(request(&fixture.open(&["k1"]), cookie).await.err(), Some("ended"), "after a restart too");
    }
    assert!(sessions.bars(&tenant, &user, session.opened()), "bearer tokens from before");

    fixture.clock.advance(Duration::from_secs(1));
    let (_, cookie) = fixture.sign_in(&sessions, "ann").await;
    sessions.exchange_ends().await;
    assert!(request(&sessions, &cookie).await.is_ok());
    assert!(request(&fixture.open(&["k1"]), &cookie).await.is_ok());
}

#[tokio::test]
async fn a_revocation_is_not_lost_to_a_gateway_that_writes_the_file_anew() {
    let fixture = Fixture::new();
    let sessions = fixture.open(&["k1"]);
    let (session, cookie) = fixture.sign_in(&sessions, "ann").await;
    for _ in 0..1100 {
        let (short, _) = fixture.sign_in(&sessions, "bob").await;
        sessions.end(short.id(), EndReason::SignedOut);
    }
    fixture.clock.advance(13 * HOUR);
    revoke(&fixture.config(&["k1"]), Whom::Everybody, session.opened()).expect("written");
    sessions.exchange_ends().await;
    let text = std::fs::read_to_string(fixture.folder.path().join("state/sessions/ended")).expect("readable");
    assert_eq!(text.lines().count(), 1, "written anew: {text}");
    fixture.clock.set(session.opened());
    assert_eq!(request(&fixture.open(&["k1"]), &cookie).await.err(), Some("ended"));
}
