//! One gateway at a time for one state folder: a lock on a file in it, which the kernel lets go of when its holder ends,
//! however that comes.
//!
//! It guards what two gateways would take from each other: workspaces, and why they stopped.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::Instant;

/// Name of the file; it stays empty.
const FILE: &str = "lock";
/// Between two tries to get it. The holder lets go within milliseconds after its hand-over.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// How long a holder may be silent before the log says so, each time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The lock of a state folder, held or not. Let go of when dropped.
#[derive(Debug)]
pub(super) struct StateLock(File);

impl StateLock {
    /// The lock of the folder, not held yet.
    ///
    /// # Errors
    /// Returns an error if the file cannot be made.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join(FILE))?;
        Ok(Self(file))
    }

    /// Takes it unless somebody else has it; returns whether it is held now.
    ///
    /// # Errors
    /// Returns an error if the file system knows no locks.
    pub(super) fn try_take(&self) -> io::Result<bool> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes it as soon as its holder lets go. Without end, as nothing else is safe: the holder still has the
    /// workspaces. The log says so every half minute.
    ///
    /// # Errors
    /// Returns an error if the file system knows no locks.
    pub(super) async fn take(&self) -> io::Result<()> {
        let mut told = Instant::now();
        while !self.try_take()? {
            if told.elapsed() >= PATIENCE {
                told = Instant::now();
                tracing::error!("the gateway before this one still holds the state folder: no workspace can start");
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        Ok(())
    }

    /// Lets go of it.
    pub(super) fn release(&self) {
        if let Err(error) = flock(&self.0, FlockOperation::Unlock) {
            tracing::error!(%error, "cannot let go of the state folder");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn only_one_holds_it_until_it_lets_go_or_ends() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let [one, two] = [(); 2].map(|()| StateLock::of(folder.path()).expect("can be made"));
        assert!(one.try_take().expect("locks work here"));
        assert!(!two.try_take().expect("locks work here"));
        one.release();
        assert!(two.try_take().expect("locks work here"));
        drop(two);
        assert!(one.try_take().expect("locks work here"));
    }

    #[tokio::test]
    async fn who_waits_for_it_gets_it_when_it_is_let_go() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let holder = StateLock::of(folder.path()).expect("can be made");
        assert!(holder.try_take().expect("locks work here"));
        let next = Arc::new(StateLock::of(folder.path()).expect("can be made"));
        let mut waiting = tokio::task::JoinSet::new();
        waiting.spawn(async move { next.take().await });
        tokio::task::yield_now().await;
        assert!(waiting.try_join_next().is_none());
        holder.release();
        let taken = tokio::time::timeout(Duration::from_secs(10), waiting.join_next()).await.expect("in time");
        taken.expect("one waits").expect("no panic").expect("locks work here");
    }
}
