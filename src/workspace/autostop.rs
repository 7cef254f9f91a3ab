//! When a workspace stops by itself: one pure rule over what is known of it.
//!
//! Evidence that is missing is unknown, and unknown is never idle: without human evidence nothing stops for idleness.
//! The longest life of a run holds whoever works in it.

use crate::config::Autostop;
use crate::model::{Evidence, StopReason, Timestamp};

/// What is known of a workspace that is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// When this run became ready. A run is never idle for longer than it has been up.
    pub since: Timestamp,
    /// The latest human evidence; `None` is unknown.
    pub human: Option<Evidence>,
    /// Whether a tunnel is open and its kind counts that as activity.
    pub connected: bool,
    /// Until when its owner holds off an idle stop.
    pub hold_until: Option<Timestamp>,
}

/// What the rule says about a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// What has to be done now.
    pub verdict: Verdict,
    /// Since when nobody has worked in it, if that makes it idle.
    pub idle_since: Option<Timestamp>,
    /// When it will stop if nothing changes, and why.
    pub stops_at: Option<(Timestamp, StopReason)>,
    /// Whether that is near enough to warn its owner, whatever has kept it until now.
    pub stops_soon: bool,
    /// When the rule may say something else, if nothing changes before; `None`: it will not.
    pub next_check: Option<Timestamp>,
}

/// What has to be done about a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Nothing, although the time for an idle stop has come.
    Kept(Kept),
    /// Stop it.
    Stop(StopReason),
}

/// What keeps a workspace whose time for an idle stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// Its owner holds it.
    Hold,
    /// A tunnel is open, and its kind counts that.
    Connection,
    /// There is no evidence to judge by.
    Unknown,
    /// Too many of its kind were due at once.
    Brake,
}

impl Kept {
    /// The value of the `by` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Connection => "connection",
            Self::Unknown => "unknown",
            Self::Brake => "brake",
        }
    }
}

/// What `policy` says at `now` about a workspace that is up.
#[must_use]
pub fn due(facts: &Facts, policy: &Autostop, now: Timestamp) -> Outlook {
    let lifetime = lifetime_end(facts, policy);
    let idle = idle_end(facts, policy);
    let kept = kept(facts, policy, now);
    let stops_at = [lifetime, idle].into_iter().flatten().min_by_key(|(at, _)| *at);
    let verdict = match &stops_at {
        Some((at, reason)) if *at <= now => Verdict::Stop(reason.clone()),
        _ if kept.is_some() => kept.map_or(Verdict::Keep, Verdict::Kept),
        _ => Verdict::Keep,
    };
    let stops_soon = stops_at.as_ref().is_some_and(|(at, _)| *at > now && *at <= now + policy.warning.0);
    let idle_since = idle_moment(facts, policy).filter(|at| *at <= now).and_then(|_| last_human(facts));
    let next_check = next_change(facts, policy, stops_at.as_ref(), now);
    Outlook { verdict, idle_since, stops_at, stops_soon, next_check }
}

/// The latest moment of this run that a person is known to have been there, or that it came up.
fn last_human(facts: &Facts) -> Option<Timestamp> {
    facts.human.map(|evidence| evidence.at.max(facts.since))
}

fn lifetime_end(facts: &Facts, policy: &Autostop) -> Option<(Timestamp, StopReason)> {
    let span = policy.max_lifetime.0;
    let reason = StopReason::MaxLifetime { after_secs: span.as_secs() };
    (!span.is_zero()).then(|| (facts.since + span, reason))
}

/// When an idle stop is due; a hold puts it off, an open connection that counts and missing evidence rule it out.
fn idle_end(facts: &Facts, policy: &Autostop) -> Option<(Timestamp, StopReason)> {
    let span = policy.human_idle.0;
    if span.is_zero() || facts.connected {
        return None;
    }
    let end = last_human(facts)? + span;
    let reason = StopReason::HumanIdle { after_secs: span.as_secs() };
    Some((facts.hold_until.map_or(end, |hold| hold.max(end)), reason))
}

