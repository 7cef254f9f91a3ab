//! `tenants`: the companies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The companies, by id, and under `defaults` what holds for all of them.
///
/// A tenant that is not listed gets the defaults; with `defaults: { disabled: true }` only listed ones get in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("propertyNames" = {
    "pattern": "^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$",
    "patternErrorMessage": "a tenant's id must be 1 to 48 of a-z, 0-9 and -, with a letter or digit at both ends",
}))]
pub struct Tenants(pub BTreeMap<String, Tenant>);

/// What one tenant may do. Keys that are left out come from `defaults`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    /// Name shown on pages. Default: the id.
    pub title: Option<String>,
    /// Nobody of this tenant gets in, and its workspaces are stopped. Default: false.
    pub disabled: Option<bool>,
    /// Groups whose members administer this tenant (role `tenant-admin`), each as `NAME` or `group:NAME`.
    #[schemars(extend("items" = { "type": "string", "format": "group-name" }))]
    pub admins: Vec<String>,
    /// Most workspaces of this tenant that run at once. Default: no limit.
    pub max_running: Option<u32>,
    /// Most workspaces of one user that run at once. Default: no limit.
    pub max_running_per_user: Option<u32>,
    /// Whom its users ask for help: an e-mail address, a phone number or a web address, shown on error pages.
    pub contact: Option<String>,
}

impl Tenants {
    /// The key of what holds for all tenants; no tenant has this id.
    pub const DEFAULTS: &'static str = "defaults";

    /// What holds for `tenant`: its own keys, and those of `defaults` where it has none.
    #[must_use]
    pub fn resolve(&self, tenant: &str) -> Tenant {
        let listed = self.0.get(tenant);
        let own = listed.cloned().unwrap_or_default();
        let Some(defaults) = self.0.get(Self::DEFAULTS) else { return own };
        Tenant {
            title: own.title,
            disabled: own.disabled.or(if listed.is_some() { None } else { defaults.disabled }),
            admins: own.admins.iter().chain(&defaults.admins).cloned().collect(),
            max_running: own.max_running.or(defaults.max_running),
            max_running_per_user: own.max_running_per_user.or(defaults.max_running_per_user),
            contact: own.contact.or_else(|| defaults.contact.clone()),
        }
    }

    /// The ids of the listed tenants.
    pub fn listed(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|id| *id != Self::DEFAULTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disabled_defaults_keep_out_those_that_are_not_listed_and_only_those() {
        let off = |disabled| Tenant { disabled, ..Tenant::default() };
        let listed = [("defaults", off(Some(true))), ("acme", off(None)), ("gone", off(Some(true)))];
        let tenants = Tenants(listed.map(|(id, tenant)| (id.to_owned(), tenant)).into());
        assert_eq!(tenants.resolve("acme").disabled, None);
        assert_eq!(tenants.resolve("gone").disabled, Some(true));
        assert_eq!(tenants.resolve("stranger").disabled, Some(true));
    }
}
