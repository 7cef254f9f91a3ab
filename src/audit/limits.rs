//! How many lines strangers may cause: so many in a second for each action and class, and the rest is counted. A flood
//! of one kind must not hide another.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Action;
use crate::model::Timestamp;

/// Most lines of one action and class within a [`WINDOW`]. Ten of these that strangers cause, and 300 bytes a line, are at
/// most 5 GiB a day, under attack the whole day.
const MOST: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);
/// Most windows at once. Classes are a fixed few; beyond that the rest of an action shares one.
const MOST_WINDOWS: usize = 256;

/// What is counted of each action.
#[derive(Debug, Default)]
pub(super) struct Limits {
    windows: HashMap<(Action, Box<str>), Window>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    since: Timestamp,
    written: u32,
    suppressed: u64,
}

/// What is to be done about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its line is written. Before it so many of its action were not.
    Write { suppressed: u64 },
    /// It is only counted.
    Suppress,
}

impl Limits {
    pub(super) fn judge(&mut self, action: Action, class: &str, now: Timestamp) -> Verdict {
        let class = if self.windows.len() < MOST_WINDOWS { class } else { "" };
        let window = self.windows.entry((action, class.into())).or_default();
        let suppressed = window.turn(now);
        if window.written >= MOST {
            window.suppressed += 1;
            return Verdict::Suppress;
        }
        window.written += 1;
        Verdict::Write { suppressed }
    }

    /// The actions that lines were suppressed of in a window that is over, and how many. Such windows are forgotten.
    pub(super) fn overdue(&mut self, now: Timestamp) -> Vec<(Action, u64)> {
        let mut overdue: BTreeMap<usize, u64> = BTreeMap::new();
        self.windows.retain(|(action, _), window| {
            *overdue.entry(*action as usize).or_default() += window.turn(now);
            window.written > 0
        });
        let told = Action::ALL.into_iter().filter_map(|action| Some((action, *overdue.get(&(action as usize))?)));
        told.filter(|(_, suppressed)| *suppressed > 0).collect()
    }

    /// The same of windows that are not over, at the end of the log.
    pub(super) fn rest(&mut self) -> Vec<(Action, u64)> {
        self.overdue(Timestamp::from_millis(u64::MAX))
    }
}

impl Window {
    /// Begins anew if its time is over, or lies ahead because the clock was set back; gives what was suppressed.
    fn turn(&mut self, now: Timestamp) -> u64 {
        if now >= self.since && now.since(self.since) < WINDOW {
            return 0;
        }
        let suppressed = self.suppressed;
        *self = Self { since: now, written: 0, suppressed: 0 };
        suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn written(limits: &mut Limits, action: Action, tries: u32, now: Timestamp) -> usize {
        (0..tries).filter(|_| limits.judge(action, "class", now) != Verdict::Suppress).count()
    }

    #[test]
    fn each_action_has_twenty_lines_a_second_and_the_rest_is_counted() {
        let mut limits = Limits::default();
        assert_eq!(written(&mut limits, Action::TokenRefusal, 1000, START), 20);
        assert_eq!(written(&mut limits, Action::SignIn, 30, START), 20, "one does not use up another's");
        assert_eq!(limits.overdue(START + Duration::from_millis(999)), []);
        let next = START + WINDOW;
        assert_eq!(limits.judge(Action::TokenRefusal, "class", next), Verdict::Write { suppressed: 980 });
        assert_eq!(limits.overdue(next), [(Action::SignIn, 10)]);
        assert_eq!(limits.overdue(next + WINDOW), []);
    }

    #[test]
    fn a_flood_of_one_class_hides_no_other_and_leaves_nothing_behind() {
        let mut limits = Limits::default();
        for _ in 0..1000 {
            limits.judge(Action::SignIn, "form-token", START);
        }
        assert_eq!(limits.judge(Action::SignIn, "throttled", START), Verdict::Write { suppressed: 0 });
        assert_eq!(limits.overdue(START + WINDOW), [(Action::SignIn, 980)]);
        assert!(limits.windows.is_empty());
        for class in 0..1000 {
            limits.judge(Action::SignIn, &class.to_string(), START);
        }
        assert!(limits.windows.len() <= MOST_WINDOWS + 1);
    }

    #[test]
    fn what_was_suppressed_is_told_at_the_end_and_a_clock_set_back_silences_nobody() {
        let mut limits = Limits::default();
        written(&mut limits, Action::HostEntry, 25, START);
        let earlier = START - Duration::from_secs(3600);
        assert_eq!(limits.judge(Action::HostEntry, "class", earlier), Verdict::Write { suppressed: 5 });
        written(&mut limits, Action::HostEntry, 25, earlier);
        assert_eq!(limits.rest(), [(Action::HostEntry, 6)]);
    }

    #[test]
    fn every_action_has_its_own_place() {
        for (place, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, place, "{}", action.label());
        }
    }
}
