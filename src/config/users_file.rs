//! The users file: people who may sign in, for one machine or a handful of people.
//!
//! It holds password hashes, so no finding quotes any of it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use schemars::JsonSchema;
use serde::Deserialize;

use super::document::Position;
use super::fingerprint::Hash;
use super::key_path::KeyPath;
use super::report::{Diagnostic, Report, Severity};
use super::schema::{schema_of, validator};
use super::source::{Secrecy, Source, about_file};
use super::tenants::Tenant;
use crate::model::{GroupName, TenantId, UserId};

/// Largest size of a users file: some 20,000 users.
const LARGEST: u64 = 8 << 20;

/// A person who may sign in.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// The name to sign in with.
    #[schemars(with = "String", extend("format" = "user-id"))]
    pub name: UserId,
    /// The company that the user belongs to.
    #[schemars(with = "String", extend("format" = "tenant-id"))]
    pub tenant: TenantId,
    /// Hash of the password: argon2id in PHC form, made by `usher hash-password`.
    pub password: String,
    /// A name to greet them by.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Groups that the user is in.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("items" = { "type": "string", "format": "group-name" }))]
    pub groups: Vec<GroupName>,
    /// May not sign in, and is signed out.
    #[serde(default)]
    pub disabled: bool,
}

impl std::fmt::Debug for UserEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserEntry").field("name", &self.name).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; users are read one by one")]
struct UsersDocument {
    users: Vec<UserEntry>,
}

/// A users file that could be opened.
pub(super) struct ReadUsers {
    /// The users that can be understood, each with the place of its name.
    pub(super) users: Vec<(Place, UserEntry)>,
    /// What its content is recognised by.
    pub(super) hash: Hash,
    /// What was found in it.
    pub(super) findings: Vec<Diagnostic>,
}

/// Where a value stands in a users file.
pub(super) struct Place {
    /// Its key.
    pub(super) key: KeyPath,
    /// Line and column.
    pub(super) position: Position,
}

/// Reads a users file.
///
/// # Errors
/// Returns every problem that was found, if one of them is an error.
pub fn load(path: &Path) -> Result<Vec<UserEntry>, Report> {
    let read = read(path, &BTreeMap::new()).map_err(|message| Report::new(vec![about_file(path, message)]))?;
    if read.findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Report::new(read.findings));
    }
    Ok(read.users.into_iter().map(|(_, user)| user).collect())
}

/// Reads a users file and says which of its users the tenants' settings keep out.
///
/// # Errors
/// Returns a sentence if the file cannot be opened at all.
pub(super) fn read(path: &Path, tenants: &BTreeMap<String, Tenant>) -> Result<ReadUsers, String> {
    let mut source = Source::read(path, LARGEST, Secrecy::Secret).map_err(|whole| whole.message)?;
    let schema = schema_of::<UsersDocument>();
    let validator = validator(&schema).map_err(|_| "the users file's schema is broken".to_owned())?;
    source.hold_against(&schema, &validator);
    let users = entries(&source);
    check_names(&users, &mut source);
    check_passwords(&users, &mut source);
    check_tenants(&users, tenants, &mut source);
    let place = |at: usize| {
        let key = path_of(at).key("name");
        Place { position: source.document.value_position(&key), key }
    };
    let users = users.into_iter().map(|(at, user)| (place(at), user)).collect();
    Ok(ReadUsers { users, hash: source.hash, findings: source.into_findings() })
}

/// The users that can be understood, each with its index.
fn entries(source: &Source) -> Vec<(usize, UserEntry)> {
    let listed = source.document.value["users"].as_array().into_iter().flatten();
    listed.enumerate().filter_map(|(at, user)| Some((at, UserEntry::deserialize(user).ok()?))).collect()
}

fn path_of(at: usize) -> KeyPath {
    KeyPath::of("users").index(at)
}

/// Names are compared as people read them: `Ada` and `ada` are one name for whoever signs in.
fn check_names(users: &[(usize, UserEntry)], source: &mut Source) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, user) in users {
        if let Some(first) = seen.get(&user.name.as_str().to_lowercase()) {
            let line = source.line(&path_of(*first).key("name"));
            source.error(&path_of(*at).key("name"), format!("this name stands in line {line} already"));
        } else {
            seen.insert(user.name.as_str().to_lowercase(), *at);
        }
    }
}

