//! The sessions in memory: found without a lock, bounded in all and for each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::{Session, SessionId};
use crate::model::{Principal, TenantId, Timestamp, UserId};

/// Most sessions in memory: at about 1 KiB each, 200 MiB.
const MOST: usize = 200_000;
/// Most sessions of one user.
const MOST_OF_ONE_USER: usize = 50;
/// How many sessions are looked at for the one to give up when the store is full.
const SAMPLE: usize = 64;

type Owner = (TenantId, UserId);

/// The sessions in memory.
pub(super) struct Store {
    by_id: papaya::HashMap<SessionId, Arc<Session>, RandomState>,
    /// Changed at sign-in and end only.
    by_owner: Mutex<HashMap<Owner, Vec<SessionId>>>,
    most: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self { by_id: papaya::HashMap::default(), by_owner: Mutex::default(), most: MOST }
    }
}

fn owner(principal: &Principal) -> Owner {
    (principal.tenant.clone(), principal.user.clone())
}

impl Store {
    /// The session with this id. Takes no lock.
    pub(super) fn find(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.by_id.pin().get(id).cloned()
    }

    /// Keeps a session; the one that is kept already if there is one with its id.
    pub(super) fn add(&self, session: Session) -> Arc<Session> {
        let id = *session.id();
        let owner = owner(&session.principal());
        // Both maps change under this lock, so that they agree.
        let mut owners = self.owners();
        let sessions = self.by_id.pin();
        match sessions.try_insert(id, Arc::new(session)) {
            Ok(added) => {
                owners.entry(owner).or_default().push(id);
                added.clone()
            }
            Err(occupied) => occupied.current.clone(),
        }
    }

    /// Lets go of a session. To be called once for each.
    pub(super) fn remove(&self, session: &Session) {
        let owner = owner(&session.principal());
        let mut owners = self.owners();
        self.by_id.pin().remove(session.id());
        if let Some(ids) = owners.get_mut(&owner) {
            ids.retain(|id| id != session.id());
            if ids.is_empty() {
                owners.remove(&owner);
            }
        }
    }

    /// The sessions of one user, the oldest first.
    pub(super) fn of_user(&self, tenant: &TenantId, user: &UserId) -> Vec<Arc<Session>> {
        let ids = self.owners().get(&(tenant.clone(), user.clone())).cloned().unwrap_or_default();
        let mut sessions: Vec<_> = ids.iter().filter_map(|id| self.find(id)).collect();
        sessions.sort_by_key(|session| session.opened());
        sessions
    }

    /// The sessions that the user of `session` has beyond what one user may have, the oldest first; never itself.
    pub(super) fn beyond_users_share(&self, session: &Session) -> Vec<Arc<Session>> {
        let principal = session.principal();
        let mut others = self.of_user(&principal.tenant, &principal.user);
        others.retain(|other| other.id() != session.id());
        others.truncate((others.len() + 1).saturating_sub(MOST_OF_ONE_USER));
        others
    }

    /// A session to give up if there is no room for one more: of a few, the one that was used longest ago.
    pub(super) fn least_missed(&self) -> Option<Arc<Session>> {
        if self.by_id.len() < self.most {
            return None;
        }
        self.by_id.pin().values().take(SAMPLE).min_by_key(|session| session.seen()).cloned()
    }

    /// All sessions for which `wanted` holds.
    pub(super) fn select(&self, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.by_id.pin().values().filter(|session| wanted(session)).cloned().collect()
    }

    /// Id and last use of all sessions.
    pub(super) fn uses(&self) -> Vec<(SessionId, Timestamp)> {
        self.by_id.pin().iter().map(|(id, session)| (*id, session.seen())).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, Vec<SessionId>>> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Roles;
    use crate::session::keys::Key;

    fn session(user: &str, opened: u64) -> Session {
        let principal = Principal {
            user: UserId::new(user).expect("a user"),
            tenant: TenantId::new("acme").expect("a tenant"),
            display_name: None,
            groups: Arc::from([]),
            roles: Roles::default(),
            source: Arc::from("corp"),
        };
        let key = Arc::new(Key::derive("k1", &[1; 32]));
        Session::fresh(principal, key, Timestamp::from_secs(opened), Timestamp::from_secs(opened + 10))
    }

    #[test]
    fn a_user_with_too_many_sessions_loses_the_oldest() {
        let store = Store::default();
        let oldest = store.add(session("ann", 1));
        for opened in 2..=50 {
            assert!(store.beyond_users_share(&store.add(session("ann", opened))).is_empty());
        }
        store.add(session("bob", 0));
        let over = store.beyond_users_share(&store.add(session("ann", 51)));
        assert_eq!(over.iter().map(|session| *session.id()).collect::<Vec<_>>(), [*oldest.id()]);
    }

    #[test]
    fn a_full_store_gives_up_the_session_that_was_used_longest_ago() {
        let store = Store { most: 3, ..Store::default() };
        let idle = store.add(session("ann", 1));
        store.add(session("bob", 2));
        assert!(store.least_missed().is_none());
        store.add(session("eve", 3));
        assert_eq!(store.least_missed().map(|session| *session.id()), Some(*idle.id()));
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let store = Store::default();
        let one = store.add(session("ann", 1));
        store.remove(&one);
        assert_eq!(store.len(), 0);
        assert!(store.find(one.id()).is_none() && store.owners().is_empty());
    }
}
