//! Bodies in both directions: what is sent to an upstream, and what is sent to the client.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::access_log::Record;
use super::answers::{AnswerTag, Answers, Registration};
use super::upstream::Lease;
use crate::clock::Clock;
use crate::edge::{RequestBody, RequestBodyError};
use crate::workspace::Activity;
use crate::workspace::classify::BodyClassifier;

/// The body of a request on its way to an upstream.
#[derive(Debug)]
pub enum RequestToUpstream {
    /// None.
    Empty,
    /// The client's, as it comes.
    Streaming {
        /// Without trailers, and with a limit on stalls.
        body: RequestBody,
        /// How far it is.
        progress: Arc<UploadProgress>,
        /// Looks at it for signs of somebody at work.
        observer: Option<Box<Observer>>,
    },
}

/// Tells a workspace's clock of somebody at work, where only a request's body shows it.
pub struct Observer {
    classifier: BodyClassifier,
    activity: Arc<Activity>,
    clock: Arc<dyn Clock>,
}

impl Observer {
    /// Looks with `classifier`, which belongs to one body.
    #[must_use]
    pub fn new(classifier: BodyClassifier, activity: Arc<Activity>, clock: Arc<dyn Clock>) -> Self {
        Self { classifier, activity, clock }
    }

    fn look(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, RequestBodyError>>>, has_ended: bool) {
        let bytes = match polled {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref(),
            _ => None,
        };
        let shown = bytes.and_then(|bytes| self.classifier.bytes(bytes));
        let last = if has_ended { self.classifier.end() } else { None };
        if let Some(source) = shown.or(last) {
            self.activity.human(source, self.clock.now());
        }
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("classifier", &self.classifier).finish_non_exhaustive()
    }
}

/// How far an upload is; shared by the body and by whoever waits for the answer.
#[derive(Debug, Default)]
pub struct UploadProgress {
    state: AtomicU8,
    bytes: AtomicU64,
    ended: OnceLock<Instant>,
}

/// What ended an upload before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadFault {
    /// It made no progress for too long.
    Stalled,
    /// It broke HTTP, or the client left.
    Broken,
}

const UNDER_WAY: u8 = 0;
const FINISHED: u8 = 1;
const STALLED: u8 = 2;
const BROKEN: u8 = 3;

impl UploadProgress {
    /// Whether nothing more will come.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.load(Ordering::Relaxed) != UNDER_WAY
    }

    /// When its end was seen.
    #[must_use]
    pub fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn fault(&self) -> Option<UploadFault> {
        match self.state.load(Ordering::Relaxed) {
            STALLED => Some(UploadFault::Stalled),
            BROKEN => Some(UploadFault::Broken),
            _ => None,
        }
    }

    /// Bytes that were passed on.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn note(&self, polled: &Poll<Option<Result<Frame<Bytes>, RequestBodyError>>>) {
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let size = frame.data_ref().map_or(0, Bytes::len);
                self.bytes.fetch_add(size as u64, Ordering::Relaxed);
            }
            Poll::Ready(Some(Err(RequestBodyError::Stalled(_)))) => self.end(STALLED),
            Poll::Ready(Some(Err(_))) => self.end(BROKEN),
            Poll::Ready(None) | Poll::Pending => {}
        }
    }

    fn end(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
        // The first end is the end.
        let _ = self.ended.set(Instant::now());
    }
}

impl RequestToUpstream {
    /// Whether there is no body at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The shared view of how far it is; `None` if there is no body.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<UploadProgress>> {
        match self {
            Self::Empty => None,
            Self::Streaming { progress, .. } => Some(progress.clone()),
        }
    }
}

impl HttpBody for RequestToUpstream {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streaming { body, progress, observer } => {
                let polled = Pin::new(&mut *body).poll_frame(cx);
                progress.note(&polled);
                // Whoever sends a body of known length does not ask again after its last byte.
                let has_ended = match &polled {
                    Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
                    Poll::Ready(None) => true,
                    _ => false,
                };
                if has_ended {
                    progress.end(FINISHED);
                }
                if let Some(observer) = observer {
                    observer.look(&polled, has_ended);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { body, .. } => body.size_hint(),
        }
    }
}

/// The body of an answer on its way to the client. Dropping it, at its end or before, writes the access log.
#[derive(Debug)]
pub struct AnswerBody {
    source: Source,
    record: Option<Box<Record>>,
    ending: Option<Ending>,
    /// How many pieces were passed on.
    pieces: u32,
}

/// A long answer is one with more pieces than this, even if its upstream never lets it wait.
const LONG: u32 = 64;

/// What cuts an answer off before its end.
#[derive(Debug)]
enum Ending {
    /// By what it was given. Nobody waits for its end yet.
    Right {
        /// Cancelled when the login ends.
        login: CancellationToken,
        tag: AnswerTag,
        /// Where it is kept if it lasts.
        answers: Answers,
    },
    /// The answer has had to wait for its upstream once, or is long, so its end is waited for too.
    Awaited(Box<Awaited>),
}

/// The end of a login or right, waited for.
#[derive(Debug)]
struct Awaited {
    login: CancellationToken,
    /// Cancelled when the login ends or the right is withdrawn.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _kept: Registration,
}

