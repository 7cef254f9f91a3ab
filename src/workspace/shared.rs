//! What the handle and the supervisors have in common: the table of tracked workspaces, and who comes and goes in it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::brake::Brake;
use super::memory::Memory;
use super::quota;
use super::refused::{HoldRefused, StartRefused};
use super::settings::Settings;
use super::start_times::StartTimes;
use super::supervisor::Supervisor;
use super::tracked::Tracked;
use super::view::View;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::{Phase, PhaseName, ProfileName, StopReason, Timestamp, WorkspaceId};
use crate::runtime::{Found, Observation, Runtime, RuntimeSet, Seen, StartOrder};

/// What a stop may take beyond the kind's grace before shutdown goes on without it.
const STOP_MARGIN: Duration = Duration::from_secs(5);
/// Name of the file in the state folder that says why workspaces stopped.
const MEMORY_FILE: &str = "workspaces.json";

/// What supervisors and the handle have in common.
pub(super) struct Shared {
    /// Every workspace that is not stopped. Read without a lock; changed only under `changes`.
    table: papaya::HashMap<WorkspaceId, Arc<Tracked>, RandomState>,
    /// Held while a workspace comes into the table, is asked to start, or leaves; never across an await.
    changes: Mutex<()>,
    closing: AtomicBool,
    /// Supervisors of starts that were asked for before workspaces were taken over; `None` from then on.
    waiting: Mutex<Option<Waiting>>,
    pub(super) settings: ArcSwap<Settings>,
    pub(super) runtimes: RuntimeSet,
    pub(super) memory: Memory,
    pub(super) brake: Mutex<Brake>,
    pub(super) start_times: Mutex<StartTimes>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    /// Cancelled when supervisors have to leave without stopping anything.
    pub(super) released: CancellationToken,
    /// Supervisors, and what feeds them and writes down what has to outlive them.
    tasks: TaskTracker,
    control: tokio::runtime::Handle,
}

/// What begins when workspaces are taken over.
struct Waiting {
    observations: mpsc::Receiver<Observation>,
    supervisors: Vec<Supervisor>,
}

impl Shared {
    pub(super) fn new(
        config: &Config,
        runtimes: RuntimeSet,
        observations: mpsc::Receiver<Observation>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        control: tokio::runtime::Handle,
    ) -> Self {
        Self {
            table: papaya::HashMap::default(),
            changes: Mutex::default(),
            closing: AtomicBool::new(false),
            waiting: Mutex::new(Some(Waiting { observations, supervisors: Vec::new() })),
            settings: ArcSwap::from_pointee(Settings::new(config)),
            runtimes,
            memory: Memory::read(Path::new(&config.state_dir).join(MEMORY_FILE)),
            brake: Mutex::default(),
            start_times: Mutex::default(),
            clock,
            metrics,
            released: CancellationToken::new(),
            tasks: TaskTracker::new(),
            control,
        }
    }

