//! The folder of a gateway: configuration, users, keys, certificates, state.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process_group};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tempfile::TempDir;
use usher::config::{self, Loaded};
use usher::edge::install_crypto_provider;
use usher::identity::{Password, hash_password};
use usher::model::{KindName, TenantId, UserId, WorkspaceId};

use super::is_alive;

/// The host of `public_url`. Browsers here ask for it wherever the gateway listens.
pub(crate) const HOST: &str = "dev.example.com";
/// Everybody's password.
pub(crate) const PASSWORD: &str = "a password that must not be logged";

/// One gateway's folder. Removed with everything that it has started.
pub(crate) struct Site {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    roots: Vec<CertificateDer<'static>>,
    config: Value,
    users: Vec<Value>,
}

/// A kind of workspace that runs the sample and does nothing by itself.
pub(crate) fn sample() -> Value {
    kind(&[env!("CARGO_BIN_EXE_usher"), "sample-workspace", "--port", "{port}"])
}

/// The same, but it comes up only when there is a file `go` in its home.
pub(crate) fn hold_until_told() -> Value {
    let script = "until [ -e \"$HOME/go\" ]; do sleep 0.02; done; exec \"$0\" sample-workspace --port \"$1\"";
    kind(&["sh", "-c", script, env!("CARGO_BIN_EXE_usher"), "{port}"])
}

fn kind(command: &[&str]) -> Value {
    json!({
        "runtime": "process",
        "process": { "command": command, "readiness": { "http_path": "/", "interval": "20ms" }, "stop_grace": "3s" },
        "hold": "5s",
    })
}

impl Site {
    /// Two tenants, with ada and bob in one and eve in the other, and a route `/ide/` to the sample workspace.
    pub(crate) fn new() -> Self {
        install_crypto_provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let (folder, roots) = (tempfile::tempdir().unwrap(), vec![issuer.der().clone()]);
        let mut site = Self { folder, issuer, roots, config: first_config(), users: Vec::new() };
        site.certificate(&[HOST]);
        site.session_key("k1", 0);
        site.user("ada", "acme", &["devs"]);
        site.user("bob", "acme", &["devs"]);
        site.user("eve", "globex", &["devs"]);
        site.write();
        site
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.file("usher.yaml")
    }

    /// Sets the key at `path`, for instance `shutdown.deadline`. [`Self::write`] makes it known.
    pub(crate) fn set(&mut self, path: &str, value: Value) -> &mut Self {
        let (above, key) = path.rsplit_once('.').unwrap_or(("", path));
        let place = above.split('.').filter(|key| !key.is_empty()).fold(&mut self.config, |at, key| &mut at[key]);
        place[key] = value;
        self
    }

    pub(crate) fn write(&self) {
        self.put("usher.yaml", &format!("{:#}", self.config));
    }

    /// Adds a user, or gives one other groups.
    pub(crate) fn user(&mut self, name: &str, tenant: &str, groups: &[&str]) {
        self.users.retain(|user| user["name"] != name);
        self.users.push(json!({ "name": name, "tenant": tenant, "password": hash(), "groups": groups }));
        self.write_users();
    }

    pub(crate) fn remove_user(&mut self, name: &str) {
        self.users.retain(|user| user["name"] != name);
        self.write_users();
    }

    fn write_users(&self) {
        self.put("users.yaml", &format!("{:#}", json!({ "users": self.users })));
    }

    /// A new certificate for `names` in the place of the old one.
    pub(crate) fn certificate(&self, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        self.put("tls.crt", &certificate.pem());
        self.put("tls.key", &key.serialize_pem());
    }

    /// A session key that depends on `seed`.
    pub(crate) fn session_key(&self, name: &str, seed: u8) {
        let key: Vec<u8> = (0..32_u8).map(|at| at.wrapping_mul(151).wrapping_add(seed)).collect();
        self.put_bytes(name, &key);
    }

    /// Puts a file in place as an editor does: whole, by a rename.
    pub(crate) fn put(&self, name: &str, text: &str) {
        self.put_bytes(name, text.as_bytes());
    }

    fn put_bytes(&self, name: &str, bytes: &[u8]) {
        let fresh = self.file(&format!("{name}.fresh"));
        std::fs::write(&fresh, bytes).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(fresh, self.file(name)).unwrap();
    }

    /// What browsers trust.
    pub(crate) fn roots(&self) -> Arc<rustls::RootCertStore> {
        let mut roots = rustls::RootCertStore::empty();
        self.roots.iter().for_each(|root| roots.add(root.clone()).unwrap());
        Arc::new(roots)
    }

    /// Has browsers trust another authority as well.
    pub(crate) fn trust(&mut self, file: &str) {
        self.roots.push(CertificateDer::from_pem_file(self.file(file)).unwrap());
    }

    /// The home of a workspace.
    pub(crate) fn home(&self, tenant: &str, user: &str, kind: &str) -> PathBuf {
        let workspace = WorkspaceId {
            tenant: TenantId::new(tenant).unwrap(),
            user: UserId::new(user).unwrap(),
            kind: KindName::new(kind).unwrap(),
        };
        self.file("state/homes").join(workspace.label())
    }

    /// The processes of workspaces that are on record.
    pub(crate) fn workspace_processes(&self) -> Vec<i32> {
        let Ok(entries) = std::fs::read_dir(self.file("state/processes")) else { return Vec::new() };
        let pid = |path: PathBuf| {
            let record: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            i32::try_from(record["pid"].as_i64()?).ok()
        };
        entries.filter_map(|entry| pid(entry.unwrap().path())).collect()
    }
}

/// What a test that failed has left running ends with it.
impl Drop for Site {
    fn drop(&mut self) {
        for pid in self.workspace_processes().into_iter().filter(|pid| is_alive(*pid)) {
            let _ = kill_process_group(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

pub(super) fn load(path: &Path) -> Loaded {
    config::check(path).unwrap_or_else(|report| panic!("{report}"))
}

fn first_config() -> Value {
    json!({
        "public_url": format!("https://{HOST}"),
        "state_dir": "state",
        "listen": {
            "public": { "address": "127.0.0.1:0", "tls": { "certificate": "tls.crt", "key": "tls.key" } },
            "admin": { "address": "127.0.0.1:0" },
            "threads": 2,
        },
        "session": { "keys": [ { "id": "k1", "file": "k1" } ] },
        "identity": { "directories": [ { "name": "people", "users_file": { "path": "users.yaml" } } ] },
        "tenants": { "acme": {}, "globex": {} },
        "workspaces": { "ide": sample() },
        "routes": [ { "path": "/ide/", "workspace": "ide" } ],
        "shutdown": { "drain_delay": "0s", "nudge_window": "0s", "deadline": "10s" },
    })
}

/// The hash of everybody's password, made once, as that takes its time.
fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_password(&Password::new(PASSWORD.to_owned()).unwrap()))
}
