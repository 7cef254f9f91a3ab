//! Idle connections by instance, newest first, and what else is kept for an instance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use foldhash::fast::RandomState;
use http::HeaderValue;
use hyper::client::conn::http1::SendRequest;
use papaya::HashMap;
use prometheus::IntCounter;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::stream::Heard;
use super::{Connector, Limits, Peer};
use crate::metrics::Metrics;
use crate::model::InstanceId;
use crate::proxy::body::RequestToUpstream;

/// Instances whose last use is longer ago than this are forgotten with all that is kept for them.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// All upstream connections of the gateway.
#[derive(Debug)]
pub struct Upstreams {
    pools: HashMap<InstanceId, Arc<Pool>, RandomState>,
    limits: ArcSwap<Limits>,
    connector: ArcSwap<Connector>,
    pub(super) tasks: TaskTracker,
    pub(super) events: Events,
}

/// Counters of what happens to upstream connections.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) opened: IntCounter,
    pub(super) reused: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) replayed: IntCounter,
}

/// What is kept for one instance.
#[derive(Debug)]
pub struct Pool {
    idle: Mutex<IdleConnections>,
    /// Theia's connection token of this run, if it is held; see `proxy::theia`.
    pub(in crate::proxy) theia_token: ArcSwapOption<HeaderValue>,
    /// Held while that token is fetched, so that a hundred requests fetch it once.
    pub(in crate::proxy) theia_fetch: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct IdleConnections {
    /// The newest last.
    all: Vec<Idle>,
    last_used: Instant,
}

#[derive(Debug)]
struct Idle {
    channel: Channel,
    since: Instant,
}

/// The near end of an open connection.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) sender: SendRequest<RequestToUpstream>,
    pub(super) heard: Heard,
}

/// A connection on loan; give it back with [`Lease::give_back`], or drop it and it is closed.
#[derive(Debug)]
pub struct Lease {
    pub(super) channel: Channel,
    pool: Arc<Pool>,
    max_idle: usize,
}

impl Upstreams {
    /// Without connections yet.
    #[must_use]
    pub fn new(limits: Limits, connector: Connector, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            pools: HashMap::default(),
            limits: ArcSwap::from_pointee(limits),
            connector: ArcSwap::from_pointee(connector),
            tasks: TaskTracker::new(),
            events: Events {
                opened: metrics.upstream_connections("opened"),
                reused: metrics.upstream_connections("reused"),
                failed: metrics.upstream_connections("failed"),
                replayed: metrics.upstream_connections("replayed"),
            },
        })
    }

    /// New limits, for connections and requests that begin from now on.
    pub fn apply(&self, limits: Limits, connector: Connector) {
        self.limits.store(Arc::new(limits));
        self.connector.store(Arc::new(connector));
    }

    /// The limits in force.
    pub(super) fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    pub(super) fn connector(&self) -> Arc<Connector> {
        self.connector.load_full()
    }

    /// What is kept for the instance of `peer`.
    #[must_use]
    pub fn pool(&self, peer: &Peer) -> Arc<Pool> {
        let pools = self.pools.pin();
        if let Some(pool) = pools.get(peer.instance()) {
            return pool.clone();
        }
        pools.get_or_insert_with(peer.instance().clone(), || Arc::new(Pool::new())).clone()
    }

    /// Closes idle connections that are past their time, and forgets instances that are long unused.
    /// Called once a second by the composition root.
    pub fn sweep(&self) {
        let idle_timeout = self.limits.load().idle_timeout;
        let now = Instant::now();
        self.pools.pin().retain(|_, pool| {
            let left = pool.close_older_than(now, idle_timeout);
            left > 0 || Arc::strong_count(pool) > 1 || now.duration_since(pool.last_used()) < FORGET_AFTER
        });
    }
}

impl Pool {
    fn new() -> Self {
        Self {
            idle: Mutex::new(IdleConnections { all: Vec::new(), last_used: Instant::now() }),
            theia_token: ArcSwapOption::empty(),
            theia_fetch: tokio::sync::Mutex::const_new(None),
        }
    }

    /// The newest idle connection that is still open.
    pub(super) fn take(self: &Arc<Self>, limits: &Limits) -> Option<Lease> {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.last_used = now;
        let channel = idle.take_newest(now, limits.idle_timeout)?;
        drop(idle);
        Some(self.lease(channel, limits))
    }

    pub(super) fn lease(self: &Arc<Self>, channel: Channel, limits: &Limits) -> Lease {
        Lease { channel, pool: self.clone(), max_idle: limits.max_idle }
    }

    fn idle(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_used(&self) -> Instant {
        self.idle().last_used
    }

    fn close_older_than(&self, now: Instant, limit: Duration) -> usize {
        let mut idle = self.idle();
        idle.all.retain(|one| one.is_usable(now, limit));
        idle.all.len()
    }
}

impl IdleConnections {
    /// Looks no further than the newest that will do; what is past its time before it goes with the next sweep.
    fn take_newest(&mut self, now: Instant, limit: Duration) -> Option<Channel> {
        // One that is open and not ready was given back a moment ago, and its task has not run since.
        let newest = self.all.iter().rposition(|one| one.channel.sender.is_ready() && one.is_usable(now, limit))?;
        Some(self.all.remove(newest).channel)
    }
}

impl Idle {
    fn is_usable(&self, now: Instant, limit: Duration) -> bool {
        !self.channel.sender.is_closed() && now.duration_since(self.since) <= limit
    }
}

impl Lease {
    /// Puts the connection back for reuse, if it is still open and there is room.
    /// Call it when the answer's body has ended, not before.
    pub fn give_back(self) {
        if self.channel.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.idle();
        if idle.all.len() < self.max_idle {
            idle.all.push(Idle { channel: self.channel, since: Instant::now() });
        }
    }
}
