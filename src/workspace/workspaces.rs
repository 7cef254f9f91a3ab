//! The handle to all workspaces: look up, start, stop, hold, list.

use std::sync::Arc;

use futures_util::future::join_all;

use super::refused::{HoldRefused, StartRefused};
use super::settings::Settings;
use super::shared::Shared;
use super::tracked::Tracked;
use super::view::View;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::{ProfileName, StopReason, Timestamp, WorkspaceId};
use crate::runtime::Runtimes;

/// All workspaces of one gateway. A cheap handle.
#[derive(Clone)]
pub struct Workspaces {
    shared: Arc<Shared>,
}

impl Workspaces {
    /// Takes over what the runtimes already have, and begins to supervise on `control`.
    pub async fn new(
        config: &Config,
        runtimes: Runtimes,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        control: tokio::runtime::Handle,
    ) -> Self {
        let workspaces = Self::waiting(config, runtimes, clock, metrics, control);
        workspaces.take_over().await;
        workspaces
    }

    /// Touches no workspace before [`take_over`](Self::take_over): another gateway may still have them. A start that is
    /// asked for until then is under way for all to see, and is made or found made when they are taken over.
    #[must_use]
    pub fn waiting(
        config: &Config,
        runtimes: Runtimes,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        control: tokio::runtime::Handle,
    ) -> Self {
        let (runtimes, observations) = runtimes.split();
        Self { shared: Arc::new(Shared::new(config, runtimes, observations, clock, metrics, control)) }
    }

    /// Takes over what the runtimes have, and begins to supervise. No other gateway may do so at the same time.
    /// A runtime that cannot tell what it has is logged; what it has is then not known until the gateway starts anew.
    pub async fn take_over(&self) {
        self.shared.take_over().await;
    }

    /// Puts another configuration in force: kinds take effect at the next start, autostop and limits at once;
    /// what may no longer run is stopped.
    pub fn apply(&self, config: &Config) {
        self.shared.settings.store(Arc::new(Settings::new(config)));
        for tracked in self.shared.all() {
            tracked.activity().wake();
        }
    }

    /// The workspace if it is not stopped. Lock-free; for every request.
    #[must_use]
    pub fn tracked(&self, id: &WorkspaceId) -> Option<Arc<Tracked>> {
        self.shared.tracked(id)
    }

    /// Starts a workspace, or joins a start under way. Returns at once; [`Tracked::subscribe`] tells what comes of it.
    /// Without a profile it gets the one that it last had, or the kind's first.
    ///
    /// # Errors
    /// Returns an error if it may not run, or not now.
    pub fn start(&self, id: &WorkspaceId, profile: Option<ProfileName>) -> Result<Arc<Tracked>, StartRefused> {
        match self.tracked(id) {
            Some(tracked) if tracked.is_coming() && !tracked.is_orphan() => Ok(tracked),
            _ => self.shared.start(id, profile),
        }
    }

    /// Stops a workspace. Nothing happens if it does not run.
    pub fn stop(&self, id: &WorkspaceId, reason: StopReason) {
        if let Some(tracked) = self.tracked(id) {
            tracked.ask_stop(reason);
        }
    }

    /// Holds off an idle stop until a time, at most the kind's `max_hold` from now; `None` ends the hold.
    /// Returns what is now in force.
    ///
    /// # Errors
    /// Returns an error if it does not run, may not be held, or the time has passed.
    pub fn hold(&self, id: &WorkspaceId, until: Option<Timestamp>) -> Result<Option<Timestamp>, HoldRefused> {
        let tracked = self.tracked(id).filter(|tracked| tracked.is_coming()).ok_or(HoldRefused::NotRunning)?;
        let now = self.shared.clock.now();
        let bounded = until.map(|until| self.shared.bounded_hold(id, until, now)).transpose()?;
        tracked.set_hold(bounded);
        tracing::info!(workspace = %id, until = bounded.map(tracing::field::display), "hold set");
        Ok(bounded)
    }

    /// A workspace as it is now, stopped or not. For pages, not for the request path: takes a lock for a moment.
    #[must_use]
    pub fn view(&self, id: &WorkspaceId) -> Arc<View> {
        self.tracked(id).map_or_else(|| Arc::new(self.shared.stopped_view(id)), |tracked| tracked.view())
    }

    /// Every workspace that is not stopped, in the order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<View>> {
        let mut views: Vec<_> = self.shared.all().iter().map(|tracked| tracked.view()).collect();
        views.sort_by(|a, b| a.id.cmp(&b.id));
        views
    }

    /// Refuses further starts and stops every workspace, or lets them run if the configuration says so. Takes at most
    /// the longest grace of a kind and some seconds; what has not stopped by then is found by the next gateway. Nothing
    /// happens to workspaces that were not taken over, or were let go.
    pub async fn shutdown(&self) {
        self.shared.close();
        if self.shared.has_them() && !self.shared.settings.load().shutdown.keep_workspaces {
            join_all(self.shared.all().into_iter().map(|tracked| self.shared.stop_for_good(tracked))).await;
        }
        self.shared.let_go().await;
    }

    /// Refuses further starts and lets every workspace run for another gateway to take over. When this returns nothing
    /// is done about any of them any more, and all that has to outlive this gateway is written. Who is connected to a
    /// workspace stays so.
    pub async fn let_go(&self) {
        self.shared.close();
        self.shared.let_go().await;
    }
}
