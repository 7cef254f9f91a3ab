//! What the configuration makes of a [`Person`]: their tenant by ordered rules, whether it is admitted, their roles.
//!
//! Pure. Promises: the tenant of a principal is a valid one and the only one; where rules leave doubt, somebody is
//! refused with a reason that names the rule, and never put into a tenant by chance.

pub mod claims;
mod roles;
mod tenant;

use std::collections::HashMap;

use roles::RoleRule;
use tenant::TenantRule;

use super::policy::Policy;
use super::{BuildError, Person, SignInError};
use crate::config::Config;
use crate::config::rules::Says;
use crate::model::{Principal, Roles, TenantId};

/// The rules of one configuration.
#[derive(Debug)]
pub struct Rules {
    sources: HashMap<Box<str>, OfSource>,
    common: Vec<TenantRule>,
    roles: Vec<RoleRule>,
    policy: Policy,
}

/// What is said of one source of people.
#[derive(Debug)]
struct OfSource {
    says: Says,
    /// Rules of its own, instead of the common ones.
    tenant: Option<Vec<TenantRule>>,
}

/// Why somebody who is who they say is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No rule yields a tenant.
    #[error("no rule yields a tenant for them")]
    NoTenant,
    /// What a rule yields cannot be a tenant.
    #[error("{rule} yields {value:?}, which cannot be a tenant")]
    BadTenant {
        /// The rule, by its key in the configuration.
        rule: String,
        /// What it yields, cut if it is long.
        value: String,
    },
    /// One rule yields two tenants.
    #[error("{rule} yields two tenants: {first:?} and {second:?}")]
    AmbiguousTenant {
        /// The rule, by its key in the configuration.
        rule: String,
        /// One of them, cut if it is long.
        first: String,
        /// Another of them, cut if it is long.
        second: String,
    },
    /// Their tenant is disabled or not known.
    #[error("tenant `{tenant}` is not admitted")]
    TenantNotAllowed {
        /// Their tenant.
        tenant: TenantId,
    },
}

impl From<Refusal> for SignInError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoTenant => Self::NoTenant,
            Refusal::BadTenant { rule, value } => Self::BadTenant { rule, value },
            Refusal::AmbiguousTenant { rule, first, second } => Self::AmbiguousTenant { rule, first, second },
            Refusal::TenantNotAllowed { tenant } => Self::TenantRefused { tenant },
        }
    }
}

impl Rules {
    /// Reads the rules of a configuration.
    ///
    /// # Errors
    /// Returns an error if a rule cannot be read; the rules of a configuration that was checked can.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let mut sources = HashMap::new();
        for source in config.identity.sources() {
            let key = format!("{}.tenant", source.key());
            let tenant = source.tenant.map(|rules| tenant::read(rules, &key)).transpose()?;
            sources.insert(source.name.into(), OfSource { says: source.says, tenant });
        }
        Ok(Self {
            sources,
            common: tenant::read(&config.identity.tenant, "identity.tenant")?,
            roles: roles::read(&config.identity.roles)?,
            policy: Policy::new(config),
        })
    }

    /// The principal that somebody is here.
    ///
    /// # Errors
    /// Returns an error if no tenant, or more than one, is theirs, or if it is not admitted.
    pub fn principal(&self, person: Person) -> Result<Principal, Refusal> {
        let source = self.sources.get(&*person.source);
        // Whoever is not listed here says what it says as claims: only directories have entries.
        let says = source.map_or(Says::Claims, |source| source.says);
        let tenant = match &person.tenant {
            Some(tenant) => tenant.clone(),
            None => {
                let own = source.and_then(|source| source.tenant.as_ref());
                tenant::of(&person, own.unwrap_or(&self.common), says)?
            }
        };
        if !self.policy.admits(&tenant) {
            return Err(Refusal::TenantNotAllowed { tenant });
        }
        let by_groups = self.policy.roles(&tenant, &person.groups);
        let by_rules = roles::of(&person, &self.roles, &tenant, says);
        Ok(Principal {
            user: person.user,
            tenant,
            display_name: person.display_name,
            groups: person.groups,
            roles: Roles {
                tenant_admin: by_groups.tenant_admin || by_rules.tenant_admin,
                operator: by_groups.operator || by_rules.operator,
            },
            source: person.source,
        })
    }

    /// Whom somebody may ask who is refused with `error`; `None` if nobody is named, or nobody can help.
    #[must_use]
    pub fn contact(&self, error: &SignInError) -> Option<String> {
        match error {
            SignInError::TenantRefused { tenant } => self.policy.contact(Some(tenant)),
            SignInError::NoTenant | SignInError::BadTenant { .. } | SignInError::AmbiguousTenant { .. } => {
                self.policy.contact(None)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
