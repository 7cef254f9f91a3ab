//! Rules for tenant and roles, wherever they stand: each says one thing, its patterns can be read, and it can apply.

use super::{Checks, KeyPath};
use crate::config::pattern::Pattern;
use crate::config::rules::{RoleRule, Says, Source, TenantRule};
use crate::config::{ClaimPath, Identity, Tenants};

/// Checks the rules in `identity` and in every source of people.
pub(super) fn check(identity: &Identity, checks: &mut Checks<'_>) {
    let common = KeyPath::of("identity.tenant");
    check_tenant_rules(&common, &identity.tenant, checks);
    check_role_rules(&KeyPath::of("identity.roles"), &identity.roles, checks);
    // What a directory is may not be known yet; then neither is what it says.
    let is_understood = |source: &Source<'_>| {
        source.list != "identity.directories"
            || identity.directories.get(source.at).is_some_and(|directory| directory.kind().is_some())
    };
    for source in identity.sources().filter(is_understood) {
        check_source(&KeyPath::of(source.list).index(source.at), &source, checks);
    }
}

/// Checks the rules that hold for one source.
fn check_source(path: &KeyPath, source: &Source<'_>, checks: &mut Checks<'_>) {
    let own = path.key("tenant");
    let has_rules = [&own, &KeyPath::of("identity.tenant")].into_iter().any(|path| checks.source.has(path));
    match (source.says, source.tenant) {
        (Says::Tenant, None) => {}
        (Says::Tenant, Some(_)) => {
            checks.error_at_key(&own, "is never asked: each user of a users file has a tenant there");
        }
        (_, None) if has_rules => {}
        (_, None) => {
            checks.error(path, "nothing tells the tenant of its people; add rules at tenant, here or in identity");
        }
        (says, Some(rules)) => {
            check_tenant_rules(&own, rules, checks);
            check_can_apply(&own, rules, says, checks);
        }
    }
}

/// A rule that looks at what its source never has would be asked in vain.
fn check_can_apply(path: &KeyPath, rules: &[TenantRule], says: Says, checks: &mut Checks<'_>) {
    for (at, rule) in rules.iter().enumerate() {
        let in_vain = match says {
            Says::Claims if rule.dn.is_some() => ("dn", "can never apply: tokens have groups and claims"),
            Says::Claims if rule.attribute.is_some() => ("attribute", "can never apply: tokens have groups and claims"),
            Says::Entry if rule.claim.is_some() => {
                ("claim", "can never apply: directories have groups, dn and attributes")
            }
            _ => continue,
        };
        checks.error_at_key(&path.index(at).key(in_vain.0), in_vain.1);
    }
}

fn check_tenant_rules(path: &KeyPath, rules: &[TenantRule], checks: &mut Checks<'_>) {
    for (at, rule) in rules.iter().enumerate() {
        let path = path.index(at);
        let way = check_one_of(&path, &["group", "dn", "attribute", "claim", "fixed"], checks);
        if way == Some("fixed") && at + 1 < rules.len() {
            checks.error(&path, "settles the tenant of everybody, so the rules after it are never asked; put it last");
        }
        check_tenant_pattern(&path.key("group"), rule.group.as_deref(), checks);
        check_dn(&path.key("dn"), rule.dn.as_deref(), checks);
        check_claim(&path.key("claim"), rule.claim.as_ref(), checks);
        check_tenant_pattern(&path.key("pattern"), rule.pattern.as_deref(), checks);
        if rule.fixed.as_deref() == Some(Tenants::DEFAULTS) {
            checks.error(&path.key("fixed"), "\"defaults\" is not a tenant");
        }
        if matches!(way, Some("group" | "dn" | "fixed")) {
            check_absence(&path, &["pattern"], checks);
        }
    }
}

fn check_role_rules(path: &KeyPath, rules: &[RoleRule], checks: &mut Checks<'_>) {
    for (at, rule) in rules.iter().enumerate() {
        let path = path.index(at);
        check_pattern(&path.key("group"), rule.group.as_deref(), checks);
        check_claim(&path.key("claim"), rule.claim.as_ref(), checks);
        check_pattern(&path.key("pattern"), rule.pattern.as_deref(), checks);
        if let Some(value) = &rule.value {
            checks.placeholders(&path.key("value"), value, &["tenant"]);
        }
        match check_one_of(&path, &["group", "attribute", "claim"], checks) {
            Some("group") => check_absence(&path, &["value", "pattern"], checks),
            Some(_) => {
                check_one_of(&path, &["value", "pattern"], checks);
            }
            None => {}
        }
    }
}

/// None of `keys` stands in a rule that looks at no values.
fn check_absence(path: &KeyPath, keys: &[&str], checks: &mut Checks<'_>) {
    for path in keys.iter().map(|key| path.key(key)) {
        if checks.source.has(&path) {
            checks.error_at_key(&path, "belongs beside attribute or claim");
        }
    }
}

