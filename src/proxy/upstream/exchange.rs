//! One request to an upstream: connection from the pool or new, deadline for the answer's head, one safe replay.

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::pool::Channel;
use super::{ConnectError, Lease, Limits, Peer, Pool, UpstreamStream, Upstreams};
use crate::proxy::body::{RequestToUpstream, UploadFault};

use std::sync::Arc;

/// Largest head of an answer. Equal to what a request may have by default.
const MAX_ANSWER_HEAD: usize = 32 * 1024;
/// Largest read buffer of an upstream connection; hyper's own default is 408 KiB for each.
const MAX_BUFFER: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended before the answer's head was complete.
    #[error("connection lost before the answer: {0}")]
    Lost(hyper::Error),
    /// What came back is not HTTP.
    #[error("answer is not valid HTTP: {0}")]
    NotHttp(hyper::Error),
    /// The answer's head did not come in time.
    #[error("no answer within {0:?}")]
    HeadTimeout(Duration),
    /// The client's own body stopped or broke off, so the request could not be finished.
    #[error("the client's body failed")]
    ClientBody(UploadFault),
}

/// What a request without an answer leaves behind.
enum Unanswered {
    /// The request itself: not a byte of it left.
    NotSent(Box<Request<RequestToUpstream>>, hyper::Error),
    /// The reason alone.
    Failed(SendError),
}

impl From<SendError> for Unanswered {
    fn from(error: SendError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unanswered> for SendError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotSent(_, error) => Self::Lost(error),
            Unanswered::Failed(error) => error,
        }
    }
}

/// Requests to one peer.
#[derive(Debug)]
pub struct Exchange<'a> {
    upstreams: &'a Upstreams,
    peer: &'a Peer,
    pool: &'a Arc<Pool>,
    limits: Arc<Limits>,
}

impl<'a> Exchange<'a> {
    /// Prepares to send to `peer`, whose pool is `pool`.
    #[must_use]
    pub fn new(upstreams: &'a Upstreams, peer: &'a Peer, pool: &'a Arc<Pool>) -> Self {
        Self { upstreams, peer, pool, limits: upstreams.limits() }
    }

    /// Sends `request` and returns the answer with the connection that its body still comes over.
    ///
    /// A pooled connection may be closed by its peer at the very moment it is used. The request is then sent once
    /// more, over a new connection: whatever its method if not a byte of it left; if some did, only where that can
    /// do no harm, which is if the method is idempotent, there is no body, and not a byte of an answer came.
    ///
    /// # Errors
    /// Returns an error if there is no connection, or no answer in time.
    pub async fn send(&self, request: Request<RequestToUpstream>) -> Result<(Response<Incoming>, Lease), SendError> {
        let Some(lease) = self.pool.take(&self.limits) else {
            return Box::pin(self.send_over_new(request)).await;
        };
        self.upstreams.events.reused.inc();
        let copy = repeatable(&request);
        if copy.is_none() {
            // Only a request that never left can be sent again: whatever has come from the peer is to be seen before.
            tokio::task::yield_now().await;
        }
        let heard = lease.channel.heard.clone();
        heard.forget();
        let again = match self.send_over(lease, request).await {
            Ok(answered) => return Ok(answered),
            Err(Unanswered::NotSent(request, _)) => *request,
            Err(Unanswered::Failed(error)) => match copy {
                Some(copy) if matches!(error, SendError::Lost(_)) && !heard.anything() => copy,
                _ => return Err(error),
            },
        };
        self.upstreams.events.replayed.inc();
        Box::pin(self.send_over_new(again)).await
    }

    /// Sends a request to upgrade over a connection of its own, which is never pooled.
    ///
    /// # Errors
    /// As [`Exchange::send`].
    pub async fn send_upgrade(&self, request: Request<RequestToUpstream>) -> Result<Response<Incoming>, SendError> {
        let (mut channel, connection) = handshake(self.connect().await?).await?;
        self.upstreams.tasks.spawn(async move {
            // Its errors reach whoever waits for the answer or the upgrade.
            let _ = connection.with_upgrades().await;
        });
        Ok(self.answer_in_time(&mut channel, request).await?)
    }

    /// Rare enough to be boxed: the future of opening a connection would make every request's larger.
    async fn send_over_new(
        &self,
        request: Request<RequestToUpstream>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        Ok(self.send_over(self.open().await?, request).await?)
    }

    async fn send_over(
        &self,
        mut lease: Lease,
        request: Request<RequestToUpstream>,
    ) -> Result<(Response<Incoming>, Lease), Unanswered> {
        let answer = self.answer_in_time(&mut lease.channel, request).await?;
        Ok((answer, lease))
    }

    /// Waits for an answer's head: `head_timeout` from the end of the request. While the client's body is still
    /// on its way the wait goes on, since both its ends have limits on stalls of their own.
    async fn answer_in_time(
        &self,
        channel: &mut Channel,
        request: Request<RequestToUpstream>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let progress = request.body().progress();
        let mut sent = std::pin::pin!(channel.sender.try_send_request(request));
        let limit = self.limits.head_timeout;
        let mut deadline = Instant::now() + limit;
        loop {
            if let Ok(answer) = timeout_at(deadline, sent.as_mut()).await {
                return answer.map_err(|mut error| match error.take_message() {
                    Some(request) => Unanswered::NotSent(Box::new(request), error.into_error()),
                    None => self.classify(error.into_error(), progress.as_deref()).into(),
                });
            }
            let begins = match progress.as_deref() {
                Some(progress) => progress.ended().unwrap_or_else(Instant::now),
                None => deadline - limit,
            };
            if begins + limit <= deadline {
                self.upstreams.events.failed.inc();
                return Err(SendError::HeadTimeout(limit).into());
            }
            deadline = begins + limit;
        }
    }

    fn classify(&self, error: hyper::Error, progress: Option<&crate::proxy::body::UploadProgress>) -> SendError {
        if let Some(fault) = progress.and_then(crate::proxy::body::UploadProgress::fault) {
            return SendError::ClientBody(fault);
        }
        self.upstreams.events.failed.inc();
        if error.is_parse() { SendError::NotHttp(error) } else { SendError::Lost(error) }
    }

    async fn open(&self) -> Result<Lease, SendError> {
        let (channel, connection) = handshake(self.connect().await?).await?;
        self.upstreams.tasks.spawn(async move {
            // Its errors reach whoever waits for the answer or reads the body.
            let _ = connection.await;
        });
        Ok(self.pool.lease(channel, &self.limits))
    }

    async fn connect(&self) -> Result<UpstreamStream, ConnectError> {
        let connected = self.upstreams.connector().connect(self.peer, &self.limits).await;
        match &connected {
            Ok(_) => self.upstreams.events.opened.inc(),
            Err(_) => self.upstreams.events.failed.inc(),
        }
        connected
    }
}

type Connection = http1::Connection<TokioIo<UpstreamStream>, RequestToUpstream>;

async fn handshake(stream: UpstreamStream) -> Result<(Channel, Connection), SendError> {
    let heard = stream.heard().clone();
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_BUFFER)
        .max_header_size(MAX_ANSWER_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(SendError::Lost)?;
    Ok((Channel { sender, heard }, connection))
}

/// A second copy of a request that may reach its upstream twice. hyper gives none back that it has begun to write.
fn repeatable(request: &Request<RequestToUpstream>) -> Option<Request<RequestToUpstream>> {
    if !request.method().is_idempotent() || !request.body().is_empty() {
        return None;
    }
    let mut again = Request::new(RequestToUpstream::Empty);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

#[cfg(test)]
mod tests;
