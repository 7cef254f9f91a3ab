//! What the configuration says about tenants: whether one is admitted, who administers it, whom its people ask.

use std::collections::BTreeSet;

use crate::config::{Config, Tenants};
use crate::model::{GroupName, Roles, TenantId};

/// Tenants and the groups with roles, as configured. Pure.
#[derive(Debug)]
pub(super) struct Policy {
    operators: BTreeSet<Box<str>>,
    tenants: Tenants,
    contact: Option<Box<str>>,
}

impl Policy {
    pub(super) fn new(config: &Config) -> Self {
        let operators = config.identity.operators.iter().map(|entry| group_name(entry).into()).collect();
        let contact = config.identity.contact.as_deref().map(Box::from);
        Self { operators, tenants: config.tenants.clone(), contact }
    }

    /// Whether people of `tenant` get in.
    pub(super) fn admits(&self, tenant: &TenantId) -> bool {
        !self.tenants.resolve(tenant.as_str()).disabled.unwrap_or(false)
    }

    /// The roles that somebody of `tenant` has by their groups, which are sorted.
    pub(super) fn roles(&self, tenant: &TenantId, groups: &[GroupName]) -> Roles {
        let in_group = |name: &str| groups.binary_search_by(|group| group.as_str().cmp(name)).is_ok();
        let admins = self.tenants.resolve(tenant.as_str()).admins;
        Roles {
            tenant_admin: admins.iter().any(|entry| in_group(group_name(entry))),
            operator: groups.iter().any(|group| self.operators.contains(group.as_str())),
        }
    }

    /// Whom people of `tenant`, or of none, ask for access.
    pub(super) fn contact(&self, tenant: Option<&TenantId>) -> Option<String> {
        let of_tenant = tenant.and_then(|tenant| self.tenants.resolve(tenant.as_str()).contact);
        of_tenant.or_else(|| self.contact.as_deref().map(str::to_owned))
    }
}

/// The group that an entry names: `acme-admins`, or the same written as `group:acme-admins`.
fn group_name(entry: &str) -> &str {
    entry.strip_prefix("group:").unwrap_or(entry)
}
