//! A verified user: what every decision is made on.

use std::sync::Arc;

use super::{GroupName, KindName, TenantId, UserId, WorkspaceId};

/// What somebody may do beyond using their own workspaces.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Every principal.
    User,
    /// Sees and stops the workspaces of their own tenant.
    TenantAdmin,
    /// Runs the gateway.
    Operator,
}

/// The roles of one principal. `User` is always among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles {
    /// Administrator of their own tenant.
    pub tenant_admin: bool,
    /// Operator of the gateway.
    pub operator: bool,
}

impl Roles {
    /// Whether `role` is among these.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        match role {
            Role::User => true,
            Role::TenantAdmin => self.tenant_admin,
            Role::Operator => self.operator,
        }
    }
}

/// A verified user with tenant, groups and roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name that the directory knows them by.
    pub user: UserId,
    /// The one tenant that they belong to.
    pub tenant: TenantId,
    /// A name to greet them by; falls back to the user id.
    pub display_name: Option<Arc<str>>,
    /// Groups, sorted and without doubles.
    pub groups: Arc<[GroupName]>,
    /// What they may do beyond their own workspaces.
    pub roles: Roles,
    /// The directory or issuer that vouches for them, by its name in the configuration.
    pub source: Arc<str>,
}

impl Principal {
    /// The workspace of `kind` that belongs to this user. The only way from a person to a workspace.
    #[must_use]
    pub fn workspace(&self, kind: &KindName) -> WorkspaceId {
        WorkspaceId { tenant: self.tenant.clone(), user: self.user.clone(), kind: kind.clone() }
    }

    /// Whether they are in `group`.
    #[must_use]
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.binary_search_by(|g| g.as_str().cmp(group)).is_ok()
    }

    /// What to call them on a page.
    #[must_use]
    pub fn greeting(&self) -> &str {
        self.display_name.as_deref().unwrap_or(self.user.as_str())
    }
}
