//! From an accepted socket to a connection that speaks HTTP: caps, PROXY header, TLS, then the driver.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pingora_core::apps::ServerApp;
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use pingora_core::protocols::{GetSocketDigest, Stream as AnyStream};
use pingora_core::server::ShutdownWatch;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::caps::{Caps, Slot};
use super::connection::Facts;
use super::listener::is_proxy;
use super::proxy_protocol::{self, MAX_HEADER};
use super::registry::Connections;
use super::stream::Io;
use super::{Connection, Limits, Service, Stream, driver, protocol};
use crate::config::{self, Cidr};
use crate::metrics::Metrics;

/// pingora's application for one listener.
pub(super) struct App<S> {
    pub(super) service: Arc<S>,
    pub(super) acceptor: Option<Acceptor>,
    pub(super) proxies: Vec<Cidr>,
    pub(super) limits: Limits,
    pub(super) caps: Caps,
    pub(super) connections: Connections,
    pub(super) metrics: Arc<Metrics>,
}

#[async_trait::async_trait]
impl<S: Service> ServerApp for App<S> {
    async fn process_new(self: &Arc<Self>, stream: AnyStream, _: &ShutdownWatch) -> Option<AnyStream> {
        let socket = stream.into_any().downcast::<L4Stream>().ok()?;
        let beginning = self.connections.begin();
        // Boxed, so that what the handshake needs is given back before the connection settles down.
        let stream = Box::pin(self.accept(socket)).await?;
        drop(beginning);
        self.serve(stream).await;
        None
    }
}

impl<S: Service> App<S> {
    /// Everything before HTTP. None if the connection was refused or failed; that is counted here.
    async fn accept(&self, mut socket: Box<L4Stream>) -> Option<Stream> {
        let limits = self.limits.current();
        let (peer, slot) = match self.admit(&mut socket, &limits).await {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.metrics.connection_refused(reason);
                return None;
            }
        };
        let mut facts = Facts { peer, server_name: None, tls: false, http2: false, limits, slot };
        let Some(acceptor) = &self.acceptor else {
            return Some(Stream::new(Io::Plain(socket), Connection::open(facts, &self.connections)));
        };
        let stream = self.handshake(acceptor, *socket, &facts.limits).await?;
        let (_, session) = stream.get_ref();
        facts.tls = true;
        facts.http2 = session.alpn_protocol() == Some(b"h2");
        facts.server_name = session.server_name().map(|name| name.to_ascii_lowercase().into());
        Some(Stream::new(Io::Tls(Box::new(stream)), Connection::open(facts, &self.connections)))
    }

    /// Counts the connection and finds out whose it is.
    async fn admit(&self, socket: &mut L4Stream, limits: &config::Http) -> Result<(SocketAddr, Slot), &'static str> {
        let slot = self.caps.enter(limits.max_connections).map_err(super::caps::Refused::label)?;
        let mut peer = socket_peer(socket);
        if is_proxy(&self.proxies, peer.ip()) {
            let header = timeout(limits.proxy_header_timeout.0, proxy_header(socket));
            // A balancer that speaks for itself keeps its own address.
            peer = header.await.map_err(|_| "proxy-timeout")??.unwrap_or(peer);
        }
        let slot = slot.claim(peer.ip(), limits.max_connections_per_address).map_err(super::caps::Refused::label)?;
        Ok((peer, slot))
    }

    /// pingora's acceptor without the stream type that it returns, which keeps room for the handshakes of both sides:
    /// 4.7 KiB for each connection where 1.5 will do.
    async fn handshake(
        &self,
        acceptor: &Acceptor,
        socket: L4Stream,
        limits: &config::Http,
    ) -> Option<TlsStream<L4Stream>> {
        match timeout(limits.handshake_timeout.0, acceptor.acceptor.accept(socket)).await {
            Ok(Ok(stream)) => {
                self.metrics.handshake("ok");
                Some(stream)
            }
            Ok(Err(error)) => {
                self.metrics.handshake(handshake_failure(&error));
                tracing::debug!(%error, "tls handshake failed");
                None
            }
            Err(_) => {
                self.metrics.handshake("timeout");
                None
            }
        }
    }

    async fn serve(&self, stream: Stream) {
        let connection = stream.connection().clone();
        let (service, id) = (self.service.clone(), connection.id());
        let end = if connection.is_http2() {
            driver::drive(protocol::http2(stream, service), connection).await
        } else {
            driver::drive(protocol::http1(stream, service), connection).await
        };
        self.metrics.connection_end(end.label());
        tracing::debug!(connection = id, reason = end.label(), "connection ended");
    }
}

/// The other end of the socket. An accepted TCP socket has one, unless the client is gone again.
fn socket_peer(socket: &L4Stream) -> SocketAddr {
    let digest = socket.get_socket_digest();
    let peer = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().copied());
    peer.unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
}

/// Reads a PROXY header and puts back what was read beyond it.
async fn proxy_header(socket: &mut L4Stream) -> Result<Option<SocketAddr>, &'static str> {
    let mut buffer = [0; MAX_HEADER];
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..]).await.map_err(|_| "proxy-closed")?;
        if read == 0 {
            return Err("proxy-closed");
        }
        filled += read;
        if let Some(parsed) = proxy_protocol::parse(&buffer[..filled]).map_err(|_| "proxy-malformed")? {
            socket.rewind(&buffer[parsed.length..filled]);
            return Ok(parsed.source);
        }
    }
}

/// The class of a failed handshake. What the network says comes as it is, what TLS says inside an `InvalidData`.
fn handshake_failure(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(_)) => "refused-by-client",
        Some(_) => "failed",
        None => "client-gone",
    }
}
