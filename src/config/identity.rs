//! `identity`: who may sign in, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{RoleRule, Says, Source, TenantRule};
use super::tokens::TokenIssuer;
use super::{Ldap, Span};

/// Who may sign in, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Password directories, asked in this order.
    #[schemars(length(min = 1, max = 8))]
    pub directories: Vec<Directory>,
    /// Issuers whose bearer tokens are taken, for scripts and services. Default: none.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub tokens: Vec<TokenIssuer>,
    /// Limits on failed sign-ins.
    #[serde(default)]
    pub throttle: LoginThrottle,
    /// Groups whose members operate the gateway (role `operator`), each as `NAME` or `group:NAME`.
    #[serde(default)]
    #[schemars(extend("items" = { "type": "string", "format": "group-name" }))]
    pub operators: Vec<String>,
    /// Where somebody's tenant comes from, unless the directory says it outright as a users file does. The first rule
    /// that yields a tenant decides; one that yields two keeps them out.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub tenant: Vec<TenantRule>,
    /// Who has a role, beside the `operators` here and the `admins` of tenants.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub roles: Vec<RoleRule>,
    /// Whom to ask if somebody has no tenant here, or one that is not admitted: an e-mail address, a phone number or a
    /// web address. Stands on the page that refuses them, unless their tenant has a `contact` of its own.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    pub contact: Option<String>,
}

impl Identity {
    /// Everything that vouches for people, with the rules of its own.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        let directories = self.directories.iter().enumerate().map(|(at, directory)| directory.source(at));
        directories.chain(self.tokens.iter().enumerate().map(|(at, issuer)| issuer.source(at)))
    }

    /// The attributes that rules look at for people of a directory, `own` being the rules of its own: what to ask the
    /// directory for. A name may come more than once.
    pub fn attributes_of_rules<'a>(&'a self, own: Option<&'a [TenantRule]>) -> impl Iterator<Item = &'a str> {
        let of_tenant = own.unwrap_or(&self.tenant).iter().filter_map(|rule| rule.attribute.as_deref());
        of_tenant.chain(self.roles.iter().filter_map(|rule| rule.attribute.as_deref()))
    }
}

/// One password directory: its name, and one key that says what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Its name in logs, metrics and audit: 1 to 32 of `a-z 0-9 -`.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"), extend("patternErrorMessage" = super::NAME_RULE))]
    pub name: String,
    /// Users from a file beside this one, for one machine or a handful of people.
    #[serde(default)]
    pub users_file: Option<UsersFile>,
    /// People from an LDAP server or Active Directory.
    #[serde(default)]
    pub ldap: Option<Box<Ldap>>,
    /// Rules for the tenant of its people, instead of those of `identity.tenant`. A users file has no use for them.
    #[serde(default)]
    #[schemars(length(min = 1, max = 32))]
    pub tenant: Option<Vec<TenantRule>>,
}

/// What a directory is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DirectoryKind<'a> {
    /// A file.
    UsersFile(&'a UsersFile),
    /// An LDAP server or Active Directory.
    Ldap(&'a Ldap),
}

impl Directory {
    /// The keys of which a directory has exactly one.
    pub(super) const KIND_KEYS: &'static [&'static str] = &["users_file", "ldap"];

    /// The kinds that it is said to be, in the order of [`KIND_KEYS`](Self::KIND_KEYS): exactly one once it is checked.
    pub(super) fn kinds(&self) -> impl Iterator<Item = DirectoryKind<'_>> {
        let users_file = self.users_file.as_ref().map(DirectoryKind::UsersFile);
        users_file.into_iter().chain(self.ldap.as_deref().map(DirectoryKind::Ldap))
    }

    fn source(&self, at: usize) -> Source<'_> {
        let is_file = matches!(self.kind(), Some(DirectoryKind::UsersFile(_)));
        let says = if is_file { Says::Tenant } else { Says::Entry };
        Source { name: &self.name, list: "identity.directories", at, says, tenant: self.tenant.as_deref() }
    }

    /// What it is; `None` only in a configuration that was not checked.
    #[must_use]
    pub fn kind(&self) -> Option<DirectoryKind<'_>> {
        self.kinds().next()
    }
}

/// Users from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsersFile {
    /// YAML file with a list `users`, each with `name`, `tenant`, `password` (argon2id, made by
    /// `usher hash-password`), and optionally `display_name`, `groups` and `disabled`.
    pub path: String,
}

/// Limits on failed sign-ins, so that passwords cannot be guessed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoginThrottle {
    /// Failed sign-ins for one user name from one client address (IPv6: one /64) before the next has to wait; one
    /// more is allowed each `window / per_user`. From all addresses together it may have 20 times as many.
    #[schemars(range(min = 1, max = 10000))]
    pub per_user: u32,
    /// Failed sign-ins from one client address (IPv6: one /64) before the next has to wait.
    #[schemars(range(min = 1, max = 100000))]
    pub per_address: u32,
    /// Time after which either is forgotten.
    pub window: Span,
}

impl Default for LoginThrottle {
    fn default() -> Self {
        Self { per_user: 10, per_address: 100, window: Span::minutes(10) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_asked_for_what_its_rules_and_the_rules_for_roles_look_at() {
        let yaml = "
directories: [ { name: a }, { name: b, tenant: [ { attribute: ou }, { group: x } ] } ]
tenant: [ { attribute: o }, { claim: c } ]
roles: [ { role: operator, attribute: title, value: x } ]
";
        let identity: Identity = serde_saphyr::from_str(yaml).unwrap();
        let asked: Vec<Vec<&str>> =
            identity.sources().map(|source| identity.attributes_of_rules(source.tenant).collect()).collect();
        assert_eq!(asked, [["o", "title"], ["ou", "title"]]);
    }
}
