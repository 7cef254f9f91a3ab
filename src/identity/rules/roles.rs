//! Rules that give roles. Where a rule cannot be made sense of for somebody, it gives nothing.

use super::claims;
use crate::config::pattern::Pattern;
use crate::config::rules::{self as written, ClaimPath, GrantedRole, Says};
use crate::config::template;
use crate::identity::{BuildError, Person};
use crate::model::{Roles, TenantId};

/// One rule, ready to be asked.
#[derive(Debug)]
pub(super) struct RoleRule {
    role: GrantedRole,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Group(Test),
    Attribute(String, Test),
    Claim(ClaimPath, Test),
}

/// What a value must be.
#[derive(Debug)]
enum Test {
    /// A pattern; the part named `tenant` must be their own.
    Pattern(Pattern),
    /// This value, in which `{tenant}` is their own.
    Value(String),
}

/// Reads the rules.
pub(super) fn read(rules: &[written::RoleRule]) -> Result<Vec<RoleRule>, BuildError> {
    let read = |(at, rule): (usize, &written::RoleRule)| match way(rule) {
        Ok(way) => Ok(RoleRule { role: rule.role, way }),
        Err(detail) => Err(BuildError::Rule { key: format!("identity.roles[{at}]"), detail }),
    };
    rules.iter().enumerate().map(read).collect()
}

fn way(rule: &written::RoleRule) -> Result<Way, String> {
    let test = || match (&rule.value, &rule.pattern) {
        (Some(value), _) => Ok(Test::Value(value.clone())),
        (None, Some(pattern)) => Ok(Test::Pattern(Pattern::parse(pattern)?)),
        (None, None) => Err("says nowhere what the value must be".to_owned()),
    };
    if let Some(group) = &rule.group {
        Ok(Way::Group(Test::Pattern(Pattern::parse(group)?)))
    } else if let Some(attribute) = &rule.attribute {
        Ok(Way::Attribute(attribute.clone(), test()?))
    } else if let Some(claim) = &rule.claim {
        Ok(Way::Claim(claim.clone(), test()?))
    } else {
        Err("says nowhere what it looks at".to_owned())
    }
}

/// The roles that the rules give to somebody of `tenant`.
pub(super) fn of(person: &Person, rules: &[RoleRule], tenant: &TenantId, says: Says) -> Roles {
    let has = |role| rules.iter().any(|rule| rule.role == role && rule.applies(person, tenant, says));
    Roles { tenant_admin: has(GrantedRole::TenantAdmin), operator: has(GrantedRole::Operator) }
}

impl RoleRule {
    fn applies(&self, person: &Person, tenant: &TenantId, says: Says) -> bool {
        let (value, test) = match &self.way {
            Way::Group(test) => return person.groups.iter().any(|group| test.passes(group.as_str(), tenant, says)),
            Way::Attribute(name, test) if says != Says::Claims => (claims::attribute(&person.claims, name), test),
            Way::Claim(path, test) if says == Says::Claims => (claims::find(&person.claims, path), test),
            Way::Attribute(..) | Way::Claim(..) => return false,
        };
        let texts = value.and_then(|value| claims::texts(value).ok()).unwrap_or_default();
        texts.iter().any(|text| test.passes(text, tenant, says))
    }
}

impl Test {
    fn passes(&self, text: &str, tenant: &TenantId, says: Says) -> bool {
        let is_theirs = |named: &str| match says {
            Says::Claims => named == tenant.as_str(),
            // As the rules for the tenant read it.
            Says::Tenant | Says::Entry => named.eq_ignore_ascii_case(tenant.as_str()),
        };
        match self {
            Self::Pattern(pattern) if pattern.names_tenant() => pattern.tenant(text).is_some_and(is_theirs),
            Self::Pattern(pattern) => pattern.matches(text),
            Self::Value(value) => template::fill(value, |name| (name == "tenant").then_some(tenant.as_str())) == text,
        }
    }
}
