//! Rules that yield somebody's tenant.
//!
//! Values of a directory are folded to lower case (ASCII), as directories do not tell `Acme` from `acme`; claims are
//! taken as they stand.

use std::borrow::Cow;

use super::Refusal;
use super::claims;
use crate::config::Tenants;
use crate::config::pattern::Pattern;
use crate::config::rules::{self as written, ClaimPath, Says};
use crate::identity::{BuildError, Person, dn};
use crate::model::TenantId;

/// Longest text of somebody else's that a reason quotes, in characters.
const LONGEST_QUOTED: usize = 64;

/// One rule, ready to be asked.
#[derive(Debug)]
pub(super) struct TenantRule {
    /// Its key in the configuration.
    key: String,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Group(Pattern),
    Dn(Pattern),
    Attribute(String, Option<Pattern>),
    Claim(ClaimPath, Option<Pattern>),
    Fixed(TenantId),
}

/// Reads the rules of the list at `key`.
pub(super) fn read(rules: &[written::TenantRule], key: &str) -> Result<Vec<TenantRule>, BuildError> {
    let read = |(at, rule)| {
        let key = format!("{key}[{at}]");
        match way(rule) {
            Ok(way) => Ok(TenantRule { key, way }),
            Err(detail) => Err(BuildError::Rule { key, detail }),
        }
    };
    rules.iter().enumerate().map(read).collect()
}

fn way(rule: &written::TenantRule) -> Result<Way, String> {
    let pattern = || rule.pattern.as_deref().map(Pattern::parse).transpose();
    if let Some(group) = &rule.group {
        Ok(Way::Group(Pattern::parse(group)?))
    } else if let Some(dn) = &rule.dn {
        Ok(Way::Dn(Pattern::parse(dn)?))
    } else if let Some(attribute) = &rule.attribute {
        Ok(Way::Attribute(attribute.clone(), pattern()?))
    } else if let Some(claim) = &rule.claim {
        Ok(Way::Claim(claim.clone(), pattern()?))
    } else if let Some(fixed) = &rule.fixed {
        Ok(Way::Fixed(TenantId::new(fixed).map_err(|error| error.to_string())?))
    } else {
        Err("says nowhere what it looks at".to_owned())
    }
}

/// The tenant that the first rule that yields one yields.
pub(super) fn of(person: &Person, rules: &[TenantRule], says: Says) -> Result<TenantId, Refusal> {
    for rule in rules {
        if let Some(tenant) = rule.tenant(person, says)? {
            return Ok(tenant);
        }
    }
    Err(Refusal::NoTenant)
}

impl TenantRule {
    fn tenant(&self, person: &Person, says: Says) -> Result<Option<TenantId>, Refusal> {
        if let Way::Fixed(tenant) = &self.way {
            return Ok(Some(tenant.clone()));
        }
        let mut yielded = self.yielded(person, says)?.into_iter().map(|value| folded(value, says));
        let Some(first) = yielded.next() else { return Ok(None) };
        if let Some(second) = yielded.find(|value| *value != first) {
            let rule = self.key.clone();
            return Err(Refusal::AmbiguousTenant { rule, first: quoted(&first), second: quoted(&second) });
        }
        match TenantId::new(&first) {
            Ok(tenant) if first != Tenants::DEFAULTS => Ok(Some(tenant)),
            _ => Err(self.bad(&first)),
        }
    }

    /// Everything that it yields, as it stands.
    fn yielded<'p>(&self, person: &'p Person, says: Says) -> Result<Vec<Cow<'p, str>>, Refusal> {
        let entry = says != Says::Claims;
        match &self.way {
            Way::Group(pattern) => {
                let groups = person.groups.iter();
                Ok(groups.filter_map(|group| pattern.tenant(group.as_str())).map(Cow::Borrowed).collect())
            }
            Way::Dn(pattern) if entry => {
                let Some(text) = person.dn.as_deref() else { return Ok(Vec::new()) };
                let name = dn::normalised(text).map_err(|_| self.bad(text))?;
                Ok(pattern.tenant(&name).map(|tenant| Cow::Owned(tenant.to_owned())).into_iter().collect())
            }
            Way::Attribute(name, pattern) if entry => {
                self.of_value(claims::attribute(&person.claims, name), pattern.as_ref())
            }
            Way::Claim(path, pattern) if !entry => self.of_value(claims::find(&person.claims, path), pattern.as_ref()),
            // Fixed is told before; the others look at what this source does not have.
            Way::Fixed(_) | Way::Dn(_) | Way::Attribute(..) | Way::Claim(..) => Ok(Vec::new()),
        }
    }

    fn of_value<'p>(
        &self,
        value: Option<&'p serde_json::Value>,
        pattern: Option<&Pattern>,
    ) -> Result<Vec<Cow<'p, str>>, Refusal> {
        let Some(value) = value else { return Ok(Vec::new()) };
        let texts = claims::texts(value).map_err(|_| self.bad("what is not text"))?;
        let Some(pattern) = pattern else { return Ok(texts) };
        Ok(texts.iter().filter_map(|text| pattern.tenant(text)).map(|tenant| Cow::Owned(tenant.to_owned())).collect())
    }

    fn bad(&self, value: &str) -> Refusal {
        Refusal::BadTenant { rule: self.key.clone(), value: quoted(value) }
    }
}

fn folded(value: Cow<'_, str>, says: Says) -> String {
    if says == Says::Claims { value.into_owned() } else { value.to_ascii_lowercase() }
}

fn quoted(text: &str) -> String {
    text.chars().take(LONGEST_QUOTED).collect()
}
