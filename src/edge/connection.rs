//! What is known of one client connection, shared by its stream, its driver, its requests and their service.
//!
//! Everything that changes is an atomic: the request path takes no lock here. A [`Connection`] lives until the last
//! of its holders is gone, which for an upgraded connection is the tunnel; so its place under the caps, its entry in
//! the registry and the gauge of open connections last exactly as long as the socket does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use super::caps::Slot;
use super::registry::Connections;
use crate::config;

/// What the driver of a connection has been asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    Serve = 0,
    /// Finish what is under way, then close.
    Leave = 1,
    /// Say goodbye and close within a second: the peer cancelled too many requests.
    Expel = 2,
    /// Close now.
    Kill = 3,
}

/// One client connection.
pub struct Connection {
    id: u64,
    peer: SocketAddr,
    server_name: Option<Box<str>>,
    tls: bool,
    http2: bool,
    limits: Arc<config::Http>,
    order: AtomicU8,
    waker: AtomicWaker,
    /// Requests and request bodies that are under way.
    busy: AtomicU32,
    /// Requests that have begun since the connection was opened.
    requests: AtomicU32,
    /// HTTP/2 requests that the client gave up since the driver last looked.
    cancelled: AtomicU32,
    head_begun: AtomicBool,
    write_blocked: AtomicBool,
    linger: AtomicBool,
    lingering: AtomicBool,
    upgraded: AtomicBool,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    connections: Connections,
    _slot: Slot,
}

/// What [`Connection::open`] needs to know.
pub(super) struct Facts {
    pub(super) peer: SocketAddr,
    pub(super) server_name: Option<Box<str>>,
    pub(super) tls: bool,
    pub(super) http2: bool,
    pub(super) limits: Arc<config::Http>,
    pub(super) slot: Slot,
}

impl Connection {
    /// Enters a new connection in `connections`.
    pub(super) fn open(facts: Facts, connections: &Connections) -> Arc<Self> {
        let connection = Arc::new(Self {
            id: connections.next_id(),
            peer: facts.peer,
            server_name: facts.server_name,
            tls: facts.tls,
            http2: facts.http2,
            limits: facts.limits,
            order: AtomicU8::new(Order::Serve as u8),
            waker: AtomicWaker::new(),
            busy: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            cancelled: AtomicU32::new(0),
            head_begun: AtomicBool::new(false),
            write_blocked: AtomicBool::new(false),
            linger: AtomicBool::new(false),
            lingering: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            connections: connections.clone(),
            _slot: facts.slot,
        });
        connections.enter(&connection);
        connection
    }

    /// A number that no other connection of this process has.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The client's address: the socket's peer, or what a trusted PROXY header says.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client's IP address, with an IPv4 address written as IPv6 turned back.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// The host name that the client asked for in the TLS handshake, lower case.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether it speaks HTTP/2.
    #[must_use]
    pub const fn is_http2(&self) -> bool {
        self.http2
    }

    /// Whether it is encrypted.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Bytes that came in and went out so far, above TLS. After an upgrade the tunnel's bytes are counted too.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }

    /// Cuts the connection now, whatever is under way. An upgraded connection is no longer the edge's to cut: its
    /// tunnel has to be told.
    pub fn close(&self) {
        self.give(Order::Kill);
    }

    /// Ends the connection once what is under way is finished; takes no new request.
    pub fn leave(&self) {
        self.give(Order::Leave);
    }

    /// Orders only grow more severe.
    pub(super) fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.waker.wake();
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Leave,
            2 => Order::Expel,
            _ => Order::Kill,
        }
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Forgets who drove it. A waker keeps its task's memory, 8 KiB and more here, and an upgraded connection would
    /// keep the waker for as long as its tunnel is open.
    pub(super) fn unregister(&self) {
        self.waker.take();
    }

    pub(super) fn limits(&self) -> &config::Http {
        &self.limits
    }

    pub(super) fn request_begun(&self) {
        self.head_begun.store(false, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.enter();
    }

    /// Something is under way until [`Self::exit`].
    pub(super) fn enter(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn exit(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// An HTTP/2 request ended before its answer did. On HTTP/1.1 that is the end of the connection anyway.
    pub(super) fn request_cancelled(&self) {
        if self.http2 {
            self.cancelled.fetch_add(1, Ordering::Relaxed);
            self.waker.wake();
        }
    }

    pub(super) fn take_cancelled(&self) -> u32 {
        if self.cancelled.load(Ordering::Relaxed) == 0 { 0 } else { self.cancelled.swap(0, Ordering::Relaxed) }
    }

    /// Bytes came in. With nothing under way they begin a head, on HTTP/1.1; on HTTP/2 they may be anything, and a
    /// head that drips there is cut as idle.
    pub(super) fn received(&self, bytes: usize) {
        add(&self.bytes_in, bytes);
        if !self.http2 && !self.is_busy() {
            self.head_begun.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn head_begun(&self) -> bool {
        self.head_begun.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self, bytes: usize) {
        add(&self.bytes_out, bytes);
    }

    pub(super) fn set_write_blocked(&self, blocked: bool) {
        if self.write_blocked.load(Ordering::Relaxed) != blocked {
            self.write_blocked.store(blocked, Ordering::Relaxed);
        }
    }

    pub(super) fn is_write_blocked(&self) -> bool {
        self.write_blocked.load(Ordering::Relaxed)
    }

    /// The client may still be sending a body that nobody will read.
    pub(super) fn set_linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.linger.load(Ordering::Relaxed)
    }

    /// The write side is closed and the stream discards what still comes.
    pub(super) fn set_lingering(&self) {
        self.lingering.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_lingering(&self) -> bool {
        self.lingering.load(Ordering::Relaxed)
    }

    pub(super) fn set_upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }
}

/// One task at a time moves the bytes of a connection, so a plain load and store will do.
fn add(counter: &AtomicU64, bytes: usize) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.exit(self.id);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).field("peer", &self.peer).finish_non_exhaustive()
    }
}
