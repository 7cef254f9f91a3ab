//! A real Active Directory domain controller: Samba's, in a network namespace of its own, as its ports are fixed.
//!
//! One serves all tests of this process: it takes seconds to be set up. It ends when its standard input does, which is
//! a pipe that this process holds, so that nothing is left of it however the tests end.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc;

use ldap3::{Ldap, Mod};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::{Duration, timeout};

use super::{Authority, Relay, Target, connect, needs};
use crate::support::{PASSWORD, eventually};

/// The domain, and what everything in it stands under.
pub(crate) const DOMAIN: &str = "DC=corp,DC=example";
/// Who may do everything.
pub(crate) const ADMINISTRATOR: &str = "administrator@corp.example";
/// Their password.
pub(crate) const ADMINISTRATOR_PASSWORD: &str = "Administrators-1";
/// A domain is made in some six seconds, and in many more on a machine that is busy.
const SET_UP: Duration = Duration::from_secs(120);

/// An account that needs no change of its password, although passwords here are too old at once.
const NORMAL: &str = "66048";
/// Somebody: name, `userAccountControl`, further attributes. As all tests share them, who is changed by one is only its own.
type Person = (&'static str, &'static str, &'static [(&'static str, &'static [u8])]);

const PEOPLE: &[Person] = &[
    ("ada", NORMAL, &[("department", b"acme")]),
    ("bob", NORMAL, &[("department", b"acme")]),
    ("eve", NORMAL, &[]),
    ("disabled", "66050", &[]),
    ("guessed", NORMAL, &[]),
    ("mistaken", NORMAL, &[]),
    ("leaver", NORMAL, &[]),
    // 1970-01-01.
    ("expired", NORMAL, &[("accountExpires", b"116444736000000000")]),
    ("fresh", "512", &[("pwdLastSet", b"0")]),
    ("aged", "512", &[]),
    ("offhours", NORMAL, &[("logonHours", &[0; 21])]),
];
/// Groups with their members; groups may be members as well.
const GROUPS: &[(&str, &[&str])] = &[
    ("compilers", &["ada"]),
    ("engineering", &["compilers"]),
    (
        "tenant-acme",
        &["engineering", "bob", "disabled", "guessed", "mistaken", "leaver", "expired", "fresh", "aged", "offhours"],
    ),
    ("tenant-globex", &["eve"]),
    ("socasudoadminsgroup", &["ada"]),
];

/// A running domain controller.
pub(crate) struct Samba {
    pub(crate) authority: Authority,
    pub(crate) namespace: Arc<Namespace>,
    folder: PathBuf,
    _child: Child,
}

impl Samba {
    /// The one of this process; `None` where there can be none.
    pub(crate) async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Samba>> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await.as_ref()
    }

    async fn start() -> Option<Self> {
        for (name, package) in
            [("samba", "samba"), ("samba-tool", "samba"), ("ip", "iproute2"), ("unshare", "util-linux")]
        {
            if needs::program(name).is_none() {
                return needs::skip(&format!("{name} (package {package}) is missing"));
            }
        }
        if !in_a_namespace("true").status().await.is_ok_and(|status| status.success()) {
            return needs::skip("a network namespace for Samba cannot be made, which takes root");
        }
        let (temporary, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let folder = temporary.path().to_owned();
        provision(&folder).await;
        authority.certify(&["localhost", "127.0.0.1", "dc1.corp.example"], &folder);
        std::fs::write(folder.join("etc/smb.conf"), conf(&folder.display().to_string())).unwrap();
        // What is shared by all tests is never dropped, so that its folder goes with the process and not with us.
        let script = format!("samba -i -M single -s {0}/etc/smb.conf; rm -rf {0}", temporary.keep().display());
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut child = in_a_namespace(&script);
        child.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        // Not tokio's: it must outlive the runtime of the first test.
        let child = child.as_std_mut().spawn().unwrap();
        let namespace = Arc::new(Namespace::of(child.id()).await);
        let bed = Self { authority, namespace, folder, _child: child };
        let there = async || bed.namespace.connect(636).await.is_ok().then_some(());
        eventually("Samba answers", there).await;
        bed.settle().await;
        Some(bed)
    }

    /// A relay to its port 389, or 636.
    pub(crate) async fn relay(&self, port: u16) -> Relay {
        Relay::start(Target::Within(self.namespace.clone(), port)).await
    }

    /// Who may change everything, and the relay that their connection needs.
    pub(crate) async fn administrator(&self) -> Administrator {
        let relay = self.relay(389).await;
        let url = format!("ldap://127.0.0.1:{}", relay.port);
        let mut ldap = connect(&url, true).await;
        ldap.simple_bind(ADMINISTRATOR, ADMINISTRATOR_PASSWORD).await.unwrap().success().unwrap();
        Administrator { ldap, _relay: relay }
    }

    /// Brings its people in.
    async fn settle(&self) {
        let mut administrator = self.administrator().await;
        // Any password will do, none may be tried for long, and those that may become too old do so within a day.
        let policy =
            [("pwdProperties", "0"), ("minPwdAge", "0"), ("maxPwdAge", "-864000000001"), ("lockoutThreshold", "3")];
        for (attribute, value) in policy {
            administrator.set(DOMAIN, attribute, &[value.as_bytes()]).await;
        }
        for unit in ["OU=CORP", "OU=Users,OU=CORP", "OU=Groups,OU=CORP"] {
            administrator.add(&format!("{unit},{DOMAIN}"), &[("objectClass", b"organizationalUnit")]).await;
        }
        for (name, control, more) in PEOPLE {
            let password = encoded(PASSWORD);
            let mut lines = vec![("objectClass", b"user".as_slice()), ("sAMAccountName", name.as_bytes())];
            let principal = format!("{name}@corp.example");
            lines.extend([("userPrincipalName", principal.as_bytes()), ("unicodePwd", &password)]);
            lines.push(("userAccountControl", control.as_bytes()));
            lines.extend(*more);
            administrator.add(&ad_dn_of(name), &lines).await;
        }
        for (name, members) in GROUPS {
            let members: Vec<String> = members.iter().map(|member| ad_dn_of(member)).collect();
            let mut lines = vec![("objectClass", b"group".as_slice()), ("sAMAccountName", name.as_bytes())];
            lines.extend(members.iter().map(|member| ("member", member.as_bytes())));
            administrator.add(&ad_dn_of(name), &lines).await;
        }
        self.age("aged").await;
    }

    /// Has somebody's password be set years ago. No client can; only who has the files.
    async fn age(&self, user: &str) {
        let (folder, dn) = (self.folder.display(), ad_dn_of(user));
        let script = format!(
            "\
import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
parameters = LoadParm()
parameters.load('{folder}/etc/smb.conf')
database = SamDB('{folder}/private/sam.ldb', session_info=system_session(), lp=parameters)
change = ldb.Message(ldb.Dn(database, '{dn}'))
change['at'] = ldb.MessageElement('132223104000000000', ldb.FLAG_MOD_REPLACE, 'pwdLastSet')
database.modify(change, ['local_oid:1.3.6.1.4.1.7165.4.3.20:0'])
"
        );
        // The system's own Python is the one that has Samba's modules.
        let done = Command::new("/usr/bin/python3").args(["-c", &script]).output().await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// The distinguished name of one of its people or groups.
pub(crate) fn ad_dn_of(name: &str) -> String {
    let unit = if GROUPS.iter().any(|(group, _)| *group == name) { "Groups" } else { "Users" };
    format!("CN={name},OU={unit},OU=CORP,{DOMAIN}")
}

/// Passwords are set in quotes and UTF-16.
fn encoded(password: &str) -> Vec<u8> {
    format!("\"{password}\"").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A shell's script in a network namespace that nobody else is in.
fn in_a_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sh", "-c", &format!("ip link set lo up || exit 1; {script}")]);
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

async fn provision(folder: &Path) {
    let log = std::fs::File::create(folder.join("provision.log")).unwrap();
    let script = format!(
        "exec samba-tool domain provision --targetdir={} --realm=CORP.EXAMPLE --domain=CORP --server-role=dc \
         --adminpass={ADMINISTRATOR_PASSWORD} --dns-backend=NONE --host-name=dc1 --host-ip=127.0.0.1 \
         --option='interfaces=lo' --option='bind interfaces only=yes'",
        folder.display()
    );
    let mut command = in_a_namespace(&script);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let status = timeout(SET_UP, command.status()).await.expect("a domain is made in time").unwrap();
    let log = || std::fs::read_to_string(folder.join("provision.log")).unwrap_or_default();
    assert!(status.success(), "samba-tool: {}", log());
}

/// Only what serves LDAP. Simple binds need TLS, as Active Directory can be set to demand.
fn conf(folder: &str) -> String {
    format!(
        "\
[global]
netbios name = DC1
realm = CORP.EXAMPLE
workgroup = CORP
server role = active directory domain controller
server services = ldap
interfaces = lo
bind interfaces only = yes
private dir = {folder}/private
lock directory = {folder}
state directory = {folder}/state
cache directory = {folder}/cache
binddns dir = {folder}/bind-dns
pid directory = {folder}
ncalrpc dir = {folder}/ncalrpc
ntp signd socket directory = {folder}/ntp
winbindd socket directory = {folder}/winbindd
log file = {folder}/samba.log
ldap server require strong auth = allow_sasl_over_tls
tls enabled = yes
tls certfile = {folder}/tls.crt
tls keyfile = {folder}/tls.key
tls cafile = {folder}/ca.pem
"
    )
}

/// Who changes the domain.
pub(crate) struct Administrator {
    ldap: Ldap,
    _relay: Relay,
}

impl Administrator {
    /// Replaces all values of an attribute.
    pub(crate) async fn set(&mut self, dn: &str, attribute: &str, values: &[&[u8]]) {
        let values: HashSet<&[u8]> = values.iter().copied().collect();
        let change = vec![Mod::Replace(attribute.as_bytes(), values)];
        self.ldap.modify(dn, change).await.unwrap().success().unwrap();
    }

    async fn add(&mut self, dn: &str, lines: &[(&str, &[u8])]) {
        let mut attributes: Vec<(&[u8], HashSet<&[u8]>)> = Vec::new();
        for (name, value) in lines {
            match attributes.iter_mut().find(|(known, _)| *known == name.as_bytes()) {
                Some((_, values)) => _ = values.insert(value),
                None => attributes.push((name.as_bytes(), HashSet::from([*value]))),
            }
        }
        self.ldap.add(dn, attributes).await.unwrap().success().unwrap();
    }
}

/// A thread that is in another network namespace, where it opens connections for those who are not.
pub(crate) struct Namespace(mpsc::Sender<(u16, oneshot::Sender<std::io::Result<std::net::TcpStream>>)>);

impl Namespace {
    /// That of a process which is about to leave ours.
    async fn of(pid: u32) -> Self {
        let (ours, theirs) = ("/proc/self/ns/net", format!("/proc/{pid}/ns/net"));
        let left = async || {
            let found = std::fs::read_link(&theirs).ok()?;
            (found != std::fs::read_link(ours).unwrap()).then_some(())
        };
        eventually("it is in a namespace of its own", left).await;
        let file = std::fs::File::open(theirs).unwrap();
        let (send, wishes) = mpsc::channel::<(u16, oneshot::Sender<_>)>();
        std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            for (port, answer) in wishes {
                let _ = answer.send(std::net::TcpStream::connect(("127.0.0.1", port)));
            }
        });
        Self(send)
    }

    pub(super) async fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        let (send, answer) = oneshot::channel();
        self.0.send((port, send)).map_err(std::io::Error::other)?;
        let stream = answer.await.map_err(std::io::Error::other)??;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }
}
