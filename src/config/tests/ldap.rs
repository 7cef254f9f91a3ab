//! What each mistake in the configuration of an LDAP directory is answered with.

use std::os::unix::fs::PermissionsExt;

use super::{Folder, SMALLEST};
use crate::config::{Diagnostic, Report};

const SOUND: &str = "\
urls: [ 'ldaps://ldap.example.com' ], \
ca_file: certs/ca.crt, \
bind_dn: 'cn=usher,dc=x', bind_password_file: secrets/ldap-password, \
users: { base: 'ou=People,dc=x', filter: '(uid={user})' }, \
groups: [ { member_of: memberOf } ]";

/// What is found in a directory of these keys, as `key: message`, the key below that of the directory.
fn findings(folder: &Folder, keys: &str) -> Vec<String> {
    let people = "{ name: people, users_file: { path: secrets/users.yaml } }";
    let corp = format!("{{ name: corp, ldap: {{ {keys} }}, tenant: [ {{ group: '.*' }} ] }}");
    let found = match folder.load(&SMALLEST.replace(people, &corp)) {
        Ok(loaded) => loaded.warnings,
        Err(Report { problems, .. }) => problems,
    };
    let shown = |finding: &Diagnostic| {
        let key = finding.key.strip_prefix("identity.directories[0].ldap").unwrap_or(&finding.key);
        format!("{}: {}", key.trim_start_matches('.'), finding.message)
    };
    found.iter().map(shown).collect()
}

/// Each row: a text of the sound directory, what stands there instead, and how each finding begins.
const TABLE: &[(&str, &str, &[&str])] = &[
    ("ldaps://ldap.example.com", "ldap://ldap.example.com", &["urls[0]: would send passwords in the clear"]),
    ("urls: [ 'ldaps:", "plaintext: true, urls: [ 'ldap:", &["urls[0]: passwords cross the network in the clear"]),
    ("urls: [ 'ldaps:", "start_tls: true, urls: [ 'ldap:", &[]),
    ("urls:", "start_tls: true, urls:", &["urls[0]: speaks TLS from the start"]),
    ("urls: [ 'ldaps:", "start_tls: true, plaintext: true, urls: [ 'ldap:", &["plaintext: contradicts start_tls"]),
    ("ldaps://ldap.example.com", "https://ldap.example.com", &["urls[0]: must be ldaps://HOST[:PORT]"]),
    ("'ldaps://ldap.example.com'", "'ldaps://a', 'ldaps://a:636/'", &["urls[1]: stands in this list already"]),
    ("[ 'ldaps://ldap.example.com' ]", "[]", &["urls: must have at least 1 entry"]),
    ("certs/ca.crt", "certs/ca.key", &["ca_file: holds no certificate in PEM form"]),
    (", bind_password_file: secrets/ldap-password", "", &["bind_dn: needs bind_password_file beside it"]),
    ("bind_dn: 'cn=usher,dc=x', ", "", &["bind_password_file: needs bind_dn beside it"]),
    ("'cn=usher,dc=x'", "' '", &["bind_dn: must name an account"]),
    ("secrets/ldap-password", "secrets/none", &["bind_password_file: cannot read"]),
    ("secrets/ldap-password", "secrets/blank", &["bind_password_file: holds no password"]),
    ("secrets/ldap-password", "secrets/nul", &["bind_password_file: holds a NUL byte"]),
    ("secrets/ldap-password", "secrets/open", &["bind_password_file: can be read by everybody"]),
    ("(uid={user})", "(uid=ada)", &["users.filter: must have {user} in it"]),
    ("(uid={user})", "(uid={user}", &["users.filter: is not an LDAP filter"]),
    (
        "(uid={user})",
        "(uid={user})(x={name})",
        &["users.filter: unknown placeholder {name}", "users.filter: is not an"],
    ),
    ("(uid={user})", "(uid:2.5.13.5:={user})", &["users.filter: must have {user} in equalities"]),
    ("'ou=People,dc=x'", "''", &["users.base: must name an entry"]),
    ("users: { base: 'ou=People,dc=x', filter: '(uid={user})' }, ", "", &[": users: missing"]),
    ("users:", "direct: 'uid={user},dc=x', users:", &[]),
    ("users: { base: 'ou=People,dc=x', filter: '(uid={user})' }", "direct: 'uid={user},dc=x'", &[]),
    (
        "users: { base: 'ou=People,dc=x', filter: '(uid={user})' }",
        "direct: 'cn={user},dc=x'",
        &["direct: names people by cn and not by user_attribute"],
    ),
    ("users: { base: 'ou=People,dc=x', filter: '(uid={user})' }", "direct: '{user}@x'", &[": users: missing"]),
    ("users:", "direct: 'uid=ada', users:", &["direct: must have {user} in it"]),
    ("users:", "direct: '{user}', users:", &["direct: must be a distinguished name or {user}@DOMAIN"]),
    (
        "bind_dn: 'cn=usher,dc=x', bind_password_file: secrets/ldap-password, ",
        "direct: 'uid={user},dc=x', ",
        &["direct: without bind_dn nobody can be read again"],
    ),
    (
        "groups:",
        "attributes: [ userPassword, 'a b' ], groups:",
        &["attributes[0]: \"userPassword\" holds passwords", "attributes[1]: must be the name of an attribute"],
    ),
    ("{ member_of: memberOf }", "{ member_of: memberOf, base: 'dc=x', name: dn }", &[]),
    ("{ member_of: memberOf }", "{ member_of: memberOf, name: cn }", &["groups[0].name: can only be dn"]),
    ("{ member_of: memberOf }", "{ member_of: memberOf, group: a }", &["groups[0].group: belongs to a search"]),
    (
        "{ member_of: memberOf }",
        "{ member_of: memberOf, base: 'dc=x', filter: '(member={dn})' }",
        &["groups[0]: is either member_of or a search"],
    ),
    ("{ member_of: memberOf }", "{ base: 'dc=x' }", &["groups[0]: needs member_of, or base and filter"]),
    ("{ member_of: memberOf }", "{ base: 'dc=x', filter: '(a=b)' }", &["groups[0].filter: must have {dn} or {user}"]),
    (
        "{ member_of: memberOf }",
        "{ base: 'dc=x', filter: '(member={dn})', name: cn, group: a }",
        &["groups[0].name: stands beside group"],
    ),
    ("groups:", "timeout: 4s, groups:", &["operation_timeout: must not be longer than timeout"]),
    ("groups:", "connect_timeout: 0s, groups:", &["connect_timeout: must be longer than 0s"]),
    ("groups:", "max_binds: 0, groups:", &["max_binds: must be at least 1"]),
];

#[test]
fn each_mistake_is_found_and_alone() {
    let folder = Folder::new();
    folder.write("secrets/blank", b" \n");
    folder.write("secrets/nul", b"a\0b");
    let open = folder.write("secrets/open", b"only for tests");
    std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(findings(&folder, SOUND), [""; 0]);
    let mut wrong = Vec::new();
    for (replace, with, expected) in TABLE {
        assert!(SOUND.contains(replace), "{replace}");
        let found = findings(&folder, &SOUND.replace(replace, with));
        let alike = found.len() == expected.len() && found.iter().zip(*expected).all(|(a, b)| a.starts_with(b));
        if !alike {
            wrong.push(format!("{with}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
