//! What visits a gateway: a browser, as far as the gateway can tell, and an operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{HOST, PASSWORD, between, eventually, within};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The whole `Set-Cookie` line of a cookie.
    pub(crate) fn set_cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
        lines.into_iter().find(|line| line.split_once('=').is_some_and(|(found, _)| found == name))
    }
}

/// One person's browser: it keeps cookies and says what browsers say.
pub(crate) struct Browser {
    address: SocketAddr,
    roots: Arc<rustls::RootCertStore>,
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
}

pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

impl Browser {
    pub(crate) fn new(address: SocketAddr, roots: Arc<rustls::RootCertStore>) -> Self {
        Self { address, roots, cookies: Arc::default() }
    }

    /// The same browser, with the gateway at another address: after a restart.
    pub(crate) fn at(&self, other: &Self) -> Self {
        Self { address: other.address, roots: other.roots.clone(), cookies: self.cookies.clone() }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    fn cookie_header(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// A TLS connection that speaks one of `protocols`.
    pub(crate) async fn connect(&self, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let builder = rustls::ClientConfig::builder().with_root_certificates(self.roots.clone());
        let mut client = builder.with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(client)).connect(ServerName::try_from(HOST).unwrap(), stream).await
    }

    /// What a tab asks for when somebody goes there.
    pub(crate) fn navigation(&self, path: &str) -> Request<Full<Bytes>> {
        self.request(
            Method::GET,
            path,
            &[
                ("accept", "text/html,application/xhtml+xml"),
                ("accept-language", "en"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
                ("sec-fetch-site", "none"),
            ],
        )
    }

    /// What a script of a page asks for.
    pub(crate) fn script(&self, path: &str) -> Request<Full<Bytes>> {
        self.request(
            Method::GET,
            path,
            &[
                ("accept", "*/*"),
                ("sec-fetch-mode", "cors"),
                ("sec-fetch-dest", "empty"),
                ("sec-fetch-site", "same-origin"),
            ],
        )
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        let cookies = self.cookie_header();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::default()).unwrap()
    }

    pub(crate) async fn try_send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let stream = self.connect(&[b"http/1.1"]).await.map_err(|error| error.to_string())?;
        let answer = exchange(stream, request).await.map_err(|error| error.to_string())?;
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.set_cookie(name, value);
        }
        Ok(answer)
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        within(self.try_send(request)).await.unwrap()
    }

    pub(crate) async fn navigate(&self, path: &str) -> Answer {
        self.send(self.navigation(path)).await
    }

    pub(crate) async fn fetch(&self, path: &str) -> Answer {
        self.send(self.script(path)).await
    }

    /// Sends a form of one of our pages.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = self.navigation(path);
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        headers.insert("origin", format!("https://{HOST}").parse().unwrap());
        headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        *request.body_mut() = Full::from(pairs.join("&"));
        self.send(request).await
    }

    /// Fills in the sign-in form and sends it.
    pub(crate) async fn try_sign_in(&self, user: &str, password: &str) -> Answer {
        let page = self.navigate("/.usher/login").await;
        let token = between(&page.body, "name=\"token\" value=\"", "\"").expect("a form with a token").to_owned();
        self.submit("/.usher/login", &[("token", &token), ("user", user), ("password", password)]).await
    }

    pub(crate) async fn sign_in(&self, user: &str) {
        let answer = self.try_sign_in(user, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
    }

    /// The token of the session, as the home page holds it.
    pub(crate) async fn token(&self) -> String {
        let home = self.navigate("/").await;
        between(&home.body, "name=\"usher-token\" content=\"", "\"").expect("a home page").to_owned()
    }

    pub(crate) async fn sign_out(&self) -> Answer {
        let token = self.token().await;
        self.submit("/.usher/logout", &[("token", &token)]).await
    }

    /// Calls the API.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Value) -> Answer {
        let token = self.token().await;
        let mut request = self.script(&format!("/.usher/api/v1{path}"));
        *request.method_mut() = method;
        request.headers_mut().insert("x-usher-token", token.parse().unwrap());
        request.headers_mut().insert("origin", format!("https://{HOST}").parse().unwrap());
        if !body.is_null() {
            request.headers_mut().insert("content-type", "application/json".parse().unwrap());
            *request.body_mut() = Full::from(body.to_string());
        }
        self.send(request).await
    }

    /// What the API says of the workspace of one kind.
    pub(crate) async fn workspace(&self, kind: &str) -> Value {
        let answer = self.api(Method::GET, &format!("/workspaces/{kind}"), Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// Waits until the workspace is in this phase.
    pub(crate) async fn reaches(&self, kind: &str, phase: &str) -> Value {
        eventually(phase, async || Some(self.workspace(kind).await).filter(|found| found["phase"] == phase)).await
    }

    pub(crate) async fn stop(&self, kind: &str) {
        let answer = self.api(Method::POST, &format!("/workspaces/{kind}/stop"), Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        self.reaches(kind, "stopped").await;
    }

    /// Goes to the workspace at `prefix`, waits until it is up, and returns what it says of itself.
    pub(crate) async fn open(&self, prefix: &str) -> Value {
        self.navigate(prefix).await;
        let who = format!("{prefix}who");
        let is_up = async || Some(self.fetch(&who).await).filter(|answer| answer.status == StatusCode::OK);
        eventually("the workspace is up", is_up).await.json()
    }

    /// Opens a WebSocket, or returns the answer in its place.
    pub(crate) async fn websocket(&self, path: &str) -> Result<Socket, tungstenite::Error> {
        let stream = within(self.connect(&[b"http/1.1"])).await.unwrap();
        let request = Request::builder()
            .uri(format!("wss://{HOST}{path}"))
            .header("host", HOST)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", tungstenite::handshake::client::generate_key())
            .header("origin", format!("https://{HOST}"))
            .header("cookie", self.cookie_header());
        let request = request.body(()).unwrap();
        within(tokio_tungstenite::client_async(request, stream)).await.map(|(socket, _)| socket)
    }

    /// Opens the console of a workspace and hears its greeting.
    pub(crate) async fn console(&self, prefix: &str) -> Socket {
        let mut socket = self.websocket(&format!("{prefix}console")).await.unwrap();
        assert!(heard(&mut socket).await.starts_with("Connected"));
        socket
    }
}

/// Says a line and returns the answer.
pub(crate) async fn say(socket: &mut Socket, line: &str) -> String {
    socket.send(Message::text(line)).await.unwrap();
    heard(socket).await
}

async fn heard(socket: &mut Socket) -> String {
    loop {
        match within(socket.next()).await.expect("the socket is open").unwrap() {
            Message::Text(text) => return text.as_str().to_owned(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("heard {other:?}"),
        }
    }
}

/// Reads until the socket is closed; returns the code and the reason.
pub(crate) async fn closing(socket: &mut Socket) -> (u16, String) {
    loop {
        match within(socket.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.as_str().to_owned()),
            Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("no close frame: {other:?}"),
        }
    }
}

/// Who looks at the operators' listener.
#[derive(Clone, Copy)]
pub(crate) struct Operator(pub(crate) SocketAddr);

impl Operator {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = Request::builder().uri(path).header("host", "admin").body(Full::default()).unwrap();
        let stream = within(TcpStream::connect(self.0)).await.unwrap();
        within(exchange(stream, request)).await.unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics").await.body
    }

    /// The value of one series, written as in the exposition; 0 if it is not there.
    pub(crate) async fn value(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        let found = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0.0)
    }

    /// What `/readyz` says.
    pub(crate) async fn ready(&self) -> (StatusCode, Value) {
        let answer = self.get("/readyz").await;
        (answer.status, answer.json())
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    Ok(Answer { status: head.status, headers: head.headers, body })
}
