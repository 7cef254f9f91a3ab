//! The gateway under test: a real one, with everything that it needs in a folder of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use usher::app::{Addresses, App, Options};
use usher::edge::{Drain, Stop};

use super::client::{Answer, Client, Http2, request};
use super::message::{Framing, Wire};
use super::{Upstream, within};

/// The public host as browsers write it. The port is the one of the configured address, not the one in use.
pub(crate) const HOST: &str = "dev.example.com:8443";
/// The public origin.
pub(crate) const ORIGIN: &str = "https://dev.example.com:8443";
/// Everybody's password.
const PASSWORD: &str = "correct horse";
/// Its hash, as `usher hash-password` makes it.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$BAwt5eTD7zAigeO54pkL0Q$ODroVBmKQlASi2cumBKhaZwi+elgDiCO00pLCW7fJa8";

/// What a gateway is started with.
pub(crate) struct Setup {
    public_url: String,
    routes: Vec<String>,
    identity: String,
    files: Vec<(String, String)>,
    more: String,
}

/// A gateway that serves until it is dropped.
pub(crate) struct Gateway {
    pub(crate) addresses: Addresses,
    client: Arc<rustls::ClientConfig>,
    client2: Arc<rustls::ClientConfig>,
    drain: Drain,
    thread: Option<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            public_url: ORIGIN.to_owned(),
            routes: Vec::new(),
            identity: String::new(),
            files: Vec::new(),
            more: String::new(),
        }
    }

    pub(crate) fn public_url(self, url: &str) -> Self {
        Self { public_url: url.to_owned(), ..self }
    }

    /// One more route, as a YAML flow mapping.
    pub(crate) fn route(mut self, route: &str) -> Self {
        self.routes.push(route.to_owned());
        self
    }

    /// `/app/`, stripped, to this upstream.
    pub(crate) fn app(self, upstream: &Upstream) -> Self {
        self.route(&format!("{{ path: /app/, upstream: \"{}\", strip_prefix: true }}", upstream.url()))
    }

    /// `/ide/`: each user's own sample workspace.
    pub(crate) fn ide(self) -> Self {
        self.route("{ path: /ide/, workspace: ide, strip_prefix: true }")
    }

    /// More keys of `identity`, each a line.
    pub(crate) fn identity(mut self, yaml: &str) -> Self {
        writeln!(self.identity, "  {yaml}").unwrap();
        self
    }

    /// A file beside the configuration.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// More top-level keys.
    pub(crate) fn with(mut self, yaml: &str) -> Self {
        writeln!(self.more, "{yaml}").unwrap();
        self
    }

    pub(crate) async fn start(self) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        let roots = write_certificates(folder.path());
        write_private(folder.path(), "session.key", "0123456789abcdef0123456789abcdef");
        write_private(folder.path(), "users.yaml", &users());
        for (name, text) in &self.files {
            write_private(folder.path(), name, text);
        }
        write_private(folder.path(), "usher.yaml", &self.yaml());
        let path = folder.path().join("usher.yaml");
        let (told, addresses) = mpsc::channel();
        // A thread of its own, since it blocks and has runtimes of its own.
        let thread = std::thread::spawn(move || {
            let loaded = usher::config::load(&path).unwrap_or_else(|report| panic!("{report}"));
            let app = App::build(path, loaded, Options::default()).unwrap_or_else(|error| panic!("{error}"));
            told.send((app.addresses(), app.drain())).unwrap();
            app.run();
        });
        let (addresses, drain) = tokio::task::spawn_blocking(move || addresses.recv()).await.unwrap().expect("starts");
        let client = |protocol: &[u8]| {
            let builder = rustls::ClientConfig::builder().with_root_certificates(roots.clone());
            let mut client = builder.with_no_client_auth();
            client.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(client)
        };
        Gateway { addresses, client: client(b"http/1.1"), client2: client(b"h2"), drain, thread: Some(thread), folder }
    }

    fn yaml(&self) -> String {
        let routes: String = self.routes.iter().map(|route| format!("  - {route}\n")).collect();
        let usher = env!("CARGO_BIN_EXE_usher");
        format!(
            "public_url: {}\nstate_dir: state\n\
             listen:\n  public: {{ address: \"127.0.0.1:0\", tls: {{ certificate: tls.crt, key: tls.key }} }}\n  \
             redirect: {{ address: \"127.0.0.1:0\" }}\n  admin: {{ address: \"127.0.0.1:0\" }}\n  threads: 2\n\
             session: {{ keys: [ {{ id: k1, file: session.key }} ] }}\n\
             identity:\n  directories: [ {{ name: people, users_file: {{ path: users.yaml }} }} ]\n{}\
             tenants: {{ acme: {{ title: Acme }}, globex: {{ title: Globex }} }}\n\
             workspaces:\n  ide:\n    title: IDE\n    runtime: process\n    process:\n      \
             command: [ \"{usher}\", sample-workspace, --port, \"{{port}}\" ]\n      \
             readiness: {{ http_path: /, interval: 20ms }}\n      stop_grace: 1s\n    autostop: {{ human_idle: 30m }}\n\
             shutdown: {{ drain_delay: 0s, nudge_window: 0s, deadline: 1s }}\n{}routes:\n{routes}",
            self.public_url, self.identity, self.more
        )
    }
}

