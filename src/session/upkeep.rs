//! What goes on beside the requests: sessions that are past end, people are read again (`refresh`), state files are
//! written and what others wrote to them is obeyed.
//!
//! Each apart, so that neither a slow directory nor a disk that hangs delays the end of a session.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::journal::Mark;
use super::{EndReason, Sessions, Whom, audited};
use crate::model::Timestamp;

/// How often sessions that are past are looked for. Tunnels close within five seconds of an end; looking through
/// 200,000 sessions takes about ten milliseconds.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often ends are written that could not be written at once, and read that another gateway or a command has written:
/// what an operator revokes is closed within five seconds. Costs a look at the file's length where nothing has changed.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How often last uses are written.
const SAVE_EVERY: Duration = Duration::from_secs(60);

impl Sessions {
    /// Ends what is past, reads people again and keeps the state files until `stop`, then writes them a last time.
    /// To be driven once, by the owner of the store.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::join!(
            stop.run_until_cancelled(self.keep_swept()),
            stop.run_until_cancelled(self.keep_refreshed()),
            stop.run_until_cancelled(self.keep_written()),
        );
        self.exchange_ends().await;
        self.save_last_uses().await;
    }

    /// Writes what has ended here, and ends what a gateway has ended that this one takes over from or hands over to.
    pub async fn exchange_ends(&self) {
        let inner = self.0.clone();
        let ended_elsewhere = blocking(move || inner.ended.flush(inner.clock.now())).await;
        for mark in ended_elsewhere.unwrap_or_default() {
            self.obey(&mark);
        }
    }

    fn obey(&self, mark: &Mark) {
        match mark {
            Mark::Session { id, .. } => {
                if let Some(session) = self.0.store.find(id) {
                    self.finish(&session, EndReason::SignedOut);
                }
            }
            Mark::Revoked { before, whom, .. } => self.revoke(whom, *before),
            Mark::User { before, tenant, user, .. } => {
                for session in self.0.store.of_user(tenant, user).iter().filter(|session| session.opened() <= *before) {
                    self.finish(session, EndReason::SignedOut);
                }
            }
            // That is about sessions that are not in memory.
            Mark::Everybody { .. } => {}
        }
    }

    /// Ends what an operator's command has revoked.
    fn revoke(&self, whom: &Whom, before: Timestamp) {
        let those = self.0.store.select(|session| {
            let principal = session.principal();
            session.opened() <= before && whom.is(&principal.tenant, &principal.user)
        });
        let count = those.iter().filter(|session| self.finish(session, EndReason::Revoked)).count();
        audited::revoked(&self.0.audit, whom, count);
        tracing::info!(%whom, sessions = count, "revoked by a command");
    }

    async fn keep_swept(&self) {
        let mut ticks = every(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            self.sweep();
        }
    }

    async fn keep_written(&self) {
        let (mut flushes, mut saves) = (every(FLUSH_EVERY), every(SAVE_EVERY));
        loop {
            tokio::select! {
                () = self.0.ended.changed() => self.exchange_ends().await,
                _ = flushes.tick() => self.exchange_ends().await,
                _ = saves.tick() => self.save_last_uses().await,
            }
        }
    }

    /// Writes when sessions were last used, on a blocking thread.
    async fn save_last_uses(&self) {
        let inner = self.0.clone();
        blocking(move || inner.last_uses.save(inner.store.uses(), inner.clock.now() - inner.settings.load().idle))
            .await;
    }
}

fn every(span: Duration) -> Interval {
    let mut ticks = tokio::time::interval(span);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = tokio::task::spawn_blocking(work).await;
    if done.is_err() {
        tracing::error!("writing the state of sessions broke off");
    }
    done.ok()
}
