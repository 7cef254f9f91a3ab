//! The body of a request: data only, with a limit on silence.
//!
//! Trailers are dropped: a client could name one like a header that we vouch for (hyper forwards what `Trailer`
//! lists). The limit on silence counts only while somebody waits for data, so back-pressure from the reader is not
//! held against the client; no timer exists until the body first has to wait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::Connection;

/// Why a request's body broke off. The request cannot be completed and its upstream connection not be used again.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client sent nothing for too long; a fit answer is 408.
    #[error("client sent nothing of the request body for {0:?}")]
    Stalled(Duration),
    /// The client left, or sent what is not a body; a fit answer is 400.
    #[error("request body broke off: {0}")]
    Broken(#[source] hyper::Error),
}

/// A request's body as it arrives.
pub struct RequestBody {
    /// None once the end was seen, and for a body that never was.
    incoming: Option<Incoming>,
    /// Marks the connection as busy while a body may still arrive. None for a request without one.
    connection: Option<Arc<Connection>>,
    stall: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    received: u64,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, connection: &Arc<Connection>) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        connection.enter();
        let mut body = Self::empty();
        body.incoming = Some(incoming);
        body.connection = Some(connection.clone());
        body.stall = connection.limits().upload_stall_timeout.0;
        body
    }

    /// A body without content.
    #[must_use]
    pub const fn empty() -> Self {
        Self { incoming: None, connection: None, stall: Duration::ZERO, timer: None, waiting: false, received: 0 }
    }

    /// Bytes of content that have been read so far.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Called when the inner body has nothing to give; ready once it has been silent for too long.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }

    /// The whole body was seen: nothing is left that the client could still be sending.
    fn finish(&mut self) {
        self.incoming = None;
        self.timer = None;
        if let Some(connection) = self.connection.take() {
            connection.exit();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        let Some(incoming) = this.incoming.as_mut() else { return Poll::Ready(None) };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                let Some(data) = frame.data_ref() else {
                    this.finish();
                    return Poll::Ready(None);
                };
                this.received += data.len() as u64;
                if this.incoming.as_ref().is_some_and(Body::is_end_stream) {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(RequestBodyError::Broken(error)))),
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => match this.poll_stall(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(RequestBodyError::Stalled(this.stall)))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.set_linger();
            connection.exit();
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("received", &self.received).finish_non_exhaustive()
    }
}
