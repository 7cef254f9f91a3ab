//! A small HTTP client: one request, one bounded answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::Trust;

/// How long an unused connection is kept, and how many to one host.
const IDLE: Duration = Duration::from_secs(30);
const MOST_IDLE: usize = 2;

/// What one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the start of the call to the last byte of the answer.
    pub timeout: Duration,
    /// Most bytes of the answer's body.
    pub body: usize,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

/// Why there is no answer. Names no header, body or query, which may be secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address has no host, or its scheme is not allowed.
    #[error("cannot ask {0}")]
    Address(String),
    /// No connection, no TLS, or an answer that is not HTTP.
    #[error("{host}: {detail}")]
    Failed {
        /// Who was asked.
        host: String,
        /// What went wrong.
        detail: String,
    },
    /// It took too long.
    #[error("{host}: no answer within {limit:?}")]
    Timeout {
        /// Who was asked.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// The answer is larger than allowed.
    #[error("{host}: answer exceeds {limit} bytes")]
    TooLarge {
        /// Who was asked.
        host: String,
        /// The limit.
        limit: usize,
    },
}

/// Makes calls over TLS. Cheap to clone; its connections belong to the runtime that first uses them.
#[derive(Debug, Clone)]
pub struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl HttpClient {
    /// A client for `https` addresses, and for `http` ones too if `plain` is set.
    #[must_use]
    pub fn new(trust: &Trust, plain: bool) -> Self {
        let builder = HttpsConnectorBuilder::new().with_tls_config((*trust.config()).clone());
        let builder = if plain { builder.https_or_http() } else { builder.https_only() };
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = builder.enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .build(connector);
        Self(client)
    }

    /// Asks by GET.
    ///
    /// # Errors
    /// Returns an error if there is no whole answer within the limits.
    pub async fn get(&self, address: &Uri, headers: HeaderMap, limits: Limits) -> Result<Answer, FetchError> {
        self.call(Method::GET, address, headers, Bytes::new(), limits).await
    }

    /// Sends a body by POST; its type is among `headers`.
    ///
    /// # Errors
    /// Returns an error if there is no whole answer within the limits.
    pub async fn post(
        &self,
        address: &Uri,
        headers: HeaderMap,
        body: Bytes,
        limits: Limits,
    ) -> Result<Answer, FetchError> {
        self.call(Method::POST, address, headers, body, limits).await
    }

    async fn call(
        &self,
        method: Method,
        address: &Uri,
        headers: HeaderMap,
        body: Bytes,
        limits: Limits,
    ) -> Result<Answer, FetchError> {
        let host = address.host().ok_or_else(|| FetchError::Address(address.path().to_owned()))?.to_owned();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = address.clone();
        *request.headers_mut() = headers;
        let answer = tokio::time::timeout(limits.timeout, self.exchange(request, &host, limits.body)).await;
        answer.unwrap_or(Err(FetchError::Timeout { host, limit: limits.timeout }))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, host: &str, limit: usize) -> Result<Answer, FetchError> {
        let failed = |detail: String| FetchError::Failed { host: host.to_owned(), detail };
        let answer = self.0.request(request).await.map_err(|error| failed(chain(&error)))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                FetchError::TooLarge { host: host.to_owned(), limit }
            } else {
                failed(chain(&*error))
            }
        })?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

/// An error with everything that led to it; the client's own words are only "client error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const LIMITS: Limits = Limits { timeout: Duration::from_millis(500), body: 100 };

    /// A server that gives every connection the same bytes and then waits; its address.
    async fn server(says: &'static str) -> Uri {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("has an address");
        tokio::runtime::Handle::current().spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(says.as_bytes()).await;
                let _ = stream.read(&mut head).await;
            }
        });
        format!("http://{address}/keys?secret=1").parse().expect("an address")
    }

    fn client(plain: bool) -> HttpClient {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.crt");
        let made = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a certificate");
        std::fs::write(&path, made.cert.pem()).expect("written");
        HttpClient::new(&Trust::load(Some(&path)).expect("trust"), plain)
    }

    async fn ask(says: &'static str) -> Result<Answer, FetchError> {
        client(true).get(&server(says).await, HeaderMap::new(), LIMITS).await
    }

    #[tokio::test]
    async fn an_answer_comes_whole_whatever_its_status() {
        let answer = ask("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").await.expect("an answer");
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::NOT_FOUND, &b"no"[..]));
        let moved = ask("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n").await.expect("an answer");
        assert_eq!(moved.status, StatusCode::FOUND, "redirects are not followed");
    }

    #[tokio::test]
    async fn what_is_slow_large_or_broken_is_an_error_that_tells_no_secret() {
        let large = concat!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789012345678901234567890123456789012345678",
            "9012345678901234567890123456789012345678901234567890"
        );
        let table = [
            (ask("").await, "no answer within 500ms"),
            (ask("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await, "no answer within 500ms"),
            (ask(large).await, "answer exceeds 100 bytes"),
            (ask("nonsense\r\n\r\n").await, "127.0.0.1"),
            (client(false).get(&server("").await, HeaderMap::new(), LIMITS).await, "127.0.0.1"),
        ];
        for (answer, expected) in table {
            let error = answer.expect_err("no answer").to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
