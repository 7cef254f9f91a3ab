//! How long starts of a kind took lately, so that a start page can say what to expect.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::model::KindName;

/// Starts that the median is taken over: enough to be steady, few enough to follow a change within a morning.
const KEPT: usize = 20;

/// The latest start durations by kind. There are as many kinds as the configuration ever had.
#[derive(Debug, Default)]
pub(super) struct StartTimes {
    latest: HashMap<KindName, VecDeque<Duration>>,
}

impl StartTimes {
    /// Notes that a start of `kind` took this long.
    pub(super) fn note(&mut self, kind: &KindName, took: Duration) {
        let latest = self.latest.entry(kind.clone()).or_default();
        if latest.len() == KEPT {
            latest.pop_front();
        }
        latest.push_back(took);
    }

    /// The median of the latest starts.
    pub(super) fn expected(&self, kind: &KindName) -> Option<Duration> {
        let mut sorted: Vec<_> = self.latest.get(kind)?.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_latest_starts_is_expected() {
        let (kind, mut times) = (KindName::new("ide").expect("test kind"), StartTimes::default());
        assert_eq!(times.expected(&kind), None);
        for secs in [90, 3, 4] {
            times.note(&kind, Duration::from_secs(secs));
        }
        assert_eq!(times.expected(&kind), Some(Duration::from_secs(4)));
        for _ in 0..KEPT {
            times.note(&kind, Duration::from_secs(7));
        }
        assert_eq!(times.expected(&kind), Some(Duration::from_secs(7)));
    }
}
