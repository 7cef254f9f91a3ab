//! The state folder: one gateway at a time, and a home under it as it is documented.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use usher::app::{App, Options, StartError};
use usher::config;

fn write_private(folder: &Path, name: &str, contents: impl AsRef<[u8]>) {
    let file = folder.join(name);
    std::fs::write(&file, contents).expect("writes");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("is ours");
}

/// A folder with a configuration that can be started with, and its path.
fn site(home: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("can be made");
    write_private(folder.path(), "tls.crt", certificate.cert.pem());
    write_private(folder.path(), "tls.key", certificate.signing_key.serialize_pem());
    write_private(folder.path(), "session.key", (0u8..32).map(|at| at.wrapping_mul(151)).collect::<Vec<_>>());
    write_private(folder.path(), "users.yaml", "users: []\n");
    let text = json!({
        "public_url": "https://localhost",
        "listen": {
            "public": { "address": "127.0.0.1:0", "tls": { "certificate": "tls.crt", "key": "tls.key" } },
            "admin": { "address": "127.0.0.1:0" },
        },
        "session": { "keys": [ { "id": "k1", "file": "session.key" } ] },
        "identity": { "directories": [ { "name": "users", "users_file": { "path": "users.yaml" } } ] },
        "workspaces": { "ide": { "runtime": "process", "process": { "command": ["true", "{port}"], "home": home } } },
        "routes": [ { "path": "/ide/", "workspace": "ide" } ],
    });
    write_private(folder.path(), "usher.yaml", text.to_string());
    let path = folder.path().join("usher.yaml");
    (folder, path)
}

fn start(path: &Path) -> Result<App, StartError> {
    let loaded = config::load(path).unwrap_or_else(|report| panic!("{report}"));
    App::build(path.to_owned(), loaded, Options::default())
}

#[test]
fn a_second_gateway_on_the_same_state_does_not_start() {
    let (_folder, path) = site("{state_dir}/homes/{workspace}");
    let first = start(&path).unwrap_or_else(|error| panic!("{error}"));
    let second = start(&path).map(drop);
    assert!(matches!(second, Err(StartError::StateInUse(_))), "{second:?}");
    drop(first);
    start(&path).map(drop).expect("is free again");
}

#[test]
fn a_home_that_begins_with_a_name_is_relative_to_the_configuration() {
    for (written, expected) in [("{tenant}/{workspace}", true), ("{state_dir}/{workspace}", false)] {
        let (folder, path) = site(written);
        let loaded = config::load(&path).unwrap_or_else(|report| panic!("{report}"));
        let process = loaded.config.workspaces["ide"].process.clone().expect("is there");
        let home = process.home.expect("is there");
        assert_eq!(Path::new(&home).starts_with(folder.path()), expected, "{home}");
    }
}
