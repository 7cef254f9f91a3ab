//! People and rules, and what comes of them.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::identity::person::group_set;
use crate::model::{GroupName, Role, UserId};

const CONFIG: &str = r#"
public_url: https://dev.example.com
listen: { public: { address: "127.0.0.1:0", tls: { certificate: c, key: k } } }
session: { keys: [ { id: k1, file: k1 } ] }
identity:
  directories: [ { name: ldap } ]
"#;

/// Rules of an identity section that goes on after its directories.
fn rules(yaml: &str) -> Rules {
    let config = serde_saphyr::from_str(&format!("{CONFIG}{yaml}")).expect("a configuration");
    Rules::new(&config).expect("rules")
}

/// Rules for the tenant, in flow style.
fn tenant_rules(list: &str) -> Rules {
    rules(&format!("  tenant: {list}\ntenants: {{ gone: {{ disabled: true }} }}\n"))
}

fn somebody(source: &str) -> Person {
    Person::new(UserId::new("ada").expect("a user"), Arc::from(source))
}

fn groups(names: &[&str]) -> Arc<[GroupName]> {
    group_set(names.iter().map(|name| GroupName::new(name).expect("a group")).collect())
}

fn with_claims(person: Person, claims: Value) -> Person {
    let Value::Object(claims) = claims else { panic!("claims are a mapping") };
    Person { claims: Arc::new(claims), ..person }
}

fn entry(dn: &str, names: &[&str], attributes: Value) -> Person {
    let person = Person { dn: Some(Arc::from(dn)), groups: groups(names), ..somebody("ldap") };
    with_claims(person, attributes)
}

fn token(claims: Value) -> Person {
    with_claims(somebody("issuer"), claims)
}

