//! Who may use a route.

use crate::config;
use crate::model::{Principal, Role};

/// The lists of `allow`. Each that is not empty must be met; within one, one match is enough.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    tenants: Vec<String>,
    groups: Vec<String>,
    roles: Vec<Role>,
}

impl Rules {
    /// Whether `principal` may use the route.
    #[must_use]
    pub fn permit(&self, principal: &Principal) -> bool {
        let tenant = || self.tenants.binary_search_by(|t| t.as_str().cmp(principal.tenant.as_str())).is_ok();
        let group = || self.groups.iter().any(|group| principal.in_group(group));
        let role = || self.roles.iter().any(|role| principal.roles.has(*role));
        (self.tenants.is_empty() || tenant())
            && (self.groups.is_empty() || group())
            && (self.roles.is_empty() || role())
    }
}

impl From<&config::Allow> for Rules {
    fn from(allow: &config::Allow) -> Self {
        let mut tenants = allow.tenants.clone();
        tenants.sort_unstable();
        Self { tenants, groups: allow.groups.clone(), roles: allow.roles.clone() }
    }
}