fn check_passwords(users: &[(usize, UserEntry)], source: &mut Source) {
    for (at, user) in users {
        let path = path_of(*at).key("password");
        match strength(&user.password) {
            Strength::Good => {}
            Strength::Weak => source.warning(&path, "is a weak hash; make a new one with usher hash-password"),
            Strength::Costly => {
                source.error(&path, "is a hash that costs too much to verify; make a new one with usher hash-password");
            }
            Strength::NotArgon2id => {
                source.error(&path, "must be an argon2id hash in PHC form; make one with usher hash-password");
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Strength {
    Good,
    Weak,
    Costly,
    NotArgon2id,
}

/// Weak is below the least that OWASP recommends (7 MiB five times, or the same work with more memory).
/// Costly is what a few sign-ins at once would exhaust the gateway with.
fn strength(hash: &str) -> Strength {
    let Ok(parsed) = PasswordHash::new(hash) else { return Strength::NotArgon2id };
    let complete = parsed.algorithm.as_str() == "argon2id" && parsed.salt.is_some() && parsed.hash.is_some();
    let Some(params) = Params::try_from(&parsed).ok().filter(|_| complete) else { return Strength::NotArgon2id };
    let (memory, rounds, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    if memory > 256 * 1024 || rounds > 16 || lanes > 16 {
        return Strength::Costly;
    }
    if memory < 7 * 1024 || u64::from(memory) * u64::from(rounds) < 35 * 1024 {
        return Strength::Weak;
    }
    Strength::Good
}

fn check_tenants(users: &[(usize, UserEntry)], tenants: &BTreeMap<String, Tenant>, source: &mut Source) {
    let only_listed = tenants.get("defaults").and_then(|defaults| defaults.disabled) == Some(true);
    for (at, user) in users {
        if user.tenant.as_str() == "defaults" {
            source.error(&path_of(*at).key("tenant"), "\"defaults\" is not a tenant");
        } else if only_listed && !tenants.contains_key(user.tenant.as_str()) {
            let message = "this tenant is not listed, and tenants.defaults.disabled keeps it out";
            source.warning(&path_of(*at).key("tenant"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
                        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_users_file_is_read_with_its_optional_keys() {
        let text = format!(
            "users:\n  - {{ name: 张伟, tenant: acme, password: \"{GOOD}\", groups: [dev, ops] }}\n  \
             - {{ name: bo, tenant: globex, password: \"{GOOD}\", display_name: Bo, disabled: true }}\n"
        );
        let users = load(file(&text).path()).unwrap();
        assert_eq!(users[0].name.as_str(), "张伟");
        assert_eq!(users[0].groups.len(), 2);
        assert_eq!((users[1].display_name.as_deref(), users[1].disabled), (Some("Bo"), true));
    }

    #[test]
    fn every_problem_is_reported_with_its_place_and_no_content() {
        let text = format!(
            "users:\n  - {{ name: ada, tenant: Acme, password: hunter2secret }}\n  \
             - {{ name: bo, tenant: acme, password: hunter2secret }}\n  \
             - {{ name: Bo, tenant: acme, password: \"{GOOD}\", paswrod: hunter2secret }}\n  \
             - {{ name: BO, tenant: acme, password: \"{GOOD}\" }}\n"
        );
        let report = load(file(&text).path()).unwrap_err();
        let found: Vec<_> = report.problems.iter().map(|p| (p.line, p.key.as_str())).collect();
        assert_eq!(found, [(2, "users[0].tenant"), (3, "users[1].password"), (4, "users[2]"), (5, "users[3].name")]);
        assert!(!report.to_string().contains("hunter2"), "{report}");
    }

    #[test]
    fn a_file_that_is_not_yaml_is_refused_without_quoting_it() {
        for text in ["users: [hunter2secret", "users: *hunter2secret", "users: \"\\h hunter2secret\"", "hunter2: ["] {
            let report = load(file(text).path()).unwrap_err();
            assert!(!report.to_string().contains("hunter2"), "{report}");
        }
    }

    #[test]
    fn hashes_are_argon2id_and_cost_neither_too_little_nor_too_much() {
        assert_eq!(strength(GOOD), Strength::Good);
        assert_eq!(strength(&GOOD.replace("m=19456", "m=64")), Strength::Weak);
        assert_eq!(strength(&GOOD.replace("m=19456", "m=4194304")), Strength::Costly);
        assert_eq!(strength(&GOOD.replace("t=2", "t=1000")), Strength::Costly);
        for bad in ["", "hunter2", "$2b$12$abc", &GOOD.replace("argon2id", "argon2i"), "$argon2id$v=19$m=19456,t=2,p=1"]
        {
            assert_eq!(strength(bad), Strength::NotArgon2id, "{bad}");
        }
    }
}
