//! Every open connection of a gateway, upgraded ones included: to tell them all to leave, and to know when none is left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::Connection;
use super::connection::Order;

/// Locks are taken when a connection opens and closes; with this many a new one seldom meets another.
const SHARDS: usize = 16;

/// A cheap handle on the open connections.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Inner>);

#[derive(Default)]
struct Inner {
    next: AtomicU64,
    open: AtomicUsize,
    leaving: AtomicBool,
    over: AtomicBool,
    changed: Notify,
    shards: [Mutex<HashMap<u64, Weak<Connection>>>; SHARDS],
}

/// A socket on its way to become a connection.
pub(super) struct Beginning(Connections);

impl Drop for Beginning {
    fn drop(&mut self) {
        self.0.subtract();
    }
}

impl Connections {
    pub(super) fn next_id(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }

    pub(super) fn enter(&self, connection: &Arc<Connection>) {
        self.add();
        self.shard(connection.id()).insert(connection.id(), Arc::downgrade(connection));
        // Looked at after the entry is made: whoever sets it later finds the entry.
        if self.is_over() {
            connection.close();
        } else if self.0.leaving.load(Ordering::SeqCst) {
            connection.leave();
        }
    }

    pub(super) fn exit(&self, id: u64) {
        self.shard(id).remove(&id);
        self.subtract();
    }

    /// Counts a socket that is not a connection yet: it is waited for like one.
    pub(super) fn begin(&self) -> Beginning {
        self.add();
        Beginning(self.clone())
    }

    /// Tells all to finish and close, those that come later too.
    pub(super) fn leave(&self) {
        self.0.leaving.store(true, Ordering::SeqCst);
        self.give_all(Order::Leave);
    }

    /// Cuts all that the edge still drives.
    pub(super) fn kill(&self) {
        self.0.over.store(true, Ordering::SeqCst);
        self.give_all(Order::Kill);
    }

    /// Whether no connection is to live any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::SeqCst)
    }

    /// Resolves when none is open.
    pub(super) async fn none_left(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.open() == 0 {
                return;
            }
            changed.await;
        }
    }

    fn add(&self) {
        self.0.open.fetch_add(1, Ordering::AcqRel);
    }

    fn subtract(&self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }

    fn give_all(&self, order: Order) {
        for shard in &self.0.shards {
            // Collected first: the last handle on a connection takes the shard's lock when it is dropped.
            let all: Vec<_> = lock(shard).values().filter_map(Weak::upgrade).collect();
            for connection in all {
                connection.give(order);
            }
        }
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, HashMap<u64, Weak<Connection>>> {
        let index = usize::try_from(id % SHARDS as u64).unwrap_or_default();
        lock(self.0.shards.get(index).unwrap_or(&self.0.shards[0]))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
