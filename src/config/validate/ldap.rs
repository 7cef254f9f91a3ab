//! `identity.directories[].ldap`: that a directory can be asked at all, and that nobody's password is in the clear
//! unless somebody said so.

use std::collections::BTreeSet;

use ldap3::parse_filter;

use super::files::{self, is_world_readable};
use super::spans::has_length;
use super::{Checks, KeyPath, quoted};
use crate::config::paths::absolute;
use crate::config::template;
use crate::config::{Ldap, LdapGroups, LdapServer};

/// Largest password file; nobody needs more.
const LARGEST_PASSWORD: u64 = 1024;
/// What every placeholder is filled with to see whether a filter reads as one.
const SAMPLE: &str = "x";

pub(super) fn check(path: &KeyPath, ldap: &Ldap, checks: &mut Checks<'_>) {
    servers(path, ldap, checks);
    service_account(path, ldap, checks);
    people(path, ldap, checks);
    attributes(path, ldap, checks);
    for (at, groups) in ldap.groups.iter().enumerate() {
        check_groups(&path.key("groups").index(at), groups, checks);
    }
    times(path, ldap, checks);
}

fn servers(path: &KeyPath, ldap: &Ldap, checks: &mut Checks<'_>) {
    let mut seen = BTreeSet::new();
    for (at, url) in ldap.urls.iter().enumerate() {
        let path = path.key("urls").index(at);
        match LdapServer::parse(url) {
            Err(rule) => checks.error(&path, rule),
            Ok(server) => {
                protection(&path, &server, ldap, checks);
                if !seen.insert((server.host, server.port)) {
                    checks.error(&path, "stands in this list already");
                }
            }
        }
    }
    if ldap.start_tls && ldap.plaintext {
        checks.error(&path.key("plaintext"), "contradicts start_tls; take one of them away");
    }
    if let Some(file) = &ldap.ca_file {
        files::authorities(&path.key("ca_file"), file, checks);
    }
}

/// No password goes in the clear by mistake.
fn protection(path: &KeyPath, server: &LdapServer, ldap: &Ldap, checks: &mut Checks<'_>) {
    match (server.tls, ldap.start_tls, ldap.plaintext) {
        (true, true, _) => checks.error(path, "speaks TLS from the start; start_tls is for ldap:// servers"),
        (false, false, false) => {
            checks.error(path, "would send passwords in the clear; use ldaps:// or start_tls: true");
        }
        (false, false, true) => checks.warning(path, "passwords cross the network in the clear (plaintext: true)"),
        _ => {}
    }
}

fn service_account(path: &KeyPath, ldap: &Ldap, checks: &mut Checks<'_>) {
    match (&ldap.bind_dn, &ldap.bind_password_file) {
        (Some(dn), Some(file)) => {
            if dn.trim().is_empty() {
                // An empty name would be an anonymous bind, whatever the password.
                checks.error(&path.key("bind_dn"), "must name an account");
            }
            password(&path.key("bind_password_file"), file, checks);
        }
        (Some(_), None) => checks.error(&path.key("bind_dn"), "needs bind_password_file beside it"),
        (None, Some(_)) => checks.error(&path.key("bind_password_file"), "needs bind_dn beside it"),
        (None, None) if !ldap.can_read_again() => checks.warning(
            &path.key("direct"),
            "without bind_dn nobody can be read again: who is removed from the directory stays signed in until their \
             session ends",
        ),
        (None, None) => {}
    }
}

fn password(path: &KeyPath, file: &str, checks: &mut Checks<'_>) {
    let Some(bytes) = files::read(path, file, LARGEST_PASSWORD, checks) else { return };
    if is_world_readable(&absolute(checks.folder, file)) {
        checks.warning(path, "can be read by everybody on this machine; take the permission away (chmod o-r)");
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.trim().is_empty() => checks.error(path, "holds no password"),
        Ok(text) if text.contains('\0') => checks.error(path, "holds a NUL byte, which cannot be part of a password"),
        Ok(_) => {}
        Err(_) => checks.error(path, "is not UTF-8 text"),
    }
}

