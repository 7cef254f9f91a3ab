//! Answers over HTTP/2 that the client does not read.
//!
//! A client that keeps a stream's window shut is invisible to the socket, and hyper waits for it for ever without
//! asking the answer's body for more. So each request's task is wrapped: a poll in which the body gave data and that
//! still ends in waiting is waiting for the client. If that lasts too long, this one stream is reset; a paused
//! download does not cost the other requests of its connection.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, Sleep};

/// What the body of the answer did in this poll of its task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEvent {
    /// It was not asked.
    None,
    /// It gave data, or its end.
    Gave,
    /// It has nothing yet.
    Waits,
}

thread_local! {
    static LAST: Cell<BodyEvent> = const { Cell::new(BodyEvent::None) };
}

/// Called by the body of an answer when it is polled.
pub(super) fn note(event: BodyEvent) {
    LAST.set(event);
}

/// Runs the requests of an HTTP/2 connection as tasks and resets those whose answer is not read.
#[derive(Clone)]
pub(super) struct StallExecutor(pub(super) Duration);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StallExecutor {
    fn execute(&self, future: F) {
        TokioExecutor::new().execute(Watched { future, stall: self.0, blocked: false, timer: None });
    }
}

pin_project_lite::pin_project! {
    struct Watched<F> {
        #[pin]
        future: F,
        stall: Duration,
        // The last that the body did was to give data: the client has the next move.
        blocked: bool,
        // Made when a client first lets an answer wait.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        LAST.set(BodyEvent::None);
        if this.future.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match LAST.get() {
            BodyEvent::Gave => {
                *this.blocked = true;
                let deadline = Instant::now() + *this.stall;
                match this.timer {
                    Some(timer) => timer.as_mut().reset(deadline),
                    None => *this.timer = Some(Box::pin(tokio::time::sleep_until(deadline))),
                }
            }
            BodyEvent::Waits => *this.blocked = false,
            BodyEvent::None => {}
        }
        match this.timer {
            // Ending here drops hyper's side of the stream, which resets it.
            Some(timer) if *this.blocked => timer.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}
