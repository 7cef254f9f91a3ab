//! Groups, tenants and roles of people from slapd, by each way in which directories tell of them.

use serde_json::{Value, json};

use crate::beds::{Authority, BASE, PASSWORD_FILE, Slapd, Town, holds, me, site_of};
use crate::support::{Gateway, PASSWORD};

async fn signed_in(ldap: &Value, more: &[(&str, Value)], user: &str) -> Value {
    let mut site = site_of(ldap);
    more.iter().for_each(|(key, value)| _ = site.set(key, value.clone()));
    site.write();
    let gateway = Gateway::start(&site).await;
    me(&gateway.signed_in(user).await).await
}

#[tokio::test]
async fn groups_come_from_an_attribute_or_from_searches_in_any_layout() {
    let Some(slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    let (groups, posix) = (format!("ou=Groups,{BASE}"), format!("ou=Group,{BASE}"));
    let member_of = json!({ "member_of": "memberOf" });
    let member = json!({ "base": groups, "filter": "(member={dn})" });
    let unique = json!({ "base": groups, "filter": "(uniqueMember={dn})", "name": "cn" });
    let posix = json!({ "base": posix, "filter": "(&(objectClass=posixGroup)(memberUid={user}))" });
    let filter = "(&(objectClass=sudoRole)(sudoUser={user}))";
    let sudo = json!({ "base": format!("ou=Sudoers,{BASE}"), "filter": filter, "group": "sudoers" });
    let whole = json!({ "member_of": "memberOf", "name": "dn" });
    let everything = json!([member_of, member, unique, posix, sudo]);
    let table = [
        (json!([member_of]), "ada", json!(["devs", "tenant-acme"])),
        (json!([member]), "ada", json!(["devs", "tenant-acme"])),
        (json!([unique]), "bob", json!(["testers"])),
        (json!([unique]), "ada", json!([])),
        (json!([posix]), "ada", json!(["staff", "tenant-acme"])),
        (json!([posix]), "star*", json!([])),
        (json!([sudo]), "ada", json!(["sudoers"])),
        (json!([sudo]), "bob", json!([])),
        (json!([whole]), "eve", json!([format!("cn=tenant-globex,{groups}")])),
        (everything.clone(), "ada", json!(["devs", "staff", "sudoers", "tenant-acme"])),
        (everything, "bob", json!(["devs", "tenant-acme", "testers"])),
        (json!([]), "ada", json!([])),
    ];
    for (groups, user, expected) in table {
        let mut ldap = Slapd::config(&[slapd.plain_url()], PASSWORD_FILE);
        ldap["groups"] = groups.clone();
        assert_eq!(signed_in(&ldap, &[], user).await["groups"], expected, "{user}: {groups}");
    }
}

#[tokio::test]
async fn the_tenant_comes_from_the_unit_a_group_or_an_attribute_and_the_first_rule_decides() {
    let Some(slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    let ldap = Slapd::config(&[slapd.plain_url()], PASSWORD_FILE);
    let unit = json!({ "dn": "uid=[^,]+,ou=(?<tenant>[a-z0-9-]+),ou=People,dc=example,dc=com" });
    let group = json!({ "group": "tenant-(?<tenant>[a-z0-9-]+)" });
    let attribute = json!({ "attribute": "departmentNumber" });
    let mail = json!({ "attribute": "mail", "pattern": "countess@(?<tenant>[a-z]+)[.]com" });
    let table = [
        (json!([unit]), "ada", "acme"),
        (json!([unit]), "eve", "globex"),
        (json!([group]), "ada", "acme"),
        (json!([group, unit]), "müller", "acme"),
        (json!([attribute]), "eve", "globex"),
        (json!([mail]), "ada", "example"),
        (json!([mail, unit]), "bob", "acme"),
        (json!([{ "fixed": "globex" }]), "ada", "globex"),
    ];
    for (rules, user, expected) in table {
        let more = [("identity.tenant", rules.clone()), ("tenants.example", json!({ "disabled": false }))];
        assert_eq!(signed_in(&ldap, &more, user).await["tenant"], expected, "{user}: {rules}");
    }
    let refused = [
        (json!([{ "group": "company-(?<tenant>.+)" }]), "ada", "no-tenant"),
        (json!([{ "group": "tenant-acme" }, { "attribute": "cn" }]), "müller", "no-tenant"),
        (json!([{ "group": "(tenant-)?(?<tenant>[a-z]+)" }]), "ada", "ambiguous-tenant"),
        (json!([attribute]), "nobody", "tenant-refused"),
    ];
    for (rules, user, label) in refused {
        let mut site = site_of(&ldap);
        site.set("identity.tenant", rules).write();
        holds(&Gateway::start(&site).await, &[(user, PASSWORD, 403, label)]).await;
    }
}

#[tokio::test]
async fn who_may_use_sudo_is_an_operator_where_a_rule_says_so() {
    let Some(slapd) = Slapd::start(&Town::small(), &Authority::new()).await else { return };
    let mut ldap = Slapd::config(&[slapd.plain_url()], PASSWORD_FILE);
    let filter = "(&(objectClass=sudoRole)(sudoUser={user}))";
    ldap["groups"] = json!([{ "base": format!("ou=Sudoers,{BASE}"), "filter": filter, "group": "sudoers" }]);
    let rules = [("identity.roles", json!([{ "role": "operator", "group": "sudoers" }]))];
    let roles = async |user| signed_in(&ldap, &rules, user).await["roles"].clone();
    assert!(roles("ada").await.as_array().unwrap().contains(&json!("operator")));
    assert!(!roles("bob").await.as_array().unwrap().contains(&json!("operator")));
}
