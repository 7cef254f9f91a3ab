//! The deadlines of one connection, as a pure function of what was observed and the time.
//!
//! The driver asks after each poll of the connection. State changes are seen there, so a deadline starts at the poll
//! that follows its cause, and no timer is touched for a request that comes and goes in time.

use std::time::Duration;

use tokio::time::Instant;

use super::Connection;
use crate::config;

/// How long a peer may take to close after it was told to: the acknowledgement of an HTTP/2 GOAWAY, a TLS close.
const GOODBYE: Duration = Duration::from_secs(5);
/// The same for a peer that is thrown out.
const EXPULSION: Duration = Duration::from_secs(1);
/// How long a connection that has asked nothing may stay when the gateway begins to drain.
const LAST_CALL: Duration = Duration::from_secs(1);
/// How long requests that are under way at the end of a connection's life may go on. A peer that was told to leave as
/// idle and asks on, as one may that does not acknowledge an HTTP/2 GOAWAY, has until then at most.
const LAST_REQUESTS: Duration = Duration::from_secs(600);
/// How long bytes of an unread body are discarded after an early answer.
const LINGER: Duration = Duration::from_secs(1);
/// How many requests a peer may give up within [`CANCEL_WINDOW`]. A page reload with 100 requests under way costs 100.
const MAX_CANCELLED: u32 = 200;
const CANCEL_WINDOW: Duration = Duration::from_secs(60);

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In good order, by either side.
    Closed,
    /// It became a tunnel.
    Upgraded,
    /// The client left in the middle of something.
    ClientGone,
    /// The request was not HTTP; hyper answered 400.
    BadRequest,
    /// The head was too large; hyper answered 431 or 414.
    TooLarge,
    /// The client broke a rule of HTTP/2.
    ProtocolError,
    /// An answer's body failed.
    AnswerBroken,
    /// The client opened a connection and asked nothing.
    NoRequest,
    /// A head was begun and not ended.
    HeadTimeout,
    /// Nothing under way.
    Idle,
    /// Old.
    Lifetime,
    /// The client did not read.
    WriteStall,
    /// The client gave up too many requests.
    CancelBudget,
    /// Cut by [`Connection::close`].
    Killed,
    /// The gateway leaves.
    Drained,
}

impl End {
    /// The value of the metric's `reason` label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Upgraded => "upgraded",
            Self::ClientGone => "client-gone",
            Self::BadRequest => "bad-request",
            Self::TooLarge => "too-large",
            Self::ProtocolError => "protocol-error",
            Self::AnswerBroken => "answer-broken",
            Self::NoRequest => "no-request",
            Self::HeadTimeout => "head-timeout",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::WriteStall => "write-stall",
            Self::CancelBudget => "cancel-budget",
            Self::Killed => "killed",
            Self::Drained => "drained",
        }
    }
}

/// What the driver sees of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Observation {
    /// A request or its body is under way.
    pub(super) busy: bool,
    /// How many requests have begun.
    pub(super) requests: u32,
    /// Bytes came that are not yet a request.
    pub(super) head_begun: bool,
    /// Bytes wait for the client to read.
    pub(super) write_blocked: bool,
    /// Bytes sent so far.
    pub(super) sent: u64,
    /// The stream discards what still comes.
    pub(super) lingering: bool,
}

impl Observation {
    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            busy: connection.is_busy(),
            requests: connection.requests(),
            head_begun: connection.head_begun(),
            write_blocked: connection.is_write_blocked(),
            sent: connection.bytes().1,
            lingering: connection.is_lingering(),
        }
    }
}

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before this.
    Wait(Instant),
    /// Ask the peer to leave.
    Leave(End),
    /// Drop the connection.
    Cut(End),
}

