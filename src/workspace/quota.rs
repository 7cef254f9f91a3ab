//! How many workspaces may run at once, of a tenant and of a user.

use super::refused::{QuotaScope, StartRefused};
use crate::config::Tenant;
use crate::model::WorkspaceId;

/// Whether one more workspace may run beside those in `running`.
///
/// # Errors
/// Returns an error that names the limit that is reached; the user's own comes first, as they can do something about it.
pub(super) fn check<'a>(
    id: &WorkspaceId,
    tenant: &Tenant,
    running: impl Iterator<Item = &'a WorkspaceId>,
) -> Result<(), StartRefused> {
    let (mut of_tenant, mut of_user) = (0_u32, 0_u32);
    for other in running.filter(|other| other.tenant == id.tenant && *other != id) {
        of_tenant += 1;
        of_user += u32::from(other.user == id.user);
    }
    within(QuotaScope::User, tenant.max_running_per_user, of_user)?;
    within(QuotaScope::Tenant, tenant.max_running, of_tenant)
}

fn within(scope: QuotaScope, limit: Option<u32>, running: u32) -> Result<(), StartRefused> {
    match limit {
        Some(limit) if running >= limit => Err(StartRefused::Quota { scope, limit, running }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KindName, TenantId, UserId};

    fn id(tenant: &str, user: &str, kind: &str) -> WorkspaceId {
        WorkspaceId {
            tenant: TenantId::new(tenant).expect("test tenant"),
            user: UserId::new(user).expect("test user"),
            kind: KindName::new(kind).expect("test kind"),
        }
    }

    #[test]
    fn limits_count_their_own_tenant_and_user_only() {
        let running = [id("acme", "ada", "ide"), id("acme", "bob", "ide"), id("globex", "ada", "ide")];
        let tenant =
            |max_running, max_running_per_user| Tenant { max_running, max_running_per_user, ..Tenant::default() };
        let check = |tenant: Tenant| check(&id("acme", "ada", "desktop"), &tenant, running.iter());
        assert_eq!(check(tenant(None, None)), Ok(()));
        assert_eq!(check(tenant(Some(3), Some(2))), Ok(()));
        let refused = |scope, limit, running| Err(StartRefused::Quota { scope, limit, running });
        assert_eq!(check(tenant(Some(2), Some(2))), refused(QuotaScope::Tenant, 2, 2));
        assert_eq!(check(tenant(Some(2), Some(1))), refused(QuotaScope::User, 1, 1));
    }

    #[test]
    fn a_workspace_that_is_tracked_already_does_not_stand_in_its_own_way() {
        let own = id("acme", "ada", "ide");
        let tenant = Tenant { max_running: Some(1), ..Tenant::default() };
        assert_eq!(check(&own, &tenant, [own.clone()].iter()), Ok(()));
    }
}
