//! What has ended and must not come back: asked only for genuine cookies that the store does not know.
//!
//! Bounded without forgetting: when there is no room for another mark, every cookie that was opened until then and
//! is not in memory is refused, and its user signs in again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::claims::{Claims, SessionId};
use super::journal::{Journal, Mark};
use super::revoke::Revoked;
use crate::model::{TenantId, Timestamp, UserId};

/// Most marks; at about 64 bytes each, 13 MiB.
const MOST: usize = 200_000;

/// What has ended.
pub(super) struct Ended {
    marks: Mutex<Marks>,
    journal: Journal,
    most: usize,
}

#[derive(Default)]
struct Marks {
    sessions: HashMap<SessionId, Timestamp>,
    users: HashMap<(TenantId, UserId), Bar>,
    /// Nothing that was opened until then is revived.
    floor: Timestamp,
    revoked: Revoked,
}

/// A user's sessions that were opened until `before` are not revived.
#[derive(Default)]
struct Bar {
    before: Timestamp,
    until: Timestamp,
}

impl Ended {
    /// Reads what had ended from the journal at `path`. If that cannot be read, nothing from before `now` is revived.
    pub(super) fn open(path: &Path, now: Timestamp) -> Self {
        let (journal, read) = Journal::open(path);
        let ended = Self { marks: Mutex::default(), journal, most: MOST };
        match read {
            Ok(marks) => {
                let mut kept = ended.marks();
                for mark in marks {
                    kept.keep(mark);
                }
                kept.prune(now);
            }
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "cannot read ended sessions; everybody signs in again");
                ended.marks().floor = now;
            }
        }
        ended
    }

    /// Whether a session must not come back.
    pub(super) fn bars(&self, claims: &Claims) -> bool {
        let marks = self.marks();
        let users_bar = || {
            let subject = claims.subject.as_ref()?;
            marks.users.get(&(subject.tenant.clone(), subject.user.clone()))
        };
        let subject = claims.subject.as_ref();
        claims.opened <= marks.floor
            || subject.is_some_and(|subject| marks.revoked.bars(&subject.tenant, &subject.user, claims.opened))
            || marks.sessions.contains_key(&claims.id)
            || users_bar().is_some_and(|bar| claims.opened <= bar.before)
    }

    /// Whether a user's logins were ended everywhere at `issued` or after it.
    pub(super) fn bars_user(&self, tenant: &TenantId, user: &UserId, issued: Timestamp) -> bool {
        let marks = self.marks();
        // Most of the time nobody is; then no name is copied.
        marks.revoked.bars(tenant, user, issued)
            || !marks.users.is_empty()
                && marks.users.get(&(tenant.clone(), user.clone())).is_some_and(|bar| issued <= bar.before)
    }

    /// Remembers an end.
    pub(super) fn add(&self, mark: Mark, now: Timestamp) {
        {
            let mut marks = self.marks();
            if marks.len() >= self.most {
                marks.prune(now);
            }
            if marks.len() >= self.most {
                tracing::warn!("too many ended sessions to remember; those not in memory sign in again");
                // What an operator revoked holds for bearer tokens too, which the floor does not bar.
                let mut revoked = std::mem::take(&mut marks.revoked);
                revoked.make_room(self.most / 2, now);
                let mut users = std::mem::take(&mut marks.users);
                if users.len() > self.most / 2 {
                    users.clear();
                }
                *marks = Marks { floor: now, revoked, users, ..Marks::default() };
                self.journal.add(Mark::Everybody { before: now });
            }
            marks.keep(mark.clone());
        }
        self.journal.add(mark);
    }

    /// Waits until there is something to write.
    pub(super) async fn changed(&self) {
        self.journal.changed().await;
    }

    /// Brings the file up to date, and returns what another gateway has ended since the last time. Blocks.
    pub(super) fn flush(&self, now: Timestamp) -> Vec<Mark> {
        let lock = self.journal.try_lock();
        let mut news = self.journal.written_by_others();
        {
            let mut marks = self.marks();
            news.retain(|mark| marks.keep(mark.clone()));
        }
        self.journal.flush(lock.is_some(), || {
            let mut marks = self.marks();
            marks.prune(now);
            marks.all()
        });
        news
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    fn len(&self) -> usize {
        self.sessions.len() + self.users.len() + self.revoked.len()
    }

    /// Adds a mark; `false` if it says nothing new.
    fn keep(&mut self, mark: Mark) -> bool {
        match mark {
            Mark::Session { until, id } => self.sessions.insert(id, until).is_none(),
            Mark::User { until, before, tenant, user } => {
                let bar = self.users.entry((tenant, user)).or_default();
                let is_new = before > bar.before;
                *bar = Bar { before: bar.before.max(before), until: bar.until.max(until) };
                is_new
            }
            Mark::Everybody { before } => {
                let is_new = before > self.floor;
                self.floor = self.floor.max(before);
                is_new
            }
            Mark::Revoked { until, before, whom } => self.revoked.keep(until, before, &whom),
        }
    }

    fn prune(&mut self, now: Timestamp) {
        self.sessions.retain(|_, until| *until > now);
        self.users.retain(|_, bar| bar.until > now);
        self.revoked.prune(now);
    }

    fn all(&self) -> Vec<Mark> {
        let sessions = self.sessions.iter().map(|(id, until)| Mark::Session { until: *until, id: *id });
        let users = self.users.iter().map(|((tenant, user), bar)| Mark::User {
            until: bar.until,
            before: bar.before,
            tenant: tenant.clone(),
            user: user.clone(),
        });
        let floor = (self.floor > Timestamp::default()).then_some(Mark::Everybody { before: self.floor });
        floor.into_iter().chain(sessions).chain(users).chain(self.revoked.marks()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::claims::Subject;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const LATER: Timestamp = Timestamp::from_secs(1_700_043_200);

    fn claims(user: &str, opened: Timestamp) -> Claims {
        let subject = Subject {
            source: "corp".into(),
            tenant: TenantId::new("acme").expect("a tenant"),
            user: UserId::new(user).expect("a user"),
        };
        Claims {
            id: SessionId::random(),
            key: "k1".into(),
            opened,
            expires: LATER,
            seen: opened,
            subject: Some(subject),
        }
    }

    fn end_of(claims: &Claims) -> Mark {
        Mark::Session { until: claims.expires, id: claims.id }
    }

    fn end_of_user(user: &str, before: Timestamp) -> Mark {
        let (tenant, user) = (TenantId::new("acme").expect("a tenant"), UserId::new(user).expect("a user"));
        Mark::User { until: LATER, before, tenant, user }
    }

    #[test]
    fn ends_are_known_after_a_restart_until_they_do_not_matter() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ended");
        let (one, two) = (claims("ann", NOW), claims("ann", NOW));
        let ended = Ended::open(&path, NOW);
        ended.add(end_of(&one), NOW);
        ended.add(end_of_user("li lei", NOW), NOW);
        ended.flush(NOW);

        let again = Ended::open(&path, NOW);
        assert!(again.bars(&one));
        assert!(!again.bars(&two));
        assert!(again.bars(&claims("li lei", NOW)));
        assert!(!again.bars(&claims("li lei", NOW + Duration::from_secs(1))), "they signed in anew");
        assert_eq!(Ended::open(&path, LATER).marks().len(), 0, "what is past is left out");
    }

    #[test]
    fn two_gateways_that_share_the_file_learn_of_each_others_ends_and_lose_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ended");
        let (one, two, three) = (claims("ann", NOW), claims("bob", NOW), claims("cyd", NOW));
        let (old, new) = (Ended::open(&path, NOW), Ended::open(&path, NOW));
        old.add(end_of(&one), NOW);
        assert_eq!(old.flush(NOW), []);
        new.add(end_of(&two), NOW);
        assert_eq!(new.flush(NOW), [end_of(&one)], "read before the first write, which adds to it");
        assert!(new.bars(&one));
        assert_eq!(new.flush(NOW), [], "its own writing is no news");
        old.add(end_of_user("cyd", NOW), NOW);
        assert_eq!(old.flush(NOW), [end_of(&two)]);
        assert_eq!(new.flush(NOW), [end_of_user("cyd", NOW)]);
        let next = Ended::open(&path, NOW);
        assert!([&one, &two, &three].into_iter().all(|claims| next.bars(claims)));
    }

    #[test]
    fn what_another_gateway_wrote_is_still_there_when_the_file_is_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ended");
        let theirs = claims("ann", NOW);
        let (old, new) = (Ended::open(&path, NOW), Ended::open(&path, NOW));
        for _ in 0..1100 {
            new.add(Mark::Session { until: NOW, id: SessionId::random() }, NOW);
        }
        old.add(end_of(&theirs), NOW);
        old.flush(NOW);
        new.flush(NOW);
        assert_eq!(std::fs::read_to_string(&path).expect("readable").lines().count(), 1, "written anew");
        assert!(Ended::open(&path, NOW).bars(&theirs));
    }

    #[test]
    fn broken_lines_are_skipped_and_do_not_spoil_those_that_follow() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ended");
        let (one, two) = (claims("ann", NOW), claims("ann", NOW));
        let cut = "user 1700043200 17000";
        std::fs::write(&path, format!("rubbish\n\n{}\nsession x y\n{cut}", end_of(&one))).expect("written");
        let ended = Ended::open(&path, NOW);
        assert!(ended.bars(&one));
        ended.add(end_of(&two), NOW);
        ended.flush(NOW);
        let again = Ended::open(&path, NOW);
        assert!(again.bars(&one) && again.bars(&two));
    }

    #[test]
    fn an_unreadable_file_makes_everybody_sign_in_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ended");
        std::fs::write(&path, b"\xff\xfe\x00garbage").expect("written");
        let ended = Ended::open(&path, NOW);
        assert!(ended.bars(&claims("ann", NOW)));
        assert!(!ended.bars(&claims("ann", NOW + Duration::from_secs(1))));
        ended.flush(NOW);
        assert!(Ended::open(&path, NOW + Duration::from_secs(9)).bars(&claims("ann", NOW)), "after a restart too");
    }

    #[test]
    fn a_full_list_refuses_more_instead_of_forgetting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ended");
        let mut ended = Ended::open(&path, NOW);
        ended.most = 3;
        let all: Vec<_> = (0..5).map(|_| claims("ann", NOW)).collect();
        all.iter().for_each(|claims| ended.add(end_of(claims), NOW));
        assert!(all.iter().all(|claims| ended.bars(claims)));
        ended.flush(NOW);
        let again = Ended::open(&path, NOW);
        assert!(all.iter().all(|claims| again.bars(claims)));
        assert!(!again.bars(&claims("ann", NOW + Duration::from_secs(1))));
    }

    #[test]
    fn a_write_that_failed_is_made_good_by_the_next_that_works() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("not-there").join("ended");
        let one = claims("ann", NOW);
        let ended = Ended::open(&path, NOW);
        ended.add(end_of(&one), NOW);
        ended.flush(NOW);
        std::fs::create_dir(folder.path().join("not-there")).expect("made");
        ended.flush(NOW);
        assert!(Ended::open(&path, NOW).bars(&one));
    }

    #[test]
    fn the_file_is_for_us_alone_and_stays_small() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ended");
        let ended = Ended::open(&path, NOW);
        for round in 0..4000_u64 {
            let now = NOW + Duration::from_secs(round * 100_000);
            ended.add(Mark::Session { until: now + Duration::from_secs(1), id: SessionId::random() }, now);
            ended.flush(now);
        }
        let lines = std::fs::read_to_string(&path).expect("readable").lines().count();
        assert!(lines <= 1002, "{lines}");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
}
