//! Reading people again whose sessions are in memory, from whoever vouched for them.
//!
//! Each user is read once in an interval, for all their sessions together, and at a place of their own in it, so that
//! a directory is not asked for eight thousand people at once. A directory that cannot tell changes nothing. Each source
//! has rounds of its own: one that is slow makes its own round longer, and never a second one beside it.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use tokio::time::{Instant, MissedTickBehavior};

use super::claims::Subject;
use super::{EndReason, Session, Sessions, audited};
use crate::identity::LookUpError;
use crate::model::Principal;

/// How often those are looked for whose place in the interval has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many people of one source are read at the same time; a directory shall serve those who sign in first.
const AT_ONCE: usize = 8;
/// After so many in a row about whom a source could not tell, the rest of its round is left to the next interval. A
/// directory that hangs holds up its own people for one deadline, not for one for every eight of them.
const IN_VAIN: usize = 8;
/// How long one reading may take. The directories have shorter limits of their own; this is for one that ignores them.
const DEADLINE: Duration = Duration::from_secs(30);

/// What reading people again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refreshed {
    /// Sessions whose user has other groups, roles or another name now.
    pub changed: usize,
    /// Sessions that ended because their user is no longer admitted.
    pub ended: usize,
    /// Users whose directory could not tell; their sessions stay as they are.
    pub unknown: usize,
}

impl Refreshed {
    fn and(self, other: Self) -> Self {
        Self {
            changed: self.changed + other.changed,
            ended: self.ended + other.ended,
            unknown: self.unknown + other.unknown,
        }
    }
}

/// A user and their sessions.
type OfUser = (Subject, Vec<Arc<Session>>);

impl Sessions {
    /// Reads everybody who is signed in again from their directories, now. Who is gone, disabled or of another tenant
    /// is signed out; who changed has the new rights at once; where a directory cannot tell, nothing changes.
    pub async fn refresh_principals(&self) -> Refreshed {
        let by_source = self.by_source(|_| true);
        let rounds: FuturesUnordered<_> =
            by_source.into_iter().map(|(source, those)| self.read_round(source, those)).collect();
        rounds.fold(Refreshed::default(), async |sum, (_, one)| sum.and(one)).await
    }

    /// Reads a session's user again if other directories have come into force since `generation`, at which their
    /// proof was taken: when everybody was read again, this session may not have been among them.
    pub async fn catch_up(&self, session: &Arc<Session>, mut generation: u64) {
        loop {
            let now = self.0.identity.generation();
            if now == generation {
                return;
            }
            generation = now;
            self.refresh(&Subject::of(&session.principal()), std::slice::from_ref(session)).await;
        }
    }

    /// Reads each user once in every interval, until it is dropped.
    pub(super) async fn keep_refreshed(&self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begin = Instant::now();
        let (mut looks, mut rounds) = (Looks::default(), FuturesUnordered::new());
        loop {
            tokio::select! {
                Some(round) = rounds.next() => {
                    let (source, _): (Box<str>, Refreshed) = round;
                    looks.ended(&source);
                }
                _ = ticks.tick() => {
                    for (source, those) in self.due(&mut looks, begin.elapsed()) {
                        rounds.push(self.read_round(source, those));
                    }
                }
            }
        }
    }

    /// Whose place has come by `until`, of all sources that have no round under way; now they have.
    fn due(&self, looks: &mut Looks, until: Duration) -> HashMap<Box<str>, Vec<OfUser>> {
        let interval = self.0.settings.load().refresh;
        let due = self.by_source(|user| {
            let place = self.place(user, interval);
            looks.from(&user.source).is_some_and(|from| is_due(place, interval, from, until))
        });
        looks.looked(due.keys(), until);
        due
    }

