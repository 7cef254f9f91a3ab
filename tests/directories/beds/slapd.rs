//! A real slapd in a folder of its own, and its administrator.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ldap3::{Ldap, Mod};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Authority, Town, connect, needs};
use crate::support::{eventually, within};

/// The suffix of the database.
pub(crate) const BASE: &str = "dc=example,dc=com";
/// Who searches.
pub(crate) const ADMIN_DN: &str = "cn=gateway,dc=example,dc=com";
/// Their password.
pub(crate) const ADMIN_PASSWORD: &str = "the service account's";
/// Who may change everything.
const ROOT_DN: &str = "cn=root,dc=example,dc=com";
const ROOT_PASSWORD: &str = "the administrator's";

/// sudo's classes, as far as the layout uses them; sudo's own file is in a package that nothing else here needs.
const SUDO: &str = "\
attributetype ( 1.3.6.1.4.1.15953.9.1.1 NAME 'sudoUser' EQUALITY caseExactMatch \
 SUBSTR caseExactSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.15953.9.1.2 NAME 'sudoHost' EQUALITY caseExactIA5Match \
 SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.3.6.1.4.1.15953.9.1.3 NAME 'sudoCommand' EQUALITY caseExactIA5Match \
 SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
objectclass ( 1.3.6.1.4.1.15953.9.2.1 NAME 'sudoRole' SUP top STRUCTURAL MUST cn \
 MAY ( sudoUser $ sudoHost $ sudoCommand $ description ) )
";

/// A running slapd, ended when it is dropped.
pub(crate) struct Slapd {
    folder: TempDir,
    child: Child,
    /// Where it speaks plain LDAP, and TLS after StartTLS.
    pub(crate) plain: SocketAddr,
    /// Where it speaks TLS.
    pub(crate) tls: SocketAddr,
}

impl Slapd {
    /// One with the people of `town` and a certificate for `localhost`; `None` where there is no slapd.
    pub(crate) async fn start(town: &Town, authority: &Authority) -> Option<Self> {
        Self::named(town, authority, &["localhost", "127.0.0.1"]).await
    }

    /// One with a certificate for these names.
    pub(crate) async fn named(town: &Town, authority: &Authority, names: &[&str]) -> Option<Self> {
        let (Some(slapd), Some(slapadd)) = (needs::program("slapd"), needs::program("slapadd")) else {
            return needs::skip("slapd is missing");
        };
        let folder = tempfile::tempdir().unwrap();
        authority.certify(names, folder.path());
        set_up(folder.path(), town, &slapadd);
        let (child, plain, tls) = run(folder.path(), &slapd);
        let mut bed = Self { folder, child, plain, tls };
        bed.answers().await;
        Some(bed)
    }

