//! What runs beside the requests, on the control runtime.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::parts::{Parts, restart_needed};
use crate::audit::Audit;
use crate::config::Loaded;
use crate::edge::DrainPhase;
use crate::proxy::tunnel::Closing;
use crate::reload::Reload;

/// How often open tunnels and idle upstream connections are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What was started.
pub(super) struct Background {
    stop: CancellationToken,
    /// What has something to write when it ends.
    writing: JoinHandle<()>,
}

impl Background {
    /// Ends everything, and waits until the state of sessions is written, at most for `patience`.
    pub(super) async fn end(self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, self.writing).await.is_err() {
            tracing::error!(?patience, "the state of sessions is not written in time");
        }
    }
}

/// Starts everything.
pub(super) fn start(control: &Runtime, parts: &Arc<Parts>, loaded: &Loaded, config_path: PathBuf) -> Background {
    let stop = CancellationToken::new();
    let on = control.handle();
    on.spawn(sweep(parts.clone(), stop.clone()));
    let writing = on.spawn({
        let (sessions, stop) = (parts.sessions.clone(), stop.clone());
        async move { sessions.run(stop).await }
    });
    on.spawn({
        let (bearers, metrics, stop) = (parts.identity.bearers().clone(), parts.metrics.clone(), stop.clone());
        async move { bearers.keep_keys(metrics, stop).await }
    });
    on.spawn(leave(parts.clone()));
    watch_config(on, parts, loaded, config_path, &stop);
    Background { stop, writing }
}

async fn sweep(parts: Arc<Parts>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        parts.gateway.sweep();
        parts.audit.sweep();
    }
}

/// Follows the drain: not ready at once, and when accepting has ended, streams of updates end and WebSockets are asked
/// to go, spread over time.
async fn leave(parts: Arc<Parts>) {
    let mut phases = parts.drain.subscribe();
    // The sender lives in `parts`, so waiting does not fail.
    let _ = phases.wait_for(|phase| *phase >= DrainPhase::Leaving).await;
    parts.health.not_ready("shutting down");
    let _ = phases.wait_for(|phase| *phase >= DrainPhase::Draining).await;
    parts.leaving.cancel();
    let window = parts.drain.nudge_window();
    parts.tunnels.close_all_spread(window, Closing::RESTART).await;
}

fn watch_config(on: &Handle, parts: &Arc<Parts>, loaded: &Loaded, path: PathBuf, stop: &CancellationToken) {
    let started_with = loaded.config.clone();
    let (applied_to, refreshed, control) = (parts.clone(), parts.sessions.clone(), on.clone());
    let apply = move |new: Loaded| {
        applied_to.apply(&new.config)?;
        // People who are gone from the directory lose their sessions now, not at the next regular reading.
        let sessions = refreshed.clone();
        control.spawn(async move { sessions.refresh_principals().await });
        Ok(restart_needed(&started_with, &new.config))
    };
    let reload =
        Reload::new(path, loaded, parts.metrics.clone(), parts.health.clone(), apply).audited(parts.audit.clone());
    let (told, hangups) = mpsc::channel(1);
    on.spawn(forward_hangups(told, parts.audit.clone(), stop.clone()));
    on.spawn(reload.run(hangups, stop.clone()));
}

/// SIGHUP asks to look at the configuration now, and says that the audit log's file was moved away.
async fn forward_hangups(told: mpsc::Sender<()>, audit: Audit, stop: CancellationToken) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while stop.run_until_cancelled(hangup.recv()).await.flatten().is_some() {
        audit.reopen();
        // Full means that one waits already.
        let _ = told.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_is_still_written_but_not_for_ever() {
        for (takes, expected) in [(Duration::from_secs(1), true), (Duration::from_secs(9), false)] {
            let (stop, written) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
            let writing = Handle::current().spawn({
                let (stop, written) = (stop.clone(), written.clone());
                async move {
                    stop.cancelled().await;
                    tokio::time::sleep(takes).await;
                    written.store(true, Ordering::Release);
                }
            });
            Background { stop, writing }.end(Duration::from_secs(5)).await;
            assert_eq!(written.load(Ordering::Acquire), expected, "{takes:?}");
        }
    }
}