/// Exactly one of `keys` stands in the mapping at `path`; it is returned.
fn check_one_of<'k>(path: &KeyPath, keys: &[&'k str], checks: &mut Checks<'_>) -> Option<&'k str> {
    let there: Vec<&'k str> = keys.iter().copied().filter(|key| checks.source.has(&path.key(key))).collect();
    match there.as_slice() {
        [] => checks.absent(path, format!("needs one of: {}", keys.join(", "))),
        [one] => return Some(one),
        [first, second, ..] => {
            checks.error_at_key(&path.key(second), format!("stands beside {first}; a rule has one of them"));
        }
    }
    None
}

fn check_pattern(path: &KeyPath, text: Option<&str>, checks: &mut Checks<'_>) -> Option<Pattern> {
    match Pattern::parse(text?) {
        Ok(pattern) => Some(pattern),
        Err(message) => {
            checks.error(path, message);
            None
        }
    }
}

/// A pattern that yields a tenant.
fn check_tenant_pattern(path: &KeyPath, text: Option<&str>, checks: &mut Checks<'_>) {
    if check_pattern(path, text, checks).is_some_and(|pattern| pattern.names_nothing_in_brackets()) {
        checks
            .error(path, "does not say which part is the tenant; write (?<tenant>...), or (?:...) for other brackets");
    }
}

/// A pattern for names in the form that they are brought into: attribute types in lower case.
fn check_dn(path: &KeyPath, text: Option<&str>, checks: &mut Checks<'_>) {
    let Some((text, pattern)) = text.zip(check_pattern(path, text, checks)) else { return };
    if !pattern.names_tenant() {
        checks.error(path, "does not say which part is the tenant; write (?<tenant>...)");
    } else if !text.contains("(?i") && has_upper_case_type(text) {
        checks.error(path, "can never apply: attribute types are in lower case here (ou=, not OU=)");
    }
}

fn has_upper_case_type(pattern: &str) -> bool {
    let before_each = pattern.split('=').rev().skip(1);
    before_each
        .filter_map(|before| before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next())
        .any(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
}

fn check_claim(path: &KeyPath, claim: Option<&ClaimPath>, checks: &mut Checks<'_>) {
    if let Some(ClaimPath::Dotted(text)) = claim
        && text.split('.').any(str::is_empty)
        && !text.contains("://")
    {
        checks.error(path, "has nothing between two dots; write keys that have dots of their own as a list");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fingerprint::Fingerprint;
    use crate::config::source::{Secrecy, Source as File};
    use crate::config::validate::Named;

    /// What is found in `- RULES` as the own rules of a source that says `says`.
    fn findings(says: Says, text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usher.yaml");
        std::fs::write(&path, format!("sources:\n- {text}\n")).unwrap();
        let mut source = File::read(&path, 4096, Secrecy::Open).unwrap();
        let rules = source.document.value["sources"][0]["tenant"].clone();
        let rules: Option<Vec<TenantRule>> = serde_json::from_value(rules).unwrap();
        let named = Named { read: Fingerprint::default(), findings: Vec::new() };
        let mut checks = Checks { source: &mut source, folder: folder.path(), named };
        let of = Source { name: "one", list: "sources", at: 0, says, tenant: rules.as_deref() };
        check_source(&KeyPath::of("sources").index(0), &of, &mut checks);
        source
            .into_findings()
            .iter()
            .map(|found| format!("{}:{} {}: {}", found.line, found.column, found.key, found.message))
            .collect()
    }

    #[test]
    fn a_rule_looks_only_at_what_its_source_has() {
        let table = [
            (
                Says::Entry,
                "{ tenant: [ { dn: 'ou=(?<tenant>.*)' }, { attribute: o }, { group: a }, { fixed: b } ] }",
                "",
            ),
            (Says::Claims, "{ tenant: [ { claim: o }, { group: a }, { fixed: b } ] }", ""),
            (Says::Tenant, "{ name: one }", ""),
            (
                Says::Entry,
                "{ tenant: [ { group: a }, { claim: b } ] }",
                "2:31 sources[0].tenant[1].claim: can never apply: directories have groups, dn and attributes",
            ),
            (
                Says::Claims,
                "{ tenant: [ { attribute: a } ] }",
                "2:17 sources[0].tenant[0].attribute: can never apply: tokens have groups and claims",
            ),
            (
                Says::Claims,
                "{ tenant: [ { dn: '(?<tenant>.*)' } ] }",
                "2:17 sources[0].tenant[0].dn: can never apply: tokens have groups and claims",
            ),
            (
                Says::Tenant,
                "{ tenant: [ { group: a } ] }",
                "2:5 sources[0].tenant: is never asked: each user of a users file has a tenant there",
            ),
            (
                Says::Claims,
                "{ name: one }",
                "2:3 sources[0]: nothing tells the tenant of its people; add rules at tenant, here or in identity",
            ),
        ];
        for (says, text, expected) in table {
            assert_eq!(findings(says, text).join("\n"), expected, "{text}");
        }
    }
}
