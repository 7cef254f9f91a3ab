//! Supervisors on a runtime that does what a test says, in paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Span};
use crate::metrics::Metrics;
use crate::model::{
    ActivitySource, Endpoint, Failure, FailureClass, InstanceId, KindName, PhaseName, StopReason, TenantId, Timestamp,
    UserId, WorkspaceId,
};
use crate::runtime::{Found, Observation, Runtime, Runtimes, Seen, StartOrder};

/// Wall time that goes with tokio's until it jumps.
struct PausedClock {
    began: Instant,
    jumped: Mutex<Duration>,
}

impl PausedClock {
    fn jump(&self, ahead: Duration) {
        *self.jumped.lock().expect("no panic before") += ahead;
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_700_000_000) + self.began.elapsed() + *self.jumped.lock().expect("no panic before")
    }
}

/// Notes what it is asked, and does nothing.
#[derive(Default)]
struct Silent {
    asked: Mutex<Vec<&'static str>>,
    rejects: Option<Failure>,
    has: Mutex<Vec<Found>>,
}

impl Silent {
    fn note(&self, what: &'static str) {
        self.asked.lock().expect("no panic before").push(what);
    }

    fn asked(&self, what: &str) -> usize {
        self.asked.lock().expect("no panic before").iter().filter(|asked| **asked == what).count()
    }
}

#[async_trait]
impl Runtime for Silent {
    async fn start(&self, _: &StartOrder) -> Result<(), Failure> {
        self.note("start");
        self.rejects.clone().map_or(Ok(()), Err)
    }

    async fn stop(&self, _: &WorkspaceId) -> Result<(), Failure> {
        self.note("stop");
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Found>, Failure> {
        self.note("list");
        Ok(self.has.lock().expect("no panic before").clone())
    }

    async fn release(&self) {
        self.note("release");
    }
}

struct Gateway {
    workspaces: Workspaces,
    runtime: Arc<Silent>,
    seen: mpsc::Sender<Observation>,
    clock: Arc<PausedClock>,
    _folder: TempDir,
}

fn ada() -> WorkspaceId {
    WorkspaceId {
        tenant: TenantId::new("acme").expect("test tenant"),
        user: UserId::new("ada").expect("test user"),
        kind: KindName::new("ide").expect("test kind"),
    }
}

fn ready() -> Seen {
    let instance = InstanceId::new("run-1").expect("test instance");
    Seen::Ready(Endpoint { address: ([127, 0, 0, 1], 4711).into(), tls: false, instance })
}

fn failure(class: FailureClass) -> Failure {
    Failure { class, detail: "said so".to_owned(), log_tail: Vec::new() }
}

impl Gateway {
    async fn on(runtime: Silent, change: impl FnOnce(&mut Config)) -> Self {
        let gateway = Self::waiting(runtime, change);
        gateway.workspaces.take_over().await;
        gateway
    }

    fn waiting(runtime: Silent, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config: Config = serde_json::from_value(serde_json::json!({
            "public_url": "https://dev.example.com",
            "state_dir": folder.path(),
            "listen": { "public": { "address": "127.0.0.1:0", "tls": { "certificate": "c", "key": "k" } } },
            "session": { "keys": [ { "id": "k1", "file": "k1" } ] },
            "identity": { "directories": [ { "name": "users", "users_file": { "path": "users.yaml" } } ] },
            "workspaces": { "ide": { "runtime": "process" } },
        }))
        .expect("the configuration is well-formed");
        change(&mut config);
        let (runtime, clock) =
            (Arc::new(runtime), Arc::new(PausedClock { began: Instant::now(), jumped: Mutex::default() }));
        let (seen, observations) = mpsc::channel(16);
        let runtimes = Runtimes::new(runtime.clone(), observations);
        let (metrics, control) = (Metrics::new(Registry::new(), 10), tokio::runtime::Handle::current());
        let workspaces = Workspaces::waiting(&config, runtimes, clock.clone(), metrics, control);
        Self { workspaces, runtime, seen, clock, _folder: folder }
    }

    async fn tell(&self, seen: Seen) {
        self.seen.send(Observation { workspace: ada(), seen }).await.expect("is listened to");
    }