    pub(super) fn tracked(&self, id: &WorkspaceId) -> Option<Arc<Tracked>> {
        self.table.pin().get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Tracked>> {
        self.table.pin().values().cloned().collect()
    }

    /// How many workspaces of the kind of `id` are up.
    pub(super) fn running_like(&self, id: &WorkspaceId) -> usize {
        let is_up = |tracked: &&Arc<Tracked>| matches!(tracked.phase(), PhaseName::Running | PhaseName::Idle);
        self.table.pin().values().filter(|tracked| *tracked.kind() == id.kind).filter(is_up).count()
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn start(
        self: &Arc<Self>,
        id: &WorkspaceId,
        profile: Option<ProfileName>,
    ) -> Result<Arc<Tracked>, StartRefused> {
        let settings = self.settings.load();
        let order = settings.order(id, profile, self.memory.recall(id).profile)?;
        let _changing = self.changing();
        if self.closing.load(Ordering::Acquire) {
            return Err(StartRefused::ShuttingDown);
        }
        let known = self.tracked(id).filter(|tracked| !tracked.is_orphan());
        if let Some(tracked) = known.as_ref().filter(|tracked| tracked.is_coming()) {
            return Ok(tracked.clone());
        }
        self.within_quota(id, &settings)?;
        Ok(match known {
            Some(tracked) => {
                tracked.ask_start(order, self.clock.now());
                tracked
            }
            None => self.begin(order),
        })
    }

    fn within_quota(&self, id: &WorkspaceId, settings: &Settings) -> Result<(), StartRefused> {
        let pinned = self.table.pin();
        let running = pinned.values().filter(|tracked| tracked.takes_room()).map(|tracked| tracked.id());
        quota::check(id, &settings.tenant(&id.tenant), running)
    }

    /// A supervisor for a workspace that was stopped until now, with its start under way.
    fn begin(self: &Arc<Self>, order: StartOrder) -> Arc<Tracked> {
        let (tracked, inbox) = Tracked::new(self.stopped_view(&order.workspace));
        let stopped = tracked.view().phase.clone();
        let supervisor = Supervisor::new(self.clone(), tracked.clone(), inbox, order.clone(), stopped);
        tracked.ask_start(order, self.clock.now());
        self.supervise(tracked.clone(), supervisor);
        tracked
    }

    /// A supervisor for a workspace that a runtime has; `false` if there is no such kind any more.
    fn adopt(self: &Arc<Self>, found: &Found) -> bool {
        let id = &found.workspace;
        let Some(kind) = self.settings.load().kind(&id.kind).cloned() else { return false };
        let Some(phase) = self.phase_of(found) else { return false };
        let order = StartOrder { workspace: id.clone(), profile: found.profile.clone(), kind };
        let _changing = self.changing();
        let mut waiting = self.waiting();
        let asked_for = waiting.iter_mut().flat_map(|waiting| &mut waiting.supervisors).find(|one| one.id() == id);
        if let Some(supervisor) = asked_for {
            supervisor.adopt(order, phase, found.started);
            return true;
        }
        drop(waiting);
        let view = View { phase: phase.clone(), profile: found.profile.clone(), ..self.stopped_view(id) };
        let (tracked, inbox) = Tracked::new(view);
        let mut supervisor = Supervisor::new(self.clone(), tracked.clone(), inbox, order.clone(), phase.clone());
        supervisor.adopt(order, phase, found.started);
        self.supervise(tracked, supervisor);
        true
    }

    fn phase_of(&self, found: &Found) -> Option<Phase> {
        let now = self.clock.now();
        match &found.seen {
            Seen::Ready(endpoint) => Some(Phase::Running { since: found.started, endpoint: endpoint.clone() }),
            Seen::Step(step) => Some(Phase::Starting { since: now, step: *step }),
            Seen::Stopping => {
                let known = self.memory.recall(&found.workspace).last_stop;
                let reason = known.map_or(StopReason::Leftover, |(_, reason)| reason);
                Some(Phase::Stopping { since: now, reason })
            }
            Seen::Absent | Seen::Exited(_) => None,
        }
    }

    /// Called with `changes` held.
    fn supervise(&self, tracked: Arc<Tracked>, supervisor: Supervisor) {
        self.table.pin().insert(tracked.id().clone(), tracked);
        match &mut *self.waiting() {
            Some(waiting) => waiting.supervisors.push(supervisor),
            None => drop(self.tasks.spawn_on(supervisor.run(), &self.control)),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether workspaces were taken over and not let go since.
    pub(super) fn has_them(&self) -> bool {
        self.waiting().is_none() && !self.released.is_cancelled()
    }

    /// Takes a workspace whose supervisor is done out of the table, unless a start came in between.
    pub(super) fn leave(&self, tracked: &Tracked) -> bool {
        let _changing = self.changing();
        if tracked.start_waits() {
            return false;
        }
        self.table.pin().remove(tracked.id());
        true
    }

    pub(super) fn stopped_view(&self, id: &WorkspaceId) -> View {
        let known = self.memory.recall(id);
        let (since, reason) = known.last_stop.clone().unzip();
        View {
            phase: Phase::Stopped { since, reason },
            profile: known.profile,
            human: known.human,
            work: known.work,
            expected_start: self.expected_start(id),
            last_stop: known.last_stop,
            ..View::blank(id.clone())
        }
    }

    pub(super) fn expected_start(&self, id: &WorkspaceId) -> Option<Duration> {
        self.start_times.lock().unwrap_or_else(PoisonError::into_inner).expected(&id.kind)
    }

    pub(super) fn bounded_hold(
        &self,
        id: &WorkspaceId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Timestamp, HoldRefused> {
        let settings = self.settings.load();
        let max_hold = settings.kind(&id.kind).map_or(Duration::ZERO, |kind| kind.autostop.max_hold.0);
        match max_hold {
            Duration::ZERO => Err(HoldRefused::NotAllowed),
            _ if until <= now => Err(HoldRefused::InThePast),
            _ => Ok(until.min(now + max_hold)),
        }
    }

    /// Rebuilds supervisors from what the runtimes have, and begins to supervise.
    pub(super) async fn take_over(self: &Arc<Self>) {
        let shared = self.clone();
        // An error of the join: the control runtime is going away, and all of this with it.
        let _ = tokio::task::spawn_blocking(move || shared.memory.read_again()).await;
        for runtime in self.runtimes.each() {
            match runtime.list().await {
                Ok(found) => self.take_over_all(&**runtime, &found).await,
                Err(failure) => tracing::error!(detail = failure.detail, "a runtime cannot tell what it has"),
            }
        }
        let _changing = self.changing();
        let Some(waiting) = self.waiting().take() else { return };
        for supervisor in waiting.supervisors {
            self.tasks.spawn_on(supervisor.run(), &self.control);
        }
        self.listen(waiting.observations);
        self.keep_written();
    }

    async fn take_over_all(self: &Arc<Self>, runtime: &dyn Runtime, found: &[Found]) {
        for found in found {
            let id = &found.workspace;
            if matches!(found.seen, Seen::Exited(_)) {
                self.note_leftover(id);
            } else if self.adopt(found) {
                tracing::info!(workspace = %id, "took over from an earlier gateway");
            } else if let Err(failure) = runtime.stop(id).await {
                tracing::error!(workspace = %id, detail = failure.detail, "cannot stop what has no kind any more");
            } else {
                tracing::warn!(workspace = %id, "stopped: the configuration has no such kind any more");
            }
        }
    }

    fn note_leftover(&self, id: &WorkspaceId) {
        let stop = (self.clock.now(), StopReason::Leftover);
        self.memory.note(id, |known| known.last_stop = Some(stop));
        self.metrics.stopped(&id.kind, &StopReason::Leftover);
        tracing::warn!(workspace = %id, "ended what an earlier gateway had left behind");
    }

    /// Begins to hand observations to their supervisors.
    fn listen(self: &Arc<Self>, observations: mpsc::Receiver<Observation>) {
        let shared = self.clone();
        let listening = async move {
            shared.released.clone().run_until_cancelled(shared.route(observations)).await;
        };
        self.tasks.spawn_on(listening, &self.control);
    }

    /// Begins to write down what has to outlive this gateway.
    fn keep_written(self: &Arc<Self>) {
        let shared = self.clone();
        let writing = async move {
            shared.released.clone().run_until_cancelled(shared.memory.keep_written()).await;
        };
        self.tasks.spawn_on(writing, &self.control);
    }

    async fn route(&self, mut observations: mpsc::Receiver<Observation>) {
        while let Some(Observation { workspace, seen }) = observations.recv().await {
            match self.tracked(&workspace) {
                Some(tracked) => tracked.tell(seen).await,
                None => tracing::debug!(%workspace, ?seen, "seen, but stopped for all we know"),
            }
        }
    }

    pub(super) fn close(&self) {
        let _changing = self.changing();
        self.closing.store(true, Ordering::Release);
    }

    /// Ends supervisors without stopping anything, and writes down what has to outlive this gateway. What it never had
    /// or has let go already is not its own to write about.
    pub(super) async fn let_go(&self) {
        if !self.has_them() {
            return;
        }
        for tracked in self.all() {
            let (human, work) = (tracked.activity().last_human(), tracked.activity().last_work());
            self.memory.note(tracked.id(), |known| (known.human, known.work) = (human, work));
        }
        self.released.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        for runtime in self.runtimes.each() {
            runtime.release().await;
        }
        self.memory.write().await;
    }

    pub(super) async fn stop_for_good(&self, tracked: Arc<Tracked>) {
        let mut changes = tracked.subscribe();
        tracked.ask_stop(StopReason::GatewayShutdown);
        let settings = self.settings.load_full();
        let process = settings.kind(tracked.kind()).and_then(|kind| kind.process.as_ref());
        let patience = process.map_or(Duration::ZERO, |process| process.stop_grace.0) + STOP_MARGIN;
        let over = changes.wait_for(|view| matches!(view.phase, Phase::Stopped { .. } | Phase::Failed { .. }));
        if tokio::time::timeout(patience, over).await.is_err() {
            tracing::error!(workspace = %tracked.id(), "did not stop in time for the shutdown");
        }
    }
}
