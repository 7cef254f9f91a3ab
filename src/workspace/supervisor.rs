//! The task that owns one workspace from its start until it is stopped.
//!
//! Rules are `phase::step`'s and `autostop::due`'s; this is the shell that carries out what they say, counts, logs
//! and publishes. It waits for the runtime at most [`CALL_TIMEOUT`] and looks at the clock at least every [`TICK`].

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::autostop::{self, Facts, Kept, Outlook, Verdict};
use super::phase::{self, Action, Event, Policy};
use super::shared::Shared;
use super::tracked::{Command, Tracked};
use super::view::View;
use crate::config::{ActivityClassifier, WorkspaceKind};
use crate::model::{ActivitySource, Phase, StartStep, StopReason, Timestamp, WorkspaceId};
use crate::runtime::{Runtime, Seen, StartOrder};

/// Longest time between two looks at the clock; also the grain of the seconds that are counted.
const TICK: Duration = Duration::from_secs(15);
/// Shortest time between two looks, so that a clock that is set back cannot make a busy loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
/// Longest wait for a runtime to accept an order.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What a runtime may take beyond the limits of the kind before it is asked what it has.
const MARGIN: Duration = Duration::from_secs(10);
/// How far wall and monotonic time may drift apart between two looks, [`TICK`] at most, before it is a jump: a clock
/// that is corrected gently stays below by far.
const JUMP: Duration = Duration::from_secs(2);
/// How long a failure is shown before the workspace is simply stopped.
const FAILURE_SHOWN: Duration = Duration::from_secs(24 * 3600);

/// One workspace that is not stopped.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    tracked: Arc<Tracked>,
    inbox: mpsc::Receiver<Command>,
    order: StartOrder,
    phase: Phase,
    steps: Vec<(StartStep, Timestamp)>,
    outlook: Option<Outlook>,
    kept: Option<Kept>,
    /// Whether a tunnel was open that counts, at the last look.
    connected: bool,
    /// Until when running seconds are counted.
    counted: Instant,
    /// When both clocks were read last.
    looked: (Timestamp, Instant),
    /// When an earlier gateway started it, if this one has not seen it ready yet.
    inherited: Option<Timestamp>,
}

impl Supervisor {
    pub(super) fn new(
        shared: Arc<Shared>,
        tracked: Arc<Tracked>,
        inbox: mpsc::Receiver<Command>,
        order: StartOrder,
        phase: Phase,
    ) -> Self {
        let looked = (shared.clock.now(), Instant::now());
        Self {
            shared,
            tracked,
            inbox,
            order,
            phase,
            steps: Vec::new(),
            outlook: None,
            kept: None,
            connected: false,
            counted: Instant::now(),
            looked,
            inherited: None,
        }
    }

    pub(super) fn id(&self) -> &WorkspaceId {
        self.tracked.id()
    }

    /// Goes on from where an earlier gateway was. Nothing is known of what went on before: that is activity now, not
    /// idleness.
    pub(super) fn adopt(&mut self, order: StartOrder, phase: Phase, started: Timestamp) {
        let now = self.now();
        (self.order, self.phase, self.looked) = (order, phase, (now, Instant::now()));
        self.inherited = matches!(self.phase, Phase::Starting { .. }).then_some(started);
        self.tracked.activity().begin_anew(now);
    }

    /// Supervises until the workspace is stopped or the gateway lets go of it.
    pub(super) async fn run(mut self) {
        self.count_phase(None, Some(&self.phase));
        let released = self.shared.released.clone();
        let _ = released.run_until_cancelled(self.supervise()).await;
        self.count_seconds();
        self.count_phase(Some(&self.phase), None);
    }

    async fn supervise(&mut self) {
        loop {
            self.judge().await;
            self.publish();
            if self.is_over() && self.shared.leave(&self.tracked) {
                return;
            }
            let wait = self.until_next_look();
            let event = tokio::select! {
                command = self.inbox.recv() => self.event(command),
                () = self.tracked.activity().woken() => Event::Tick,
                () = tokio::time::sleep(wait) => Event::Tick,
            };
            self.handle(event).await;
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    fn event(&mut self, command: Option<Command>) -> Event {
        match command {
            Some(Command::Start(order)) => {
                // What is up or on its way there was found so after the start had been asked for.
                if !matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. } | Phase::Idle { .. }) {
                    self.order = order;
                }
                Event::StartAsked
            }
            Some(Command::Stop(reason)) => Event::StopAsked(reason),
            Some(Command::Seen(seen)) => Event::Seen(seen),
            // The sender lives in `self.tracked`.
            None => Event::Tick,
        }
    }