    /// Where in the interval a user is read.
    fn place(&self, user: &Principal, interval: Duration) -> Duration {
        let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.0.spread.hash_one((&user.source, &user.tenant, &user.user)) % millis)
    }

    fn by_source(&self, wanted: impl Fn(&Principal) -> bool) -> HashMap<Box<str>, Vec<OfUser>> {
        let mut subjects: HashMap<Subject, Vec<Arc<Session>>> = HashMap::new();
        for session in self.0.store.select(|session| wanted(&session.principal())) {
            subjects.entry(Subject::of(&session.principal())).or_default().push(session);
        }
        let mut sources: HashMap<_, Vec<OfUser>> = HashMap::new();
        for (subject, sessions) in subjects {
            sources.entry(subject.source.clone()).or_default().push((subject, sessions));
        }
        sources
    }

    /// Reads these users of one source, a few at a time, as long as it can tell. Returns the source with what it came to.
    async fn read_round(&self, source: Box<str>, those: Vec<OfUser>) -> (Box<str>, Refreshed) {
        let mut left = those.len();
        let readings =
            those.into_iter().map(|(subject, sessions)| async move { self.refresh(&subject, &sessions).await });
        let mut readings = stream::iter(readings).buffer_unordered(AT_ONCE);
        let (mut sum, mut in_vain) = (Refreshed::default(), 0);
        while in_vain < IN_VAIN
            && let Some(one) = readings.next().await
        {
            left -= 1;
            in_vain = if one.unknown > 0 { in_vain + 1 } else { 0 };
            sum = sum.and(one);
        }
        sum.unknown += left;
        if sum.unknown > 0 {
            tracing::warn!(
                users = sum.unknown, not_asked_for = left, %source,
                "cannot tell whether these users are still there; their sessions stay"
            );
        }
        (source, sum)
    }

    /// Reads one user again, whose sessions these are.
    async fn refresh(&self, subject: &Subject, sessions: &[Arc<Session>]) -> Refreshed {
        let generation = self.0.identity.generation();
        let answer = tokio::time::timeout(DEADLINE, self.ask(subject)).await;
        if self.0.identity.generation() != generation {
            // Said by directories that are not in force any more; with the new ones everybody is read again.
            return Refreshed::default();
        }
        match answer {
            Ok(Ok(Some(new))) if new.user == subject.user => self.take(&new, sessions),
            Ok(Ok(_)) => {
                sessions.iter().for_each(|session| self.end(session.id(), EndReason::AccessWithdrawn));
                Refreshed { ended: sessions.len(), ..Refreshed::default() }
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, user = %subject.user, "cannot tell whether a session's user is still there");
                Refreshed { unknown: 1, ..Refreshed::default() }
            }
            Err(_) => {
                tracing::warn!(user = %subject.user, source = %subject.source, "reading a user took too long");
                Refreshed { unknown: 1, ..Refreshed::default() }
            }
        }
    }

    /// Asks whoever vouched for a user. `None`: they do not any more.
    pub(super) async fn ask(&self, subject: &Subject) -> Result<Option<Principal>, LookUpError> {
        self.0.identity.look_up(&subject.source, &subject.user, &subject.tenant).await
    }

    fn take(&self, new: &Principal, sessions: &[Arc<Session>]) -> Refreshed {
        let before = sessions.first().map(|session| session.principal());
        let changed = sessions.iter().filter(|session| session.take_principal(new)).count();
        audited::change(&self.0.audit, before.as_deref(), new);
        Refreshed { changed, ..Refreshed::default() }
    }
}

/// Until when people's places were looked at. A source whose round is under way is not looked at, and after it from where
/// that round began.
#[derive(Default)]
struct Looks {
    all: Duration,
    of_rounds: HashMap<Box<str>, Look>,
}

struct Look {
    until: Duration,
    under_way: bool,
}

impl Looks {
    /// From when on a source is to be looked at; `None` while its round is under way.
    fn from(&self, source: &str) -> Option<Duration> {
        match self.of_rounds.get(source) {
            Some(look) if look.under_way => None,
            Some(look) => Some(look.until),
            None => Some(self.all),
        }
    }

    /// All have been looked at but those that were under way, and of these sources rounds begin.
    fn looked<'s>(&mut self, begin: impl Iterator<Item = &'s Box<str>>, until: Duration) {
        self.all = until;
        self.of_rounds.retain(|_, look| look.under_way);
        self.of_rounds.extend(begin.map(|source| (source.clone(), Look { until, under_way: true })));
    }

    /// A round has ended.
    fn ended(&mut self, source: &str) {
        if let Some(look) = self.of_rounds.get_mut(source) {
            look.under_way = false;
        }
    }
}

/// Whether `place` comes by in `from..until`, where time goes round in `interval`.
fn is_due(place: Duration, interval: Duration, from: Duration, until: Duration) -> bool {
    let times_before = |time: Duration| match time.as_millis().checked_sub(place.as_millis() + 1) {
        Some(since) => since / interval.as_millis().max(1) + 1,
        None => 0,
    };
    times_before(until) > times_before(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_comes_by_once_in_an_interval_however_it_is_cut() {
        let interval = Duration::from_millis(1000);
        for place in [0, 1, 250, 999] {
            for step in [7, 100, 333, 1000] {
                let steps = 10_000 / step;
                let due = (0..steps).filter(|at| {
                    let (from, until) = (at * step, (at + 1) * step);
                    is_due(
                        Duration::from_millis(place),
                        interval,
                        Duration::from_millis(from),
                        Duration::from_millis(until),
                    )
                });
                let count = due.count() as u64;
                assert_eq!(count, (steps * step - place).div_ceil(1000), "{place} in steps of {step}");
            }
        }
    }

    #[test]
    fn a_source_is_looked_at_without_a_gap_and_never_while_its_round_is_under_way() {
        let (source, at) = (Box::from("slow"), Duration::from_secs);
        let mut looks = Looks::default();
        assert_eq!(looks.from("slow"), Some(at(0)));
        looks.looked([&source].into_iter(), at(1));
        for second in 2..9 {
            assert_eq!((looks.from("slow"), looks.from("quick")), (None, Some(at(second - 1))));
            looks.looked(std::iter::empty(), at(second));
        }
        looks.ended("slow");
        assert_eq!(looks.from("slow"), Some(at(1)));
        looks.looked(std::iter::empty(), at(9));
        assert_eq!(looks.from("slow"), Some(at(9)));
    }

    #[test]
    fn a_round_that_took_longer_than_the_interval_reads_everybody_once() {
        let interval = Duration::from_secs(10);
        for place in 0..10 {
            assert!(is_due(Duration::from_secs(place), interval, Duration::from_secs(5), Duration::from_secs(35)));
        }
    }
}
