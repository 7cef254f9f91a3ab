//! [`Person`]: what a directory, an issuer or a provider says about somebody, before any rule of ours.
//!
//! Promises nothing about tenant and roles: [`Identity::admit`](super::Identity::admit) makes a
//! [`Principal`](crate::model::Principal) of a person, or says why not.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::model::{GroupName, TenantId, UserId};

/// What a directory or issuer says about somebody, before any rule of ours.
#[derive(Clone, PartialEq)]
pub struct Person {
    /// The name that the source knows them by.
    pub user: UserId,
    /// A name to greet them by.
    pub display_name: Option<Arc<str>>,
    /// Sorted, without doubles: as [`group_set`] makes them.
    pub groups: Arc<[GroupName]>,
    /// Said outright by the source (users file); rules are not asked then.
    pub tenant: Option<TenantId>,
    /// Distinguished name, where the source has one; normalised before rules see it.
    pub dn: Option<Arc<str>>,
    /// LDAP attributes (each a list of strings) or token claims, as JSON.
    pub claims: Arc<Map<String, Value>>,
    /// The directory, issuer or provider, by its name in the configuration.
    pub source: Arc<str>,
}

impl Person {
    /// Somebody of whom nothing but the name is known.
    #[must_use]
    pub fn new(user: UserId, source: Arc<str>) -> Self {
        Self {
            user,
            display_name: None,
            groups: Arc::from([]),
            tenant: None,
            dn: None,
            claims: Arc::new(Map::new()),
            source,
        }
    }
}

/// Claims may hold anything that an issuer likes to say: only their names are shown.
impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person")
            .field("user", &self.user)
            .field("tenant", &self.tenant)
            .field("groups", &self.groups)
            .field("dn", &self.dn)
            .field("claims", &self.claims.keys().collect::<Vec<_>>())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Groups as a [`Person`] and a principal hold them: sorted, without doubles.
#[must_use]
pub fn group_set(mut groups: Vec<GroupName>) -> Arc<[GroupName]> {
    groups.sort_unstable();
    groups.dedup();
    groups.into()
}
