//! What an event does to a workspace: one pure function.
//!
//! Promises, each held by a property test: between two starts there is an observation; a stop is only ever ordered
//! because somebody or a rule asked for it, never because nothing was heard; whatever happened, a workspace can be
//! started again. Silence leads to a look, not to a decision.
//!
//! A start that is asked for while the predecessor is on its way down is `Starting` at the step `Queued`:
//! nothing has been ordered yet, and the end of the predecessor sets it off.

use std::time::Duration;

use crate::model::{Failure, FailureClass, Phase, StartStep, StopReason, Timestamp};
use crate::runtime::Seen;

/// Something that happened to a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its owner wants it.
    StartAsked,
    /// Somebody or a rule wants it gone.
    StopAsked(StopReason),
    /// The runtime saw something.
    Seen(Seen),
    /// The runtime did not accept the start.
    StartRejected(Failure),
    /// Nobody has worked in it since then, for as long as makes it idle.
    Quiet(Timestamp),
    /// Somebody works in it.
    Active,
    /// Time has passed.
    Tick,
}

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Order a start.
    Start,
    /// Order a stop.
    Stop,
    /// Ask the runtime what it has: it has been silent for longer than it may be.
    Look,
}

/// How long the runtime may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From the order to start until it must have ended one way or the other.
    pub start_within: Duration,
    /// From the order to stop until it must be gone.
    pub stop_within: Duration,
}

/// The phase after `event`, and what has to be done.
#[must_use]
pub fn step(phase: Phase, event: Event, now: Timestamp, policy: &Policy) -> (Phase, Option<Action>) {
    match event {
        Event::StartAsked => start_asked(phase, now),
        Event::StopAsked(reason) => stop_asked(phase, reason, now),
        Event::Seen(seen) => seen_by_runtime(phase, seen, now),
        Event::StartRejected(failure) => (start_rejected(phase, failure, now), None),
        Event::Quiet(idle_since) => (quiet(phase, idle_since), None),
        Event::Active => (active(phase), None),
        Event::Tick => tick(phase, now, policy),
    }
}

fn start_asked(phase: Phase, now: Timestamp) -> (Phase, Option<Action>) {
    match phase {
        Phase::Stopped { .. } | Phase::Failed { .. } => (starting(now, StartStep::Requested), Some(Action::Start)),
        Phase::Stopping { .. } => (starting(now, StartStep::Queued), None),
        under_way => (under_way, None),
    }
}

fn stop_asked(phase: Phase, reason: StopReason, now: Timestamp) -> (Phase, Option<Action>) {
    match phase {
        // Its predecessor is being stopped already; only the wish for another start is taken back.
        Phase::Starting { step: StartStep::Queued, .. } => (Phase::Stopping { since: now, reason }, None),
        Phase::Starting { .. } | Phase::Running { .. } | Phase::Idle { .. } => {
            (Phase::Stopping { since: now, reason }, Some(Action::Stop))
        }
        nothing_to_stop => (nothing_to_stop, None),
    }
}

fn seen_by_runtime(phase: Phase, seen: Seen, now: Timestamp) -> (Phase, Option<Action>) {
    match seen {
        Seen::Step(step) => (stepped(phase, step, now), None),
        Seen::Ready(endpoint) => match phase {
            Phase::Running { since, endpoint: known } if known == endpoint => {
                (Phase::Running { since, endpoint }, None)
            }
            Phase::Idle { since, idle_since, endpoint: known } if known == endpoint => {
                (Phase::Idle { since, idle_since, endpoint }, None)
            }
            // On its way down, or a predecessor that is: the order to stop stands.
            going @ (Phase::Stopping { .. } | Phase::Starting { step: StartStep::Queued, .. }) => (going, None),
            _ => (Phase::Running { since: now, endpoint }, None),
        },
        Seen::Stopping => match phase {
            Phase::Running { .. } | Phase::Idle { .. } => {
                (Phase::Stopping { since: now, reason: StopReason::Exited }, None)
            }
            other => (other, None),
        },
        Seen::Absent => ended(phase, Ok(()), now),
        Seen::Exited(result) => ended(phase, result, now),
    }
}

fn stepped(phase: Phase, step: StartStep, now: Timestamp) -> Phase {
    match phase {
        Phase::Starting { step: StartStep::Queued, since } => starting(since, StartStep::Queued),
        Phase::Starting { since, step: known } => starting(since, known.max(step)),
        // It starts, whoever asked for that.
        Phase::Stopped { .. } | Phase::Failed { .. } => starting(now, step.max(StartStep::Requested)),
        other => other,
    }
}