fn people(path: &KeyPath, ldap: &Ldap, checks: &mut Checks<'_>) {
    if let Some(direct) = &ldap.direct {
        let path = path.key("direct");
        checks.placeholders(&path, direct, &["user"]);
        if !template::placeholders(direct).any(|name| name == "user") {
            checks.error(&path, "must have {user} in it");
        } else if !direct.contains(['=', '@']) {
            checks.error(&path, "must be a distinguished name or {user}@DOMAIN");
        }
    }
    match &ldap.users {
        Some(users) => {
            let path = path.key("users");
            if users.base.trim().is_empty() {
                checks.error(&path.key("base"), "must name an entry");
            }
            let path = path.key("filter");
            filter(&path, &users.filter, &["user"], checks);
            // Who is read again is found by user_attribute, with any name in this place.
            if reads(&users.filter, SAMPLE) && !reads(&users.filter, "*") {
                checks.error(&path, "must have {user} in equalities, such as (uid={user})");
            }
        }
        None if ldap.direct_names_entry() => names_by_user_attribute(path, ldap, checks),
        None => checks.absent(path, "users: missing; it says how a person's entry is found"),
    }
}

/// Without a search, people are read again under the name that they sign in as, made of `user_attribute`.
fn names_by_user_attribute(path: &KeyPath, ldap: &Ldap, checks: &mut Checks<'_>) {
    let by = ldap.direct.as_ref().and_then(|direct| direct.split_once('=')).map_or("", |(by, _)| by.trim());
    if !by.eq_ignore_ascii_case(&ldap.user_attribute) {
        let message =
            format!("names people by {by} and not by user_attribute; add users, so that they are found again");
        checks.error(&path.key("direct"), message);
    }
}

fn reads(filter: &str, user: &str) -> bool {
    parse_filter(template::fill(filter, |_| Some(user))).is_ok()
}

/// A filter must read as one once it is filled, and depend on whom it is for.
fn filter(path: &KeyPath, text: &str, known: &[&str], checks: &mut Checks<'_>) {
    checks.placeholders(path, text, known);
    if !template::placeholders(text).any(|name| known.contains(&name)) {
        let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
        checks.error(path, format!("must have {} in it", known.join(" or ")));
    } else if !reads(text, SAMPLE) {
        checks.error(path, "is not an LDAP filter");
    }
}

fn attributes(path: &KeyPath, ldap: &Ldap, checks: &mut Checks<'_>) {
    attribute(&path.key("user_attribute"), &ldap.user_attribute, checks);
    attribute(&path.key("display_name_attribute"), &ldap.display_name_attribute, checks);
    for (at, name) in ldap.attributes.iter().enumerate() {
        attribute(&path.key("attributes").index(at), name, checks);
    }
}

fn attribute(path: &KeyPath, name: &str, checks: &mut Checks<'_>) {
    const SECRETS: [&str; 4] = ["userpassword", "unicodepwd", "sambantpassword", "krbprincipalkey"];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';');
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        checks.error(path, "must be the name of an attribute");
    } else if SECRETS.contains(&name.to_ascii_lowercase().as_str()) {
        checks.error(path, format!("{} holds passwords, which are not read", quoted(name)));
    }
}

fn check_groups(path: &KeyPath, groups: &LdapGroups, checks: &mut Checks<'_>) {
    match (&groups.member_of, &groups.base, &groups.filter) {
        (Some(name), base, None) => {
            attribute(&path.key("member_of"), name, checks);
            if base.as_ref().is_some_and(|base| base.trim().is_empty()) {
                checks.error(&path.key("base"), "must name an entry");
            }
            if groups.name.as_deref().is_some_and(|name| !name.eq_ignore_ascii_case("dn")) {
                checks.error(&path.key("name"), "can only be dn beside member_of, which holds distinguished names");
            }
            if groups.group.is_some() {
                checks.error_at_key(&path.key("group"), "belongs to a search; it means nothing beside member_of");
            }
        }
        (Some(_), _, _) => checks.error(path, "is either member_of or a search by base and filter"),
        (None, Some(base), Some(text)) => {
            if base.trim().is_empty() {
                checks.error(&path.key("base"), "must name an entry");
            }
            filter(&path.key("filter"), text, &["dn", "user"], checks);
            if let Some(name) = &groups.name {
                attribute(&path.key("name"), name, checks);
            }
            if groups.group.is_some() && groups.name.is_some() {
                checks.error_at_key(&path.key("name"), "stands beside group; a group is called by one of them");
            }
        }
        (None, _, _) => checks.absent(path, "needs member_of, or base and filter"),
    }
}

fn times(path: &KeyPath, ldap: &Ldap, checks: &mut Checks<'_>) {
    let spans = [
        ("connect_timeout", ldap.connect_timeout),
        ("operation_timeout", ldap.operation_timeout),
        ("timeout", ldap.timeout),
    ];
    for (key, span) in spans {
        has_length(&path.key(key), span, checks);
        if span > ldap.timeout {
            checks.error(&path.key(key), "must not be longer than timeout");
        }
    }
}
