//! The configuration as its users meet it: files in, findings or a `Config` out.

mod diagnostics;
mod documents;
mod ldap;
mod properties;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Loaded, Report, load};

/// The smallest configuration that loads in a [`Folder`].
pub(crate) const SMALLEST: &str = "\
public_url: https://localhost:8443
listen:
  public:
    address: 127.0.0.1:0
    tls: { certificate: certs/tls.crt, key: certs/tls.key }
session:
  keys: [ { id: k1, file: secrets/session-k1 } ]
identity:
  directories: [ { name: people, users_file: { path: secrets/users.yaml } } ]
workspaces:
  ide: { runtime: process, process: { command: [ sample, '{port}' ] } }
routes:
  - { path: /ide/, workspace: ide }
";

/// A folder with the files that a configuration names: two certificates, their keys, session keys, users.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in ["tls", "ide", "ca"] {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            folder.write(&format!("certs/{name}.crt"), made.cert.pem().as_bytes());
            folder.write(&format!("certs/{name}.key"), made.signing_key.serialize_pem().as_bytes());
        }
        for name in ["k1", "k2"] {
            let key: Vec<u8> = name.bytes().cycle().zip(0u8..32).map(|(a, b)| a.wrapping_mul(b)).collect();
            folder.write(&format!("secrets/session-{name}"), &key);
        }
        folder.write("secrets/users.yaml", b"users: []\n");
        folder.write("secrets/ldap-password", b"only for tests\n");
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn load(&self, yaml: &str) -> Result<Loaded, Report> {
        load(&self.write("usher.yaml", yaml.as_bytes()))
    }
}

/// The smallest configuration, without its files.
pub(super) fn smallest() -> super::Config {
    serde_json::from_value(super::document::Document::parse(SMALLEST).value).unwrap()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
