//! A server with a service of many small behaviours, and clients to try it with.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use usher::config::{self, Cidr, Span};
use usher::edge::{
    CertificateStore, Connection, Drain, Limits, Listener, RequestBody, RequestBodyError, Server, ServerSettings,
    Service, Stop, Transport, install_crypto_provider, server_config, upgraded,
};
use usher::metrics::Metrics;

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("must not take that long")
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}"));
}

/// Limits under which nothing is cut while a test looks elsewhere.
pub(crate) fn patient() -> config::Http {
    config::Http::default()
}

pub(crate) fn millis(millis: u64) -> Span {
    Span(Duration::from_millis(millis))
}

/// The service behind the tests: the path says what it does.
#[derive(Default)]
pub(crate) struct Scripted {
    /// Lets `/held` answer.
    pub(crate) release: Notify,
    /// Tells that `/held` was entered.
    pub(crate) entered: Notify,
    /// Requests that were dropped before they answered.
    pub(crate) dropped: Arc<std::sync::atomic::AtomicUsize>,
    pub(crate) last: Mutex<std::sync::Weak<Connection>>,
    tunnels: Mutex<JoinSet<()>>,
}

type Answer = Response<BoxBody<Bytes, RequestBodyError>>;

fn full(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed();
    Response::builder().status(status).body(body).expect("a response")
}

struct OnDrop(Arc<std::sync::atomic::AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Service for Scripted {
    type Body = BoxBody<Bytes, RequestBodyError>;

    async fn call(&self, connection: &Arc<Connection>, request: Request<RequestBody>) -> Answer {
        *self.last.lock().unwrap() = Arc::downgrade(connection);
        match request.uri().path() {
            "/who" => {
                let name = connection.server_name().unwrap_or("-");
                full(StatusCode::OK, format!("{:?} {} {name}", request.version(), connection.peer()))
            }
            "/echo" => Response::new(request.into_body().boxed()),
            "/early" => full(StatusCode::PAYLOAD_TOO_LARGE, "too much"),
            "/held" => {
                self.entered.notify_one();
                self.release.notified().await;
                full(StatusCode::OK, "released")
            }
            "/hang" => {
                let _guard = OnDrop(self.dropped.clone());
                self.entered.notify_one();
                std::future::pending().await
            }
            "/big" => {
                let chunk = Bytes::from(vec![7; 64 * 1024]);
                let guard = OnDrop(self.dropped.clone());
                let chunks = (0..1024).map(move |_| {
                    let _held = &guard;
                    Ok(http_body::Frame::data(chunk.clone()))
                });
                Response::new(StreamBody::new(futures_util::stream::iter(chunks)).boxed())
            }
            "/slow" => {
                let chunks = futures_util::stream::unfold(0, |step| async move {
                    let text = ["begin", " end"].get(step).copied()?;
                    if step > 0 {
                        // Several times what a client that does not read is given.
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                    Some((Ok(http_body::Frame::data(Bytes::from(text))), step + 1))
                });
                Response::new(StreamBody::new(Box::pin(chunks)).boxed())
            }
            "/upload" => match request.into_body().collect().await {
                Ok(body) => {
                    let trailers = body.trailers().is_some();
                    full(StatusCode::OK, format!("{} {trailers}", body.to_bytes().len()))
                }
                Err(RequestBodyError::Stalled(_)) => full(StatusCode::REQUEST_TIMEOUT, "stalled"),
                Err(RequestBodyError::Broken(_)) => full(StatusCode::BAD_REQUEST, "broken"),
            },
            "/tunnel" => {
                let mut request = request;
                let upgrade = hyper::upgrade::on(&mut request);
                self.tunnels.lock().unwrap().spawn(async move {
                    let (mut stream, early) = upgraded(upgrade.await.unwrap()).unwrap();
                    stream.write_all(&early).await.unwrap();
                    stream.flush().await.unwrap();
                    let mut buffer = [0; 1024];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..read]).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                    let _ = stream.shutdown().await;
                });
                let mut answer = full(StatusCode::SWITCHING_PROTOCOLS, "");
                answer.headers_mut().insert("connection", "upgrade".parse().unwrap());
                answer.headers_mut().insert("upgrade", "websocket".parse().unwrap());
                answer
            }
            _ => full(StatusCode::NOT_FOUND, "no such behaviour"),
        }
    }
}

/// A certificate authority and a folder for what it signs.
pub(crate) struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        install_crypto_provider();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a certificate for `names` and its key under `file`; returns their paths.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let path = |ending: &str| -> PathBuf { self.folder().join(format!("{file}.{ending}")) };
        std::fs::write(path("crt"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        (path("crt").display().to_string(), path("key").display().to_string())
    }

    pub(crate) fn tls(&self, file: &str, names: &[&str]) -> config::Tls {
        let (certificate, key) = self.issue(file, names);
        config::Tls { certificate, key, additional: Vec::new() }
    }

    /// A client that trusts this authority and speaks `protocols`.
    pub(crate) fn client(&self, protocols: &[&[u8]]) -> Arc<rustls::ClientConfig> {
        let builder = rustls::ClientConfig::builder();
        let mut client = builder.with_root_certificates(self.roots()).with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(client)
    }

    /// A client that speaks only these versions of TLS.
    pub(crate) fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<rustls::ClientConfig> {
        let builder = rustls::ClientConfig::builder_with_protocol_versions(versions);
        Arc::new(builder.with_root_certificates(self.roots()).with_no_client_auth())
    }

    fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }
}

