//! `identity`: directories and the users files that they name.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::files::{self, is_world_readable};
use super::{Checks, Draft, KeyPath, quoted, rules, tokens};
use crate::config::report::{Diagnostic, Severity};
use crate::config::{Directory, users_file};
use crate::model::TenantId;

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    let Some(identity) = &draft.identity else { return };
    let mut names = BTreeSet::new();
    let mut people = People::default();
    for (at, directory) in identity.directories.iter().enumerate() {
        let path = KeyPath::of("identity.directories").index(at);
        if !names.insert(directory.name.as_str()) {
            let message = format!("another directory is named {} already", quoted(&directory.name));
            checks.error(&path.key("name"), message);
        }
        check_kind(&path, directory, checks);
        if let Some(file) = &directory.users_file {
            let path = path.key("users_file").key("path");
            check_users_file(&path, &directory.name, &file.path, draft, &mut people, checks);
        }
        if let Some(ldap) = &directory.ldap {
            super::ldap::check(&path.key("ldap"), ldap, checks);
        }
    }
    tokens::check(identity, checks);
    rules::check(identity, checks);
}

/// A directory is one thing.
fn check_kind(path: &KeyPath, directory: &Directory, checks: &mut Checks<'_>) {
    let keys = Directory::KIND_KEYS;
    let stated: Vec<&str> = keys.iter().copied().filter(|key| checks.source.has(&path.key(key))).collect();
    match stated.as_slice() {
        [] if directory.kind().is_none() => checks.error(path, format!("needs one of: {}", keys.join(", "))),
        [first, second, ..] => {
            checks.error_at_key(&path.key(second), format!("stands beside {first}; a directory is one of them"));
        }
        _ => {}
    }
}

fn check_users_file(
    path: &KeyPath,
    directory: &str,
    file: &str,
    draft: &Draft,
    people: &mut People,
    checks: &mut Checks<'_>,
) {
    let Some(file) = files::name(path, file, checks) else { return };
    if is_world_readable(&file) {
        checks.warning(path, "can be read by everybody on this machine; take the permission away (chmod o-r)");
    }
    match users_file::read(&file, &draft.tenants) {
        Ok(read) => {
            checks.named.read.note(&file, read.hash);
            checks.named.findings.extend(read.findings);
            people.add(directory, &file, read.users, checks);
        }
        Err(message) => {
            checks.named.read.look_at(&file);
            checks.error(path, message);
        }
    }
}

/// Everybody, by tenant and folded name, with the directory and the line that they stand in.
///
/// Sessions and workspaces belong to a tenant's user, whichever directory vouched for them: two people of one name
/// would share them.
#[derive(Default)]
struct People(HashMap<(TenantId, String), (String, usize)>);

impl People {
    fn add(
        &mut self,
        directory: &str,
        file: &Path,
        users: Vec<(users_file::Place, users_file::UserEntry)>,
        checks: &mut Checks<'_>,
    ) {
        for (place, user) in users {
            let line = place.position.line;
            match self.0.entry((user.tenant, user.name.as_str().to_lowercase())) {
                Entry::Vacant(free) => {
                    free.insert((directory.to_owned(), line));
                }
                // Within one file the file's own checks have told.
                Entry::Occupied(taken) if taken.get().0 == directory => {}
                Entry::Occupied(taken) => {
                    let (first, first_line) = taken.get();
                    let message =
                        format!("this tenant has this user in line {first_line} of directory {first:?} already");
                    checks.named.findings.push(Diagnostic {
                        file: file.to_owned(),
                        line,
                        column: place.position.column,
                        key: place.key.to_string(),
                        message,
                        severity: Severity::Error,
                    });
                }
            }
        }
    }
}
