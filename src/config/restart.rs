//! Which keys a running gateway cannot take over.

use serde_json::Value;

use super::Config;
use super::key_path::KeyPath;

/// Keys whose change needs a restart, with everything below them. Any other key is applied at once.
pub(super) const RESTART_KEYS: [&str; 9] = [
    "state_dir",
    "listen.public.address",
    "listen.public.proxy_protocol",
    "listen.redirect",
    "listen.admin",
    "listen.threads",
    "listen.handover_socket",
    "metrics.max_tenants",
    "log",
];

/// The keys that differ between two configurations and need a restart.
#[must_use]
pub fn restart_needed(old: &Config, new: &Config) -> Vec<&'static str> {
    let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) else { return Vec::new() };
    let at = |config: &Value, key: &str| KeyPath::of(key).find(config).cloned();
    RESTART_KEYS.into_iter().filter(|key| at(&old, key) != at(&new, key)).collect()
}

/// Whether a change of the key at `path` needs a restart.
pub(super) fn needs_restart(path: &KeyPath) -> bool {
    RESTART_KEYS.iter().any(|key| KeyPath::of(key).holds(path))
}
