//! One request and its answer: marks the connection as busy from the head of the one to the end of the other, and
//! tells an answer that was finished from one that the client gave up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};

use super::Connection;
use super::stall::{BodyEvent, note};

/// Held by the service's future, then by the answer's body.
pub(super) struct Exchange {
    connection: Arc<Connection>,
    finished: bool,
}

impl Exchange {
    pub(super) fn begin(connection: &Arc<Connection>) -> Self {
        connection.request_begun();
        Self { connection: connection.clone(), finished: false }
    }

    /// The service has answered; what is left is the body.
    pub(super) fn answer<B: Body>(mut self, mut response: http::Response<B>) -> http::Response<Reply<B>> {
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            self.connection.set_upgraded();
        }
        self.finished = response.body().is_end_stream();
        // The rest of a body that nobody reads stands between this answer and a next request.
        if !self.connection.is_http2() && self.connection.lingers() {
            response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| Reply { body, exchange: self })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.finished {
            self.connection.request_cancelled();
        }
        self.connection.exit();
    }
}

pin_project_lite::pin_project! {
    /// The body of an answer, as the service made it.
    pub struct Reply<B> {
        #[pin]
        body: B,
        exchange: Exchange,
    }
}

impl<B: Body<Data = Bytes>> Body for Reply<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = this.body.as_mut().poll_frame(cx);
        note(if frame.is_pending() { BodyEvent::Waits } else { BodyEvent::Gave });
        match &frame {
            // An error is the service's doing, not the client's.
            Poll::Ready(None | Some(Err(_))) => this.exchange.finished = true,
            Poll::Ready(Some(Ok(_))) => this.exchange.finished = this.body.is_end_stream(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
