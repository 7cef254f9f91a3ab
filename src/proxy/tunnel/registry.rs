//! All open tunnels, so that they can be closed from outside: some by what they belong to, all when the gateway leaves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::identity::tokens::Bearer;
use crate::model::{InstanceId, TenantId, WorkspaceId};
use crate::session::Session;

use super::{Closing, TunnelHandle};

/// Locks that the tunnels are spread over: opening and ending one takes one of them for the time of a map's insert.
const SHARDS: usize = 32;

/// What a tunnel belongs to.
#[derive(Debug, Clone)]
pub struct TunnelTag {
    /// The tenant of the user who opened it.
    pub tenant: TenantId,
    /// The workspace that it leads to; `None` for a shared upstream.
    pub workspace: Option<WorkspaceId>,
    /// The run of that workspace.
    pub instance: Option<InstanceId>,
    /// The login that it was opened with.
    pub session: Option<Arc<Session>>,
    /// The token that it was opened with, where there was no login.
    pub bearer: Option<Arc<Bearer>>,
    /// The metric label of its route.
    pub route: Arc<str>,
}

/// The open tunnels. A cheap handle.
#[derive(Debug, Clone)]
pub struct Tunnels(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shards: [Mutex<HashMap<u64, Entry>>; SHARDS],
    open: AtomicUsize,
    next: AtomicU64,
    emptied: Notify,
    /// Set once all have been closed: what opens later is closed at once.
    leaving: OnceLock<Closing>,
}

#[derive(Debug)]
struct Entry {
    tag: TunnelTag,
    handle: TunnelHandle,
}

/// Keeps a tunnel in the registry.
#[derive(Debug)]
pub(super) struct Registration {
    tunnels: Tunnels,
    id: u64,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self::new()
    }
}

impl Tunnels {
    /// A registry without tunnels.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            shards: std::array::from_fn(|_| Mutex::default()),
            open: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            emptied: Notify::new(),
            leaving: OnceLock::new(),
        }))
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until none is open. Waits for ever if one never ends, so the caller bounds it.
    pub async fn emptied(&self) {
        loop {
            let changed = self.0.emptied.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// Asks every tunnel whose tag fits to close. Returns how many those are.
    pub fn close_where(&self, fits: impl Fn(&TunnelTag) -> bool, closing: Closing) -> usize {
        let mut count = 0;
        for shard in &self.0.shards {
            for entry in lock(shard).values().filter(|entry| fits(&entry.tag)) {
                entry.handle.close(closing);
                count += 1;
            }
        }
        count
    }

    /// Asks all tunnels to close, evenly spread over `window`, so that their clients do not come back in one wave.
    /// Returns when the last has been asked, about `window` later; those that opened meanwhile are asked at the end,
    /// and any that opens after that is closed at once.
    pub async fn close_all_spread(&self, window: Duration, closing: Closing) {
        let handles = self.handles();
        let begin = Instant::now();
        let count = u32::try_from(handles.len()).unwrap_or(u32::MAX).max(1);
        for (place, handle) in (0_u32..).zip(handles) {
            sleep_until(begin + window / count * place).await;
            handle.close(closing);
        }
        sleep_until(begin + window).await;
        // Before the sweep: a tunnel that registers during it either is seen by it or sees this.
        let _ = self.0.leaving.set(closing);
        self.close_where(|_| true, closing);
    }

    /// Ends all tunnels at once, without a word.
    pub fn kill_all(&self) {
        for handle in self.handles() {
            handle.kill();
        }
    }

    pub(super) fn register(&self, tag: TunnelTag, handle: &TunnelHandle) -> Registration {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::AcqRel);
        lock(self.shard(id)).insert(id, Entry { tag, handle: handle.clone() });
        if let Some(closing) = self.0.leaving.get() {
            handle.close(*closing);
        }
        Registration { tunnels: self.clone(), id }
    }

    fn handles(&self) -> Vec<TunnelHandle> {
        let shards = self.0.shards.iter();
        shards.flat_map(|shard| lock(shard).values().map(|entry| entry.handle.clone()).collect::<Vec<_>>()).collect()
    }

    fn shard(&self, id: u64) -> &Mutex<HashMap<u64, Entry>> {
        let [first, ..] = &self.0.shards;
        let place = usize::try_from(id % SHARDS as u64).unwrap_or(0);
        self.0.shards.get(place).unwrap_or(first)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut shard = lock(self.tunnels.shard(self.id));
        shard.remove(&self.id);
        // A morning's wave of tunnels shall not keep its memory until the next.
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
            shard.shrink_to_fit();
        }
        drop(shard);
        if self.tunnels.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tunnels.0.emptied.notify_waiters();
        }
    }
}

/// Nothing that runs under these locks can leave a map half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tenant: &str) -> TunnelTag {
        TunnelTag {
            tenant: TenantId::new(tenant).unwrap(),
            workspace: None,
            instance: None,
            session: None,
            bearer: None,
            route: Arc::from("/"),
        }
    }

    fn open(tunnels: &Tunnels, tenant: &str) -> (TunnelHandle, Registration) {
        let handle = TunnelHandle::default();
        let registration = tunnels.register(tag(tenant), &handle);
        (handle, registration)
    }

    #[test]
    fn closes_those_that_fit() {
        let tunnels = Tunnels::new();
        let (a, _a) = open(&tunnels, "acme");
        let (b, _b) = open(&tunnels, "other");
        let closed = tunnels.close_where(|tag| tag.tenant.as_str() == "acme", Closing::NOT_ALLOWED);
        assert_eq!(closed, 1);
        assert_eq!(a.closing(), Some(Closing::NOT_ALLOWED));
        assert_eq!(b.closing(), None);
    }

    #[test]
    fn forgets_what_ended() {
        let tunnels = Tunnels::new();
        let (_, first) = open(&tunnels, "acme");
        let (_, second) = open(&tunnels, "acme");
        assert_eq!(tunnels.len(), 2);
        drop(first);
        drop(second);
        assert!(tunnels.is_empty());
        assert!(tunnels.handles().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn spreads_closings_over_the_window() {
        let tunnels = Tunnels::new();
        let open: Vec<_> = (0..10).map(|_| open(&tunnels, "acme")).collect();
        let asked = || open.iter().filter(|(handle, _)| handle.closing().is_some()).count();
        let closing = tunnels.close_all_spread(Duration::from_secs(10), Closing::RESTART);
        tokio::pin!(closing);
        let begin = Instant::now();
        for seconds in 0..10 {
            let step = tokio::time::timeout_at(begin + Duration::from_millis(seconds * 1000 + 500), closing.as_mut());
            assert!(step.await.is_err());
            assert_eq!(asked(), usize::try_from(seconds).unwrap() + 1);
        }
        closing.await;
        assert_eq!(begin.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_opens_after_the_closing_is_closed_too() {
        let tunnels = Tunnels::new();
        tunnels.close_all_spread(Duration::from_secs(10), Closing::RESTART).await;
        let (late, _registration) = open(&tunnels, "acme");
        assert_eq!(late.closing(), Some(Closing::RESTART));
    }

    #[tokio::test(start_paused = true)]
    async fn tells_when_the_last_has_ended() {
        let tunnels = Tunnels::new();
        tunnels.emptied().await;
        let (_, registration) = open(&tunnels, "acme");
        let wait = tunnels.emptied();
        tokio::pin!(wait);
        assert!(tokio::time::timeout(Duration::from_secs(1), wait.as_mut()).await.is_err());
        drop(registration);
        wait.await;
    }
}