/// The deadlines of one connection.
#[derive(Debug)]
pub(super) struct Watchdog {
    head: Duration,
    idle: Duration,
    stall: Duration,
    opened: Instant,
    end_of_life: Instant,
    requests: u32,
    head_since: Option<Instant>,
    idle_since: Option<Instant>,
    blocked: Option<(Instant, u64)>,
    lingering_since: Option<Instant>,
    last_call: Option<Instant>,
    leaving: Option<Leaving>,
    cancelled: (Instant, u32),
}

#[derive(Debug, Clone, Copy)]
struct Leaving {
    end: End,
    since: Instant,
}

impl Watchdog {
    pub(super) fn new(limits: &config::Http, now: Instant) -> Self {
        Self {
            head: limits.head_timeout.0,
            idle: limits.idle_timeout.0,
            stall: limits.write_stall_timeout.0,
            opened: now,
            end_of_life: after(now, limits.connection_lifetime.0),
            requests: 0,
            // The first request is due as if its head had begun when the connection did.
            head_since: Some(now),
            idle_since: None,
            blocked: None,
            lingering_since: None,
            last_call: None,
            leaving: None,
            cancelled: (now, 0),
        }
    }

    /// Why the peer was told to leave, if it was.
    pub(super) fn leaving(&self) -> Option<End> {
        self.leaving.map(|leaving| leaving.end)
    }

    /// The peer has been told to leave. The first reason stands, but for an expulsion.
    pub(super) fn leave(&mut self, end: End, now: Instant) {
        if self.leaving.is_none() || end == End::CancelBudget {
            self.leaving = Some(Leaving { end, since: now });
        }
    }

    /// The gateway leaves, and the peer has asked nothing yet: it may ask once, and soon.
    pub(super) fn await_first(&mut self, now: Instant) {
        self.last_call = Some(now);
    }

    /// Counts requests that the client gave up; false once there are too many.
    pub(super) fn afford_cancelled(&mut self, count: u32, now: Instant) -> bool {
        if now.duration_since(self.cancelled.0) > CANCEL_WINDOW {
            self.cancelled = (now, 0);
        }
        self.cancelled.1 = self.cancelled.1.saturating_add(count);
        self.cancelled.1 <= MAX_CANCELLED
    }

    /// What is due at `now`, or when to look again.
    pub(super) fn check(&mut self, seen: Observation, now: Instant) -> Verdict {
        self.note(seen, now);
        let mut next = after(now, self.idle);
        for (since, limit, verdict) in self.deadlines(seen.busy).into_iter().flatten() {
            let deadline = after(since, limit);
            if deadline <= now {
                return verdict;
            }
            next = next.min(deadline);
        }
        if self.leaving.is_none() {
            if self.end_of_life <= now {
                return Verdict::Leave(End::Lifetime);
            }
            next = next.min(self.end_of_life);
            if let Some(since) = self.last_call {
                if seen.requests > 0 || since + LAST_CALL <= now {
                    return Verdict::Leave(End::Drained);
                }
                next = next.min(since + LAST_CALL);
            }
        }
        Verdict::Wait(next)
    }

    /// Brings the start of each deadline up to date.
    fn note(&mut self, seen: Observation, now: Instant) {
        if seen.requests != self.requests {
            self.requests = seen.requests;
            self.head_since = None;
            self.idle_since = None;
        }
        if seen.busy {
            self.head_since = None;
            self.idle_since = None;
        } else {
            self.idle_since.get_or_insert(now);
            if seen.head_begun {
                self.head_since.get_or_insert(now);
            }
        }
        self.blocked = match self.blocked {
            _ if !seen.write_blocked => None,
            Some((since, sent)) if sent == seen.sent => Some((since, sent)),
            _ => Some((now, seen.sent)),
        };
        if seen.lingering {
            self.lingering_since.get_or_insert(now);
        }
    }

