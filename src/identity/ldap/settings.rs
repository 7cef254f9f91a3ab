//! What a directory is configured as, with the files that it names read and its templates filled.

use std::io::{self, Read as _};
use std::path::Path;

use ldap3::{Scope, dn_escape, ldap_escape};
use zeroize::Zeroizing;

use super::account;
use super::people::ACCOUNT;
use super::wire::Protection;
use crate::config::{Ldap, LdapScope, LdapServer, template};
use crate::outbound::Trust;

/// Largest password file, as `usher check` has it.
const LARGEST_PASSWORD: u64 = 1024;
/// Largest file of authorities.
const LARGEST_AUTHORITIES: u64 = 1 << 20;

/// Made once from a configuration that was checked.
pub(super) struct Settings {
    pub(super) config: Ldap,
    /// Attributes that rules ask for, beside the configured ones.
    pub(super) claims: Vec<String>,
    /// All that is asked for when a person is read.
    pub(super) attributes: Vec<String>,
    pub(super) servers: Vec<(String, LdapServer)>,
    pub(super) protection: Protection,
    pub(super) password: Option<Zeroizing<String>>,
    /// What the file of authorities held.
    authorities: Option<Vec<u8>>,
}

/// Where a person's entry is.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    pub(super) base: String,
    pub(super) scope: Scope,
    pub(super) filter: String,
}

impl Settings {
    /// Reads the password and the authorities. `rule_attributes` are those that rules on tenants and roles ask for.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or used.
    pub(super) fn load<'c>(config: &'c Ldap, rule_attributes: impl Iterator<Item = &'c str>) -> Result<Self, String> {
        let servers = config.urls.iter().map(|url| Ok((url.clone(), LdapServer::parse(url)?)));
        let servers = servers.collect::<Result<_, &str>>().map_err(str::to_owned)?;
        let authorities = config.ca_file.as_deref().map(|file| read(file, LARGEST_AUTHORITIES)).transpose()?;
        let named = [&config.user_attribute, &config.display_name_attribute].into_iter().chain(&config.attributes);
        let claims = distinct(named.map(String::as_str).chain(rule_attributes));
        Ok(Self {
            servers,
            protection: protection(config)?,
            password: config.bind_password_file.as_deref().map(password).transpose()?,
            authorities: authorities.map(|bytes| bytes.to_vec()),
            attributes: attributes(config, &claims),
            claims,
            config: config.clone(),
        })
    }

    /// Whether both come to the same, files included.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.config == other.config
            && self.claims == other.claims
            && self.password == other.password
            && self.authorities == other.authorities
    }

    /// The service account and its password.
    pub(super) fn service(&self) -> Option<(&str, &str)> {
        Some((self.config.bind_dn.as_deref()?, self.password.as_deref()?.as_str()))
    }

    /// Where somebody is who typed `user`.
    pub(super) fn place_of_typed(&self, user: &str) -> Place {
        let escaped = ldap_escape(user);
        self.place(user, |filter| template::fill(filter, |_| Some(&escaped)))
    }

    /// Where somebody is who is known as `user`, by the attribute that names them: what they typed when they signed in
    /// may have been another of their names. All else that the filter demands still holds.
    pub(super) fn place_of_known(&self, user: &str) -> Place {
        let named = format!("({}={})", self.config.user_attribute, ldap_escape(user));
        self.place(user, |filter| {
            let filter = template::fill(filter, |_| Some("*"));
            if filter.starts_with('(') { format!("(&{filter}{named})") } else { format!("(&({filter}){named})") }
        })
    }

    fn place(&self, user: &str, filter: impl Fn(&str) -> String) -> Place {
        match &self.config.users {
            Some(users) => Place { base: users.base.clone(), scope: scope(users.scope), filter: filter(&users.filter) },
            None => Place {
                base: self.direct_name(user).unwrap_or_default(),
                scope: Scope::Base,
                filter: ANYTHING.to_owned(),
            },
        }
    }

    /// What somebody signs in as without a search; `None` if that is not configured, or no name comes of it.
    pub(super) fn direct_name(&self, user: &str) -> Option<String> {
        let direct = self.config.direct.as_deref()?;
        if self.config.direct_names_entry() {
            let escaped = dn_escape(user);
            return Some(template::fill(direct, |_| Some(&escaped)));
        }
        // There is no way to escape these, and with them it may be the name of something else.
        let odd = |c: char| c.is_control() || "@=,+\\/\";<>".contains(c);
        (!user.contains(odd)).then(|| template::fill(direct, |_| Some(user)))
    }
}

/// Any entry has a class.
const ANYTHING: &str = "(objectClass=*)";

/// In LDAP's terms.
pub(super) const fn scope(scope: LdapScope) -> Scope {
    match scope {
        LdapScope::Subtree => Scope::Subtree,
        LdapScope::OneLevel => Scope::OneLevel,
    }
}

fn protection(config: &Ldap) -> Result<Protection, String> {
    let tls = || Trust::load(config.ca_file.as_deref().map(Path::new)).map_err(|error| error.to_string());
    if !config.plaintext {
        return Ok(Protection::Tls(tls()?.config()));
    }
    // A machine without any authority can do without TLS.
    let some_tls = config.urls.iter().any(|url| url.to_ascii_lowercase().starts_with("ldaps"));
    Ok(Protection::Plaintext(some_tls.then(tls).transpose()?.map(|trust| trust.config())))
}

