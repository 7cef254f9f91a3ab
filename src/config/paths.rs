//! Paths in the YAML are relative to its folder; in a loaded [`Config`] they are absolute.

use std::path::{Component, Path, PathBuf};

use super::{Config, WorkspaceKind};

/// The absolute folder that a YAML file stands in.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    absolute.parent().map(Path::to_owned).unwrap_or_default()
}

/// A path of the YAML, made absolute. Symbolic links are kept: what they point to may change.
pub(super) fn absolute(folder: &Path, path: &str) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in folder.join(path).components() {
        if component != Component::CurDir {
            plain.push(component);
        }
    }
    plain
}

/// Makes every path of `config` absolute.
pub(super) fn make_absolute(config: &mut Config, folder: &Path) {
    let fix = |path: &mut String| *path = absolute(folder, path).to_string_lossy().into_owned();
    fix(&mut config.state_dir);
    let tls = &mut config.listen.public.tls;
    fix(&mut tls.certificate);
    fix(&mut tls.key);
    for pair in &mut tls.additional {
        fix(&mut pair.certificate);
        fix(&mut pair.key);
    }
    config.listen.handover_socket.iter_mut().for_each(fix);
    config.upstream.ca_file.iter_mut().for_each(fix);
    config.log.audit_file.iter_mut().for_each(fix);
    config.session.keys.iter_mut().for_each(|key| fix(&mut key.file));
    config.assertion.keys.iter_mut().for_each(|key| fix(&mut key.file));
    let users_files = config.identity.directories.iter_mut().filter_map(|directory| directory.users_file.as_mut());
    users_files.for_each(|users_file| fix(&mut users_file.path));
    for keys in config.identity.tokens.iter_mut().map(|issuer| &mut issuer.keys) {
        let files = [&mut keys.set_file, &mut keys.public_key_file, &mut keys.secret_file, &mut keys.ca_file];
        files.into_iter().flatten().for_each(fix);
    }
    for ldap in config.identity.directories.iter_mut().filter_map(|directory| directory.ldap.as_mut()) {
        ldap.ca_file.iter_mut().for_each(fix);
        ldap.bind_password_file.iter_mut().for_each(fix);
    }
    config.workspaces.values_mut().for_each(|kind| make_kind_absolute(kind, &fix));
}

fn make_kind_absolute(kind: &mut WorkspaceKind, fix: &impl Fn(&mut String)) {
    let Some(process) = &mut kind.process else { return };
    // The state folder is absolute once it is filled in; the other placeholders are names.
    process.home.iter_mut().filter(|home| !home.starts_with("{state_dir}")).for_each(fix);
    // A bare name is looked up in PATH.
    process.command.first_mut().filter(|program| program.starts_with("./") || program.starts_with("../")).map(fix);
}
