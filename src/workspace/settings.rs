//! What the configuration says about workspaces, looked up by typed names.

use std::collections::HashMap;
use std::sync::Arc;

use super::refused::StartRefused;
use crate::config::{Config, Shutdown, Tenant, Tenants, WorkspaceKind};
use crate::model::{KindName, ProfileName, TenantId, WorkspaceId};
use crate::runtime::StartOrder;

/// One configuration's part for workspaces.
#[derive(Debug)]
pub(super) struct Settings {
    kinds: HashMap<KindName, Arc<WorkspaceKind>>,
    tenants: Tenants,
    pub(super) shutdown: Shutdown,
}

impl Settings {
    /// From a configuration that was checked: names in it are valid.
    pub(super) fn new(config: &Config) -> Self {
        let kinds = config
            .workspaces
            .iter()
            .filter_map(|(name, kind)| Some((KindName::new(name).ok()?, Arc::new(kind.clone()))))
            .collect();
        Self { kinds, tenants: config.tenants.clone(), shutdown: config.shutdown.clone() }
    }

    pub(super) fn kind(&self, name: &KindName) -> Option<&Arc<WorkspaceKind>> {
        self.kinds.get(name)
    }

    pub(super) fn tenant(&self, tenant: &TenantId) -> Tenant {
        self.tenants.resolve(tenant.as_str())
    }

    /// Whether `id` may (still) run.
    pub(super) fn permits(&self, id: &WorkspaceId) -> Result<&Arc<WorkspaceKind>, StartRefused> {
        let kind = self.kind(&id.kind).ok_or_else(|| StartRefused::UnknownKind(id.kind.clone()))?;
        if self.tenant(&id.tenant).disabled == Some(true) {
            return Err(StartRefused::TenantDisabled(id.tenant.clone()));
        }
        Ok(kind)
    }

    /// The order that starts `id` with the profile that was asked for, else the last one if there still is one
    /// of that name, else the first.
    pub(super) fn order(
        &self,
        id: &WorkspaceId,
        asked: Option<ProfileName>,
        last: Option<ProfileName>,
    ) -> Result<StartOrder, StartRefused> {
        let kind = self.permits(id)?;
        let has = |profile: &ProfileName| kind.profiles.contains_key(profile.as_str());
        let profile = match asked {
            Some(profile) if !has(&profile) => {
                return Err(StartRefused::UnknownProfile { kind: id.kind.clone(), profile });
            }
            Some(profile) => Some(profile),
            None => last.filter(has).or_else(|| first_profile(kind)),
        };
        Ok(StartOrder { workspace: id.clone(), profile, kind: kind.clone() })
    }
}

fn first_profile(kind: &WorkspaceKind) -> Option<ProfileName> {
    kind.profiles.keys().next().and_then(|name| ProfileName::new(name).ok())
}
