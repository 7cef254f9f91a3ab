//! `identity.directories[].ldap`: an LDAP server or Active Directory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// People from an LDAP server, OpenLDAP for instance, or Active Directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ldap {
    /// Servers of this directory, each as `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`; all hold the same people.
    /// They are tried in this order, one that failed a moment ago last.
    #[schemars(length(min = 1, max = 8))]
    pub urls: Vec<String>,
    /// Turns a connection to an `ldap://` server into TLS before anything else is sent (StartTLS).
    #[serde(default)]
    pub start_tls: bool,
    /// Allows `ldap://` without StartTLS: passwords then cross the network for everybody to read.
    #[serde(default)]
    pub plaintext: bool,
    /// PEM file of the authorities that the servers' certificates are verified against. Left out: the system's.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// Distinguished name (Active Directory: also `NAME@DOMAIN`) of the account that searches. Left out: searches are
    /// anonymous, or with `direct` made by the person who signs in; see there.
    #[serde(default)]
    pub bind_dn: Option<String>,
    /// File with that account's password; a line break at its end does not count.
    #[serde(default)]
    pub bind_password_file: Option<String>,
    /// How a person's entry is found. May be left out where `direct` is a distinguished name.
    #[serde(default)]
    pub users: Option<LdapUsers>,
    /// What a person signs in to the directory as, in place of the name that a search finds: a distinguished name, such
    /// as `uid={user},ou=People,dc=example,dc=com`, or `{user}@corp.example.com`. With this and without `bind_dn`
    /// nobody can be read again later: changes of groups and of the account hold from the next sign-in on.
    #[serde(default)]
    pub direct: Option<String>,
    /// Attribute with the user's name, as it is known from then on: `uid`; Active Directory: `sAMAccountName`.
    #[serde(default = "default_user_attribute")]
    pub user_attribute: String,
    /// Attribute with the name to greet them by.
    #[serde(default = "default_display_name_attribute")]
    pub display_name_attribute: String,
    /// Further attributes to read, for rules on tenants and roles.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub attributes: Vec<String>,
    /// Where groups come from; what all of these say is taken together.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub groups: Vec<LdapGroups>,
    /// Longest wait for a connection, TLS included.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Span,
    /// Longest wait for one answer of a server.
    #[serde(default = "default_operation_timeout")]
    pub operation_timeout: Span,
    /// Longest that a sign-in or a refresh takes in all, other servers included, once it has its turn.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Sign-ins that are checked at the directory at once; more wait in line, each tenant in its own.
    #[serde(default = "default_max_binds")]
    #[schemars(range(min = 1, max = 256))]
    pub max_binds: u32,
    /// Most groups of one person that one of `groups` may find; with more, the directory counts as misconfigured.
    #[serde(default = "default_max_groups")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_groups: u32,
}

/// How a person's entry is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapUsers {
    /// Distinguished name of the entry that people stand under.
    pub base: String,
    /// How far below it.
    #[serde(default)]
    pub scope: LdapScope,
    /// Filter that exactly one entry fits, with the typed name as `{user}`: `(&(objectClass=person)(uid={user}))`;
    /// Active Directory: `(&(objectCategory=person)(sAMAccountName={user}))`.
    pub filter: String,
}

/// How far below its base a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LdapScope {
    /// Everything below.
    #[default]
    Subtree,
    /// What stands directly below.
    OneLevel,
}

