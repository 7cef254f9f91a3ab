//! The people of a slapd, as LDIF: a few who are worth a test each, and as many others as one likes.
//!
//! The layout joins what is met in practice: people stand under their tenant's OU and have it as `departmentNumber`;
//! groups stand under `ou=Groups` with their members' distinguished names (`groupOfNames`, `groupOfUniqueNames`) and
//! under `ou=Group` with their members' names (`posixGroup`); administrators under `ou=Sudoers`.

use std::fmt::Write as _;

use super::BASE;
use crate::support::PASSWORD;

/// How many people there are beside the known ones.
pub(crate) struct Town {
    tenants: usize,
    people_of_each: usize,
}

/// Somebody with a name of their own: name, OU, further lines.
const KNOWN: &[(&str, &str, &str)] = &[
    ("ada", "acme", "mail: ada@example.com\nmail: countess@example.com\n"),
    ("bob", "acme", ""),
    ("eve", "globex", ""),
    ("nobody", "nowhere", ""),
    // Two entries of one name.
    ("twin", "acme", ""),
    ("twin", "globex", ""),
    // Names that need escapes somewhere.
    ("o,brien", "acme", ""),
    ("plus+one", "acme", ""),
    ("müller", "acme", ""),
    ("star*", "acme", ""),
    // Accounts that may not sign in.
    ("barred", "acme", "pwdAccountLockedTime: 000001010000Z\n"),
    ("aged", "acme", "pwdChangedTime: 20200101000000Z\npwdPolicySubentry: cn=aging,ou=Policies,dc=example,dc=com\n"),
    ("fresh", "acme", "pwdReset: TRUE\n"),
    ("leaver", "acme", "objectClass: shadowAccount\nshadowExpire: 1\n"),
    ("guessed", "acme", ""),
];

/// Groups with their members' distinguished names: class, attribute, name, members.
const GROUPS: &[(&str, &str, &str, &[&str])] = &[
    ("groupOfNames", "member", "devs", &["ada", "bob"]),
    ("groupOfNames", "member", "tenant-acme", &["ada", "bob"]),
    ("groupOfNames", "member", "tenant-globex", &["eve"]),
    ("groupOfUniqueNames", "uniqueMember", "testers", &["bob"]),
];

/// Groups with their members' names.
const POSIX_GROUPS: &[(&str, &[&str])] =
    &[("staff", &["ada", "eve"]), ("tenant-acme", &["ada", "bob"]), ("tenant-globex", &["eve"])];

impl Town {
    /// Only those who are worth a test each.
    pub(crate) const fn small() -> Self {
        Self { tenants: 0, people_of_each: 0 }
    }

    /// 8,000 more, in 800 tenants.
    pub(crate) const fn large() -> Self {
        Self { tenants: 800, people_of_each: 10 }
    }

    /// The tenants beside `acme` and `globex`.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = String> {
        (0..self.tenants).map(|tenant| format!("t{tenant:03}"))
    }

    /// Name of one of the others; `at` counts over tenants first, so that neighbours are of different ones.
    pub(crate) fn person(&self, at: usize) -> String {
        format!("u{:03}-{}", at % self.tenants, at / self.tenants)
    }

    /// Everybody and everything.
    pub(crate) fn ldif(&self, service_dn: &str, service_password: &str) -> String {
        let mut ldif = Ldif::default();
        ldif.entry(BASE, "objectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n");
        for unit in ["People", "Groups", "Group", "Sudoers", "Policies"] {
            ldif.unit(&format!("ou={unit},{BASE}"));
        }
        for account in [service_dn, &format!("cn=narrow,{BASE}")] {
            let lines = "objectClass: organizationalRole\nobjectClass: simpleSecurityObject\n";
            ldif.entry(account, &format!("{lines}userPassword: {service_password}\n"));
        }
        ldif.policies();
        ldif.known();
        for tenant in self.tenants() {
            ldif.tenant(&tenant, self.people_of_each);
        }
        // The search for somebody under this leads elsewhere.
        let elsewhere =
            "objectClass: referral\nobjectClass: extensibleObject\nou: Elsewhere\nref: ldap://127.0.0.1:1/\n";
        ldif.entry(&format!("ou=Elsewhere,{BASE}"), elsewhere);
        ldif.0
    }
}

#[derive(Default)]
struct Ldif(String);

impl Ldif {
    /// An entry; `lines` has a line for each value, except that it may leave out what the entry is called by.
    fn entry(&mut self, dn: &str, lines: &str) {
        writeln!(self.0, "{}", encoded("dn", dn)).unwrap();
        let (attribute, value) = dn.split(',').next().and_then(|first| first.split_once('=')).unwrap();
        if !lines.lines().any(|line| line.starts_with(&format!("{attribute}:"))) {
            writeln!(self.0, "{attribute}: {value}").unwrap();
        }
        writeln!(self.0, "{lines}").unwrap();
    }

