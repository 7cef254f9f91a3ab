//! The servers of one directory, and which of them answered last time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Meter;
use crate::config::LdapServer;

/// For how long a server that failed is tried after the others.
const MEMORY: Duration = Duration::from_secs(30);

/// Servers in the order of the configuration, with the memory of their failures.
pub(super) struct Servers {
    known: Vec<(String, LdapServer)>,
    failures: Mutex<Vec<Option<Instant>>>,
    meter: Meter,
}

impl Servers {
    pub(super) fn new(known: Vec<(String, LdapServer)>, meter: Meter) -> Self {
        let failures = Mutex::new(vec![None; known.len()]);
        Self { known, failures, meter }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn get(&self, server: usize) -> (&str, &LdapServer) {
        let (url, server) = &self.known[server];
        (url, server)
    }

    /// In which order to try them now.
    pub(super) fn in_order(&self) -> Vec<usize> {
        order(&self.failures(), Instant::now())
    }

    pub(super) fn failed(&self, server: usize) {
        self.failures()[server] = Some(Instant::now());
        self.show(server, false);
    }

    pub(super) fn answered(&self, server: usize) {
        self.failures()[server] = None;
        self.show(server, true);
    }

    fn show(&self, server: usize, up: bool) {
        self.meter.metrics.directory_server(&self.meter.directory, self.get(server).0, up);
    }

    fn failures(&self) -> MutexGuard<'_, Vec<Option<Instant>>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that is no longer configured has no health.
impl Drop for Servers {
    fn drop(&mut self) {
        for (url, _) in &self.known {
            self.meter.metrics.directory_server_gone(&self.meter.directory, url);
        }
    }
}

/// Those that did not fail lately in their order, then the others, the longest ago first. Pure.
fn order(failures: &[Option<Instant>], now: Instant) -> Vec<usize> {
    let lately = |failure: &Option<Instant>| failure.filter(|failure| now.duration_since(*failure) < MEMORY);
    let mut order: Vec<usize> = (0..failures.len()).collect();
    // None comes before Some, and the sort is stable.
    order.sort_by_key(|server| lately(&failures[*server]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn servers_that_failed_lately_are_tried_last_and_the_earliest_first() {
        let earlier = Instant::now();
        tokio::time::advance(Duration::from_secs(10)).await;
        let now = Instant::now();
        assert_eq!(order(&[None, None, None], now), [0, 1, 2]);
        assert_eq!(order(&[Some(now), None, Some(earlier)], now), [1, 2, 0]);
        assert_eq!(order(&[Some(now), None, Some(earlier)], earlier + MEMORY), [1, 2, 0]);
        assert_eq!(order(&[Some(now), None, None], now + MEMORY), [0, 1, 2]);
    }
}