    /// Waits until it is in `phase`, for as long as a day of paused time.
    async fn phase(&self, phase: PhaseName) -> Arc<View> {
        let waiting = async {
            loop {
                let view = self.workspaces.view(&ada());
                if view.phase.name() == phase {
                    return view;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let day = Duration::from_secs(24 * 3600);
        tokio::time::timeout(day, waiting).await.unwrap_or_else(|_| panic!("{:?}", self.workspaces.view(&ada())))
    }

    async fn up(config: impl FnOnce(&mut Config)) -> Self {
        let gateway = Self::on(Silent::default(), config).await;
        gateway.workspaces.start(&ada(), None).expect("may start");
        gateway.tell(ready()).await;
        gateway.phase(PhaseName::Running).await;
        gateway
    }
}

fn autostop(config: &mut Config) -> &mut crate::config::Autostop {
    &mut config.workspaces.get_mut("ide").expect("the kind is there").autostop
}

#[tokio::test(start_paused = true)]
async fn a_start_of_which_nothing_is_heard_is_looked_for_and_not_ordered_again() {
    let gateway = Gateway::on(Silent::default(), |_| {}).await;
    gateway.workspaces.start(&ada(), None).expect("may start");
    gateway.phase(PhaseName::Failed).await;
    assert_eq!(gateway.runtime.asked("start"), 1);
    assert_eq!(gateway.runtime.asked("stop"), 0);
    assert!(gateway.runtime.asked("list") >= 2, "once at the beginning and once on silence");
    gateway.workspaces.start(&ada(), None).expect("may start again");
    gateway.tell(ready()).await;
    gateway.phase(PhaseName::Running).await;
    assert_eq!(gateway.runtime.asked("start"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_which_nothing_is_heard_is_ordered_again() {
    let gateway = Gateway::up(|_| {}).await;
    gateway.workspaces.stop(&ada(), StopReason::User);
    let twice = async {
        while gateway.runtime.asked("stop") < 2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), twice).await.expect("is ordered again");
    gateway.tell(Seen::Absent).await;
    gateway.phase(PhaseName::Stopped).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_rejected_has_failed() {
    let runtime = Silent { rejects: Some(failure(FailureClass::NoCapacity)), ..Silent::default() };
    let gateway = Gateway::on(runtime, |_| {}).await;
    gateway.workspaces.start(&ada(), None).expect("may start");
    let view = gateway.phase(PhaseName::Failed).await;
    assert!(
        matches!(&view.phase, crate::model::Phase::Failed { failure, .. } if failure.class == FailureClass::NoCapacity)
    );
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_without_a_key_stops_it_and_a_key_in_time_keeps_it() {
    let gateway = Gateway::up(|_| {}).await;
    let tracked = gateway.workspaces.tracked(&ada()).expect("is up");
    let began = gateway.clock.now();
    gateway.phase(PhaseName::Idle).await;
    tokio::time::sleep(Duration::from_secs(22 * 60)).await;
    assert!(gateway.workspaces.view(&ada()).stops_soon, "{:?}", gateway.workspaces.view(&ada()));
    tracked.activity().human(ActivitySource::WebSocket, gateway.clock.now());
    gateway.phase(PhaseName::Running).await;
    gateway.phase(PhaseName::Stopping).await;
    let after = gateway.clock.now().since(began);
    assert!(after > Duration::from_secs(57 * 60) && after < Duration::from_secs(58 * 60), "{after:?}");
    assert!(tracked.endpoint().is_none());
    gateway.tell(Seen::Exited(Ok(()))).await;
    let view = gateway.phase(PhaseName::Stopped).await;
    assert_eq!(view.last_stop.as_ref().map(|(_, why)| why), Some(&StopReason::HumanIdle { after_secs: 1800 }));
}

#[tokio::test(start_paused = true)]
async fn the_longest_life_of_a_run_ends_it_whoever_works() {
    let gateway = Gateway::up(|config| {
        autostop(config).max_lifetime = Span::hours(1);
        autostop(config).human_idle = Span::secs(0);
    })
    .await;
    let began = gateway.clock.now();
    gateway.phase(PhaseName::Stopping).await;
    let after = gateway.clock.now().since(began);
    assert!(after >= Duration::from_secs(3599) && after < Duration::from_secs(3620), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_runtime_has_at_the_start_is_taken_over_with_its_age() {
    let started = Timestamp::from_secs(1_700_000_000 - 3 * 3600);
    let found = Found { workspace: ada(), profile: None, started, seen: ready() };
    let runtime = Silent { has: Mutex::new(vec![found]), ..Silent::default() };
    let gateway = Gateway::on(runtime, |config| autostop(config).max_lifetime = Span::hours(2)).await;
    assert!(gateway.workspaces.tracked(&ada()).is_some_and(|tracked| tracked.endpoint().is_some()));
    assert_eq!(gateway.runtime.asked("start"), 0);
    gateway.phase(PhaseName::Stopping).await;
    gateway.tell(Seen::Exited(Ok(()))).await;
    let view = gateway.phase(PhaseName::Stopped).await;
    assert_eq!(view.last_stop.as_ref().map(|(_, why)| why), Some(&StopReason::MaxLifetime { after_secs: 7200 }));
    assert_eq!(view.human.map(|evidence| evidence.source), Some(ActivitySource::Restart));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_stop_anything_does_not_hold_up_the_shutdown() {
    let gateway = Gateway::up(|_| {}).await;
    let before = Instant::now();
    gateway.workspaces.shutdown().await;
    assert!(before.elapsed() < Duration::from_secs(30));
    assert_eq!(gateway.runtime.asked("stop"), 1);
    assert_eq!(gateway.workspaces.start(&ada(), None).err(), Some(StartRefused::ShuttingDown));
}

fn found(user: &str, seen: Seen) -> Found {
    let workspace = WorkspaceId { user: UserId::new(user).expect("test user"), ..ada() };
    Found { workspace, profile: None, started: Timestamp::from_secs(1_700_000_000 - 3600), seen }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_takes_as_long_as_one_stop_however_many_there_are() {
    let has = (0..100).map(|n| found(&format!("user{n}"), ready())).collect();
    let gateway = Gateway::on(Silent { has: Mutex::new(has), ..Silent::default() }, |_| {}).await;
    let before = Instant::now();
    gateway.workspaces.shutdown().await;
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
    assert_eq!(gateway.runtime.asked("stop"), 100);
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_wall_clock_is_neither_idleness_nor_age() {
    let gateway = Gateway::up(|config| autostop(config).max_lifetime = Span::hours(2)).await;
    let before = gateway.workspaces.view(&ada());
    gateway.clock.jump(Duration::from_secs(3 * 3600));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let view = gateway.workspaces.view(&ada());
    assert_eq!(view.phase.name(), PhaseName::Running, "{view:?}");
    assert_eq!(view.human.map(|evidence| evidence.source), Some(ActivitySource::Restart));
    let stops_at = |view: &View| view.stops_at.as_ref().map(|(at, _)| *at).expect("is known");
    assert!(stops_at(&view) > stops_at(&before) + Duration::from_secs(3 * 3600));
    gateway.phase(PhaseName::Stopping).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_waits_for_the_gateway_before_is_found_made() {
    let gateway = Gateway::waiting(Silent::default(), |_| {});
    let tracked = gateway.workspaces.start(&ada(), None).expect("may start");
    assert_eq!((tracked.phase(), gateway.runtime.asked("start")), (PhaseName::Starting, 0));
    *gateway.runtime.has.lock().expect("no panic before") = vec![found("ada", ready()), found("bob", ready())];
    gateway.workspaces.take_over().await;
    let view = gateway.phase(PhaseName::Running).await;
    assert_eq!(view.phase.uptime(gateway.clock.now()).as_secs() / 60, 60, "as old as it is");
    assert_eq!(gateway.runtime.asked("start"), 0);
    assert_eq!(gateway.workspaces.list().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_waits_for_the_gateway_before_is_made_if_there_was_nothing() {
    let gateway = Gateway::waiting(Silent::default(), |_| {});
    gateway.workspaces.start(&ada(), None).expect("may start");
    gateway.workspaces.start(&ada(), None).expect("joins");
    gateway.workspaces.take_over().await;
    gateway.tell(ready()).await;
    gateway.phase(PhaseName::Running).await;
    assert_eq!(gateway.runtime.asked("start"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_its_own_is_not_stopped_by_a_shutdown() {
    let never_had = Gateway::waiting(Silent::default(), |_| {});
    never_had.workspaces.start(&ada(), None).expect("may start");
    never_had.workspaces.shutdown().await;
    assert_eq!((never_had.runtime.asked("stop"), never_had.runtime.asked("list")), (0, 0));

    let let_go = Gateway::up(|_| {}).await;
    let_go.workspaces.let_go().await;
    assert_eq!(let_go.runtime.asked("release"), 1);
    let_go.workspaces.shutdown().await;
    assert_eq!(let_go.runtime.asked("stop"), 0);
    let tracked = let_go.workspaces.tracked(&ada()).expect("who is connected stays so");
    assert!(tracked.endpoint().is_some());
    assert_eq!(let_go.workspaces.start(&ada(), None).err(), Some(StartRefused::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn what_was_still_starting_is_as_old_as_its_start_and_no_start_of_this_gateway() {
    let has = vec![found("ada", Seen::Step(crate::model::StartStep::Waiting))];
    let gateway = Gateway::on(Silent { has: Mutex::new(has), ..Silent::default() }, |_| {}).await;
    assert_eq!(gateway.workspaces.view(&ada()).phase.name(), PhaseName::Starting);
    gateway.tell(ready()).await;
    let view = gateway.phase(PhaseName::Running).await;
    assert_eq!(view.phase.uptime(gateway.clock.now()).as_secs() / 60, 60);
    assert_eq!(view.expected_start, None, "how long it took is not known");
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_why_it_stopped_last() {
    let gateway = Gateway::up(|_| {}).await;
    gateway.tell(Seen::Exited(Err(failure(FailureClass::Crashed)))).await;
    let view = gateway.phase(PhaseName::Failed).await;
    assert_eq!(view.last_stop.as_ref().map(|(_, why)| why), Some(&StopReason::Crashed));
}
