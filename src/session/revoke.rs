//! What an operator's command revokes: whom it names, what is barred by it, and the line that it adds to the file of
//! ended sessions, which a running gateway obeys within seconds and a later one when it starts.
//!
//! Names are compared without regard to case: who revokes types a name as it comes to mind, and a person too many has
//! only to sign in again.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::journal::Mark;
use super::private_file;
use crate::config::Config;
use crate::model::{TenantId, Timestamp, UserId};

/// For how long a revocation is remembered at least: bearer tokens may live longer than sessions.
const AT_LEAST: Duration = Duration::from_secs(31 * 86_400);
/// A lifetime that is shortened meanwhile must not let the mark go before the cookies; a day more is nothing.
const SLACK: Duration = Duration::from_secs(86_400);

/// For how long it is remembered that all logins of somebody ended.
pub(super) fn remembered_for(lifetime: Duration) -> Duration {
    lifetime.max(AT_LEAST) + SLACK
}

/// Whose logins a command ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// The users of this name, in whatever case it is written.
    User {
        /// Their tenant; `None`: in every tenant.
        tenant: Option<TenantId>,
        /// Their name.
        user: UserId,
    },
    /// Everybody.
    Everybody,
}

impl Whom {
    /// Whether a user is meant.
    #[must_use]
    pub fn is(&self, tenant: &TenantId, user: &UserId) -> bool {
        match self {
            Self::Everybody => true,
            Self::User { tenant: only, user: name } => {
                only.as_ref().is_none_or(|only| only == tenant) && folded(name) == folded(user)
            }
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("everybody"),
            Self::User { tenant: Some(tenant), user } => write!(f, "{user} of tenant {tenant}"),
            Self::User { tenant: None, user } => write!(f, "{user} of every tenant"),
        }
    }
}

/// Why a command could not revoke anything.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The gateway has never run with this configuration.
    #[error("there is no folder {0}: no gateway has run with this configuration")]
    NoFolder(PathBuf),
    /// The file cannot be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Ends every session that was opened, and bars every bearer token that was issued, until `now` by adding a line to the
/// state folder of `config`. Waits while a gateway writes that file anew, which takes milliseconds. Blocks.
///
/// # Errors
/// Returns an error if the state folder is not there or cannot be written to.
pub fn revoke(config: &Config, whom: Whom, now: Timestamp) -> Result<(), RevokeError> {
    let folder = Path::new(&config.state_dir).join("sessions");
    if !folder.is_dir() {
        return Err(RevokeError::NoFolder(folder));
    }
    let path = folder.join("ended");
    let until = now + remembered_for(config.session.lifetime.0);
    let mark = Mark::Revoked { until, before: now, whom };
    append(&path, &mark).map_err(|error| RevokeError::Write { path, error })
}

fn append(path: &Path, mark: &Mark) -> io::Result<()> {
    let lock = private_file::lock_beside(path)?;
    lock.lock()?;
    // A line that was cut short must not swallow this one.
    private_file::append(path, &format!("\n{mark}\n"))?;
    // The operator is told that it holds, so it has to.
    std::fs::File::open(path)?.sync_data()?;
    private_file::give_to_owner_of_folder(path)?;
    private_file::give_to_owner_of_folder(&path.with_extension("lock"))
}

/// Until when what a user holds is barred, and how long that matters.
#[derive(Debug, Default, Clone, Copy)]
struct Bar {
    before: Timestamp,
    until: Timestamp,
}

impl Bar {
    /// Widens it; `false` if that says nothing new.
    fn widen(&mut self, before: Timestamp, until: Timestamp) -> bool {
        let is_new = before > self.before;
        *self = Self { before: self.before.max(before), until: self.until.max(until) };
        is_new
    }
}

/// Everything that was revoked and still matters.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    everybody: Bar,
    users: HashMap<Box<str>, OfName>,
}

/// What was revoked of the users of one name.
#[derive(Debug, Default)]
struct OfName {
    everywhere: Bar,
    tenants: HashMap<TenantId, Bar>,
    /// As it was typed.
    name: Option<UserId>,
}

impl Revoked {
    /// Whether what a user was given at `at` is barred.
    pub(super) fn bars(&self, tenant: &TenantId, user: &UserId, at: Timestamp) -> bool {
        if at <= self.everybody.before {
            return true;
        }
        // Most of the time nobody is; then no name is copied.
        let Some(of_name) = (!self.users.is_empty()).then(|| self.users.get(&*folded(user))).flatten() else {
            return false;
        };
        at <= of_name.everywhere.before || of_name.tenants.get(tenant).is_some_and(|bar| at <= bar.before)
    }

    /// Adds a revocation; `false` if it says nothing new.
    pub(super) fn keep(&mut self, until: Timestamp, before: Timestamp, whom: &Whom) -> bool {
        let Whom::User { tenant, user } = whom else { return self.everybody.widen(before, until) };
        let of_name = self.users.entry(folded(user).into()).or_default();
        of_name.name.get_or_insert_with(|| user.clone());
        match tenant {
            None => of_name.everywhere.widen(before, until),
            Some(tenant) => of_name.tenants.entry(tenant.clone()).or_default().widen(before, until),
        }
    }