/// A running server, stopped when it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) service: Arc<Scripted>,
    pub(crate) certificates: Option<Arc<CertificateStore>>,
    pub(crate) authority: Authority,
    pub(crate) tls: config::Tls,
    thread: Option<JoinHandle<()>>,
}

/// What differs between tests.
pub(crate) struct Setup {
    pub(crate) http: config::Http,
    pub(crate) shutdown: config::Shutdown,
    pub(crate) proxies: Vec<Cidr>,
    pub(crate) plain: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let shutdown = config::Shutdown { drain_delay: Span::secs(0), ..config::Shutdown::default() };
        Self { http: patient(), shutdown, proxies: Vec::new(), plain: false }
    }
}

impl Setup {
    pub(crate) fn start(self) -> Running {
        let authority = Authority::new();
        let tls = authority.tls("default", &["localhost", "dev.example.com"]);
        let drain = Drain::new(&self.shutdown);
        let metrics = Metrics::new(prometheus::Registry::new(), 10);
        let limits = Limits::new(&self.http);
        let service = Arc::new(Scripted::default());
        let certificates = (!self.plain).then(|| CertificateStore::load(&tls).unwrap());
        let transport = match &certificates {
            Some(certificates) => Transport::Tls(server_config(certificates).unwrap()),
            None => Transport::Plain,
        };
        let mut server = Server::new(ServerSettings::default(), drain.clone(), metrics.clone()).unwrap();
        let listener = Listener {
            name: "public",
            address: "127.0.0.1:0".to_owned(),
            threads: 2,
            transport,
            proxies: self.proxies,
            stays: false,
            limits: limits.clone(),
            service: service.clone(),
        };
        let address = server.listen(listener).unwrap();
        let thread = Some(std::thread::spawn(move || server.run()));
        Running { address, drain, limits, metrics, service, certificates, authority, tls, thread }
    }
}

impl Running {
    /// Whether `line` stands in the metrics.
    pub(crate) fn counted(&self, line: &str) -> bool {
        String::from_utf8(self.metrics.encode().unwrap()).unwrap().lines().any(|it| it == line)
    }

    pub(crate) async fn ended(&self, reason: &str) {
        let line = format!("usher_connection_ends_total{{reason=\"{reason}\"}} 1");
        eventually(&format!("no connection ended as {reason}"), || self.counted(&line)).await;
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = within(TcpStream::connect(self.address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) async fn tls(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        self.tls_as("localhost", self.authority.client(protocols)).await
    }

    pub(crate) async fn tls_as(&self, name: &str, client: Arc<rustls::ClientConfig>) -> TlsStream<TcpStream> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        within(TlsConnector::from(client).connect(name, self.connect().await)).await.unwrap()
    }

    pub(crate) async fn http1(&self) -> Client<hyper::client::conn::http1::SendRequest<BoxBody<Bytes, Infallible>>> {
        let io = TokioIo::new(self.tls(&[b"http/1.1"]).await);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        Client::new(sender, Box::pin(async move { connection.with_upgrades().await }))
    }

    pub(crate) async fn http2(&self) -> Client<hyper::client::conn::http2::SendRequest<BoxBody<Bytes, Infallible>>> {
        let io = TokioIo::new(self.tls(&[b"h2", b"http/1.1"]).await);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        Client::new(sender, Box::pin(connection))
    }

    /// Waits for the server to have left by itself.
    pub(crate) async fn left(&mut self) {
        let thread = self.thread.take().expect("waited for once");
        within(tokio::task::spawn_blocking(move || thread.join())).await.unwrap().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.drain.stop(Stop::Fast);
            self.drain.stop(Stop::Fast);
            let _ = thread.join();
        }
    }
}

/// A hyper client and its connection.
pub(crate) struct Client<S> {
    pub(crate) sender: S,
    pub(crate) connection: JoinSet<hyper::Result<()>>,
}

impl<S> Client<S> {
    fn new(sender: S, connection: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Self { sender, connection: tasks }
    }

    /// Waits until the server has closed the connection.
    pub(crate) async fn closed(&mut self) {
        let _ = within(self.connection.join_next()).await;
    }
}

pub(crate) fn request(path: &str) -> Request<BoxBody<Bytes, Infallible>> {
    Request::builder().uri(path).header("host", "localhost").body(Empty::new().boxed()).unwrap()
}

/// The same for HTTP/2, where the whole URL is given.
pub(crate) fn request2(path: &str) -> Request<BoxBody<Bytes, Infallible>> {
    Request::builder().uri(format!("https://localhost{path}")).body(Empty::new().boxed()).unwrap()
}

pub(crate) async fn text(response: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(within(response.into_body().collect()).await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Everything until the other side closes.
pub(crate) async fn rest<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut bytes = Vec::new();
    // A close without TLS's goodbye is an end too.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
