//! [`Audit`]: the handle that events are recorded with.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;

use super::attempts::Attempts;
use super::limits::{Limits, Verdict};
use super::{Action, Attempt, Event};
use crate::clock::Clock;
use crate::lines::{Lines, LogFile, Lost, Settings, Sink};
use crate::model::{Principal, Timestamp};

/// 4 MiB hold some 12,000 lines: what a full disk may last for before lines are lost. Each is written at once.
const SETTINGS: Settings = Settings { name: "audit-log", most: 4 * 1024 * 1024, wake_at: 1 };
/// How often the log tells that lines are lost or cannot be written; the counter has them all.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Records what happens. A cheap handle; clones share the output. Dropping the last one writes out what is left.
#[derive(Clone)]
pub struct Audit(Option<Arc<Inner>>);

struct Inner {
    lines: Lines,
    clock: Arc<dyn Clock>,
    limits: Mutex<Limits>,
    attempts: Attempts,
}

/// Where lines go.
pub enum Output<'a> {
    /// To the file at this path.
    File(&'a Path),
    /// To a stream of the process.
    Stream(Box<dyn Write + Send>),
}

impl Audit {
    /// Records nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Writes to `output` from a thread of its own, and counts lines that are lost.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened or made, or no thread can be started.
    pub fn to(output: Output<'_>, clock: Arc<dyn Clock>, lost: IntCounter) -> io::Result<Self> {
        let attempts = Attempts::new().ok_or_else(|| io::Error::other("the system has no random numbers"))?;
        let lines = match output {
            Output::File(path) => lines_to(LogFile::open(path)?, clock.clone(), lost)?,
            Output::Stream(stream) => lines_to(stream, clock.clone(), lost)?,
        };
        Ok(Self(Some(Arc::new(Inner { lines, clock, limits: Mutex::default(), attempts }))))
    }

    /// Writes a line for `event`. Never blocks; if the output has been too slow for too long, the line is lost and
    /// counted.
    #[expect(clippy::needless_pass_by_value, reason = "an event is recorded once")]
    pub fn record(&self, event: Event) {
        if let Some(inner) = &self.0 {
            inner.write(&event, inner.clock.now());
        }
    }

    /// [`record`](Self::record) for what anybody can cause as often as they like: beyond twenty a second of one
    /// action, events are only counted, and one line with class `suppressed` tells their number.
    #[expect(clippy::needless_pass_by_value, reason = "an event is recorded once")]
    pub fn record_limited(&self, event: Event) {
        let Some(inner) = &self.0 else { return };
        let now = inner.clock.now();
        let verdict = inner.limits().judge(event.action(), event.class_text(), now);
        if let Verdict::Write { suppressed } = verdict {
            if suppressed > 0 {
                inner.write(&suppression(event.action(), suppressed), now);
            }
            inner.write(&event, now);
        }
    }

    /// What may be told of a user name that was typed in; see [`Event::attempt`].
    #[must_use]
    pub fn attempt(&self, typed: &str) -> Option<Attempt> {
        self.0.as_ref().map(|inner| inner.attempts.of(typed))
    }

    /// The name that was typed in has led to this account: later tries at it tell whose it is.
    pub fn learn(&self, attempt: Option<&Attempt>, principal: &Principal) {
        if let Some((inner, attempt)) = self.0.as_ref().zip(attempt) {
            inner.attempts.learn(attempt, principal);
        }
    }

    /// Tells how many events were only counted. To be called about once a second.
    pub fn sweep(&self) {
        let Some(inner) = &self.0 else { return };
        let now = inner.clock.now();
        let overdue = inner.limits().overdue(now);
        inner.write_suppressed(&overdue, now);
    }

    /// Opens the file anew: it may have been moved away.
    pub fn reopen(&self) {
        if let Some(inner) = &self.0 {
            inner.lines.reopen();
        }
    }

    /// Writes out what is left, and waits for that at most for `patience`. Nothing is recorded after it.
    pub fn close(&self, patience: Duration) {
        let Some(inner) = &self.0 else { return };
        let rest = inner.limits().rest();
        inner.write_suppressed(&rest, inner.clock.now());
        inner.lines.close(patience);
    }
}

impl Inner {
    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, event: &Event, now: Timestamp) {
        self.lines.append(|line| event.write(now, line));
    }

    fn write_suppressed(&self, suppressed: &[(Action, u64)], now: Timestamp) {
        for (action, count) in suppressed {
            self.write(&suppression(*action, *count), now);
        }
    }
}

fn suppression(action: Action, count: u64) -> Event {
    Event::new(action).refused("suppressed").count(count)
}

fn lines_to(sink: impl Sink + 'static, clock: Arc<dyn Clock>, lost: IntCounter) -> io::Result<Lines> {
    let mut troubles = Troubles { clock, lost, lost_told: None, unwritable_told: None };
    Lines::to(sink, SETTINGS, move |trouble| troubles.tell(trouble))
}