fn attributes(config: &Ldap, claims: &[String]) -> Vec<String> {
    let mut attributes = claims.to_vec();
    attributes.extend(account::ATTRIBUTES.map(str::to_owned));
    attributes.push(ACCOUNT.to_owned());
    attributes.extend(config.groups.iter().filter_map(|groups| groups.member_of.clone()));
    attributes
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        if !distinct.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            distinct.push(name.to_owned());
        }
    }
    distinct
}

fn password(file: &str) -> Result<Zeroizing<String>, String> {
    let bytes = read(file, LARGEST_PASSWORD)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{file}: is not UTF-8 text"))?;
    let password = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(password.strip_suffix('\r').unwrap_or(password).to_owned()))
}

fn read(file: &str, most: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    let failed = |error: io::Error| format!("cannot read {file}: {error}");
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(file).map_err(failed)?.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &serde_json::Value) -> Settings {
        let mut whole = serde_json::json!({ "urls": ["ldap://localhost"], "plaintext": true });
        whole.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        Settings::load(&serde_json::from_value(whole).unwrap(), ["OU", "UID"].into_iter()).unwrap()
    }

    #[test]
    fn a_typed_name_cannot_leave_its_place_in_a_filter() {
        let users =
            serde_json::json!({ "base": "dc=x", "filter": "(&(objectClass=person)(|(uid={user})(mail={user})))" });
        let settings = settings(&serde_json::json!({ "users": users }));
        let typed = |user: &str| settings.place_of_typed(user).filter;
        assert_eq!(typed("ada"), "(&(objectClass=person)(|(uid=ada)(mail=ada)))");
        assert_eq!(typed("*)(uid="), r"(&(objectClass=person)(|(uid=\2a\29\28uid=)(mail=\2a\29\28uid=)))");
        assert_eq!(typed("a\\b\0"), r"(&(objectClass=person)(|(uid=a\5cb\00)(mail=a\5cb\00)))");
        assert_eq!(typed("{user}"), "(&(objectClass=person)(|(uid={user})(mail={user})))", "is not filled twice");
        for user in ["ada", "*)(uid=*", "a)", "(", "\\", "Ådá 漢", "\0"] {
            assert!(ldap3::parse_filter(typed(user)).is_ok(), "{user:?}");
        }
    }

    #[test]
    fn who_is_known_is_found_by_the_attribute_that_names_them() {
        let users = serde_json::json!({ "base": "dc=x", "scope": "one-level", "filter": "mail={user}" });
        let settings = settings(&serde_json::json!({ "users": users }));
        let place = settings.place_of_known("a*a");
        let expected =
            Place { base: "dc=x".to_owned(), scope: Scope::OneLevel, filter: r"(&(mail=*)(uid=a\2aa))".to_owned() };
        assert_eq!(place, expected);
        assert!(ldap3::parse_filter(&place.filter).is_ok());
    }

    #[test]
    fn a_typed_name_cannot_leave_its_place_in_a_distinguished_name() {
        let settings = settings(&serde_json::json!({ "direct": "uid={user},ou=People,dc=x" }));
        let table = [
            ("ada", "uid=ada,ou=People,dc=x"),
            ("ada,ou=Admins", r"uid=ada\2cou\3dAdmins,ou=People,dc=x"),
            (r"a\,b", r"uid=a\5c\2cb,ou=People,dc=x"),
            ("#a+b=c;d", r"uid=\23a\2bb\3dc\3bd,ou=People,dc=x"),
        ];
        for (user, expected) in table {
            assert_eq!(settings.direct_name(user).as_deref(), Some(expected), "{user}");
            let place = settings.place_of_typed(user);
            assert_eq!((place.base.as_str(), place.scope, place.filter.as_str()), (expected, Scope::Base, ANYTHING));
        }
    }

    #[test]
    fn a_name_before_a_domain_is_only_a_name() {
        let users = serde_json::json!({ "base": "dc=x", "filter": "(sAMAccountName={user})" });
        let settings = settings(&serde_json::json!({ "direct": "{user}@corp.example.com", "users": users }));
        assert_eq!(settings.direct_name("ada.l").as_deref(), Some("ada.l@corp.example.com"));
        for user in ["cn=admin,dc=x", "ada@other", "CORP\\ada", "a/b", "a\nb"] {
            assert_eq!(settings.direct_name(user), None, "{user:?}");
        }
    }

    #[test]
    fn what_rules_ask_for_is_read_once() {
        let settings = settings(&serde_json::json!({ "direct": "uid={user},dc=x", "attributes": ["mail"] }));
        assert_eq!(settings.claims, ["uid", "cn", "mail", "OU"]);
    }

    #[test]
    fn the_line_break_at_the_end_of_a_password_file_is_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (content, expected) in
            [("secret", "secret"), ("secret\n", "secret"), ("se cret\r\n", "se cret"), ("a\n\n", "a\n")]
        {
            std::fs::write(&file, content).unwrap();
            assert_eq!(password(file.to_str().unwrap()).unwrap().as_str(), expected);
        }
    }
}