    /// Forgets what does not matter any more.
    pub(super) fn prune(&mut self, now: Timestamp) {
        let keep = |bar: &Bar| bar.until > now;
        if !keep(&self.everybody) {
            self.everybody = Bar::default();
        }
        self.users.retain(|_, of_name| {
            of_name.tenants.retain(|_, bar| keep(bar));
            if !keep(&of_name.everywhere) {
                of_name.everywhere = Bar::default();
            }
            keep(&of_name.everywhere) || !of_name.tenants.is_empty()
        });
    }

    /// Bars everybody until `now` instead, if there are more than `most`.
    pub(super) fn make_room(&mut self, most: usize, now: Timestamp) {
        if self.len() > most {
            let until = now + AT_LEAST;
            *self = Self { everybody: Bar { before: now, until }, ..Self::default() };
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.users.values().map(|of_name| of_name.tenants.len() + 1).sum()
    }

    /// All of it, for the file.
    pub(super) fn marks(&self) -> impl Iterator<Item = Mark> {
        let everybody = std::iter::once((self.everybody, Whom::Everybody));
        let users = self.users.values().flat_map(|of_name| {
            let user = of_name.name.iter();
            user.flat_map(|user| {
                let everywhere = (of_name.everywhere, Whom::User { tenant: None, user: user.clone() });
                let tenants = of_name
                    .tenants
                    .iter()
                    .map(|(tenant, bar)| (*bar, Whom::User { tenant: Some(tenant.clone()), user: user.clone() }));
                std::iter::once(everywhere).chain(tenants)
            })
        });
        let all = everybody.chain(users).filter(|(bar, _)| bar.until > Timestamp::default());
        all.map(|(bar, whom)| Mark::Revoked { until: bar.until, before: bar.before, whom })
    }
}

fn folded(user: &UserId) -> String {
    user.as_str().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const LATER: Timestamp = Timestamp::from_secs(1_700_100_000);

    fn user(tenant: Option<&str>, user: &str) -> Whom {
        let tenant = tenant.map(|tenant| TenantId::new(tenant).expect("a tenant"));
        Whom::User { tenant, user: UserId::new(user).expect("a user") }
    }

    fn bars(revoked: &Revoked, tenant: &str, user: &str, at: Timestamp) -> bool {
        revoked.bars(&TenantId::new(tenant).expect("a tenant"), &UserId::new(user).expect("a user"), at)
    }

    #[test]
    fn a_revocation_bars_what_was_given_before_it_and_nothing_after() {
        let table = [
            (user(Some("acme"), "ann"), [true, true, false, false]),
            (user(None, "ann"), [true, true, true, false]),
            (Whom::Everybody, [true, true, true, true]),
        ];
        for (whom, expected) in table {
            let mut revoked = Revoked::default();
            assert!(revoked.keep(LATER, NOW, &whom));
            assert!(!revoked.keep(LATER, NOW, &whom), "nothing new");
            let those = [("acme", "ann"), ("acme", "ANN"), ("other", "ann"), ("acme", "bob")];
            let barred = those.map(|(tenant, name)| bars(&revoked, tenant, name, NOW));
            assert_eq!(barred, expected, "{whom}");
            let after = NOW + Duration::from_secs(1);
            assert!(those.iter().all(|(tenant, name)| !bars(&revoked, tenant, name, after)), "{whom}");
        }
    }

    #[test]
    fn revocations_survive_the_file_and_go_when_they_do_not_matter() {
        let mut revoked = Revoked::default();
        for whom in [user(Some("acme"), "Li Lei"), user(None, "ann"), Whom::Everybody] {
            revoked.keep(LATER, NOW, &whom);
        }
        let lines: Vec<String> = revoked.marks().map(|mark| mark.to_string()).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        let mut again = Revoked::default();
        for line in &lines {
            let Some(Mark::Revoked { until, before, whom }) = Mark::parse(line) else { panic!("{line}") };
            again.keep(until, before, &whom);
        }
        assert!(bars(&again, "acme", "li lei", NOW));
        again.prune(LATER);
        assert_eq!((again.len(), again.marks().count()), (0, 0));
        assert!(!bars(&again, "acme", "li lei", NOW));
    }

    #[test]
    fn too_many_revocations_become_one_of_everybody() {
        let mut revoked = Revoked::default();
        for at in 0..10 {
            revoked.keep(LATER, NOW, &user(None, &format!("user{at}")));
        }
        revoked.make_room(5, NOW);
        assert_eq!(revoked.marks().count(), 1);
        assert!(bars(&revoked, "acme", "user3", NOW) && bars(&revoked, "acme", "other", NOW));
    }
}
