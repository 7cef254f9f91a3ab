//! Answers under way that may last: streams of events and long downloads. A login's end ends them at once; here they
//! are found when the right that they were given by is taken away.
//!
//! Only answers that have to wait for their upstream, or are long, are kept here, so that most cost nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::identity::tokens::Bearer;
use crate::session::Session;

/// Locks that the answers are spread over.
const SHARDS: usize = 32;

/// By what right an answer was given.
#[derive(Debug, Clone)]
pub struct AnswerTag {
    /// The login that it was asked for with.
    pub session: Option<Arc<Session>>,
    /// Or the token.
    pub bearer: Option<Arc<Bearer>>,
    /// The metric label of its route.
    pub route: Arc<str>,
}

/// The answers that may last. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Answers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    shards: [Mutex<HashMap<u64, (AnswerTag, CancellationToken)>>; SHARDS],
    next: AtomicU64,
}

/// Keeps an answer among them.
#[derive(Debug)]
pub(super) struct Registration {
    answers: Answers,
    id: u64,
}

impl Answers {
    /// Breaks off every answer whose tag fits; returns how many those were.
    pub fn end_where(&self, fits: impl Fn(&AnswerTag) -> bool) -> usize {
        let mut count = 0;
        for shard in &self.0.shards {
            for (_, ended) in lock(shard).values().filter(|(tag, _)| fits(tag)) {
                ended.cancel();
                count += 1;
            }
        }
        count
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Keeps an answer until the registration is dropped; `ended` is cancelled when its right is gone.
    pub(super) fn register(&self, tag: AnswerTag, ended: CancellationToken) -> Registration {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        lock(self.shard(id)).insert(id, (tag, ended));
        Registration { answers: self.clone(), id }
    }

    fn shard(&self, id: u64) -> &Mutex<HashMap<u64, (AnswerTag, CancellationToken)>> {
        let [first, ..] = &self.0.shards;
        let place = usize::try_from(id % SHARDS as u64).unwrap_or(0);
        self.0.shards.get(place).unwrap_or(first)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let removed = lock(self.answers.shard(self.id)).remove(&self.id);
        // Whoever holds the last handle on a session frees it outside of the lock.
        drop(removed);
    }
}

/// Nothing that runs under these locks can leave a map half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