/// Tells operators of lines that do not reach the output.
struct Troubles {
    clock: Arc<dyn Clock>,
    lost: IntCounter,
    lost_told: Option<Timestamp>,
    unwritable_told: Option<Timestamp>,
}

impl Troubles {
    fn tell(&mut self, trouble: &Lost<'_>) {
        let now = self.clock.now();
        match trouble {
            Lost::Lines(lines) => {
                self.lost.inc_by(*lines);
                if is_due(&mut self.lost_told, now) {
                    let since_start = self.lost.get();
                    tracing::error!(lines, since_start, "audit log could not keep up; lines are lost");
                }
            }
            Lost::Unwritable(error) if is_due(&mut self.unwritable_told, now) => {
                tracing::error!(%error, "audit log cannot be written; its lines wait until it can");
            }
            Lost::Unwritable(_) => {}
            Lost::NotReopened(error) => {
                tracing::error!(%error, "audit log cannot be opened anew; the old file is written on");
            }
        }
    }
}

/// Whether it was told of longer ago than [`TELL_EVERY`], and if so notes that it is told of now.
fn is_due(told: &mut Option<Timestamp>, now: Timestamp) -> bool {
    let due = told.is_none_or(|told| now < told || now.since(told) >= TELL_EVERY);
    if due {
        *told = Some(now);
    }
    due
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("on", &self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::ManualClock;
    use crate::model::{Roles, TenantId, UserId};

    const PATIENCE: Duration = Duration::from_secs(10);

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("test lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn lines(&self) -> Vec<Value> {
            let text = String::from_utf8(self.0.lock().expect("test lock").clone()).expect("is UTF-8");
            text.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect()
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("lost", "lost").expect("a counter")
    }

    fn audit() -> (Audit, Sink, Arc<ManualClock>) {
        let (sink, clock) = (Sink::default(), ManualClock::at(Timestamp::from_secs(1_700_000_000)));
        let audit = Audit::to(Output::Stream(Box::new(sink.clone())), clock.clone(), counter()).expect("starts");
        (audit, sink, clock)
    }

    #[test]
    fn a_flood_by_a_stranger_is_twenty_lines_a_second_and_its_number() {
        let (audit, sink, clock) = audit();
        for _ in 0..1000 {
            audit.record_limited(Event::new(Action::TokenRefusal).refused("expired"));
        }
        audit.record(Event::new(Action::SignIn));
        clock.advance(Duration::from_secs(1));
        audit.sweep();
        audit.close(PATIENCE);
        let lines = sink.lines();
        assert_eq!(lines.len(), 22);
        assert_eq!(lines[20]["action"], "sign-in", "others are written all the same");
        assert_eq!((&lines[21]["class"], &lines[21]["count"]), (&"suppressed".into(), &980.into()));
    }

    #[test]
    fn a_typed_name_is_told_by_a_digest_until_it_is_known_to_lead_to_an_account() {
        let (audit, _, _) = audit();
        let unknown = audit.attempt("hunter2").expect("is on");
        assert_eq!(unknown.account, None);
        assert_eq!(unknown.digest.len(), 12);
        let principal = Principal {
            user: UserId::new("ann").expect("a user"),
            tenant: TenantId::new("acme").expect("a tenant"),
            display_name: None,
            groups: [].into(),
            roles: Roles::default(),
            source: "local".into(),
        };
        let typed = audit.attempt("Ann@acme").expect("is on");
        audit.learn(Some(&typed), &principal);
        let again = audit.attempt(" ann@ACME ").expect("is on");
        assert_eq!(again.digest, typed.digest);
        assert_eq!(again.account, Some((principal.tenant, principal.user)));
        let (elsewhere, _, _) = self::audit();
        assert_ne!(elsewhere.attempt("hunter2"), Some(unknown), "the key is the process's own");
    }

    #[test]
    fn a_log_that_is_off_takes_everything_and_does_nothing() {
        let audit = Audit::off();
        audit.record(Event::new(Action::SignIn));
        audit.record_limited(Event::new(Action::SignIn));
        audit.reopen();
        audit.sweep();
        assert_eq!(audit.attempt("ann"), None);
        audit.close(PATIENCE);
    }

    #[test]
    fn lost_lines_are_counted_each_and_told_of_once_a_minute() {
        let (clock, lost) = (ManualClock::at(Timestamp::from_secs(1_700_000_000)), counter());
        let mut troubles =
            Troubles { clock: clock.clone(), lost: lost.clone(), lost_told: None, unwritable_told: None };
        troubles.tell(&Lost::Lines(3));
        troubles.tell(&Lost::Lines(4));
        assert_eq!(lost.get(), 7);
        let mut told = Some(clock.now());
        assert!(!is_due(&mut told, clock.now() + Duration::from_secs(59)));
        assert!(is_due(&mut told, clock.now() + TELL_EVERY));
    }
}