/// `ada` of acme with groups, `bo` of acme, and `王小明` of globex.
fn users() -> String {
    format!(
        "users:\n  \
         - {{ name: ada, tenant: acme, password: '{HASH}', groups: [ dev, \"ops, east\", 研发 ] }}\n  \
         - {{ name: bo, tenant: acme, password: '{HASH}' }}\n  \
         - {{ name: 王小明, tenant: globex, password: '{HASH}' }}\n"
    )
}

fn write_private(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// An authority of its own and a certificate for every host of these tests; returns what clients trust.
fn write_certificates(folder: &Path) -> rustls::RootCertStore {
    usher::edge::install_crypto_provider();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["dev.example.com", "*.ide.example.com", "other.example.com", "localhost", "127.0.0.1"];
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
    write_private(folder, "tls.key", &key.serialize_pem());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    roots
}

impl Gateway {
    /// A connection for the public host.
    pub(crate) async fn connect(&self) -> Client {
        Wire::new(self.tls("dev.example.com", &self.client).await)
    }

    /// A connection that names another host in its handshake.
    pub(crate) async fn connect_as(&self, host: &str) -> Client {
        Wire::new(self.tls(host, &self.client).await)
    }

    /// An HTTP/2 connection for the public host.
    pub(crate) async fn http2(&self) -> Http2 {
        Http2::over(self.tls2().await).await
    }

    /// The stream of one.
    pub(crate) async fn tls2(&self) -> TlsStream<TcpStream> {
        self.tls("dev.example.com", &self.client2).await
    }

    async fn tls(&self, host: &str, client: &Arc<rustls::ClientConfig>) -> TlsStream<TcpStream> {
        let stream = within(TcpStream::connect(self.addresses.public)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        within(TlsConnector::from(client.clone()).connect(name, stream)).await.unwrap()
    }

    /// Replaces a text in the configuration file, and has the gateway read it again.
    pub(crate) async fn reconfigure(&self, from: &str, to: &str) {
        let path = self.folder.path().join("usher.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        let before = self.metric("usher_config_generation").await;
        write_private(self.folder.path(), "usher.yaml", &text.replace(from, to));
        while self.metric("usher_config_generation").await == before {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn ask(&self, method: &str, bytes: impl AsRef<[u8]>) -> Answer {
        self.connect().await.ask(method, bytes).await
    }

    /// A GET of the public host by whoever this `Cookie` line says, as a script makes it.
    pub(crate) async fn get(&self, target: &str, cookie: &str) -> Answer {
        self.ask("GET", request("GET", target, &[cookie])).await
    }

    /// The `Cookie` line of a user who has signed in just now.
    pub(crate) async fn sign_in(&self, user: &str) -> String {
        format!("Cookie: {}", self.session_cookie(user).await)
    }

    /// The session cookie, `name=value`, of a user who has signed in just now.
    pub(crate) async fn session_cookie(&self, user: &str) -> String {
        let mut client = self.connect().await;
        let page = client.ask("GET", request("GET", "/.usher/login", &["Accept: text/html"])).await;
        assert_eq!(page.status(), 200, "{page:?}");
        let login_cookie = page.head.one("set-cookie").split(';').next().unwrap().to_owned();
        let text = page.text();
        let token = text.split_once("name=\"token\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let form = format!("token={}&return_to=/&user={}&password={}", encode(&token), encode(user), encode(PASSWORD));
        let lines = [
            format!("Origin: {ORIGIN}"),
            format!("Cookie: {login_cookie}"),
            "Content-Type: application/x-www-form-urlencoded".to_owned(),
            format!("Content-Length: {}", form.len()),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = client.ask("POST", request("POST", "/.usher/login", &lines) + &form).await;
        assert_eq!(answer.status(), 303, "{answer:?}");
        let cookies = answer.head.all("set-cookie");
        let session = cookies.iter().find(|cookie| cookie.starts_with("__Host-usher=")).expect("a session");
        session.split(';').next().unwrap().to_owned()
    }

    /// An answer of one of the plain listeners.
    pub(crate) async fn plain(&self, address: SocketAddr, method: &str, bytes: impl AsRef<[u8]>) -> Answer {
        let mut wire = Wire::new(within(TcpStream::connect(address)).await.unwrap());
        within(wire.send(bytes)).await.unwrap();
        let head = within(wire.head()).await.unwrap().expect("an answer");
        let framing = Framing::of_answer(&head, method);
        let body = within(wire.body(framing)).await.unwrap();
        Answer { head, body }
    }

    /// A sample of the metrics, by its name and labels as they are written; 0 if it is not there.
    pub(crate) async fn metric(&self, sample: &str) -> u64 {
        let answer = self.plain(self.addresses.admin, "GET", request("GET", "/metrics", &["Connection: close"])).await;
        let text = answer.text();
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// How often admission refused something for this reason.
    pub(crate) async fn rejections(&self, reason: &str) -> u64 {
        self.metric(&format!("usher_rejections_total{{reason=\"{reason}\"}}")).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.drain.stop(Stop::Fast);
        self.drain.stop(Stop::Fast);
        let ended = self.thread.take().expect("dropped once").join();
        if !std::thread::panicking() {
            ended.expect("the gateway does not panic");
        }
    }
}
