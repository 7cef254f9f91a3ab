//! Why a start or a hold was refused before anything was done.

use crate::model::{ErrorKind, KindName, ProfileName, TenantId};

/// Why a start was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartRefused {
    /// The configuration has no such kind (any more).
    #[error("there is no workspace kind {0}")]
    UnknownKind(KindName),
    /// The kind has no such profile.
    #[error("workspace kind {kind} has no profile {profile}")]
    UnknownProfile {
        /// The kind.
        kind: KindName,
        /// What was asked for.
        profile: ProfileName,
    },
    /// The tenant may not run anything.
    #[error("tenant {0} is disabled")]
    TenantDisabled(TenantId),
    /// As many as allowed already run.
    #[error("{scope} may run {limit} workspaces at once, and {running} run")]
    Quota {
        /// Whose limit it is.
        scope: QuotaScope,
        /// The limit.
        limit: u32,
        /// How many run, starting and stopping ones included.
        running: u32,
    },
    /// The gateway is leaving.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// Whose limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuotaScope {
    /// `max_running` of the tenant.
    Tenant,
    /// `max_running_per_user`.
    User,
}

impl std::fmt::Display for QuotaScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tenant => "the tenant",
            Self::User => "one user",
        })
    }
}

impl StartRefused {
    /// What the gateway answers.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownKind(_) | Self::UnknownProfile { .. } => ErrorKind::NotFound,
            Self::TenantDisabled(_) => ErrorKind::TenantRefused,
            Self::Quota { .. } => ErrorKind::Quota,
            Self::ShuttingDown => ErrorKind::Unavailable,
        }
    }

    /// A stable name for JSON and pages' look-ups.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::UnknownKind(_) => "unknown-kind",
            Self::UnknownProfile { .. } => "unknown-profile",
            Self::TenantDisabled(_) => "tenant-disabled",
            Self::Quota { scope: QuotaScope::Tenant, .. } => "tenant-quota",
            Self::Quota { scope: QuotaScope::User, .. } => "user-quota",
            Self::ShuttingDown => "shutting-down",
        }
    }
}

/// Why a hold was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefused {
    /// It does not run.
    #[error("the workspace does not run")]
    NotRunning,
    /// The kind's `max_hold` is zero.
    #[error("this kind of workspace cannot be held")]
    NotAllowed,
    /// The time has passed already.
    #[error("the time to hold until has passed")]
    InThePast,
}
