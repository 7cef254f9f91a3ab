//! Evidence that somebody is at work, written by the data plane and read by the supervisor. Lock-free.
//!
//! Two clocks: `human` (a person did something) and `work` (a job goes on). A clock that was never set is unknown,
//! which is not the same as idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::model::{ActivitySource, Evidence, Timestamp};

/// Evidence that is newer than the last by less than this is not written: a paste of a thousand frames costs one write.
const RESOLUTION: Duration = Duration::from_millis(250);
/// Bits of a packed clock that name the source; the rest is milliseconds, enough for 73 million years.
const SOURCE_BITS: u32 = 3;

/// The two clocks and the open tunnels of one workspace.
#[derive(Debug, Default)]
pub struct Activity {
    human: AtomicU64,
    work: AtomicU64,
    tunnels: AtomicUsize,
    /// Whether the supervisor wants to be woken by the next human evidence.
    idle: AtomicBool,
    woken: Notify,
}

/// An open tunnel; dropping it closes it.
#[derive(Debug)]
pub struct TunnelGuard(Arc<Activity>);

impl Activity {
    /// Records that a person did something at `now`.
    pub fn human(&self, source: ActivitySource, now: Timestamp) {
        if self.idle.load(Ordering::Relaxed) && self.idle.swap(false, Ordering::Relaxed) {
            record(&self.human, source, now, Duration::ZERO);
            self.woken.notify_one();
        } else {
            record(&self.human, source, now, RESOLUTION);
        }
    }

    /// Takes `now` for the latest moment that a person is known to have been there, whatever was recorded before: what
    /// went on until now is not known, or by a clock that has changed.
    pub(super) fn begin_anew(&self, now: Timestamp) {
        self.human.store(pack(ActivitySource::Restart, now), Ordering::Relaxed);
    }

    /// Records that a job was at work at `now`.
    pub fn work(&self, source: ActivitySource, now: Timestamp) {
        record(&self.work, source, now, RESOLUTION);
    }

    /// Counts a tunnel as open until the guard is dropped.
    #[must_use]
    pub fn tunnel_opened(self: &Arc<Self>) -> TunnelGuard {
        if self.tunnels.fetch_add(1, Ordering::Relaxed) == 0 {
            self.woken.notify_one();
        }
        TunnelGuard(self.clone())
    }

    /// The latest evidence of a person; `None` is unknown.
    #[must_use]
    pub fn last_human(&self) -> Option<Evidence> {
        unpack(self.human.load(Ordering::Relaxed))
    }

    /// The latest evidence of a job; `None` is unknown.
    #[must_use]
    pub fn last_work(&self) -> Option<Evidence> {
        unpack(self.work.load(Ordering::Relaxed))
    }

    /// How many tunnels are open.
    #[must_use]
    pub fn open_tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// Asks for [`Self::woken`] to return at the next human evidence, or no longer.
    pub(super) fn wake_on_evidence(&self, wake: bool) {
        self.idle.store(wake, Ordering::Relaxed);
    }

    /// Makes [`Self::woken`] return.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Returns when human evidence came that was waited for, when the first tunnel opened or the last one closed,
    /// or after [`Self::wake`].
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for TunnelGuard {
    fn drop(&mut self) {
        if self.0.tunnels.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.woken.notify_one();
        }
    }
}

/// Time above source in one word, so that both are of the same evidence and the later one wins.
fn record(clock: &AtomicU64, source: ActivitySource, now: Timestamp, resolution: Duration) {
    let last = Timestamp::from_millis(clock.load(Ordering::Relaxed) >> SOURCE_BITS);
    if last + resolution > now && last.as_millis() != 0 {
        return;
    }
    clock.fetch_max(pack(source, now), Ordering::Relaxed);
}

const fn pack(source: ActivitySource, at: Timestamp) -> u64 {
    (at.as_millis() << SOURCE_BITS) | code(source)
}

fn unpack(word: u64) -> Option<Evidence> {
    let at = Timestamp::from_millis(word >> SOURCE_BITS);
    let source = match word & ((1 << SOURCE_BITS) - 1) {
        1 => ActivitySource::WebSocket,
        2 => ActivitySource::Http,
        3 => ActivitySource::Connection,
        4 => ActivitySource::Start,
        5 => ActivitySource::Restart,
        _ => return None,
    };
    Some(Evidence { at, source })
}

const fn code(source: ActivitySource) -> u64 {
    match source {
        ActivitySource::WebSocket => 1,
        ActivitySource::Http => 2,
        ActivitySource::Connection => 3,
        ActivitySource::Start => 4,
        ActivitySource::Restart => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn a_clock_that_was_never_set_is_unknown() {
        let activity = Activity::default();
        assert_eq!(activity.last_human(), None);
        activity.work(ActivitySource::Http, AT);
        assert_eq!(activity.last_human(), None, "work is not human");
        assert_eq!(activity.last_work(), Some(Evidence { at: AT, source: ActivitySource::Http }));
    }

    #[test]
    fn later_evidence_wins_and_earlier_never_does() {
        let activity = Activity::default();
        for source in [
            ActivitySource::WebSocket,
            ActivitySource::Http,
            ActivitySource::Connection,
            ActivitySource::Start,
            ActivitySource::Restart,
        ] {
            let at = activity.last_human().map_or(AT, |e| e.at) + Duration::from_secs(1);
            activity.human(source, at);
            assert_eq!(activity.last_human(), Some(Evidence { at, source }));
        }
        let last = activity.last_human();
        activity.human(ActivitySource::Http, AT);
        assert_eq!(activity.last_human(), last);
    }

    #[test]
    fn a_tunnel_is_open_until_its_guard_is_dropped() {
        let activity = Arc::new(Activity::default());
        let (first, second) = (activity.tunnel_opened(), activity.tunnel_opened());
        assert_eq!(activity.open_tunnels(), 2);
        drop(first);
        drop(second);
        assert_eq!(activity.open_tunnels(), 0);
    }

    #[tokio::test]
    async fn evidence_wakes_a_supervisor_that_asked_for_it() {
        let activity = Activity::default();
        activity.wake_on_evidence(true);
        activity.human(ActivitySource::WebSocket, AT);
        tokio::time::timeout(Duration::from_secs(5), activity.woken()).await.expect("was woken");
    }
}
