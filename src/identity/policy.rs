//! What the configuration says about people: whether their tenant is admitted, and which roles they have.

use std::collections::BTreeSet;

use crate::config::{Config, Tenants};
use crate::model::{Principal, Roles};

/// Tenants and roles, as configured. Pure.
#[derive(Debug)]
pub(super) struct Policy {
    operators: BTreeSet<Box<str>>,
    tenants: Tenants,
}

impl Policy {
    pub(super) fn new(config: &Config) -> Self {
        let operators = config.identity.operators.iter().map(|entry| group_name(entry).into()).collect();
        Self { operators, tenants: config.tenants.clone() }
    }

    /// The principal with their roles, or `None` if their tenant is not admitted.
    pub(super) fn admit(&self, principal: Principal) -> Option<Principal> {
        let tenant = self.tenants.resolve(principal.tenant.as_str());
        if tenant.disabled.unwrap_or(false) {
            return None;
        }
        let roles = Roles {
            tenant_admin: tenant.admins.iter().any(|entry| principal.in_group(group_name(entry))),
            operator: principal.groups.iter().any(|group| self.operators.contains(group.as_str())),
        };
        Some(Principal { roles, ..principal })
    }
}

/// The group that an entry names: `acme-admins`, or the same written as `group:acme-admins`.
fn group_name(entry: &str) -> &str {
    entry.strip_prefix("group:").unwrap_or(entry)
}
