//! The mass-stop brake: more than a share of a kind due for idleness at once looks like lost evidence, not like idleness.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::KindName;

/// The span that stops are counted over.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Stops within the window that are always allowed, so that small installations are not braked.
const ALWAYS: usize = 5;

/// Recent idle stops by kind; at most as many entries as workspaces stopped within the window.
#[derive(Debug, Default)]
pub(super) struct Brake {
    recent: HashMap<KindName, VecDeque<Instant>>,
}

impl Brake {
    /// Whether one more workspace of `kind` may be stopped for idleness at `now`, when `running` of them are up;
    /// if so, the stop is counted.
    pub(super) fn allows(&mut self, kind: &KindName, running: usize, percent: u8, now: Instant) -> bool {
        let recent = self.recent.entry(kind.clone()).or_default();
        while recent.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            recent.pop_front();
        }
        // Those that were stopped within the window were running at its start.
        let share = (running + recent.len()) * usize::from(percent) / 100;
        let allowed = recent.len() < share.max(ALWAYS);
        if allowed {
            recent.push_back(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped_of(running: usize, percent: u8, brake: &mut Brake, now: Instant) -> usize {
        let kind = KindName::new("ide").expect("test kind");
        (0..running).take_while(|stopped| brake.allows(&kind, running - stopped, percent, now)).count()
    }

    #[tokio::test]
    async fn no_more_than_the_share_is_stopped_within_the_window() {
        let (mut brake, now) = (Brake::default(), Instant::now());
        assert_eq!(stopped_of(1000, 30, &mut brake, now), 300);
        assert_eq!(stopped_of(700, 30, &mut brake, now + WINDOW / 2), 0);
        assert_eq!(stopped_of(700, 30, &mut brake, now + WINDOW), 210);
    }

    #[tokio::test]
    async fn five_may_always_stop() {
        let (mut brake, now) = (Brake::default(), Instant::now());
        assert_eq!(stopped_of(3, 1, &mut brake, now), 3);
        assert_eq!(stopped_of(100, 1, &mut Brake::default(), now), 5);
    }

    #[tokio::test]
    async fn kinds_are_braked_apart() {
        let (mut brake, now) = (Brake::default(), Instant::now());
        assert_eq!(stopped_of(100, 10, &mut brake, now), 10);
        assert!(brake.allows(&KindName::new("desktop").expect("test kind"), 1, 10, now));
    }
}
