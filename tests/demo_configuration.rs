//! The demo's templates, filled in as `./dev demo` does, pass the check without a finding.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use usher::config;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn template(name: &str) -> String {
    std::fs::read_to_string(root().join("deploy/demo").join(name)).unwrap()
}

fn write_private(folder: &Path, name: &str, contents: impl AsRef<[u8]>) {
    let file = folder.join(name);
    std::fs::write(&file, contents).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

/// A folder with all that the demo's configuration names, and the configuration for one kind of workspace.
fn demo(workspace: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::create_dir(folder.path().join("certs")).unwrap();
    write_private(folder.path(), "certs/tls.crt", certificate.cert.pem());
    write_private(folder.path(), "certs/tls.key", certificate.signing_key.serialize_pem());
    write_private(folder.path(), "session.key", (0u8..32).map(|at| at.wrapping_mul(151)).collect::<Vec<_>>());
    write_private(folder.path(), "users.yaml", "users: []\n");
    let values = [
        ("PORT", "8443"),
        ("REDIRECT_PORT", "8080"),
        ("ADMIN_PORT", "9090"),
        ("USHER", "/usr/bin/usher"),
        ("NODE", "/usr/bin/node"),
        ("THEIA", "/opt/theia"),
    ];
    let mut text = template("usher.yaml.in") + &template(&format!("workspace-{workspace}.yaml.in"));
    for (key, value) in values {
        text = text.replace(&format!("@{key}@"), value);
    }
    write_private(folder.path(), "usher.yaml", text);
    folder
}

fn findings(workspace: &str) -> String {
    let folder = demo(workspace);
    match config::load(&folder.path().join("usher.yaml")) {
        Ok(loaded) => loaded.warnings.iter().map(|warning| format!("{warning:?}\n")).collect(),
        Err(report) => report.to_string(),
    }
}

#[test]
fn the_demo_with_the_sample_workspace_passes_the_check() {
    assert_eq!(findings("sample"), "");
}

#[test]
fn the_demo_with_theia_passes_the_check() {
    assert_eq!(findings("theia"), "");
}
