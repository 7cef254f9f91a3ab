//! Checks passwords on blocking threads, a few at a time: each takes a core and megabytes for tens of milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::hash::StoredHash;
use super::{Password, SignInError};

/// How long a sign-in waits for its turn; then the page says that it is busy.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Most sign-ins that wait at once. At 50 ms each, two at a time do 200 in five seconds: more would wait in vain.
const MOST_WAITING: usize = 200;
/// Most checks at once, whatever the number of cores: 8 × 19 MiB.
const MOST_AT_ONCE: usize = 8;

/// A bounded number of password checks at a time.
pub(super) struct Verifier {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    #[cfg(test)]
    pub(super) checks: AtomicUsize,
}

impl Verifier {
    /// As many checks at once as there are cores to spare: half of them, so that traffic goes on.
    pub(super) fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self::with_permits((cores / 2).clamp(1, MOST_AT_ONCE))
    }

    pub(super) fn with_permits(permits: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            waiting: AtomicUsize::new(0),
            #[cfg(test)]
            checks: AtomicUsize::new(0),
        }
    }

    /// Whether `password` is the one of `hash`. Waits at most [`LONGEST_WAIT`] for its turn.
    ///
    /// The permit goes with the work, not with the request: a client that leaves does not make room for another.
    pub(super) async fn check(&self, hash: Arc<StoredHash>, password: &Password) -> Result<bool, SignInError> {
        let permit = self.turn().await?;
        #[cfg(test)]
        self.checks.fetch_add(1, Ordering::Relaxed);
        let password = password.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            hash.matches(&password)
        });
        // The work does not panic; it is lost only when the runtime shuts down.
        work.await.map_err(|_| SignInError::Busy)
    }

    async fn turn(&self) -> Result<tokio::sync::OwnedSemaphorePermit, SignInError> {
        let _place = Place::take(&self.waiting).ok_or(SignInError::Busy)?;
        let turn = tokio::time::timeout(LONGEST_WAIT, self.permits.clone().acquire_owned()).await;
        turn.map_err(|_| SignInError::Busy)?.map_err(|_| SignInError::Busy)
    }
}

/// A place in the queue; given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sign_in_that_never_gets_its_turn_is_told_that_we_are_busy() {
        let verifier = Verifier::with_permits(1);
        let _taken = verifier.permits.clone().acquire_owned().await.expect("a permit");
        let password = Password::new("x".to_owned()).expect("a password");
        let answer = verifier.check(Arc::new(StoredHash::stand_in(None)), &password).await;
        assert_eq!(answer, Err(SignInError::Busy));
        assert_eq!(verifier.waiting.load(Ordering::Relaxed), 0, "its place is given back");
    }

    #[tokio::test]
    async fn a_full_queue_turns_the_next_away_at_once() {
        let verifier = Verifier::with_permits(1);
        verifier.waiting.store(MOST_WAITING, Ordering::Relaxed);
        let password = Password::new("x".to_owned()).expect("a password");
        let answer = verifier.check(Arc::new(StoredHash::stand_in(None)), &password).await;
        assert_eq!(answer, Err(SignInError::Busy));
        assert_eq!(verifier.waiting.load(Ordering::Relaxed), MOST_WAITING);
    }
}
