//! The one connection for searches, shared by everybody and bound as the service account, or not at all.
//!
//! Operations on it do not wait for each other. It is replaced when it has ended, failed, been idle or lived for long;
//! one task connects at a time, and those who waited for it meanwhile share what came of it. A service account that was
//! refused is left alone for a while: each try with a password that is no longer right brings it nearer to being locked.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connection::Connection;
use super::fault::Fault;

/// Unused for longer, it may have been dropped on the way without a word, which costs a whole timeout to notice.
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// A server that came back is noticed after this long, and what the library keeps for each operation is let go.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 60);

/// For how long the service account is not tried again after it was refused. Another password in the configuration is
/// another directory, which remembers nothing; this is what a mend at the server takes to be noticed.
const REFUSAL_HOLDS: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Shared(Mutex<Slot>);

#[derive(Default)]
struct Slot {
    current: Option<Current>,
    failed: Option<(Instant, NotOpened)>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// The service account was refused.
    Refused(Fault),
    /// Anything else, which may be better at the next try.
    Failed(Fault),
}

impl From<Fault> for NotOpened {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

struct Current {
    connection: Arc<Connection>,
    opened: Instant,
    used: Instant,
}

impl Shared {
    /// The connection, opened by `open` if need be, and whether it was there before.
    pub(super) async fn get(
        &self,
        open: impl Future<Output = Result<Connection, NotOpened>> + Send,
    ) -> Result<(Arc<Connection>, bool), Fault> {
        let asked = Instant::now();
        let mut slot = self.0.lock().await;
        if let Some(current) = slot.current.as_mut().filter(|current| current.is_fit()) {
            current.used = Instant::now();
            return Ok((current.connection.clone(), true));
        }
        slot.current = None;
        if let Some(fault) = slot.failed.as_ref().and_then(|(at, why)| why.holds(*at, asked)) {
            return Err(fault.clone());
        }
        match open.await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                let now = Instant::now();
                slot.current = Some(Current { connection: connection.clone(), opened: now, used: now });
                Ok((connection, false))
            }
            Err(why) => {
                let fault = why.fault().clone();
                slot.failed = Some((Instant::now(), why));
                Err(fault)
            }
        }
    }

    /// Lets go of a connection that failed, unless another has taken its place.
    pub(super) async fn discard(&self, failed: &Arc<Connection>) {
        let mut slot = self.0.lock().await;
        if slot.current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.connection, failed)) {
            slot.current = None;
        }
    }
}

impl NotOpened {
    const fn fault(&self) -> &Fault {
        let (Self::Refused(fault) | Self::Failed(fault)) = self;
        fault
    }

    /// What it was, for who asked at `asked` and sees that it failed at `at`, if there is no use in trying again.
    fn holds(&self, at: Instant, asked: Instant) -> Option<&Fault> {
        let remembered = matches!(self, Self::Refused(_)) && at.elapsed() < REFUSAL_HOLDS;
        (at > asked || remembered).then(|| self.fault())
    }
}

impl Current {
    fn is_fit(&self) -> bool {
        !self.connection.is_closed() && self.used.elapsed() < LONGEST_IDLE && self.opened.elapsed() < LONGEST_LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the connection is tried to be opened, to this end.
    async fn tries(shared: &Shared, end: NotOpened) -> bool {
        let (mut tried, fault) = (false, end.fault().clone());
        let opened = shared.get(async {
            tried = true;
            Err(end)
        });
        assert_eq!(opened.await.map(|_| ()), Err(fault));
        tried
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_service_account_is_left_alone_for_half_a_minute_and_an_outage_is_not_remembered() {
        let refused = || NotOpened::Refused(Fault::Misconfigured("refused".to_owned()));
        let away = || NotOpened::Failed(Fault::Unreachable("away".to_owned()));
        let shared = Shared::default();
        for _ in 0..3 {
            assert!(tries(&shared, away()).await);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        for _ in 0..2 {
            assert!(tries(&shared, refused()).await);
            for _ in 0..29 {
                tokio::time::advance(Duration::from_secs(1)).await;
                assert!(!tries(&shared, refused()).await);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
}
