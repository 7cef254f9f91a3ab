//! A gateway with routes on three kinds of host, a shop that it leads to, and browsers that know all hosts.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};
use usher::app::{App, Options};
use usher::edge::{Drain, Stop};
use usher::model::{KindName, TenantId, UserId, WorkspaceId};

/// The public host.
pub(crate) const HOST: &str = "dev.example.com";
/// The host of a service for all.
pub(crate) const SHOP: &str = "shop.example.com";
/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse";
/// Its hash, as `usher hash-password` makes it.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$BAwt5eTD7zAigeO54pkL0Q$ODroVBmKQlASi2cumBKhaZwi+elgDiCO00pLCW7fJa8";

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("must not take that long")
}

/// Host and target of an address.
pub(crate) fn address_parts(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("https://").unwrap_or_else(|| panic!("an address: {url}"));
    rest.split_at(rest.find('/').unwrap_or_else(|| panic!("an address with a path: {url}")))
}

/// The host of somebody's workspace.
pub(crate) fn host_of(user: &str) -> String {
    let id = WorkspaceId {
        tenant: TenantId::new("acme").unwrap(),
        user: UserId::new(user).unwrap(),
        kind: KindName::new("ide").unwrap(),
    };
    format!("{}.ide.example.com", id.label())
}

/// A folder with this configuration, and the files that it names under their usual names.
pub(crate) fn folder_for(yaml: &str, names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path(), names);
    let users = ["ada", "bob"].map(|name| format!("  - {{ name: {name}, tenant: acme, password: '{HASH}' }}\n"));
    write_private(folder.path(), "users.yaml", format!("users:\n{}", users.concat()));
    let key: Vec<u8> = (0..32_u8).map(|at| at.wrapping_mul(151)).collect();
    write_private(folder.path(), "session.key", key);
    write_private(folder.path(), "usher.yaml", yaml);
    folder
}

fn write_private(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// One certificate for all names; returns what browsers trust.
fn write_certificates(folder: &Path, names: &[&str]) -> rustls::RootCertStore {
    usher::edge::install_crypto_provider();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    write_private(folder, "tls.crt", certificate.pem());
    write_private(folder, "tls.key", key.serialize_pem());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    roots
}

fn yaml(shop: SocketAddr) -> String {
    let usher = env!("CARGO_BIN_EXE_usher");
    format!(
        "public_url: https://{HOST}\nstate_dir: state\n\
         listen:\n  public: {{ address: \"127.0.0.1:0\", tls: {{ certificate: tls.crt, key: tls.key }} }}\n  \
         admin: {{ address: \"127.0.0.1:0\" }}\n  threads: 2\n\
         session: {{ keys: [ {{ id: k1, file: session.key }} ] }}\n\
         identity: {{ directories: [ {{ name: people, users_file: {{ path: users.yaml }} }} ] }}\n\
         workspaces:\n  ide:\n    title: IDE\n    runtime: process\n    process:\n      \
         command: [ \"{usher}\", sample-workspace, --port, \"{{port}}\" ]\n      \
         readiness: {{ http_path: /, interval: 20ms }}\n      stop_grace: 1s\n\
         shutdown: {{ drain_delay: 0s, nudge_window: 0s, deadline: 1s }}\n\
         routes:\n  - {{ host: \"{{workspace}}.ide.example.com\", workspace: ide }}\n  \
         - {{ host: {SHOP}, upstream: \"http://{shop}\" }}\n  \
         - {{ host: other.example.com, upstream: \"http://{shop}\", allow: {{ groups: [ nobody ] }} }}\n"
    )
}

/// What was written, kept in memory.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// A gateway that serves until it is dropped, and the shop.
pub(crate) struct Site {
    public: SocketAddr,
    roots: Arc<rustls::RootCertStore>,
    shop: Written,
    log: Written,
    audit: Written,
    drain: Drain,
    thread: Option<JoinHandle<()>>,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let (shop, log, mut tasks) = (Written::default(), Written::default(), JoinSet::new());
        let audit = Written::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = folder_for(&yaml(listener.local_addr().unwrap()), &[]);
        let roots = write_certificates(folder.path(), &[HOST, "*.ide.example.com", SHOP, "other.example.com"]);
        tasks.spawn(keep_shop(listener, shop.clone()));
        let path = folder.path().join("usher.yaml");
        let output = |to: &Written| -> Option<Box<dyn Write + Send>> { Some(Box::new(to.clone())) };
        let options = Options { access_log: output(&log), audit: output(&audit), ..Options::default() };
        let (tell, told) = tokio::sync::oneshot::channel();
        // A thread of its own, since it blocks and has runtimes of its own.
        let thread = std::thread::spawn(move || {
            let loaded = usher::config::load(&path).unwrap_or_else(|report| panic!("{report}"));
            let app = App::build(path, loaded, options).unwrap();
            assert!(tell.send((app.addresses(), app.drain())).is_ok(), "somebody waits for it");
            app.run();
        });
        let (addresses, drain) = within(told).await.unwrap();
        let (public, roots) = (addresses.public, Arc::new(roots));
        Self { public, roots, shop, log, audit, drain, thread: Some(thread), _tasks: tasks, _folder: folder }
    }

    /// A browser that nobody is signed in with.
    pub(crate) fn browser(&self) -> Browser {
        Browser { address: self.public, roots: self.roots.clone(), cookies: Mutex::default() }
    }

    /// All that the shop was sent.
    pub(crate) fn shop_heard(&self) -> String {
        self.shop.text()
    }

    /// Stops the gateway and returns the lines of its audit log.
    pub(crate) fn audit(mut self) -> Vec<Value> {
        self.stop();
        self.audit.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Stops the gateway and returns its access log.
    pub(crate) fn log(mut self) -> String {
        self.stop();
        self.log.text()
    }

    fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.drain.stop(Stop::Fast);
        self.drain.stop(Stop::Fast);
        let ended = thread.join();
        if !std::thread::panicking() {
            ended.expect("the gateway does not panic");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Answers every connection's first request, and keeps what it was sent.
async fn keep_shop(listener: TcpListener, heard: Written) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                _ => break,
            }
        }
        heard.0.lock().unwrap().extend_from_slice(&request);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nthe shop").await;
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The whole `Set-Cookie` line of a cookie.
    pub(crate) fn set_cookie(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
        lines.find(|line| line.split_once('=').is_some_and(|(found, _)| found == name))
    }
}

pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// One person's browser: it keeps the cookies of each host apart, and every name leads it to the gateway.
pub(crate) struct Browser {
    address: SocketAddr,
    roots: Arc<rustls::RootCertStore>,
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

impl Browser {
    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(&(host.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn set_cookie(&self, host: &str, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert((host.to_owned(), name.to_owned()), value.to_owned());
    }

    /// Loses all cookies of a host.
    pub(crate) fn forget(&self, host: &str) {
        self.cookies.lock().unwrap().retain(|(of, _), _| of != host);
    }

    fn cookie_header(&self, host: &str) -> String {
        let cookies = self.cookies.lock().unwrap();
        let own = cookies.iter().filter(|((of, _), _)| of == host);
        own.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Keeps what an answer sets; a cookie that it takes away is gone.
    fn keep_cookies(&self, host: &str, answer: &Answer) {
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.set_cookie(host, name, value);
            if line.contains("Max-Age=0;") {
                self.cookies.lock().unwrap().remove(&(host.to_owned(), name.to_owned()));
            }
        }
    }

    async fn connect(&self, host: &str) -> TlsStream<TcpStream> {
        let builder = rustls::ClientConfig::builder().with_root_certificates(self.roots.clone());
        let mut client = builder.with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = within(TcpStream::connect(self.address)).await.unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        within(TlsConnector::from(Arc::new(client)).connect(name, stream)).await.unwrap()
    }

    async fn send(&self, url: &str, method: Method, headers: &[(&str, &str)], body: String) -> Answer {
        let (host, target) = address_parts(url);
        let mut request = Request::builder().method(method).uri(target).header("host", host);
        let cookies = self.cookie_header(host);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(Bytes::from(body))).unwrap();
        let stream = self.connect(host).await;
        let answer = within(exchange(stream, request)).await.unwrap();
        self.keep_cookies(host, &answer);
        answer
    }

    /// What a tab gets; redirects are not followed.
    pub(crate) async fn navigate(&self, url: &str) -> Answer {
        self.send(url, Method::GET, &navigation("none"), String::new()).await
    }

    /// What a tab ends up with.
    pub(crate) async fn follow(&self, url: &str) -> Answer {
        let mut url = url.to_owned();
        for _ in 0..10 {
            let answer = self.navigate(&url).await;
            if !answer.status.is_redirection() {
                return answer;
            }
            let location = answer.header("location");
            url = if location.starts_with('/') {
                format!("https://{}{location}", address_parts(&url).0)
            } else {
                location.to_owned()
            };
        }
        panic!("too many redirects, the last to {url}");
    }

    /// What a script of a page gets.
    pub(crate) async fn fetch(&self, url: &str) -> Answer {
        let headers = [("accept", "*/*"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];
        self.send(url, Method::GET, &headers, String::new()).await
    }

    /// Sends a form of one of our pages.
    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("https://{HOST}");
        let mut headers = navigation("same-origin").to_vec();
        headers.extend([("content-type", "application/x-www-form-urlencoded"), ("origin", &origin)]);
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        self.send(&format!("{origin}{path}"), Method::POST, &headers, pairs.join("&")).await
    }

    /// Fills in the sign-in form that stands at `url`, and sends it.
    pub(crate) async fn sign_in_at(&self, url: &str, user: &str) -> Answer {
        let page = self.navigate(url).await;
        let field = |name| between(&page.body, &format!("name=\"{name}\" value=\""), "\"").to_owned();
        let back = field("return_to").replace("&amp;", "&").replace("&#38;", "&");
        let fields = [("token", &*field("token")), ("return_to", &back), ("user", user), ("password", PASSWORD)];
        self.submit("/.usher/login", &fields).await
    }

    pub(crate) async fn sign_in(&self, user: &str) {
        let answer = self.sign_in_at(&format!("https://{HOST}/.usher/login"), user).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
    }

    /// Signs out at the public host.
    pub(crate) async fn sign_out(&self) {
        let home = self.navigate(&format!("https://{HOST}/")).await;
        let token = between(&home.body, "name=\"usher-token\" content=\"", "\"").to_owned();
        let answer = self.submit("/.usher/logout", &[("token", &token)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
    }

    /// Asks the sample workspace again and again who is there, until it is up.
    pub(crate) async fn until_up(&self, url: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.fetch(url).await;
            if answer.status == StatusCode::OK {
                return serde_json::from_str(&answer.body).unwrap();
            }
            assert!(Instant::now() < end, "it does not come up: {answer:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Opens a WebSocket as a page of `origin` does; the status in its place if it is refused. Its greeting is heard.
    pub(crate) async fn websocket(&self, host: &str, path: &str, origin: &str) -> Result<Socket, StatusCode> {
        let request = Request::builder()
            .uri(format!("wss://{host}{path}"))
            .header("host", host)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", tungstenite::handshake::client::generate_key())
            .header("origin", origin)
            .header("cookie", self.cookie_header(host))
            .body(())
            .unwrap();
        let stream = self.connect(host).await;
        match within(tokio_tungstenite::client_async(request, stream)).await {
            Ok((mut socket, _)) => {
                assert!(heard(&mut socket).await.starts_with("Connected"));
                Ok(socket)
            }
            Err(tungstenite::Error::Http(answer)) => Err(answer.status()),
            Err(error) => panic!("{error}"),
        }
    }
}

fn navigation(site: &'static str) -> [(&'static str, &'static str); 5] {
    [
        ("accept", "text/html"),
        ("accept-language", "en"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-site", site),
    ]
}

/// What stands between `before` and `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    found.unwrap_or_else(|| panic!("no {before} in {text}")).0
}

async fn exchange(stream: TlsStream<TcpStream>, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// Says a line and returns the answer.
pub(crate) async fn say(socket: &mut Socket, line: &str) -> String {
    socket.send(Message::text(line)).await.unwrap();
    heard(socket).await
}

async fn heard(socket: &mut Socket) -> String {
    match within(socket.next()).await.expect("the socket is open").unwrap() {
        Message::Text(text) => text.as_str().to_owned(),
        other => panic!("heard {other:?}"),
    }
}

/// The code that the socket is closed with, within the five seconds that a session's end may take.
pub(crate) async fn closing(socket: &mut Socket) -> u16 {
    match timeout(Duration::from_secs(5), socket.next()).await.expect("in time") {
        Some(Ok(Message::Close(Some(frame)))) => frame.code.into(),
        other => panic!("no close frame: {other:?}"),
    }
}
