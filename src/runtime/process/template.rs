//! The command template: what stands in braces is replaced, once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::{Profile, WorkspaceKind};
use crate::model::WorkspaceId;

/// The values for one start.
#[derive(Debug)]
pub(super) struct Values<'a> {
    pub(super) workspace: &'a WorkspaceId,
    pub(super) profile: &'a str,
    pub(super) port: u16,
    pub(super) home: &'a Path,
}

impl Values<'_> {
    /// `text` with everything replaced. Values are not looked into again, whatever a user is called.
    pub(super) fn fill(&self, text: &str) -> String {
        replace(text, |name| match name {
            "port" => Some(self.port.to_string()),
            "user" => Some(self.workspace.user.to_string()),
            "tenant" => Some(self.workspace.tenant.to_string()),
            "workspace" => Some(self.workspace.label()),
            "profile" => Some(self.profile.to_owned()),
            "home" => Some(self.home.to_string_lossy().into_owned()),
            _ => None,
        })
    }

    /// The whole environment of the process: what is passed on, then the kind's, then the profile's.
    pub(super) fn environment(
        &self,
        kind: &WorkspaceKind,
        passed: impl Iterator<Item = (String, String)>,
    ) -> BTreeMap<String, String> {
        let mut environment: BTreeMap<_, _> = passed.collect();
        environment.insert("HOME".to_owned(), self.home.to_string_lossy().into_owned());
        let profile: Option<&Profile> = kind.profiles.get(self.profile);
        let own = kind.process.iter().flat_map(|process| &process.environment);
        for (name, value) in own.chain(profile.iter().flat_map(|profile| &profile.environment)) {
            environment.insert(name.clone(), self.fill(value));
        }
        environment
    }
}

/// The home of a workspace: the kind's, or one of its own under `state_dir`. In a kind's, `{state_dir}`, `{workspace}`
/// and `{tenant}` are replaced; a user's name is not, as it may hold a path.
pub(super) fn home(configured: Option<&str>, state_dir: &Path, id: &WorkspaceId) -> PathBuf {
    match configured {
        None => state_dir.join("homes").join(id.label()),
        Some(text) => PathBuf::from(replace(text, |name| match name {
            "state_dir" => Some(state_dir.to_string_lossy().into_owned()),
            "workspace" => Some(id.label()),
            "tenant" => Some(id.tenant.to_string()),
            _ => None,
        })),
    }
}

/// Replaces each `{name}` that has a value; what has none stays as it is.
fn replace(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let known = after.split_once('}').and_then(|(name, after)| Some((value(name)?, after)));
        match known {
            Some((value, after)) => {
                out.push_str(&value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KindName, TenantId, UserId};

    fn id(user: &str) -> WorkspaceId {
        WorkspaceId {
            tenant: TenantId::new("acme").expect("test tenant"),
            user: UserId::new(user).expect("test user"),
            kind: KindName::new("ide").expect("test kind"),
        }
    }

    #[test]
    fn every_name_is_replaced_once_and_nothing_else_is() {
        let workspace = id("{port}");
        let values = Values { workspace: &workspace, profile: "small", port: 4711, home: Path::new("/h") };
        assert_eq!(values.fill("{user} {tenant} {port} {profile} {home}"), "{port} acme 4711 small /h");
        assert_eq!(values.fill("{workspace}"), workspace.label());
        for text in ["", "plain", "{", "}", "{}", "{unknown}", "{{", "a{b", "{\"json\": {}}"] {
            assert_eq!(values.fill(text), text);
        }
        assert_eq!(values.fill("{{port}}"), "{4711}");
    }

    #[test]
    fn a_users_name_cannot_lead_out_of_the_folder_of_homes() {
        let workspace = id("../../root");
        let home = home(None, Path::new("/state"), &workspace);
        assert_eq!(home.parent(), Some(Path::new("/state/homes")));
        assert_eq!(super::home(Some("/srv/{user}"), Path::new("/state"), &workspace), Path::new("/srv/{user}"));
    }

    #[test]
    fn the_documented_default_of_a_home_is_the_default() {
        let workspace = id("ada");
        let written = home(Some("{state_dir}/homes/{workspace}"), Path::new("/state"), &workspace);
        assert_eq!(written, home(None, Path::new("/state"), &workspace));
        let by_tenant = home(Some("/srv/{tenant}/{workspace}"), Path::new("/state"), &workspace);
        assert_eq!(by_tenant, Path::new("/srv/acme").join(workspace.label()));
    }

    #[test]
    fn every_placeholder_that_a_home_may_hold_is_replaced() {
        for name in crate::config::ProcessSettings::HOME_PLACEHOLDERS {
            let home = home(Some(&format!("/srv/{{{name}}}")), Path::new("/state"), &id("ada"));
            assert!(!home.to_string_lossy().contains('{'), "{name}: {}", home.display());
        }
    }
}
