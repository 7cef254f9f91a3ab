//! The directory that is a file: people, their tenants, groups and argon2id hashes.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::hash::StoredHash;
use super::verifier::Verifier;
use super::{BuildError, Directory, LookUpError, Password, SignInError};
use crate::config::users_file::{self, UserEntry};
use crate::model::{GroupName, Principal, Roles, UserId};

/// People from a file, as it was when it was read.
pub(super) struct UsersFile {
    name: Arc<str>,
    /// By their folded names.
    people: HashMap<String, Person>,
    stand_ins: StandIns,
    verifier: Arc<Verifier>,
}

struct Person {
    principal: Principal,
    hash: Arc<StoredHash>,
    disabled: bool,
}

impl UsersFile {
    /// Reads the file at `path`.
    pub(super) fn open(name: &str, path: &Path, verifier: Arc<Verifier>) -> Result<Self, BuildError> {
        let entries = users_file::load(path)?;
        let name: Arc<str> = Arc::from(name);
        let mut people = HashMap::with_capacity(entries.len());
        for entry in entries {
            let user = entry.name.clone();
            let person = Person::read(entry, &name).map_err(|source| BuildError::Hash {
                path: path.to_owned(),
                user: user.clone(),
                source,
            })?;
            people.entry(folded(user.as_str())).or_insert(person);
        }
        let stand_ins = StandIns::like(people.values().map(|person| &*person.hash));
        Ok(Self { name, people, stand_ins, verifier })
    }
}

impl Person {
    fn read(entry: UserEntry, source: &Arc<str>) -> Result<Self, super::HashRefused> {
        let hash = Arc::new(StoredHash::parse(&entry.password)?);
        let principal = Principal {
            user: entry.name,
            tenant: entry.tenant,
            display_name: entry.display_name.map(Arc::from),
            groups: sorted(entry.groups),
            roles: Roles::default(),
            source: source.clone(),
        };
        Ok(Self { principal, hash, disabled: entry.disabled })
    }
}

/// A name as people mean it: the file has no two that differ by case alone.
fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

fn sorted(mut groups: Vec<GroupName>) -> Arc<[GroupName]> {
    groups.sort_unstable();
    groups.dedup();
    groups.into()
}

#[async_trait]
impl Directory for UsersFile {
    fn name(&self) -> &str {
        &self.name
    }

    async fn verify(&self, user: &str, password: &Password) -> Result<Principal, SignInError> {
        let user = folded(user);
        let person = self.people.get(&user);
        let hash = person.map_or_else(|| self.stand_ins.of(&user), |person| person.hash.clone());
        let matches = self.verifier.check(hash, password).await?;
        match person {
            Some(person) if matches && person.disabled => Err(SignInError::Disabled),
            Some(person) if matches => Ok(person.principal.clone()),
            _ => Err(SignInError::WrongCredentials),
        }
    }

    async fn look_up(&self, user: &UserId) -> Result<Option<Principal>, LookUpError> {
        Ok(self
            .people
            .get(&folded(user.as_str()))
            .filter(|person| !person.disabled)
            .map(|person| person.principal.clone()))
    }
}

/// What is checked for users that do not exist, so that they take as long as those that do.
///
/// Where the file mixes parameters, each unknown name keeps to the parameters of one known person, chosen by a
/// keyed hash: a constant choice would mark every name that takes another time as known.
struct StandIns {
    hashes: Vec<Arc<StoredHash>>,
    choice: RandomState,
}

impl StandIns {
    fn like<'a>(people: impl Iterator<Item = &'a StoredHash>) -> Self {
        let mut hashes: Vec<_> = people.map(|hash| Arc::new(StoredHash::stand_in(Some(hash)))).collect();
        if hashes.is_empty() {
            hashes.push(Arc::new(StoredHash::stand_in(None)));
        }
        hashes.sort_by_key(|hash| hash.cost());
        Self { hashes, choice: RandomState::new() }
    }

    fn of(&self, user: &str) -> Arc<StoredHash> {
        let count = u64::try_from(self.hashes.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(self.choice.hash_one(user) % count).unwrap_or(0);
        self.hashes[index].clone()
    }
}
