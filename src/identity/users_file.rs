//! The directory that is a file: people, their tenants, groups and argon2id hashes.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::hash::StoredHash;
use super::person::{Person, group_set};
use super::verifier::Verifier;
use super::{BuildError, Directory, LookUpError, Password, SignInError};
use crate::config::users_file::{self, UserEntry};
use crate::model::UserId;

/// People from a file, as it was when it was read.
pub(super) struct UsersFile {
    name: Arc<str>,
    /// By their folded names.
    people: HashMap<String, Account>,
    stand_ins: StandIns,
    verifier: Arc<Verifier>,
}

struct Account {
    person: Person,
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
            let account = Account::read(entry, &name).map_err(|source| BuildError::Hash {
                path: path.to_owned(),
                user: user.clone(),
                source,
            })?;
            people.entry(folded(user.as_str())).or_insert(account);
        }
        let stand_ins = StandIns::like(people.values().map(|account| &*account.hash));
        Ok(Self { name, people, stand_ins, verifier })
    }
}

impl Account {
    fn read(entry: UserEntry, source: &Arc<str>) -> Result<Self, super::HashRefused> {
        let hash = Arc::new(StoredHash::parse(&entry.password)?);
        let person = Person {
            tenant: Some(entry.tenant),
            display_name: entry.display_name.map(Arc::from),
            groups: group_set(entry.groups),
            ..Person::new(entry.name, source.clone())
        };
        Ok(Self { person, hash, disabled: entry.disabled })
    }
}

/// A name as people mean it: the file has no two that differ by case alone.
fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

#[async_trait]
impl Directory for UsersFile {
    fn name(&self) -> &str {
        &self.name
    }

    async fn verify(&self, user: &str, password: &Password) -> Result<Person, SignInError> {
        let user = folded(user);
        let account = self.people.get(&user);
        let hash = account.map_or_else(|| self.stand_ins.of(&user), |account| account.hash.clone());
        let matches = self.verifier.check(hash, password).await?;
        match account {
            Some(account) if matches && account.disabled => Err(SignInError::Disabled),
            Some(account) if matches => Ok(account.person.clone()),
            _ => Err(SignInError::WrongCredentials),
        }
    }

    async fn look_up(&self, user: &UserId) -> Result<Option<Person>, LookUpError> {
        Ok(self
            .people
            .get(&folded(user.as_str()))
            .filter(|account| !account.disabled)
            .map(|account| account.person.clone()))
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