fn kept(facts: &Facts, policy: &Autostop, now: Timestamp) -> Option<Kept> {
    match facts {
        _ if due_if_nothing_keeps_it(facts, policy).is_none_or(|due| due > now) => None,
        Facts { connected: true, .. } => Some(Kept::Connection),
        Facts { human: None, .. } => Some(Kept::Unknown),
        Facts { hold_until: Some(hold), .. } if *hold > now => Some(Kept::Hold),
        _ => None,
    }
}

/// When an idle stop would be due if evidence that is missing were idleness and nothing else kept it.
fn due_if_nothing_keeps_it(facts: &Facts, policy: &Autostop) -> Option<Timestamp> {
    let span = policy.human_idle.0;
    (!span.is_zero()).then(|| last_human(facts).unwrap_or(facts.since) + span)
}

/// When it counts as idle.
fn idle_moment(facts: &Facts, policy: &Autostop) -> Option<Timestamp> {
    let last = last_human(facts).filter(|_| !facts.connected)?;
    Some(last + policy.idle_after.0)
}

fn next_change(
    facts: &Facts,
    policy: &Autostop,
    stops_at: Option<&(Timestamp, StopReason)>,
    now: Timestamp,
) -> Option<Timestamp> {
    let stop = stops_at.map(|(at, _)| *at);
    let warning = stop.map(|at| at - policy.warning.0);
    let kept = due_if_nothing_keeps_it(facts, policy);
    [stop, warning, kept, idle_moment(facts, policy)].into_iter().flatten().filter(|at| *at > now).min()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Span;
    use crate::model::ActivitySource;

    const UP: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn policy() -> Autostop {
        Autostop { max_lifetime: Span::hours(14), ..Autostop::default() }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    fn seen(minute: u64) -> Facts {
        let human = Some(Evidence { at: UP + minutes(minute), source: ActivitySource::WebSocket });
        Facts { since: UP, human, connected: false, hold_until: None }
    }

    fn verdict(facts: &Facts, minute: u64) -> Verdict {
        due(facts, &policy(), UP + minutes(minute)).verdict
    }

    const IDLE: StopReason = StopReason::HumanIdle { after_secs: 1800 };
    const OLD: StopReason = StopReason::MaxLifetime { after_secs: 14 * 3600 };

    #[test]
    fn the_rule_over_the_minutes_after_the_last_key() {
        let table = [
            (10, Verdict::Keep, false, false),
            (14, Verdict::Keep, false, false),
            (15, Verdict::Keep, true, false),
            (34, Verdict::Keep, true, false),
            (35, Verdict::Keep, true, true),
            (39, Verdict::Keep, true, true),
            (40, Verdict::Stop(IDLE), true, false),
        ];
        for (minute, expected, is_idle, is_soon) in table {
            let outlook = due(&seen(10), &policy(), UP + minutes(minute));
            let said = (outlook.verdict, outlook.idle_since.is_some(), outlook.stops_soon);
            assert_eq!(said, (expected, is_idle, is_soon), "minute {minute}");
            assert_eq!(outlook.stops_at, Some((UP + minutes(40), IDLE)), "minute {minute}");
        }
    }

    #[test]
    fn unknown_is_never_idle() {
        let facts = Facts { human: None, ..seen(0) };
        assert_eq!(verdict(&facts, 10), Verdict::Keep);
        assert_eq!(verdict(&facts, 600), Verdict::Kept(Kept::Unknown));
        assert_eq!(due(&facts, &policy(), UP + minutes(600)).idle_since, None);
    }

    #[test]
    fn a_hold_puts_the_stop_off_and_no_further() {
        let facts = Facts { hold_until: Some(UP + minutes(100)), ..seen(0) };
        assert_eq!(verdict(&facts, 29), Verdict::Keep);
        assert_eq!(verdict(&facts, 99), Verdict::Kept(Kept::Hold));
        assert_eq!(verdict(&facts, 100), Verdict::Stop(IDLE));
        let over_before_it_matters = Facts { hold_until: Some(UP + minutes(5)), ..seen(0) };
        assert_eq!(verdict(&over_before_it_matters, 30), Verdict::Stop(IDLE));
    }

    #[test]
    fn whatever_keeps_it_the_end_that_it_cannot_put_off_is_warned_of() {
        let soon = |facts: &Facts, minute| due(facts, &policy(), UP + minutes(minute)).stops_soon;
        let held = Facts { hold_until: Some(UP + minutes(100)), ..seen(0) };
        assert_eq!([29, 94, 95, 99].map(|minute| soon(&held, minute)), [false, false, true, true]);
        let connected = Facts { connected: true, ..seen(0) };
        assert_eq!([30, 834, 835, 839].map(|minute| soon(&connected, minute)), [false, false, true, true]);
        let unknown = Facts { human: None, ..seen(0) };
        assert_eq!([30, 834, 835, 839].map(|minute| soon(&unknown, minute)), [false, false, true, true]);
    }

    #[test]
    fn an_open_connection_that_counts_keeps_it() {
        let facts = Facts { connected: true, ..seen(0) };
        assert_eq!(verdict(&facts, 29), Verdict::Keep);
        assert_eq!(verdict(&facts, 600), Verdict::Kept(Kept::Connection));
        assert_eq!(due(&facts, &policy(), UP + minutes(600)).idle_since, None);
    }

    #[test]
    fn the_longest_life_holds_whoever_works_or_holds() {
        let facts = Facts { connected: true, hold_until: Some(UP + minutes(10_000)), ..seen(839) };
        assert!(due(&facts, &policy(), UP + minutes(836)).stops_soon);
        assert_eq!(verdict(&facts, 840), Verdict::Stop(OLD));
        assert_eq!(verdict(&Facts { human: None, ..facts }, 840), Verdict::Stop(OLD));
    }

    #[test]
    fn zero_means_never() {
        let never = Autostop { human_idle: Span::secs(0), max_lifetime: Span::secs(0), ..Autostop::default() };
        let outlook = due(&seen(0), &never, UP + minutes(100_000));
        assert_eq!((outlook.verdict, outlook.stops_at), (Verdict::Keep, None));
        assert!(outlook.idle_since.is_some(), "it still counts as idle");
    }

    #[test]
    fn a_run_is_not_idle_for_longer_than_it_has_been_up() {
        let facts = Facts { human: Some(Evidence { at: UP - minutes(60), source: ActivitySource::Start }), ..seen(0) };
        assert_eq!(verdict(&facts, 1), Verdict::Keep);
        assert_eq!(verdict(&facts, 30), Verdict::Stop(IDLE));
    }

    fn any_facts() -> impl Strategy<Value = Facts> {
        let evidence = prop::option::of(0..2000_u64);
        (evidence, any::<bool>(), prop::option::of(0..2000_u64)).prop_map(|(human, connected, hold)| Facts {
            human: human.and_then(|minute| seen(minute).human),
            connected,
            hold_until: hold.map(|minute| UP + minutes(minute)),
            since: UP,
        })
    }

    proptest! {
        #[test]
        fn an_idle_stop_has_evidence_that_is_old_enough_and_nothing_that_keeps_it(
            facts in any_facts(), minute in 0..4000_u64
        ) {
            let now = UP + minutes(minute);
            let outlook = due(&facts, &policy(), now);
            if matches!(outlook.verdict, Verdict::Stop(StopReason::HumanIdle { .. })) {
                let last = facts.human.expect("unknown is never idle").at;
                prop_assert!(now.since(last) >= minutes(30));
                prop_assert!(!facts.connected);
                prop_assert!(facts.hold_until.is_none_or(|hold| hold <= now));
            }
            prop_assert!(outlook.idle_since.is_none() || facts.human.is_some());
        }

        #[test]
        fn the_rule_says_the_same_until_the_next_check(facts in any_facts(), minute in 0..4000_u64, later in 0..4000_u64) {
            let (now, then) = (UP + minutes(minute), UP + minutes(minute + later));
            let outlook = due(&facts, &policy(), now);
            prop_assert!(outlook.next_check.is_none_or(|at| at > now));
            if outlook.next_check.is_none_or(|at| then < at) {
                let after = due(&facts, &policy(), then);
                prop_assert_eq!(after.verdict, outlook.verdict);
                prop_assert_eq!(after.idle_since, outlook.idle_since);
                prop_assert_eq!(after.stops_soon, outlook.stops_soon);
            }
        }
    }
}