#[derive(Debug)]
enum Source {
    Empty,
    Own(axum::body::Body),
    Upstream { body: Incoming, lease: Option<Lease> },
}

impl AnswerBody {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self { source: Source::Empty, record: None, ending: None, pieces: 0 }
    }

    /// A page or document of our own.
    #[must_use]
    pub const fn own(body: axum::body::Body) -> Self {
        Self { source: Source::Own(body), record: None, ending: None, pieces: 0 }
    }

    /// A short text of our own.
    #[must_use]
    pub fn text(text: impl Into<axum::body::Body>) -> Self {
        Self::own(text.into())
    }

    /// An upstream's answer; at its end its connection goes back to the pool it is on loan from.
    #[must_use]
    pub fn upstream(body: Incoming, lease: Option<Lease>) -> Self {
        let source = Source::Upstream { body, lease };
        let mut answer = Self { source, record: None, ending: None, pieces: 0 };
        answer.give_back_at_end();
        answer
    }

    /// Breaks the answer off when `login` is cancelled, or when it lasts and is ended among `answers`: what was asked for
    /// by a login or a right does not outlive it.
    #[must_use]
    pub fn until(mut self, login: CancellationToken, tag: AnswerTag, answers: Answers) -> Self {
        self.ending = Some(Ending::Right { login, tag, answers });
        self
    }

    /// The same answer without its body, and the body's length if it is known: what HEAD is answered with.
    #[must_use]
    pub fn without_content(mut self) -> (Self, Option<u64>) {
        let length = self.size_hint().exact();
        self.source = Source::Empty;
        (self, length)
    }

    /// Whether it is a page or document of our own.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        matches!(self.source, Source::Own(_))
    }

    /// Attaches the record that is written when this body is dropped.
    #[must_use]
    pub fn recorded(mut self, record: Box<Record>) -> Self {
        self.record = Some(record);
        self
    }

    /// Returns the connection to its pool if nothing more will come over it.
    fn give_back_at_end(&mut self) {
        if let Source::Upstream { body, lease } = &mut self.source
            && body.is_end_stream()
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
    }

    /// Whether the login or the right has ended. Costs nothing until the answer first has to wait.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<AnswerBodyError> {
        let mut awaited = match self.ending.take() {
            None => return Poll::Pending,
            Some(Ending::Right { login, tag, answers }) => {
                let ended = login.child_token();
                let kept = answers.register(tag, ended.clone());
                Box::new(Awaited { login, ended: Box::pin(ended.cancelled_owned()), _kept: kept })
            }
            Some(Ending::Awaited(awaited)) => awaited,
        };
        let polled = awaited.ended.as_mut().poll(cx);
        let by_login = awaited.login.is_cancelled();
        self.ending = Some(Ending::Awaited(awaited));
        polled.map(|()| if by_login { AnswerBodyError::SignedOut } else { AnswerBodyError::Withdrawn })
    }

    /// Whether to look for the end although there is more to pass on.
    const fn is_time_to_look(&self) -> bool {
        self.pieces > 0 && self.pieces.is_multiple_of(LONG)
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerBodyError>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Own(body) => Pin::new(body).poll_frame(cx).map_err(AnswerBodyError::Own),
            Source::Upstream { body, lease } => {
                let polled = Pin::new(body).poll_frame(cx).map_err(AnswerBodyError::Upstream);
                if matches!(polled, Poll::Ready(None))
                    && let Some(lease) = lease.take()
                {
                    lease.give_back();
                }
                polled
            }
        }
    }
}

/// What ended an answer's body before its end. The client sees a truncated answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerBodyError {
    /// A page of our own failed.
    #[error(transparent)]
    Own(axum::Error),
    /// The upstream's body broke off.
    #[error("the upstream's body broke off: {0}")]
    Upstream(hyper::Error),
    /// The login that the answer was given to has ended.
    #[error("the login has ended")]
    SignedOut,
    /// The right that the answer was given by was taken away.
    #[error("access was withdrawn")]
    Withdrawn,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = AnswerBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerBodyError>>> {
        let this = self.get_mut();
        loop {
            let mut polled = this.poll_source(cx);
            if (polled.is_pending() || this.is_time_to_look())
                && let Poll::Ready(ended) = this.poll_ending(cx)
            {
                polled = Poll::Ready(Some(Err(ended)));
            }
            match &polled {
                // Trailers end here: a client could not tell ours from an upstream's.
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => continue,
                Poll::Ready(Some(Ok(frame))) => {
                    this.pieces = this.pieces.wrapping_add(1);
                    if let Some(record) = &mut this.record {
                        record.sent(frame.data_ref().map_or(0, Bytes::len));
                    }
                    this.give_back_at_end();
                }
                Poll::Ready(Some(Err(error))) => {
                    if let Some(record) = &mut this.record {
                        record.broke_off(error);
                    }
                    this.record = None;
                }
                Poll::Ready(None) => this.source = Source::Empty,
                Poll::Pending => {}
            }
            return polled;
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Own(body) => body.is_end_stream(),
            Source::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Own(body) => body.size_hint(),
            Source::Upstream { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // A body whose length is known is not polled again after its last byte.
        if self.is_end_stream()
            && let Some(record) = &mut self.record
        {
            record.complete();
        }
    }
}
