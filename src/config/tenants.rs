//! `tenants`: the companies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The companies, by id, and under `defaults` what holds for all of them.
///
/// A tenant that is not listed gets the defaults; with `defaults: { disabled: true }` only listed ones get in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("propertyNames" = {"pattern": "^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$"}))]
pub struct Tenants(pub BTreeMap<String, Tenant>);

/// What one tenant may do. Keys that are left out come from `defaults`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    /// Name shown on pages. Default: the id.
    pub title: Option<String>,
    /// Nobody of this tenant gets in, and its workspaces are stopped. Default: false.
    pub disabled: Option<bool>,
    /// Groups whose members administer this tenant (role `tenant-admin`).
    pub admins: Vec<String>,
    /// Most workspaces of this tenant that run at once. Default: no limit.
    pub max_running: Option<u32>,
    /// Most workspaces of one user that run at once. Default: no limit.
    pub max_running_per_user: Option<u32>,
    /// Whom its users ask for help: an e-mail address, a phone number or a web address, shown on error pages.
    pub contact: Option<String>,
}

impl Tenants {
    /// What holds for `tenant`: its own keys, and those of `defaults` where it has none.
    #[must_use]
    pub fn resolve(&self, tenant: &str) -> Tenant {
        let own = self.0.get(tenant).cloned().unwrap_or_default();
        let Some(defaults) = self.0.get("defaults") else { return own };
        Tenant {
            title: own.title,
            disabled: own.disabled.or(defaults.disabled),
            admins: own.admins.iter().chain(&defaults.admins).cloned().collect(),
            max_running: own.max_running.or(defaults.max_running),
            max_running_per_user: own.max_running_per_user.or(defaults.max_running_per_user),
            contact: own.contact.or_else(|| defaults.contact.clone()),
        }
    }

    /// The ids of the listed tenants.
    pub fn listed(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|id| *id != "defaults")
    }
}
