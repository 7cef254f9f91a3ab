//! `tenants`: limits that agree with each other.

use super::{Checks, Draft, KeyPath};

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    for (id, tenant) in &draft.tenants {
        if let (Some(all), Some(each)) = (tenant.max_running, tenant.max_running_per_user)
            && each > all
        {
            let path = KeyPath::of("tenants").key(id).key("max_running_per_user");
            checks.warning(&path, format!("is more than max_running ({all}) allows all users together"));
        }
    }
}