fn outcome(rules: &Rules, person: Person) -> String {
    match rules.principal(person) {
        Ok(principal) => principal.tenant.to_string(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn a_directory_entry_has_the_tenant_that_its_rules_yield() {
    let by_group = r#"[ { group: "tenant-(?<tenant>[a-zA-Z0-9-]+)" } ]"#;
    let by_unit = r#"[ { dn: "uid=[^,]+,ou=(?<tenant>[a-z0-9-]+),ou=people,.*" } ]"#;
    let by_attribute = r#"[ { attribute: o } ]"#;
    let by_mail = r#"[ { attribute: mail, pattern: "[^@]+@(?<tenant>[a-z0-9-]+)\\.example\\.com" } ]"#;
    let none = "no rule yields a tenant for them";
    let people = "ou=people,dc=example,dc=com";
    let table = [
        (by_group, entry("", &["staff", "tenant-acme"], json!({})), "acme"),
        (by_group, entry("", &["tenant-ACME", "tenant-acme"], json!({})), "acme"),
        (by_group, entry("", &["staff", "my-tenant-acme"], json!({})), none),
        (
            by_group,
            entry("", &["tenant-acme", "tenant-globex"], json!({})),
            "identity.tenant[0] yields two tenants: \"acme\" and \"globex\"",
        ),
        (
            by_group,
            entry("", &["tenant-acme-"], json!({})),
            "identity.tenant[0] yields \"acme-\", which cannot be a tenant",
        ),
        (by_group, entry("", &["tenant-gone"], json!({})), "tenant `gone` is not admitted"),
        (
            by_group,
            entry("", &["tenant-defaults"], json!({})),
            "identity.tenant[0] yields \"defaults\", which cannot be a tenant",
        ),
        (by_unit, entry(&format!("UID=ada, OU=acme,{people}"), &[], json!({})), "acme"),
        (by_unit, entry(&format!("uid=ada,ou=it,ou=acme,{people}"), &[], json!({})), none),
        (by_unit, entry(&format!("uid=ada\\,ou=evil,ou=acme,{people}"), &[], json!({})), "acme"),
        (by_unit, entry("ada", &[], json!({})), "identity.tenant[0] yields \"ada\", which cannot be a tenant"),
        (by_attribute, entry("", &[], json!({ "o": ["Acme"] })), "acme"),
        (by_attribute, entry("", &[], json!({ "O": "acme" })), "acme"),
        (by_attribute, entry("", &[], json!({ "ou": ["acme"] })), none),
        (
            by_attribute,
            entry("", &[], json!({ "o": ["acme", "globex"] })),
            "identity.tenant[0] yields two tenants: \"acme\" and \"globex\"",
        ),
        (
            by_attribute,
            entry("", &[], json!({ "o": ["Acme Corporation"] })),
            "identity.tenant[0] yields \"acme corporation\", which cannot be a tenant",
        ),
        (by_mail, entry("", &[], json!({ "mail": ["ada@acme.example.com", "ada@home.example"] })), "acme"),
        (r#"[ { claim: o } ]"#, entry("", &[], json!({ "o": ["acme"] })), none),
    ];
    for (list, person, expected) in table {
        let shown = format!("{list} {person:?}");
        assert_eq!(outcome(&tenant_rules(list), person), expected, "{shown}");
    }
}

#[test]
fn a_token_has_the_tenant_that_its_claims_yield() {
    let by_name = r#"[ { claim: "https://example.com/tenant" } ]"#;
    let by_dots = r#"[ { claim: org.tenant } ]"#;
    let by_pattern = r#"[ { claim: groups, pattern: "/tenants/(?<tenant>[a-z0-9-]+)" } ]"#;
    let none = "no rule yields a tenant for them";
    let not_text = "identity.tenant[0] yields \"what is not text\", which cannot be a tenant";
    let table = [
        (by_name, json!({ "https://example.com/tenant": "acme" }), "acme"),
        (by_dots, json!({ "org": { "tenant": "acme" } }), "acme"),
        (by_dots, json!({ "org": { "tenant": ["acme", "acme"] } }), "acme"),
        (by_dots, json!({ "org": { "tenant": 42 } }), "42"),
        (by_dots, json!({ "org": { "tenant": null } }), none),
        (by_dots, json!({ "org": { "tenant": [] } }), none),
        (by_dots, json!({ "org": "acme" }), none),
        (by_dots, json!({}), none),
        (by_dots, json!({ "org": { "tenant": { "id": "acme" } } }), not_text),
        (by_dots, json!({ "org": { "tenant": ["acme", {}] } }), not_text),
        (by_dots, json!({ "org": { "tenant": "" } }), "identity.tenant[0] yields \"\", which cannot be a tenant"),
        (
            by_dots,
            json!({ "org": { "tenant": "Acme" } }),
            "identity.tenant[0] yields \"Acme\", which cannot be a tenant",
        ),
        (
            by_dots,
            json!({ "org": { "tenant": ["acme", "globex"] } }),
            "identity.tenant[0] yields two tenants: \"acme\" and \"globex\"",
        ),
        (by_pattern, json!({ "groups": ["/staff", "/tenants/acme"] }), "acme"),
        (by_pattern, json!({ "groups": ["/tenants/acme/admins"] }), none),
        (r#"[ { attribute: o } ]"#, json!({ "o": "acme" }), none),
        (r#"[ { dn: ".*" } ]"#, json!({ "dn": "acme" }), none),
    ];
    for (list, claims, expected) in table {
        assert_eq!(outcome(&tenant_rules(list), token(claims.clone())), expected, "{list} {claims}");
    }
}

#[test]
fn the_first_rule_that_yields_a_tenant_decides() {
    let rules = tenant_rules(
        r#"[ { claim: tenant }, { group: "t-(?<tenant>.+)" }, { group: "(?<tenant>b.*)" }, { fixed: guests } ]"#,
    );
    let person = Person { groups: groups(&["bees", "birds", "t-acme"]), ..token(json!({ "tenant": "globex" })) };
    assert_eq!(outcome(&rules, person.clone()), "globex");
    let person = with_claims(person, json!({}));
    assert_eq!(outcome(&rules, person.clone()), "acme");
    let person = Person { groups: groups(&["bees", "birds"]), ..person };
    assert_eq!(outcome(&rules, person), "identity.tenant[2] yields two tenants: \"bees\" and \"birds\"");
    assert_eq!(outcome(&rules, token(json!({}))), "guests");
    assert_eq!(
        outcome(&rules, token(json!({ "tenant": {} }))),
        "identity.tenant[0] yields \"what is not text\", which cannot be a tenant"
    );
}

#[test]
fn rules_of_a_source_replace_the_common_ones_and_a_tenant_said_outright_replaces_both() {
    let yaml = CONFIG.replace("{ name: ldap }", "{ name: ldap, tenant: [ { attribute: o } ] }");
    let config =
        serde_saphyr::from_str(&format!("{yaml}  tenant: [ {{ fixed: common }} ]\n")).expect("a configuration");
    let rules = Rules::new(&config).expect("rules");
    assert_eq!(outcome(&rules, token(json!({}))), "common");
    assert_eq!(outcome(&rules, entry("", &[], json!({ "o": ["acme"] }))), "acme");
    assert_eq!(outcome(&rules, entry("", &[], json!({}))), "no rule yields a tenant for them");
    let refused = rules.principal(entry("", &[], json!({ "o": ["a", "b"] }))).expect_err("two tenants");
    assert!(refused.to_string().starts_with("identity.directories[0].tenant[0] "), "{refused}");
    let outright = Person { tenant: Some(TenantId::new("said").expect("a tenant")), ..entry("", &[], json!({})) };
    assert_eq!(outcome(&rules, outright), "said");
}

#[test]
fn roles_come_from_groups_attributes_and_claims_and_never_from_another_tenants() {
    let rules = rules(
        r#"  operators: [ ops ]
  tenant: [ { claim: tenant }, { attribute: o } ]
  roles:
    - { role: operator, claim: realm_access.roles, value: usher-operator }
    - { role: operator, attribute: title, pattern: "(?i)operator" }
    - { role: tenant-admin, group: "(?<tenant>[a-z]+)-admins" }
    - { role: tenant-admin, claim: admin_of, value: "{tenant}" }
tenants: { acme: { admins: [ leads ] } }
"#,
    );
    let acme = |claims: Value| {
        let mut person = token(claims);
        Arc::make_mut(&mut person.claims).insert("tenant".to_owned(), json!("acme"));
        person
    };
    let in_groups = |names| Person { groups: groups(names), ..acme(json!({})) };
    let (none, admin, operator) = ((false, false), (true, false), (false, true));
    let table = [
        (acme(json!({})), none),
        (in_groups(&["ops"]), operator),
        (in_groups(&["leads"]), admin),
        (in_groups(&["acme-admins"]), admin),
        (in_groups(&["globex-admins"]), none),
        (in_groups(&["Acme-admins", "xacme-admins"]), none),
        (in_groups(&["acme-admins", "globex-admins", "ops"]), (true, true)),
        (acme(json!({ "realm_access": { "roles": ["x", "usher-operator"] } })), operator),
        (acme(json!({ "realm_access": { "roles": "usher-operator" } })), operator),
        (acme(json!({ "realm_access": { "roles": ["usher-operators"] } })), none),
        (acme(json!({ "realm_access": { "roles": { "usher-operator": true } } })), none),
        (acme(json!({ "realm_access": { "roles": ["usher-operator", {}] } })), none),
        (acme(json!({ "admin_of": ["globex", "acme"] })), admin),
        (acme(json!({ "admin_of": ["globex", "{tenant}"] })), none),
        (acme(json!({ "title": "Operator" })), none),
        (entry("", &[], json!({ "o": ["acme"], "Title": ["Operator"] })), operator),
        (entry("", &["acme-admins"], json!({ "o": ["ACME"], "admin_of": ["acme"] })), admin),
        (entry("", &[], json!({ "o": ["acme"], "admin_of": ["acme"] })), none),
    ];
    for (person, expected) in table {
        let shown = format!("{person:?} {}", Value::Object(Map::clone(&person.claims)));
        let roles = rules.principal(person).expect("admitted").roles;
        assert_eq!((roles.has(Role::TenantAdmin), roles.has(Role::Operator)), expected, "{shown}");
    }
}

#[test]
fn who_is_refused_is_told_whom_to_ask() {
    let rules = rules(
        "  contact: help@example.com\ntenants: { acme: { contact: it@acme.example, disabled: true }, gone: { disabled: true } }\n",
    );
    let refused = |tenant: &str| SignInError::TenantRefused { tenant: TenantId::new(tenant).expect("a tenant") };
    assert_eq!(rules.contact(&refused("acme")).as_deref(), Some("it@acme.example"));
    assert_eq!(rules.contact(&refused("gone")).as_deref(), Some("help@example.com"));
    assert_eq!(rules.contact(&SignInError::NoTenant).as_deref(), Some("help@example.com"));
    assert_eq!(rules.contact(&SignInError::WrongCredentials), None);
}

#[test]
fn a_rule_that_was_not_checked_is_an_error_and_not_one_that_never_applies() {
    for list in ["[ {} ]", "[ { group: '(' } ]", "[ { fixed: A } ]", "[ { claim: a, pattern: '(?<x>a)' } ]"] {
        let config = serde_saphyr::from_str(&format!("{CONFIG}  tenant: {list}\n")).expect("a configuration");
        let error = Rules::new(&config).expect_err(list);
        assert!(error.to_string().starts_with("identity.tenant[0] "), "{error}");
    }
}

/// The samples of the guide that have a table of people, each with the rows of that table.
fn worked_examples() -> Vec<(String, Vec<(Value, String)>)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/identity.md")).expect("a guide");
    let samples = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```\n"));
    let with_rows = samples.map(|(sample, after)| {
        let section = after.split("\n#").next().unwrap_or_default();
        let rows = section.lines().filter_map(|line| {
            let (somebody, becomes) = line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")?;
            if !somebody.starts_with('{') {
                return None;
            }
            Some((
                serde_json::from_str(somebody).unwrap_or_else(|error| panic!("{somebody}: {error}")),
                becomes.to_owned(),
            ))
        });
        (sample.to_owned(), rows.collect())
    });
    with_rows.filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty()).collect()
}

/// Somebody as the guide writes them: with claims from an issuer, otherwise from a directory.
fn of_the_guide(somebody: &Value) -> Person {
    let names = somebody["groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let groups = group_set(names.map(|name| GroupName::new(name).expect("a group")).collect());
    let mapping = |key: &str| somebody.get(key).cloned().unwrap_or_else(|| json!({}));
    let person = match somebody.get("claims") {
        Some(claims) => token(claims.clone()),
        None => entry(somebody["dn"].as_str().unwrap_or_default(), &[], mapping("attributes")),
    };
    Person { groups, ..person }
}

#[test]
fn the_worked_examples_of_the_guide_come_out_as_it_says() {
    let base = CONFIG.replace("identity:\n", "").replace("  directories", "IDENTITY\n  directories");
    let examples = worked_examples();
    assert!(examples.len() >= 7, "the examples were not found");
    for (sample, rows) in examples {
        let (identity, rest) = sample.split_once("tenants:\n").unwrap_or((&sample, ""));
        let rest = if rest.is_empty() { String::new() } else { format!("tenants:\n{rest}") };
        let config =
            serde_saphyr::from_str(&(base.replace("IDENTITY", identity.trim_end()) + &rest)).expect("a sample");
        let rules = Rules::new(&config).expect("rules");
        for (somebody, becomes) in rows {
            let found = match rules.principal(of_the_guide(&somebody)) {
                Ok(principal) => {
                    let admin = if principal.roles.tenant_admin { ", tenant-admin" } else { "" };
                    let operator = if principal.roles.operator { ", operator" } else { "" };
                    format!("{}{admin}{operator}", principal.tenant)
                }
                Err(refusal) => format!("refused: {refusal}"),
            };
            assert_eq!(found, becomes, "{somebody} with {sample}");
        }
    }
}

/// Any JSON, not too deep, with the keys that the rules look at.
fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z0-9-]{0,6}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let key = prop_oneof![Just("t".to_owned()), Just("a".to_owned()), Just("a.t".to_owned()), any::<String>()];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_claimed_the_tenant_is_a_valid_one_or_somebody_is_refused(
        tenant in json_values(),
        nested in json_values(),
        names in proptest::collection::vec("(t-)?[a-zA-Z0-9-]{1,5}", 0..4),
        dn in proptest::option::of("(ou=[a-zA-Z\\\\,=2c]{0,8},)?dc=x|\\PC{0,12}"),
        from_directory in any::<bool>(),
    ) {
        let rules = tenant_rules(
            r#"[ { claim: t }, { attribute: t, pattern: "(?<tenant>[a-m]*).*" }, { claim: a.t, pattern: ".+" },
                 { group: "t-(?<tenant>.*)" }, { dn: "ou=(?<tenant>.*),dc=x" } ]"#,
        );
        let person = Person {
            dn: dn.map(Arc::from),
            groups: group_set(names.iter().filter_map(|name| GroupName::new(name).ok()).collect()),
            ..with_claims(somebody(if from_directory { "ldap" } else { "issuer" }), json!({ "t": tenant, "a": nested }))
        };
        if let Ok(principal) = rules.principal(person) {
            prop_assert!(TenantId::new(principal.tenant.as_str()).is_ok());
        }
    }
}