/// One source of groups: an attribute of the person, or a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapGroups {
    /// Attribute of the person with the distinguished names of groups: `memberOf`.
    #[serde(default)]
    pub member_of: Option<String>,
    /// Distinguished name of the entry that groups stand under: where a search looks, and which groups of `member_of`
    /// count, if not all.
    #[serde(default)]
    pub base: Option<String>,
    /// How far below it a search goes.
    #[serde(default)]
    pub scope: LdapScope,
    /// Filter that a person's groups fit, with their distinguished name as `{dn}` and their name as `{user}`:
    /// `(member={dn})`, `(uniqueMember={dn})`, `(&(objectClass=posixGroup)(memberUid={user}))`, Active Directory with
    /// nested groups `(member:1.2.840.113556.1.4.1941:={dn})`, sudo `(&(objectClass=sudoRole)(sudoUser={user}))`.
    #[serde(default)]
    pub filter: Option<String>,
    /// What a group is called: an attribute of it (`cn`), or `dn` for its whole distinguished name. Left out: the first
    /// value in its distinguished name.
    #[serde(default)]
    pub name: Option<String>,
    /// Puts everybody for whom the search finds anything into this one group, whatever was found: `sudoers`.
    #[serde(default)]
    #[schemars(extend("format" = "group-name"))]
    pub group: Option<String>,
}

fn default_user_attribute() -> String {
    "uid".to_owned()
}

fn default_display_name_attribute() -> String {
    "cn".to_owned()
}

const fn default_connect_timeout() -> Span {
    Span::secs(3)
}

const fn default_operation_timeout() -> Span {
    Span::secs(5)
}

const fn default_timeout() -> Span {
    Span::secs(15)
}

const fn default_max_binds() -> u32 {
    16
}

const fn default_max_groups() -> u32 {
    1000
}

/// One server of a directory, as its URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapServer {
    /// Whether it speaks TLS from the first byte (`ldaps`).
    pub tls: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// 389 or 636 unless the URL says otherwise.
    pub port: u16,
}

impl LdapServer {
    /// Reads a URL.
    ///
    /// # Errors
    /// Returns an error if it is not `ldap://HOST[:PORT]` or `ldaps://HOST[:PORT]`.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        const RULE: &str = "must be ldaps://HOST[:PORT] or ldap://HOST[:PORT]";
        let uri: http::Uri = url.parse().map_err(|_| RULE)?;
        let scheme = uri.scheme_str().ok_or(RULE)?.to_ascii_lowercase();
        let tls = match scheme.as_str() {
            "ldaps" => true,
            "ldap" => false,
            _ => return Err(RULE),
        };
        let authority = uri.authority().ok_or(RULE)?;
        // A URL with a name and a password before the host has no such prefix.
        let port = match authority.as_str().strip_prefix(authority.host()).ok_or(RULE)? {
            "" if tls => 636,
            "" => 389,
            port => port.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port != 0).ok_or(RULE)?,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(RULE);
        }
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl Ldap {
    /// Whether people sign in as a distinguished name of their own, which says where their entry is.
    #[must_use]
    pub fn direct_names_entry(&self) -> bool {
        self.direct.as_ref().is_some_and(|direct| direct.contains('='))
    }

    /// Whether somebody can be read again without their password.
    #[must_use]
    pub const fn can_read_again(&self) -> bool {
        self.bind_dn.is_some() || self.direct.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        let server = |tls, host: &str, port| Ok(LdapServer { tls, host: host.to_owned(), port });
        let rule = || LdapServer::parse("");
        let table = [
            ("ldaps://dc1.example.com", server(true, "dc1.example.com", 636)),
            ("ldap://dc1.example.com/", server(false, "dc1.example.com", 389)),
            ("ldap://[::1]:3890", server(false, "::1", 3890)),
            ("LDAPS://10.0.0.1:1636", server(true, "10.0.0.1", 1636)),
            ("ldap://", rule()),
            ("ldap://host:99999", rule()),
            ("ldap://host/dc=example,dc=com", rule()),
            ("ldap://host?uid", rule()),
            ("ldap://cn=x:secret@host", rule()),
            ("ldapi:///var/run/slapd", rule()),
            ("https://host", rule()),
            ("host", rule()),
        ];
        for (url, expected) in table {
            assert_eq!(LdapServer::parse(url), expected, "{url}");
        }
    }
}
