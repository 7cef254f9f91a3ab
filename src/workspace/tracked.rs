//! A workspace that is not stopped, as the request path sees it: no lock, no waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::view::View;
use crate::model::{Endpoint, InstanceId, KindName, Phase, PhaseName, StartStep, StopReason, Timestamp, WorkspaceId};
use crate::runtime::{Seen, StartOrder};

/// Commands that may wait for one supervisor. A start makes about four observations; asks to start are merged
/// into one, and people do not press stop sixty times in the moment that a runtime takes to answer.
pub(super) const INBOX_CAPACITY: usize = 64;

/// What a supervisor is told.
#[derive(Debug)]
pub(super) enum Command {
    Start(StartOrder),
    Stop(StopReason),
    Seen(Seen),
}

/// A run that is up, and what tells its end.
#[derive(Debug)]
struct Up {
    endpoint: Arc<Endpoint>,
    over: CancellationToken,
}

/// A workspace that is not stopped. Cheap to read from any thread.
#[derive(Debug)]
pub struct Tracked {
    id: WorkspaceId,
    up: ArcSwapOption<Up>,
    activity: Arc<Activity>,
    /// Milliseconds since the epoch; 0 is no hold.
    hold_until: AtomicU64,
    /// Whether a start is in the inbox, so that there is at most one.
    start_asked: AtomicBool,
    inbox: mpsc::Sender<Command>,
    pub(super) view: watch::Sender<Arc<View>>,
}

impl Tracked {
    pub(super) fn new(view: View) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (inbox, commands) = mpsc::channel(INBOX_CAPACITY);
        let tracked = Self {
            id: view.id.clone(),
            up: ArcSwapOption::from_pointee(view.phase.endpoint().map(Up::at)),
            activity: Arc::default(),
            hold_until: AtomicU64::new(0),
            start_asked: AtomicBool::new(false),
            inbox,
            view: watch::Sender::new(Arc::new(view)),
        };
        (Arc::new(tracked), commands)
    }

    /// Whose it is.
    #[must_use]
    pub const fn id(&self) -> &WorkspaceId {
        &self.id
    }

    /// What kind of workspace it is.
    #[must_use]
    pub const fn kind(&self) -> &KindName {
        &self.id.kind
    }

    /// Where it is reached; `None` unless it is up.
    #[must_use]
    pub fn endpoint(&self) -> Option<Arc<Endpoint>> {
        self.up.load().as_ref().map(|up| up.endpoint.clone())
    }

    /// Cancelled when this run is no longer up, and before its process is asked to end: so that what is connected to
    /// it can be told. Cancelled already if another run is up by now, or none.
    #[must_use]
    pub fn run_over(&self, run: &InstanceId) -> CancellationToken {
        let up = self.up.load();
        up.as_ref().filter(|up| up.endpoint.instance == *run).map_or_else(
            || {
                let over = CancellationToken::new();
                over.cancel();
                over
            },
            |up| up.over.clone(),
        )
    }

    /// Where evidence of activity goes.
    #[must_use]
    pub const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Every change of its state from now on. Evidence alone is no change: [`Self::view`] has the latest.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Its state now, with the latest evidence.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        let mut view = self.view.borrow().clone();
        let (human, work) = (self.activity.last_human(), self.activity.last_work());
        if view.human != human || view.work != work {
            let changed = Arc::make_mut(&mut view);
            (changed.human, changed.work) = (human, work);
        }
        view
    }

    /// The phase without its data.
    #[must_use]
    pub fn phase(&self) -> PhaseName {
        self.view.borrow().phase.name()
    }

    /// Whether it is up or on its way there, so that asking for a start changes nothing.
    pub(super) fn is_coming(&self) -> bool {
        self.start_asked.load(Ordering::Acquire)
            || matches!(self.phase(), PhaseName::Starting | PhaseName::Running | PhaseName::Idle)
    }

    /// Whether it takes room: anything of it may be alive.
    pub(super) fn takes_room(&self) -> bool {
        self.is_coming() || self.phase() == PhaseName::Stopping
    }

    /// Whether its supervisor is gone.
    pub(super) fn is_orphan(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Asks for a start, unless that is in the inbox already. Whoever subscribes from now on sees a start,
    /// not the failure before it.
    pub(super) fn ask_start(&self, order: StartOrder, now: Timestamp) {
        if self.start_asked.swap(true, Ordering::AcqRel) {
            return;
        }
        self.view.send_modify(|view| Arc::make_mut(view).begin(now));
        if self.inbox.try_send(Command::Start(order)).is_err() {
            self.start_asked.store(false, Ordering::Release);
            tracing::error!(workspace = %self.id, "inbox is full: a start was not passed on");
        }
    }

    /// Tells that the start was taken out of the inbox and what it led to is in the view.
    pub(super) fn start_taken(&self) {
        self.start_asked.store(false, Ordering::Release);
    }

    /// Whether a start waits in the inbox.
    pub(super) fn start_waits(&self) -> bool {
        self.start_asked.load(Ordering::Acquire)
    }

    pub(super) fn ask_stop(&self, reason: StopReason) {
        if self.inbox.try_send(Command::Stop(reason)).is_err() {
            tracing::error!(workspace = %self.id, "inbox is full or closed: a stop was not passed on");
        }
    }

    /// Passes on what a runtime saw; waits for room, which a supervisor makes within its own time limits.
    pub(super) async fn tell(&self, seen: Seen) {
        // A supervisor that has just left knows of the end already.
        let _ = self.inbox.send(Command::Seen(seen)).await;
    }

    pub(super) fn hold_until(&self) -> Option<Timestamp> {
        match self.hold_until.load(Ordering::Acquire) {
            0 => None,
            millis => Some(Timestamp::from_millis(millis)),
        }
    }

    /// Sets or ends the hold; the supervisor thinks again at once.
    pub(super) fn set_hold(&self, until: Option<Timestamp>) {
        self.hold_until.store(until.map_or(0, Timestamp::as_millis), Ordering::Release);
        self.activity.wake();
    }

    /// Publishes `view`, and before it the endpoint in it, so that whoever sees the phase can go there.
    /// While a start waits in the inbox its own view stands.
    pub(super) fn publish(&self, view: View) {
        let endpoint = view.phase.endpoint();
        if self.endpoint().as_deref() != endpoint
            && let Some(before) = self.up.swap(endpoint.map(|endpoint| Arc::new(Up::at(endpoint))))
        {
            before.over.cancel();
        }
        self.view.send_if_modified(|current| {
            let changed = **current != view && !self.start_waits();
            if changed {
                *current = Arc::new(view);
            }
            changed
        });
    }
}

impl Up {
    fn at(endpoint: &Endpoint) -> Self {
        Self { endpoint: Arc::new(endpoint.clone()), over: CancellationToken::new() }
    }
}

impl View {
    /// What people see from the moment that a start is asked for.
    fn begin(&mut self, now: Timestamp) {
        let step = match self.phase {
            Phase::Stopping { .. } => StartStep::Queued,
            _ => StartStep::Requested,
        };
        self.phase = Phase::Starting { since: now, step };
        self.steps = vec![(step, now)];
    }

    /// A workspace of which nothing is known.
    pub(super) const fn blank(id: WorkspaceId) -> Self {
        Self {
            id,
            phase: Phase::NEVER_STARTED,
            profile: None,
            steps: Vec::new(),
            human: None,
            work: None,
            stops_at: None,
            stops_soon: false,
            hold_until: None,
            expected_start: None,
            last_stop: None,
            kept: None,
        }
    }
}
