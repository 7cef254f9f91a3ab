//! Clients: raw bytes over TLS, and hyper's for HTTP/2.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::message::{Framing, Head, Wire};
use super::{HOST, within};

pub(crate) type Client = Wire<TlsStream<TcpStream>>;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.head.one("content-type"), "application/problem+json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON in {self:?}"))
    }
}

/// A request without a body for the public host; `lines` are whole header lines without their ends.
pub(crate) fn request(method: &str, target: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n")
}

impl Client {
    /// Sends these bytes and reads the answer to a request of `method`.
    pub(crate) async fn ask(&mut self, method: &str, bytes: impl AsRef<[u8]>) -> Answer {
        // The answer may come, and the connection end, before everything is sent.
        let _ = within(self.send(bytes)).await;
        self.answer(method).await
    }

    /// Reads the answer to a request of `method`.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        let head = self.answer_head().await;
        let framing = Framing::of_answer(&head, method);
        let body =
            within(self.body(framing)).await.unwrap_or_else(|error| panic!("{error} in the body after {head:?}"));
        Answer { head, body }
    }

    pub(crate) async fn answer_head(&mut self) -> Head {
        within(self.head()).await.expect("a whole head").expect("an answer")
    }

    /// Whether the other side has closed, and sent nothing before.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.ahead.is_empty() && !within(self.more()).await.unwrap_or(false)
    }
}

/// An HTTP/2 client and its connection.
pub(crate) struct Http2 {
    pub(crate) sender: SendRequest<BoxBody<Bytes, Infallible>>,
    _connection: JoinSet<()>,
}

/// An answer over HTTP/2, read to its end.
#[derive(Debug)]
pub(crate) struct Answer2 {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Http2 {
    pub(crate) async fn over(stream: TlsStream<TcpStream>) -> Self {
        let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = within(made).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        Self { sender, _connection: tasks }
    }

    /// The head of an answer, or the reset of its stream.
    pub(crate) async fn open(
        &mut self,
        request: Request<BoxBody<Bytes, Infallible>>,
    ) -> hyper::Result<Response<hyper::body::Incoming>> {
        within(self.sender.ready()).await?;
        within(self.sender.send_request(request)).await
    }

    pub(crate) async fn ask(&mut self, request: Request<BoxBody<Bytes, Infallible>>) -> Answer2 {
        let (head, body) = self.open(request).await.expect("an answer").into_parts();
        let body = within(body.collect()).await.expect("a whole body").to_bytes();
        Answer2 { status: head.status.as_u16(), headers: head.headers, body }
    }
}

/// A request over HTTP/2 without a body for the public host.
pub(crate) fn request2(method: &str, target: &str, fields: &[(&str, &str)]) -> Request<BoxBody<Bytes, Infallible>> {
    let mut builder = Request::builder().method(method).uri(format!("https://{HOST}{target}"));
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Empty::new().boxed()).unwrap()
}