fn ended(phase: Phase, result: Result<(), Failure>, now: Timestamp) -> (Phase, Option<Action>) {
    match phase {
        Phase::Starting { since, step: StartStep::Queued } => {
            (starting(since, StartStep::Requested), Some(Action::Start))
        }
        Phase::Starting { .. } => (failed(now, result.err().unwrap_or_else(ended_early)), None),
        Phase::Running { .. } | Phase::Idle { .. } => (run_ended(result, now), None),
        // It was asked to go; with what status it went does not matter.
        Phase::Stopping { reason, .. } => (Phase::Stopped { since: Some(now), reason: Some(reason) }, None),
        over @ (Phase::Stopped { .. } | Phase::Failed { .. }) => (over, None),
    }
}

fn run_ended(result: Result<(), Failure>, now: Timestamp) -> Phase {
    match result {
        Ok(()) => Phase::Stopped { since: Some(now), reason: Some(StopReason::Exited) },
        Err(failure) => failed(now, failure),
    }
}

fn start_rejected(phase: Phase, failure: Failure, now: Timestamp) -> Phase {
    match phase {
        Phase::Starting { step, .. } if step != StartStep::Queued => failed(now, failure),
        other => other,
    }
}

fn quiet(phase: Phase, idle_since: Timestamp) -> Phase {
    match phase {
        Phase::Running { since, endpoint } | Phase::Idle { since, endpoint, .. } => {
            Phase::Idle { since, idle_since, endpoint }
        }
        other => other,
    }
}

fn active(phase: Phase) -> Phase {
    match phase {
        Phase::Idle { since, endpoint, .. } => Phase::Running { since, endpoint },
        other => other,
    }
}

/// What silence leads to. A stop is ordered again only where the workspace is known to be on its way down.
fn tick(phase: Phase, now: Timestamp, policy: &Policy) -> (Phase, Option<Action>) {
    let action = match &phase {
        Phase::Starting { since, step: StartStep::Queued } | Phase::Stopping { since, .. } => {
            (now.since(*since) > policy.stop_within).then_some(Action::Stop)
        }
        Phase::Starting { since, .. } => (now.since(*since) > policy.start_within).then_some(Action::Look),
        _ => None,
    };
    (phase, action)
}

const fn starting(since: Timestamp, step: StartStep) -> Phase {
    Phase::Starting { since, step }
}

const fn failed(since: Timestamp, failure: Failure) -> Phase {
    Phase::Failed { since, failure }
}

