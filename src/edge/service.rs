//! What answers requests: the one trait that the edge calls.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::{Connection, RequestBody};

/// Answers requests. It cannot fail: what goes wrong is an answer too.
///
/// The future is dropped when the client leaves, so everything that it holds must be released by `Drop`.
pub trait Service: Send + Sync + 'static {
    /// The answer's body. An error in it cuts the connection (HTTP/1.1) or resets the stream (HTTP/2), so that the
    /// client cannot take a truncated answer for a whole one.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers `request`, which came in on `connection`.
    fn call(
        &self,
        connection: &Arc<Connection>,
        request: http::Request<RequestBody>,
    ) -> impl Future<Output = http::Response<Self::Body>> + Send;
}
