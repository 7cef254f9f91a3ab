//! hyper's two server connections behind one face, with the settings that this gateway needs.
//!
//! hyper's own header time-out is off: the driver's watchdog tells idle from a head that drips, which hyper does not.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::coalesce::Coalescing;
use super::exchange::Exchange;
use super::stall::StallExecutor;
use super::{Connection, Reply, RequestBody, Service, Stream};

/// hyper's buffers for one HTTP/1.1 connection; its default of 408 KiB is an invitation.
const MAX_BUFFER: usize = 64 * 1024;
/// Unread upload that one HTTP/2 request may have in memory.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Unread upload of a whole HTTP/2 connection. h2 also takes from it how many tiny frames it puts up with.
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Unsent answer that one HTTP/2 request may have in memory.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Resets that a peer may provoke in the life of a connection.
const MAX_LOCAL_RESETS: usize = 256;
/// How often an HTTP/2 peer is asked whether it is there, and how long it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// What a poll of a connection came to.
pub(super) enum Step {
    /// Nothing was looked at yet; the task has been woken to go on.
    Again,
    /// Nothing more to do for now.
    Waiting,
    /// The connection is over.
    Done(hyper::Result<()>),
    /// The client cannot be written to any more.
    Broken,
}

/// A connection as the driver sees it.
pub(super) trait Protocol {
    fn poll(&mut self, cx: &mut Context<'_>) -> Step;
    fn graceful_shutdown(&mut self);
}

/// An HTTP/1.1 connection.
struct Http1<C> {
    connection: Pin<Box<C>>,
    graceful: fn(Pin<&mut C>),
}

/// hyper's HTTP/1.1 on `stream`.
pub(super) fn http1<S: Service>(stream: Stream, service: Arc<S>) -> impl Protocol {
    let connection = stream.connection().clone();
    let max_header = size(connection.limits().max_header_size.0);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(max_header)
        .max_buf_size(MAX_BUFFER.max(max_header.saturating_mul(2)));
    let handler = service_fn(move |request| answer(service.clone(), connection.clone(), request));
    let connection = Box::pin(builder.serve_connection(TokioIo::new(stream), handler).with_upgrades());
    Http1 { connection, graceful: |connection| connection.graceful_shutdown() }
}

impl<C: Future<Output = hyper::Result<()>>> Protocol for Http1<C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Step {
        match self.connection.as_mut().poll(cx) {
            Poll::Ready(result) => Step::Done(result),
            Poll::Pending => Step::Waiting,
        }
    }

    fn graceful_shutdown(&mut self) {
        (self.graceful)(self.connection.as_mut());
    }
}

/// An HTTP/2 connection.
struct Http2<C> {
    connection: Pin<Box<C>>,
    graceful: fn(Pin<&mut C>),
    stream: Coalescing,
    yielded: bool,
}

/// hyper's HTTP/2 on `stream`.
pub(super) fn http2<S: Service>(stream: Stream, service: Arc<S>) -> impl Protocol {
    let connection = stream.connection().clone();
    let limits = connection.limits();
    let mut builder = http2::Builder::new(StallExecutor(limits.write_stall_timeout.0));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.max_header_size.0).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    let stream = Coalescing::new(stream);
    let handler = service_fn(move |request| answer(service.clone(), connection.clone(), request));
    let connection = Box::pin(builder.serve_connection(TokioIo::new(stream.clone()), handler));
    Http2 { connection, graceful: |connection| connection.graceful_shutdown(), stream, yielded: false }
}

impl<C: Future<Output = hyper::Result<()>>> Protocol for Http2<C> {
    /// Lets other tasks go first once, so that the answers of requests that are ready are sent together.
    fn poll(&mut self, cx: &mut Context<'_>) -> Step {
        self.yielded = !self.yielded;
        if self.yielded {
            cx.waker().wake_by_ref();
            return Step::Again;
        }
        if let Poll::Ready(result) = self.connection.as_mut().poll(cx) {
            return Step::Done(result);
        }
        match self.stream.poll_drain(cx) {
            Poll::Ready(Err(_)) => Step::Broken,
            _ => Step::Waiting,
        }
    }

    fn graceful_shutdown(&mut self) {
        (self.graceful)(self.connection.as_mut());
    }
}

/// One request, from its head to the head of its answer.
async fn answer<S: Service>(
    service: Arc<S>,
    connection: Arc<Connection>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Reply<S::Body>>, Infallible> {
    let exchange = Exchange::begin(&connection);
    let request = request.map(|body| RequestBody::new(body, &connection));
    Ok(exchange.answer(service.call(&connection, request).await))
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