    /// Each deadline: since when, how long, and what then.
    fn deadlines(&self, busy: bool) -> [Option<(Instant, Duration, Verdict)>; 4] {
        let blocked = self.blocked.map(|(since, _)| (since, self.stall, Verdict::Cut(End::WriteStall)));
        let lingering = self.lingering_since.map(|since| (since, LINGER, Verdict::Cut(End::Closed)));
        if let Some(Leaving { end, since }) = self.leaving {
            let quiet_since = self.idle_since.filter(|_| !busy).map(|idle| idle.max(since));
            let goodbye = quiet_since.map(|since| (since, GOODBYE, Verdict::Cut(end)));
            let last = match end {
                End::CancelBudget => Some((since, EXPULSION, Verdict::Cut(end))),
                // A drain has its own deadline.
                End::Drained => None,
                _ => Some((self.end_of_life, LAST_REQUESTS, Verdict::Cut(End::Lifetime))),
            };
            return [blocked, lingering, goodbye, last];
        }
        let head_end =
            if self.requests == 0 && self.head_since == Some(self.opened) { End::NoRequest } else { End::HeadTimeout };
        [
            blocked,
            lingering,
            self.head_since.map(|since| (since, self.head, Verdict::Cut(head_end))),
            self.idle_since
                .filter(|_| self.head_since.is_none())
                .map(|since| (since, self.idle, Verdict::Leave(End::Idle))),
        ]
    }
}

