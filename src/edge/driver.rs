//! Drives one connection: polls hyper, obeys orders, holds the deadlines.
//!
//! Everything happens in one task and one `poll`: the order flag and the watchdog are looked at after hyper has had
//! its turn, so an idle connection costs its memory and one timer, and a request costs one reading of the clock.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::Connection;
use super::connection::Order;
use super::protocol::{Protocol, Step};
use super::watchdog::{End, Observation, Verdict, Watchdog};

/// Serves a connection to its end and tells why it ended.
pub(super) async fn drive<P: Protocol>(protocol: P, connection: Arc<Connection>) -> End {
    let now = Instant::now();
    let watchdog = Watchdog::new(connection.limits(), now);
    let mut driver = Driver { protocol, connection, watchdog, obeyed: Order::Serve };
    let mut timer = pin!(tokio::time::sleep_until(now));
    let end = poll_fn(|cx| driver.poll(timer.as_mut(), cx)).await;
    driver.connection.unregister();
    end
}

struct Driver<P> {
    protocol: P,
    connection: Arc<Connection>,
    watchdog: Watchdog,
    /// The most severe order that was carried out.
    obeyed: Order,
}

impl<P: Protocol> Driver<P> {
    fn poll(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<End> {
        self.connection.register(cx.waker());
        loop {
            if let Some(end) = self.obey() {
                return Poll::Ready(end);
            }
            match self.protocol.poll(cx) {
                Step::Again => return Poll::Pending,
                Step::Waiting => {}
                Step::Broken => return Poll::Ready(End::ClientGone),
                Step::Done(result) => return Poll::Ready(self.end(result)),
            }
            match self.watch(timer.as_mut(), cx) {
                Watch::Asleep => return Poll::Pending,
                Watch::Told => {}
                Watch::Over(end) => return Poll::Ready(end),
            }
        }
    }

    /// Carries out an order that has come since the last look.
    fn obey(&mut self) -> Option<End> {
        let order = self.connection.order();
        if order == self.obeyed {
            return None;
        }
        self.obeyed = order;
        match order {
            Order::Serve => None,
            // One that has asked nothing yet is about to: it was accepted in the last moment.
            Order::Leave if self.connection.requests() == 0 => {
                self.watchdog.await_first(Instant::now());
                None
            }
            Order::Leave => self.leave(End::Drained),
            Order::Expel => self.leave(End::CancelBudget),
            Order::Kill => Some(self.watchdog.leaving().filter(|&end| end == End::Drained).unwrap_or(End::Killed)),
        }
    }

    fn leave(&mut self, end: End) -> Option<End> {
        self.watchdog.leave(end, Instant::now());
        self.protocol.graceful_shutdown();
        None
    }

    /// Looks at the deadlines and sleeps until the next.
    fn watch(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Watch {
        loop {
            let now = Instant::now();
            let cancelled = self.connection.take_cancelled();
            if cancelled > 0 && !self.watchdog.afford_cancelled(cancelled, now) {
                self.connection.give(Order::Expel);
                return Watch::Told;
            }
            match self.watchdog.check(Observation::of(&self.connection), now) {
                Verdict::Cut(end) => return Watch::Over(end),
                Verdict::Leave(end) => {
                    self.leave(end);
                    return Watch::Told;
                }
                Verdict::Wait(until) => {
                    // A timer that fires early is cheaper than one that is reset for each request.
                    if timer.deadline() > until || timer.is_elapsed() {
                        timer.as_mut().reset(until);
                    }
                    if timer.as_mut().poll(cx).is_pending() {
                        return Watch::Asleep;
                    }
                }
            }
        }
    }

    /// Classifies what hyper says at the end.
    fn end(&self, result: hyper::Result<()>) -> End {
        match result {
            Ok(()) if self.connection.is_upgraded() => End::Upgraded,
            Ok(()) => self.watchdog.leaving().unwrap_or(End::Closed),
            // A peer that was told to leave may do so without a word.
            Err(error) => self.watchdog.leaving().unwrap_or_else(|| classify(&error)),
        }
    }
}

enum Watch {
    /// The timer is set.
    Asleep,
    /// The protocol was told something and has to be polled again.
    Told,
    Over(End),
}

fn classify(error: &hyper::Error) -> End {
    if error.is_parse_too_large() {
        End::TooLarge
    } else if error.is_parse() {
        End::BadRequest
    } else if error.is_user() {
        End::AnswerBroken
    } else if error.is_incomplete_message() || error.is_timeout() || is_io(error) {
        // A time-out of hyper's is an HTTP/2 ping without an answer.
        End::ClientGone
    } else {
        End::ProtocolError
    }
}

fn is_io(error: &hyper::Error) -> bool {
    error.source().is_none_or(|source| source.downcast_ref::<std::io::Error>().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::caps::Caps;
    use super::super::connection::Facts;
    use super::super::registry::Connections;
    use super::*;
    use crate::config;
    use crate::metrics::Metrics;

    /// Waits once, as for an answer, and is over.
    struct Brief(bool);

    impl Protocol for Brief {
        fn poll(&mut self, _: &mut Context<'_>) -> Step {
            if std::mem::replace(&mut self.0, true) { Step::Done(Ok(())) } else { Step::Waiting }
        }

        fn graceful_shutdown(&mut self) {}
    }

    struct Task;

    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[tokio::test]
    async fn a_connection_that_outlives_its_driver_does_not_keep_the_task() {
        let metrics = Metrics::new(prometheus::Registry::new(), 1);
        let connection = Connection::open(
            Facts {
                peer: ([127, 0, 0, 1], 1).into(),
                server_name: None,
                tls: false,
                http2: false,
                limits: Arc::new(config::Http::default()),
                slot: Caps::new(metrics).enter(0).unwrap(),
            },
            &Connections::default(),
        );
        let task = Arc::new(Task);
        let waker = task.clone().into();
        let mut driven = pin!(drive(Brief(false), connection.clone()));
        assert!(driven.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(driven.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        drop(waker);
        // Its tunnel would hold the connection for hours.
        assert_eq!(Arc::strong_count(&task), 1);
    }
}