    fn unit(&mut self, dn: &str) {
        self.entry(dn, "objectClass: organizationalUnit\n");
    }

    fn policies(&mut self) {
        let policy = "objectClass: device\nobjectClass: pwdPolicy\npwdAttribute: userPassword\n";
        let lockout = "pwdLockout: TRUE\npwdMaxFailure: 5\npwdMustChange: TRUE\n";
        self.entry(&format!("cn=default,ou=Policies,{BASE}"), &format!("{policy}{lockout}"));
        self.entry(&format!("cn=aging,ou=Policies,{BASE}"), &format!("{policy}pwdMaxAge: 86400\n"));
    }

    fn known(&mut self) {
        for tenant in ["acme", "globex", "nowhere"] {
            self.unit(&format!("ou={tenant},ou=People,{BASE}"));
        }
        for (name, tenant, lines) in KNOWN {
            // The overlay looks after `member` only.
            let groups = GROUPS.iter().filter(|(_, by, _, members)| *by == "member" && members.contains(name));
            let groups = groups.fold(String::new(), |lines, (_, _, group, _)| {
                lines + &format!("memberOf: cn={group},ou=Groups,{BASE}\n")
            });
            self.person(name, tenant, &format!("{lines}{groups}"));
        }
        for (class, attribute, name, members) in GROUPS {
            let members = members
                .iter()
                .fold(String::new(), |lines, member| lines + &format!("{attribute}: {}\n", dn_of(member)));
            self.entry(&format!("cn={name},ou=Groups,{BASE}"), &format!("objectClass: {class}\n{members}"));
        }
        for (at, (name, members)) in POSIX_GROUPS.iter().enumerate() {
            let members = members.iter().fold(String::new(), |lines, member| lines + &format!("memberUid: {member}\n"));
            self.posix_group(name, 1000 + at, &members);
        }
        let role = "objectClass: sudoRole\nsudoUser: ada\nsudoHost: ALL\nsudoCommand: ALL\n";
        self.entry(&format!("cn=ada,ou=Sudoers,{BASE}"), role);
    }

    fn tenant(&mut self, tenant: &str, people: usize) {
        self.unit(&format!("ou={tenant},ou=People,{BASE}"));
        let (mut members, mut names) = (String::new(), String::new());
        for at in 0..people {
            let name = format!("u{}-{at}", &tenant[1..]);
            self.person(&name, tenant, &format!("memberOf: cn=tenant-{tenant},ou=Groups,{BASE}\n"));
            writeln!(members, "member: uid={name},ou={tenant},ou=People,{BASE}").unwrap();
            writeln!(names, "memberUid: {name}").unwrap();
        }
        self.entry(&format!("cn=tenant-{tenant},ou=Groups,{BASE}"), &format!("objectClass: groupOfNames\n{members}"));
        let number = 2000 + tenant[1..].parse::<usize>().unwrap();
        self.posix_group(&format!("tenant-{tenant}"), number, &names);
    }

    fn posix_group(&mut self, name: &str, number: usize, members: &str) {
        let lines = format!("objectClass: posixGroup\ngidNumber: {number}\n{members}");
        self.entry(&format!("cn={name},ou=Group,{BASE}"), &lines);
    }

    fn person(&mut self, name: &str, tenant: &str, lines: &str) {
        let dn = format!("uid={},ou={tenant},ou=People,{BASE}", ldap3::dn_escape(name));
        let mut all = String::new();
        for (attribute, value) in [("uid", name), ("cn", name), ("sn", name)] {
            writeln!(all, "{}", encoded(attribute, value)).unwrap();
        }
        let password = PASSWORD;
        write!(all, "userPassword: {password}\ndepartmentNumber: {tenant}\n").unwrap();
        write!(all, "objectClass: inetOrgPerson\n{lines}").unwrap();
        self.entry(&dn, &all);
    }
}

/// The distinguished name of somebody known.
pub(crate) fn dn_of(name: &str) -> String {
    let (_, tenant, _) = KNOWN.iter().find(|(known, _, _)| *known == name).expect("somebody known");
    format!("uid={},ou={tenant},ou=People,{BASE}", ldap3::dn_escape(name))
}

/// A line of LDIF; what is not ASCII goes in Base64.
fn encoded(attribute: &str, value: &str) -> String {
    use base64::Engine as _;
    if value.is_ascii() {
        return format!("{attribute}: {value}");
    }
    format!("{attribute}:: {}", base64::prelude::BASE64_STANDARD.encode(value))
}