    /// Ends it. Its ports stay its own in so far as nobody else is likely to take them at once.
    pub(crate) fn stop(&mut self) {
        // SIGKILL: what it holds is thrown away with its folder or was written by then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after [`stop`](Self::stop), with what it held, on the same ports.
    pub(crate) async fn start_again(&mut self) {
        let slapd = needs::program("slapd").unwrap();
        self.child = spawn(self.folder.path(), &slapd, self.plain, self.tls);
        self.answers().await;
    }

    async fn answers(&mut self) {
        let mut there = async || {
            assert!(self.child.try_wait().unwrap().is_none(), "slapd ended: {}", log(self.folder.path()));
            [self.plain, self.tls].iter().all(|at| TcpStream::connect(at).is_ok()).then_some(())
        };
        eventually("slapd answers", &mut there).await;
    }

    /// A connection that may change everything.
    pub(crate) async fn administrator(&self) -> Administrator {
        let mut ldap = connect(&self.plain_url(), false).await;
        within(ldap.simple_bind(ROOT_DN, ROOT_PASSWORD)).await.unwrap().success().unwrap();
        Administrator(ldap)
    }

    /// The `ldap` part of a directory's configuration, with plain LDAP to `urls`.
    pub(crate) fn config(urls: &[String], password_file: &str) -> Value {
        json!({
            "urls": urls,
            "plaintext": urls.iter().any(|url| url.starts_with("ldap:")),
            "bind_dn": ADMIN_DN,
            "bind_password_file": password_file,
            "users": { "base": format!("ou=People,{BASE}"), "filter": "(&(objectClass=person)(uid={user}))" },
            "groups": [{ "member_of": "memberOf" }],
        })
    }

    pub(crate) fn plain_url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.plain.port())
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("ldaps://localhost:{}", self.tls.port())
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn set_up(folder: &Path, town: &Town, slapadd: &Path) {
    std::fs::create_dir(folder.join("data")).unwrap();
    std::fs::write(folder.join("sudo.schema"), SUDO).unwrap();
    std::fs::write(folder.join("slapd.conf"), conf(&folder.display().to_string())).unwrap();
    std::fs::write(folder.join("town.ldif"), town.ldif(ADMIN_DN, ADMIN_PASSWORD)).unwrap();
    let added = Command::new(slapadd)
        .args(["-q", "-f"])
        .arg(folder.join("slapd.conf"))
        .arg("-l")
        .arg(folder.join("town.ldif"))
        .output()
        .unwrap();
    assert!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
}

fn conf(folder: &str) -> String {
    let mut conf = String::new();
    for schema in ["core", "cosine", "nis", "inetorgperson"] {
        writeln!(conf, "include /etc/ldap/schema/{schema}.schema").unwrap();
    }
    writeln!(conf, "include {folder}/sudo.schema\nmodulepath /usr/lib/ldap").unwrap();
    for module in ["back_mdb", "memberof", "ppolicy", "retcode"] {
        writeln!(conf, "moduleload {module}").unwrap();
    }
    conf + &format!(
        "\
TLSCertificateFile {folder}/tls.crt
TLSCertificateKeyFile {folder}/tls.key
TLSCACertificateFile {folder}/ca.pem
threads 4
database mdb
suffix \"{BASE}\"
rootdn \"{ROOT_DN}\"
rootpw \"{ROOT_PASSWORD}\"
directory {folder}/data
maxsize 268435456
dbnosync
index objectClass,uid,cn,mail,member,uniqueMember,memberUid,sudoUser eq
limits dn.exact=\"cn=narrow,{BASE}\" size.soft=1 size.hard=1 size.prtotal=1
access to attrs=userPassword by anonymous auth by * none
access to * by * read
overlay memberof
overlay ppolicy
ppolicy_default \"cn=default,ou=Policies,{BASE}\"
ppolicy_use_lockout
overlay retcode
retcode-parent \"ou=Codes,{BASE}\"
retcode-item \"uid=referred\" 0x0a op=bind ref=ldap://127.0.0.1:1/
retcode-item \"uid=busy\" 0x33 op=bind
retcode-item \"uid=unwilling\" 0x35 op=bind
"
    )
}

/// Starts it on two free ports. Between finding a port and using it somebody else may take it, so that it is tried anew.
fn run(folder: &Path, slapd: &Path) -> (Child, SocketAddr, SocketAddr) {
    let ports = [free_port(), free_port()];
    assert_eq!(HashSet::from(ports).len(), 2);
    (spawn(folder, slapd, ports[0], ports[1]), ports[0], ports[1])
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn spawn(folder: &Path, slapd: &Path, plain: SocketAddr, tls: SocketAddr) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    Command::new(slapd)
        .args(["-d", "0", "-h", &format!("ldap://{plain} ldaps://{tls}"), "-f"])
        .arg(folder.join("slapd.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Who changes the directory while a gateway uses it.
pub(crate) struct Administrator(Ldap);

impl Administrator {
    /// Replaces all values of an attribute; none removes it.
    pub(crate) async fn set(&mut self, dn: &str, attribute: &str, values: &[&str]) {
        let values = values.iter().copied().collect();
        within(self.0.modify(dn, vec![Mod::Replace(attribute, values)])).await.unwrap().success().unwrap();
    }

    pub(crate) async fn add_value(&mut self, dn: &str, attribute: &str, value: &str) {
        within(self.0.modify(dn, vec![Mod::Add(attribute, HashSet::from([value]))])).await.unwrap().success().unwrap();
    }

    pub(crate) async fn remove_value(&mut self, dn: &str, attribute: &str, value: &str) {
        let change = vec![Mod::Delete(attribute, HashSet::from([value]))];
        within(self.0.modify(dn, change)).await.unwrap().success().unwrap();
    }

    pub(crate) async fn remove(&mut self, dn: &str) {
        within(self.0.delete(dn)).await.unwrap().success().unwrap();
    }

    /// Moves an entry to another place.
    pub(crate) async fn relocate(&mut self, dn: &str, below: &str) {
        let first = dn.split_once(',').unwrap().0;
        within(self.0.modifydn(dn, first, true, Some(below))).await.unwrap().success().unwrap();
    }
}
