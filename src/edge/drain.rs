//! Leaving in good order: look busy to the load balancer, stop accepting, finish what is under way, go.
//!
//! pingora's own grace period is a fixed sleep that ends early for nobody, so all of this happens before pingora is
//! told to stop. The phase can be watched; what the edge does not see ending by itself is waited for by [`Hold`]s.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::handover::Handover;
use super::registry::Connections;
use super::signals::Signals;
use crate::config;
use crate::metrics::Metrics;

/// Orders to stop that wait to be seen; the second already means "at once".
const MAX_ORDERS: usize = 4;
/// How long a fast stop waits for requests.
const FAST: Duration = Duration::from_secs(1);

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As configured: not ready, go on accepting for `drain_delay`, then finish what is under way. TERM.
    Drain,
    /// Stop accepting now, give requests a second. INT.
    Fast,
    /// Give the listening sockets to a new process, then finish what is under way. If no process takes them, this one
    /// goes on as if nothing had been asked. QUIT.
    Handover,
}

/// How far the gateway is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainPhase {
    /// In service.
    Serving,
    /// Not ready any more, still accepting.
    Leaving,
    /// Not accepting; requests finish, tunnels should be told to go.
    Draining,
    /// Nothing is left, or the deadline has come, or a second signal.
    Over,
}

/// A cheap handle on the way out of one [`Server`](super::Server).
#[derive(Clone)]
pub struct Drain(Arc<Inner>);

struct Inner {
    settings: ArcSwap<config::Shutdown>,
    phase: watch::Sender<DrainPhase>,
    /// What is being carried out.
    how: OnceLock<Stop>,
    orders: mpsc::Sender<Stop>,
    received: Mutex<Option<mpsc::Receiver<Stop>>>,
    /// Accept loops begin when this turns true: signals are handled by then.
    opened: watch::Sender<bool>,
    /// pingora's accept loops end when these turn true: those of most listeners, and those that stay to the end.
    closed: watch::Sender<bool>,
    closed_late: watch::Sender<bool>,
    connections: Connections,
    held: AtomicUsize,
    released: Notify,
}

/// Something that has to end before the gateway leaves, until it is dropped.
pub struct Hold(Drain);

impl Drain {
    /// Starts in service.
    #[must_use]
    pub fn new(settings: &config::Shutdown) -> Self {
        let (orders, received) = mpsc::channel(MAX_ORDERS);
        Self(Arc::new(Inner {
            settings: ArcSwap::from_pointee(settings.clone()),
            phase: watch::Sender::new(DrainPhase::Serving),
            how: OnceLock::new(),
            orders,
            received: Mutex::new(Some(received)),
            opened: watch::Sender::new(false),
            closed: watch::Sender::new(false),
            closed_late: watch::Sender::new(false),
            connections: Connections::default(),
            held: AtomicUsize::new(0),
            released: Notify::new(),
        }))
    }

    /// Puts other settings in force for the next stop.
    pub fn apply(&self, settings: &config::Shutdown) {
        self.0.settings.store(Arc::new(settings.clone()));
    }

    /// Over how long tunnels are asked to go, as configured.
    #[must_use]
    pub fn nudge_window(&self) -> Duration {
        self.0.settings.load().nudge_window.0
    }

    /// Asks to stop, as a signal would. Asked a second time, the gateway leaves at once.
    pub fn stop(&self, how: Stop) {
        // A full channel already holds more orders than are needed to leave at once.
        let _full = self.0.orders.try_send(how);
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> DrainPhase {
        *self.0.phase.borrow()
    }

    /// How it leaves; `None` while it is in service.
    #[must_use]
    pub fn how(&self) -> Option<Stop> {
        self.0.how.get().copied()
    }

    /// The phase, to be watched.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<DrainPhase> {
        self.0.phase.subscribe()
    }

    /// The gateway does not leave in good order while the value lives. Connections and tunnels on a
    /// [`Stream`](super::Stream) are waited for anyway.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.0.held.fetch_add(1, Ordering::AcqRel);
        Hold(self.clone())
    }

    /// Client connections that are open and will be waited for, tunnels included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections.open()
    }

    pub(super) fn registry(&self) -> &Connections {
        &self.0.connections
    }

    /// What begins the accept loops.
    pub(super) fn opened(&self) -> watch::Receiver<bool> {
        self.0.opened.subscribe()
    }

    /// What ends the accept loops of a listener.
    pub(super) fn closed(&self, stays: bool) -> watch::Receiver<bool> {
        if stays { self.0.closed_late.subscribe() } else { self.0.closed.subscribe() }
    }

    /// Waits for an order and carries it out; returns when the process may go.
    pub(super) async fn conduct(&self, signals: Option<Signals>, handover: &Handover, metrics: &Metrics) {
        let received = self.0.received.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut orders = Orders { received, signals };
        self.0.opened.send_replace(true);
        let how = orders.first(handover).await;
        let settings = self.0.settings.load_full();
        let (delay, limit) = match how {
            Stop::Drain => (settings.drain_delay.0, settings.deadline.0),
            Stop::Fast => (Duration::ZERO, FAST),
            Stop::Handover => (Duration::ZERO, settings.deadline.0),
        };
        let deadline = Instant::now() + limit;
        tracing::info!(?how, ?delay, deadline = ?limit, "leaving");
        metrics.draining();
        // The only order that is carried out, so that nothing is set before.
        let _ = self.0.how.set(how);
        self.enter(DrainPhase::Leaving);
        tokio::select! {
            () = self.leave(how, delay, deadline) => {}
            again = orders.next() => tracing::warn!(?again, "told to stop again, leaving at once"),
        }
        self.0.connections.kill();
        self.0.closed.send_replace(true);
        self.0.closed_late.send_replace(true);
        self.enter(DrainPhase::Over);
    }

    async fn leave(&self, how: Stop, delay: Duration, deadline: Instant) {
        if !delay.is_zero() {
            sleep(delay.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
        self.enter(DrainPhase::Draining);
        self.0.closed.send_replace(true);
        if how == Stop::Handover {
            self.0.closed_late.send_replace(true);
        }
        self.0.connections.leave();
        if timeout_at(deadline, self.nothing_left()).await.is_err() {
            tracing::warn!(connections = self.connections(), "deadline reached, cutting what is left");
        }
    }

    async fn nothing_left(&self) {
        self.0.connections.none_left().await;
        loop {
            let released = self.0.released.notified();
            if self.0.held.load(Ordering::Acquire) == 0 {
                return;
            }
            released.await;
        }
    }

    fn enter(&self, phase: DrainPhase) {
        self.0.phase.send_replace(phase);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.0.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.released.notify_waiters();
        }
    }
}

/// Where orders come from: the handle, and the process's signals if they are this gateway's.
struct Orders {
    received: Option<mpsc::Receiver<Stop>>,
    signals: Option<Signals>,
}

impl Orders {
    /// The order that ends the service. A hand-over that fails does not.
    async fn first(&mut self, handover: &Handover) -> Stop {
        loop {
            let how = self.next().await;
            if how != Stop::Handover {
                return how;
            }
            match handover.give().await {
                Ok(()) => return how,
                Err(error) => tracing::error!(%error, "hand-over failed, serving on"),
            }
        }
    }

    async fn next(&mut self) -> Stop {
        let received = async {
            match &mut self.received {
                Some(received) => received.recv().await,
                None => None,
            }
        };
        let signalled = async {
            match &mut self.signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(how) = received => how,
            how = signalled => how,
        }
    }
}