    /// Applies an event and what follows from it.
    async fn handle(&mut self, event: Event) {
        self.count_seconds();
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let action = self.step(event);
            self.publish();
            if let Some(action) = action {
                next = self.carry_out(action).await;
            }
        }
    }

    fn step(&mut self, event: Event) -> Option<Action> {
        let now = self.now();
        let is_start = event == Event::StartAsked;
        let (phase, action) = phase::step(self.phase.clone(), event, now, &self.policy());
        let before = std::mem::replace(&mut self.phase, phase);
        let was_inherited = self.came_up_inherited();
        if is_start {
            self.tracked.start_taken();
        }
        self.note_steps(&before, now);
        if before.name() != self.phase.name() {
            self.changed(&before, was_inherited, now);
        }
        action
    }

    /// Whether it has just become ready by a start of an earlier gateway; then it is as old as that.
    fn came_up_inherited(&mut self) -> bool {
        match (&mut self.phase, self.inherited) {
            (Phase::Starting { .. }, _) | (_, None) => false,
            (Phase::Running { since, .. }, Some(started)) => {
                (*since, self.inherited) = (started, None);
                true
            }
            _ => {
                self.inherited = None;
                false
            }
        }
    }

    fn policy(&self) -> Policy {
        let kind = &self.order.kind;
        let grace = kind.process.as_ref().map_or(Duration::ZERO, |process| process.stop_grace.0);
        Policy { start_within: kind.start_timeout.0 + grace + MARGIN, stop_within: grace + MARGIN }
    }

    /// Does what has to be done; returns what is known at once. An order that is not answered in time is not an
    /// answer: a tick will ask.
    async fn carry_out(&self, action: Action) -> Option<Event> {
        let runtime = self.shared.runtimes.of(self.order.kind.runtime).clone();
        let id = self.tracked.id();
        let answer = async {
            match action {
                Action::Start => runtime.start(&self.order).await.err().map(Event::StartRejected),
                Action::Stop => runtime.stop(id).await.err().and_then(|failure| {
                    tracing::error!(workspace = %id, detail = failure.detail, "a stop was not accepted");
                    None
                }),
                Action::Look => self.look(&*runtime).await.map(Event::Seen),
            }
        };
        tokio::time::timeout(CALL_TIMEOUT, answer).await.unwrap_or_else(|_| {
            tracing::error!(workspace = %id, ?action, "the runtime did not answer within {CALL_TIMEOUT:?}");
            None
        })
    }

    async fn look(&self, runtime: &dyn Runtime) -> Option<Seen> {
        match runtime.list().await {
            Ok(found) => {
                let own = found.into_iter().find(|found| found.workspace == *self.tracked.id());
                Some(own.map_or(Seen::Absent, |found| found.seen))
            }
            Err(failure) => {
                tracing::error!(detail = failure.detail, "a runtime cannot tell what it has");
                None
            }
        }
    }

    fn note_steps(&mut self, before: &Phase, now: Timestamp) {
        match (&self.phase, before) {
            (Phase::Starting { since, step }, before) if start_of(before) != Some(*since) => {
                self.steps = vec![(*step, now)];
                self.tracked.activity().human(ActivitySource::Start, now);
            }
            (Phase::Starting { step, .. }, _) if self.steps.last().is_none_or(|(last, _)| last < step) => {
                self.steps.push((*step, now));
            }
            (Phase::Running { .. }, Phase::Starting { .. }) => self.steps.push((StartStep::Ready, now)),
            _ => {}
        }
    }

    /// Counts, remembers and logs a change of phase.
    fn changed(&mut self, before: &Phase, was_inherited: bool, now: Timestamp) {
        self.count_phase(Some(before), Some(&self.phase));
        let id = self.tracked.id();
        let (from, to) = (before.name().label(), self.phase.name().label());
        match (&self.phase, before) {
            (Phase::Running { .. }, Phase::Starting { since, .. }) if !was_inherited => {
                self.became_ready(now.since(*since));
            }
            (Phase::Failed { failure, .. }, _) => {
                if before.endpoint().is_some() {
                    self.stopped(&StopReason::Crashed, now);
                } else {
                    self.shared.metrics.start_failed(&id.kind, failure.class);
                }
                tracing::warn!(workspace = %id, class = failure.class.label(), detail = failure.detail, "workspace failed");
            }
            (Phase::Stopping { reason, .. }, _) => self.stopped(&reason.clone(), now),
            (Phase::Stopped { reason: Some(reason), .. }, Phase::Running { .. } | Phase::Idle { .. }) => {
                self.stopped(&reason.clone(), now);
            }
            _ => tracing::info!(workspace = %id, from, to, "workspace changed"),
        }
        if self.phase.endpoint().is_none() {
            (self.outlook, self.kept) = (None, None);
            self.tracked.activity().wake_on_evidence(false);
        }
    }

    fn became_ready(&self, took: Duration) {
        let id = self.tracked.id();
        self.shared.metrics.start_succeeded(&id.kind, took);
        self.shared.start_times.lock().unwrap_or_else(PoisonError::into_inner).note(&id.kind, took);
        let profile = self.order.profile.clone();
        self.shared.memory.note(id, |known| known.profile = profile);
        tracing::info!(workspace = %id, took_ms = took.as_millis(), "workspace is ready");
    }

    fn stopped(&self, reason: &StopReason, now: Timestamp) {
        let (id, activity) = (self.tracked.id(), self.tracked.activity());
        self.shared.metrics.stopped(&id.kind, reason);
        self.tracked.set_hold(None);
        self.shared.memory.note(id, |known| {
            known.last_stop = Some((now, reason.clone()));
            (known.human, known.work) = (activity.last_human(), activity.last_work());
        });
        tracing::info!(workspace = %id, reason = reason.label(), "workspace stops");
    }

    /// Stops it, or calls it idle or active, by the rules.
    async fn judge(&mut self) {
        self.notice_jump();
        if !self.may_run() {
            return self.handle(Event::StopAsked(StopReason::Withdrawn)).await;
        }
        let Some(facts) = self.facts() else { return };
        let now = self.now();
        let kind = self.kind_now();
        let outlook = autostop::due(&facts, &kind.autostop, now);
        let verdict = self.braked(outlook.verdict.clone(), &kind);
        self.note_kept(&verdict);
        self.tracked.activity().wake_on_evidence(outlook.idle_since.is_some());
        let event = match (verdict, outlook.idle_since) {
            (Verdict::Stop(reason), _) => Event::StopAsked(reason),
            (_, Some(idle_since)) => Event::Quiet(idle_since),
            (_, None) => Event::Active,
        };
        self.outlook = Some(outlook);
        self.handle(event).await;
    }

    /// A wall clock that was set, or a machine that slept, is no idleness and makes no run older: how long anybody has
    /// been away is not known then.
    fn notice_jump(&mut self) {
        let looked = (self.now(), Instant::now());
        let (wall, monotonic) = std::mem::replace(&mut self.looked, looked);
        let due = wall + looked.1.duration_since(monotonic);
        let (ahead, behind) = (looked.0.since(due), due.since(looked.0));
        if ahead.max(behind) <= JUMP {
            return;
        }
        tracing::warn!(workspace = %self.tracked.id(), ?ahead, ?behind, "the clock has jumped");
        if let Phase::Running { since, .. } | Phase::Idle { since, .. } = &mut self.phase {
            *since = *since + ahead - behind;
            self.tracked.activity().begin_anew(looked.0);
        }
    }

    /// Whether the configuration still lets it run; what is not running is not asked about.
    fn may_run(&self) -> bool {
        !matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. } | Phase::Idle { .. })
            || self.shared.settings.load().permits(self.tracked.id()).is_ok()
    }

    /// The kind as it is configured now: autostop follows a reload at once.
    fn kind_now(&self) -> Arc<WorkspaceKind> {
        self.shared.settings.load().kind(self.tracked.kind()).unwrap_or(&self.order.kind).clone()
    }

    /// What is known of it, if it is up.
    fn facts(&mut self) -> Option<Facts> {
        let (Phase::Running { since, .. } | Phase::Idle { since, .. }) = self.phase else { return None };
        let activity = self.tracked.activity();
        let connections_count = self.order.kind.activity.contains(&ActivityClassifier::Connections);
        let connected = connections_count && activity.open_tunnels() > 0;
        if std::mem::replace(&mut self.connected, connected) && !connected {
            // It counted as activity for as long as it was open.
            activity.human(ActivitySource::Connection, self.now());
        }
        let (human, hold_until) = (activity.last_human(), self.tracked.hold_until());
        Some(Facts { since, human, connected, hold_until })
    }

    /// Keeps it although it is due for idleness, if too many of its kind are.
    fn braked(&self, verdict: Verdict, kind: &WorkspaceKind) -> Verdict {
        if !matches!(verdict, Verdict::Stop(StopReason::HumanIdle { .. })) {
            return verdict;
        }
        let running = self.shared.running_like(self.tracked.id());
        let mut brake = self.shared.brake.lock().unwrap_or_else(PoisonError::into_inner);
        match brake.allows(self.tracked.kind(), running, kind.autostop.brake_percent, Instant::now()) {
            true => verdict,
            false => Verdict::Kept(Kept::Brake),
        }
    }

    /// Counts and logs once when something begins to keep it.
    fn note_kept(&mut self, verdict: &Verdict) {
        let kept = match verdict {
            Verdict::Kept(kept) => Some(*kept),
            _ => None,
        };
        if kept == self.kept {
            return;
        }
        self.kept = kept;
        let Some(kept) = kept else { return };
        let id = self.tracked.id();
        self.shared.metrics.kept(&id.kind, kept.label());
        match kept {
            Kept::Brake => tracing::warn!(workspace = %id, "too many idle at once: not stopped; is evidence lost?"),
            _ => tracing::info!(workspace = %id, by = kept.label(), "an idle stop is due and not made"),
        }
    }

    fn publish(&self) {
        let (id, activity) = (self.tracked.id(), self.tracked.activity());
        let outlook = self.outlook.as_ref();
        let known = self.shared.memory.recall(id);
        self.tracked.publish(View {
            id: id.clone(),
            phase: self.phase.clone(),
            profile: self.order.profile.clone(),
            steps: self.steps.clone(),
            human: activity.last_human(),
            work: activity.last_work(),
            stops_at: outlook.and_then(|outlook| outlook.stops_at.clone()),
            stops_soon: outlook.is_some_and(|outlook| outlook.stops_soon),
            hold_until: self.tracked.hold_until().filter(|until| *until > self.now()),
            expected_start: self.shared.expected_start(id),
            last_stop: known.last_stop,
            kept: self.kept.map(|kept| kept.label().to_owned()),
        });
    }

    /// Whether there is nothing left to supervise.
    fn is_over(&self) -> bool {
        match &self.phase {
            Phase::Stopped { .. } => true,
            Phase::Failed { since, .. } => self.now().since(*since) > FAILURE_SHOWN,
            _ => false,
        }
    }

    fn until_next_look(&self) -> Duration {
        let next = self.outlook.as_ref().and_then(|outlook| outlook.next_check);
        next.map_or(TICK, |at| at.since(self.now())).clamp(SHORTEST_WAIT, TICK)
    }

    /// Adds the time since the last call to what this tenant's workspaces ran.
    fn count_seconds(&mut self) {
        let now = Instant::now();
        let span = now.duration_since(std::mem::replace(&mut self.counted, now)).as_secs_f64();
        let id = self.tracked.id();
        if self.phase.endpoint().is_some() {
            let series = self.shared.metrics.tenant(&id.tenant);
            series.running_seconds(&id.kind).inc_by(span);
            if matches!(self.phase, Phase::Idle { .. }) {
                series.idle_waste_seconds(&id.kind).inc_by(span);
            }
        }
    }

    fn count_phase(&self, from: Option<&Phase>, to: Option<&Phase>) {
        self.shared.metrics.workspace_phase(&self.tracked.id().tenant, from.map(Phase::name), to.map(Phase::name));
    }
}

/// When the start that is under way was asked for.
const fn start_of(phase: &Phase) -> Option<Timestamp> {
    match phase {
        Phase::Starting { since, .. } => Some(*since),
        _ => None,
    }
}