/// `since` + `span`, or thirty years on if that cannot be told.
fn after(since: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    since.checked_add(span).unwrap_or_else(|| since + FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        watchdog: Watchdog,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let start = Instant::now();
            Self { watchdog: Watchdog::new(&config::Http::default(), start), start }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn check(&mut self, seconds: u64, seen: Observation) -> Verdict {
            let now = self.at(seconds);
            self.watchdog.check(seen, now)
        }
    }

    fn idle(requests: u32) -> Observation {
        Observation { requests, ..Observation::default() }
    }

    fn busy(requests: u32) -> Observation {
        Observation { requests, busy: true, ..Observation::default() }
    }

    #[test]
    fn the_first_request_is_due_within_the_head_timeout() {
        let mut bench = Bench::new();
        assert_eq!(bench.check(0, idle(0)), Verdict::Wait(bench.at(10)));
        assert_eq!(bench.check(10, idle(0)), Verdict::Cut(End::NoRequest));
    }

    #[test]
    fn a_head_is_timed_from_its_first_byte_and_dripping_does_not_help() {
        let mut bench = Bench::new();
        bench.check(1, busy(1));
        bench.check(2, idle(1));
        let head = Observation { head_begun: true, ..idle(1) };
        assert_eq!(bench.check(30, head), Verdict::Wait(bench.at(40)));
        assert_eq!(bench.check(39, head), Verdict::Wait(bench.at(40)));
        assert_eq!(bench.check(40, head), Verdict::Cut(End::HeadTimeout));
    }

    #[test]
    fn idle_counts_from_the_last_request_even_if_nobody_looked_while_it_ran() {
        let mut bench = Bench::new();
        bench.check(0, idle(1));
        assert_eq!(bench.check(50, idle(2)), Verdict::Wait(bench.at(110)));
        assert_eq!(bench.check(110, idle(2)), Verdict::Leave(End::Idle));
    }

    #[test]
    fn a_busy_connection_is_neither_idle_nor_late_but_looked_at() {
        let mut bench = Bench::new();
        assert_eq!(bench.check(5, busy(1)), Verdict::Wait(bench.at(65)));
        assert_eq!(bench.check(3000, busy(1)), Verdict::Wait(bench.at(3060)));
    }

    #[test]
    fn a_write_may_be_blocked_for_long_if_it_moves() {
        let mut bench = Bench::new();
        let blocked = |sent| Observation { write_blocked: true, sent, ..busy(1) };
        bench.check(0, blocked(1));
        assert!(matches!(bench.check(29, blocked(2)), Verdict::Wait(_)));
        assert!(matches!(bench.check(58, blocked(2)), Verdict::Wait(_)));
        assert_eq!(bench.check(59, blocked(2)), Verdict::Cut(End::WriteStall));
    }

    #[test]
    fn a_connection_that_is_told_to_leave_gets_time_for_its_requests_and_none_after() {
        let mut bench = Bench::new();
        bench.check(0, busy(1));
        assert_eq!(bench.check(12 * 3600, busy(1)), Verdict::Leave(End::Lifetime));
        bench.watchdog.leave(End::Lifetime, bench.at(12 * 3600));
        assert!(matches!(bench.check(12 * 3600 + 599, busy(1)), Verdict::Wait(_)));
        assert_eq!(bench.check(12 * 3600 + 600, busy(1)), Verdict::Cut(End::Lifetime));

        let mut bench = Bench::new();
        bench.check(0, busy(1));
        bench.watchdog.leave(End::Drained, bench.at(1));
        assert!(matches!(bench.check(1000, busy(1)), Verdict::Wait(_)), "the drain has its own deadline");
        assert_eq!(bench.check(1001, idle(1)), Verdict::Wait(bench.at(1006)));
        assert_eq!(bench.check(1006, idle(1)), Verdict::Cut(End::Drained));
    }

    #[test]
    fn a_peer_that_was_told_to_leave_and_asks_on_does_not_outlive_its_connection() {
        // Each request begins and ends between two looks, or is seen under way, and keeps the peer from being quiet.
        for asks in [idle, busy] {
            for end in [End::Idle, End::Lifetime] {
                let mut bench = Bench::new();
                bench.check(0, idle(1));
                bench.watchdog.leave(end, bench.at(60));
                let last = 12 * 3600 + 600;
                for (request, seconds) in (2..).zip((61..last).step_by(3)) {
                    assert!(matches!(bench.check(seconds, asks(request)), Verdict::Wait(_)), "{end:?} at {seconds}");
                }
                assert_eq!(bench.check(last, asks(u32::MAX)), Verdict::Cut(End::Lifetime), "{end:?}");
            }
        }
    }

    #[test]
    fn a_peer_that_is_thrown_out_gains_nothing_by_asking_on() {
        let mut bench = Bench::new();
        bench.check(0, busy(1));
        bench.watchdog.leave(End::CancelBudget, bench.at(1));
        assert_eq!(bench.check(1, idle(2)), Verdict::Wait(bench.at(2)));
        assert_eq!(bench.check(2, idle(3)), Verdict::Cut(End::CancelBudget));
    }

    #[test]
    fn a_connection_that_came_in_the_last_moment_may_ask_once() {
        let mut bench = Bench::new();
        bench.watchdog.await_first(bench.at(0));
        assert_eq!(bench.check(0, idle(0)), Verdict::Wait(bench.at(1)));
        assert_eq!(bench.check(0, busy(1)), Verdict::Leave(End::Drained));
        let mut bench = Bench::new();
        bench.watchdog.await_first(bench.at(0));
        assert_eq!(bench.check(1, idle(0)), Verdict::Leave(End::Drained));
    }

    #[test]
    fn giving_up_is_free_now_and_then_and_not_all_the_time() {
        let mut bench = Bench::new();
        for minute in 0..10 {
            assert!(bench.watchdog.afford_cancelled(200, bench.at(minute * 61)));
        }
        assert!(!bench.watchdog.afford_cancelled(1, bench.at(9 * 61)));
        bench.check(9 * 61, busy(1));
        bench.watchdog.leave(End::CancelBudget, bench.at(9 * 61));
        assert_eq!(bench.check(9 * 61 + 1, busy(1)), Verdict::Cut(End::CancelBudget));
    }

    #[test]
    fn lingering_lasts_a_second() {
        let mut bench = Bench::new();
        let lingering = Observation { lingering: true, ..idle(1) };
        assert_eq!(bench.check(3, lingering), Verdict::Wait(bench.at(4)));
        assert_eq!(bench.check(4, lingering), Verdict::Cut(End::Closed));
    }
}