fn ended_early() -> Failure {
    Failure {
        class: FailureClass::CrashedAtStart,
        detail: "it ended before it was ready".to_owned(),
        log_tail: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Endpoint, InstanceId};

    const POLICY: Policy = Policy { start_within: Duration::from_secs(90), stop_within: Duration::from_secs(20) };
    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn endpoint(instance: u8) -> Endpoint {
        let instance = InstanceId::new(&format!("run-{instance}")).expect("test instance");
        Endpoint { address: ([127, 0, 0, 1], 4711).into(), tls: false, instance }
    }

    fn crash() -> Failure {
        Failure { class: FailureClass::Crashed, detail: "ended".to_owned(), log_tail: Vec::new() }
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => Just(Event::StartAsked),
            2 => Just(Event::StopAsked(StopReason::User)),
            2 => Just(Event::Tick),
            1 => Just(Event::StartRejected(crash())),
            1 => Just(Event::Quiet(NOW)),
            1 => Just(Event::Active),
            1 => Just(Event::Seen(Seen::Absent)),
            1 => Just(Event::Seen(Seen::Stopping)),
            1 => Just(Event::Seen(Seen::Step(StartStep::Created))),
            1 => Just(Event::Seen(Seen::Step(StartStep::Waiting))),
            2 => (0..3_u8).prop_map(|instance| Event::Seen(Seen::Ready(endpoint(instance)))),
            1 => Just(Event::Seen(Seen::Exited(Ok(())))),
            1 => Just(Event::Seen(Seen::Exited(Err(crash())))),
        ]
    }

    /// Events with the seconds that pass before each.
    fn any_life() -> impl Strategy<Value = Vec<(Event, u64)>> {
        prop::collection::vec((any_event(), prop_oneof![Just(0), 0..200_u64]), 0..60)
    }

    /// Lives through `life`, and shows each event with the phase after it and what it asks for.
    fn live(life: Vec<(Event, u64)>, mut at_each: impl FnMut(&Event, &Phase, Option<Action>)) -> (Phase, Timestamp) {
        let (mut phase, mut now) = (Phase::NEVER_STARTED, NOW);
        for (event, passed) in life {
            now = now + Duration::from_secs(passed);
            let (next, action) = step(phase, event.clone(), now, &POLICY);
            at_each(&event, &next, action);
            phase = next;
        }
        (phase, now)
    }

    proptest! {
        #[test]
        fn between_two_starts_there_is_an_observation(life in any_life()) {
            let mut started_blind = false;
            live(life, |event, _, action| {
                if matches!(event, Event::Seen(_) | Event::StartRejected(_)) {
                    started_blind = false;
                }
                if action == Some(Action::Start) {
                    assert!(!started_blind, "a second start before anything was seen of the first");
                    started_blind = true;
                }
            });
        }

        #[test]
        fn nothing_is_stopped_that_nobody_wanted_gone(life in any_life()) {
            let mut is_going = false;
            live(life, |event, _, action| {
                is_going |= matches!(event, Event::StopAsked(_) | Event::Seen(Seen::Stopping));
                assert!(action != Some(Action::Stop) || is_going, "stopped on {event:?}");
                is_going &= action != Some(Action::Start);
            });
        }

        #[test]
        fn silence_changes_nothing(life in any_life(), passed in 0..100_000_u64) {
            let (phase, now) = live(life, |_, _, _| {});
            let (after, action) = step(phase.clone(), Event::Tick, now + Duration::from_secs(passed), &POLICY);
            prop_assert_eq!(&after, &phase);
            prop_assert_ne!(action, Some(Action::Start));
        }

        #[test]
        fn whatever_happened_it_can_be_started_again(life in any_life()) {
            let (mut phase, now) = live(life, |_, _, _| {});
            let mut started = false;
            for event in [Event::StartAsked, Event::Seen(Seen::Absent), Event::StartAsked] {
                let (next, action) = step(phase, event, now, &POLICY);
                started |= action == Some(Action::Start);
                phase = next;
            }
            prop_assert!(started);
            let (phase, _) = step(phase, Event::Seen(Seen::Ready(endpoint(9))), now, &POLICY);
            prop_assert_eq!(phase.endpoint(), Some(&endpoint(9)));
        }

        #[test]
        fn an_endpoint_is_one_that_was_seen_ready(life in any_life()) {
            let mut last_ready = None;
            live(life, |event, phase, _| {
                if let Event::Seen(Seen::Ready(endpoint)) = event {
                    last_ready = Some(endpoint.clone());
                }
                assert!(phase.endpoint().is_none() || phase.endpoint() == last_ready.as_ref());
            });
        }
    }

    /// The phases after each event, with what each asks for.
    fn story(events: impl IntoIterator<Item = Event>) -> Vec<(&'static str, Option<Action>)> {
        let mut told = Vec::new();
        let life = events.into_iter().map(|event| (event, 1)).collect();
        live(life, |_, phase, action| told.push((phase.name().label(), action)));
        told
    }

    #[test]
    fn a_life_from_start_to_stop() {
        let told = story([
            Event::StartAsked,
            Event::StartAsked,
            Event::Seen(Seen::Step(StartStep::Created)),
            Event::Seen(Seen::Ready(endpoint(1))),
            Event::Quiet(NOW),
            Event::Active,
            Event::StopAsked(StopReason::User),
            Event::StopAsked(StopReason::User),
            Event::Seen(Seen::Exited(Err(crash()))),
        ]);
        let expected = [
            ("starting", Some(Action::Start)),
            ("starting", None),
            ("starting", None),
            ("running", None),
            ("idle", None),
            ("running", None),
            ("stopping", Some(Action::Stop)),
            ("stopping", None),
            ("stopped", None),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_start_asked_for_while_stopping_goes_on_when_that_is_over() {
        let up = [Event::StartAsked, Event::Seen(Seen::Ready(endpoint(1))), Event::StopAsked(StopReason::User)];
        let told = story(up.into_iter().chain([
            Event::StartAsked,
            Event::Seen(Seen::Ready(endpoint(1))),
            Event::Seen(Seen::Exited(Ok(()))),
            Event::Seen(Seen::Ready(endpoint(2))),
        ]));
        let expected = [("starting", None), ("starting", None), ("starting", Some(Action::Start)), ("running", None)];
        assert_eq!(told[3..], expected);
    }

    #[test]
    fn a_runtime_that_is_silent_for_too_long_is_asked() {
        let asked = |phase: Phase, secs| step(phase, Event::Tick, NOW + Duration::from_secs(secs), &POLICY).1;
        let starting = || Phase::Starting { since: NOW, step: StartStep::Waiting };
        assert_eq!(asked(starting(), 90), None);
        assert_eq!(asked(starting(), 91), Some(Action::Look));
        let stopping = || Phase::Stopping { since: NOW, reason: StopReason::User };
        assert_eq!(asked(stopping(), 20), None);
        assert_eq!(asked(stopping(), 21), Some(Action::Stop));
    }

    #[test]
    fn an_end_before_readiness_is_a_failure_and_one_after_it_is_not() {
        let early = story([Event::StartAsked, Event::Seen(Seen::Exited(Ok(())))]);
        assert_eq!(early.last(), Some(&("failed", None)));
        let later =
            story([Event::StartAsked, Event::Seen(Seen::Ready(endpoint(1))), Event::Seen(Seen::Exited(Ok(())))]);
        assert_eq!(later.last(), Some(&("stopped", None)));
    }
}
