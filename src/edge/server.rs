//! The server: listeners in, a running gateway out.
//!
//! Sockets are bound here, so that an address in use is an error that can be told before anything starts and port 0
//! has an answer; pingora finds them in its table of inherited sockets and takes them for a predecessor's. Its own
//! command line, YAML, signals and grace period are not used, and several servers run in one process.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use pingora_core::listeners::tls::Acceptor;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{
    Fds, ListenFds, RunArgs, Server as PingoraServer, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch,
};
use pingora_core::services::listening::Service as ListeningService;
use pingora_core::services::{Service as PingoraService, ServiceWithDependents};
use tokio::sync::watch;

use super::accept::App;
use super::caps::Caps;
use super::filter::Filter;
use super::handover::{self, Handover};
use super::registry::Connections;
use super::signals::Signals;
use super::{Drain, HandoverError, Listener, Service, Transport};
use crate::metrics::Metrics;

/// Buffers below TLS. rustls reads whole records into its own buffer, so none for reading; one segment for writing
/// keeps small records together.
const SOCKET_BUFFERS: (usize, usize) = (0, 1460);

/// How a server fits into its process.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    /// Unix socket for the hand-over of listening sockets, in a folder of mode 0700.
    pub handover: Option<PathBuf>,
    /// Take the sockets over from the process that serves now.
    pub take_over: bool,
    /// Obey TERM, INT and QUIT. Only one server of a process can.
    pub signals: bool,
}

/// A server that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Not an IP address with a port.
    #[error("listen address {0:?} is not an IP address and port")]
    Address(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The old process's sockets could not be taken over.
    #[error("cannot take over from the running gateway: {0}")]
    TakeOver(#[from] HandoverError),
}

/// Listeners that are bound and not yet served.
pub struct Server {
    settings: ServerSettings,
    drain: Drain,
    metrics: Arc<Metrics>,
    /// What an old process gave.
    inherited: Option<Fds>,
    sockets: Vec<(String, RawFd)>,
    services: Vec<Box<dyn ServiceWithDependents>>,
}

impl Server {
    /// A server without listeners. With `take_over` it waits up to six seconds for the old process.
    ///
    /// # Errors
    /// Returns an error if sockets are to be taken over and none come.
    pub fn new(settings: ServerSettings, drain: Drain, metrics: Arc<Metrics>) -> Result<Self, ServerError> {
        let inherited = settings.take_over.then(|| handover::take(settings.handover.as_deref())).transpose()?;
        Ok(Self { settings, drain, metrics, inherited, sockets: Vec::new(), services: Vec::new() })
    }

    /// Binds a listener and returns its real address. From here on the kernel queues connections for it.
    ///
    /// # Errors
    /// Returns an error if the address is malformed or cannot be bound.
    pub fn listen<S: Service>(&mut self, listener: Listener<S>) -> Result<SocketAddr, ServerError> {
        let (address, socket) = self.bind(&listener.address)?;
        self.sockets.push((address.to_string(), socket.raw()));
        let connections = if listener.stays { Connections::default() } else { self.drain.registry().clone() };
        let endpoint = Endpoint {
            address: address.to_string(),
            socket: Some(socket),
            opened: self.drain.opened(),
            closed: self.drain.closed(listener.stays),
            inner: self.service(listener, address, connections),
        };
        self.services.push(Box::new(endpoint));
        Ok(address)
    }

    /// Serves until a stop has been carried out. Blocks the thread, which must not be one of a tokio runtime.
    pub fn run(mut self) {
        if let Some(inherited) = &mut self.inherited {
            let kept = self.sockets.iter().map(|(address, _)| address.clone()).collect();
            for address in inherited.close_unclaimed(&kept) {
                tracing::warn!(address, "the old process listened here, this one does not");
            }
        }
        // The grace period is over when pingora is told to stop, see `Drain`.
        let conf = ServerConf {
            grace_period_seconds: Some(0),
            graceful_shutdown_timeout_seconds: Some(0),
            ..ServerConf::default()
        };
        let mut server = PingoraServer::new_with_opt_and_conf(None, conf);
        for service in self.services {
            server.add_boxed_service(service);
        }
        let handover = Handover { path: self.settings.handover, sockets: self.sockets };
        let end = EndOfService { drain: self.drain, handover, signals: self.settings.signals, metrics: self.metrics };
        server.run(RunArgs { shutdown_signal: Box::new(end) });
    }

    /// Takes the socket from the old process, or makes one.
    fn bind(&self, address: &str) -> Result<(SocketAddr, Socket), ServerError> {
        let wanted: SocketAddr = address.parse().map_err(|_| ServerError::Address(address.to_owned()))?;
        if let Some(&socket) = self.inherited.as_ref().and_then(|table| table.get(&wanted.to_string())) {
            return Ok((wanted, Socket::Inherited(socket)));
        }
        let bound = || {
            let socket = TcpListener::bind(wanted)?;
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?, Socket::Bound(socket)))
        };
        bound().map_err(|source| ServerError::Bind { address: wanted, source })
    }

    fn service<S: Service>(
        &self,
        listener: Listener<S>,
        address: SocketAddr,
        connections: Connections,
    ) -> ListeningService<App<S>> {
        let caps = Caps::new(self.metrics.clone());
        let filter = Filter {
            caps: caps.clone(),
            limits: listener.limits.clone(),
            proxies: listener.proxies.clone(),
            connections: connections.clone(),
            metrics: self.metrics.clone(),
        };
        let acceptor = match listener.transport {
            Transport::Plain => None,
            Transport::Tls(config) => Some(Acceptor::from_server_config(config)),
        };
        let app = App {
            service: listener.service,
            acceptor,
            proxies: listener.proxies,
            limits: listener.limits,
            caps,
            connections,
            metrics: self.metrics.clone(),
        };
        let mut service = ListeningService::new(listener.name.to_owned(), app);
        service.threads = Some(threads(listener.threads));
        let (read, write) = SOCKET_BUFFERS;
        service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(L4BufferSettings::new(read, write)));
        service.set_connection_filter(Arc::new(filter));
        service
    }
}

/// As many as asked for, or one for each core that the process may use.
fn threads(wanted: usize) -> usize {
    if wanted > 0 { wanted } else { available_parallelism().map_or(1, std::num::NonZero::get) }
}

/// A listening socket that pingora does not own yet.
enum Socket {
    Bound(TcpListener),
    Inherited(RawFd),
}

impl Socket {
    fn raw(&self) -> RawFd {
        match self {
            Self::Bound(socket) => socket.as_raw_fd(),
            Self::Inherited(socket) => *socket,
        }
    }

    fn into_raw(self) -> RawFd {
        match self {
            Self::Bound(socket) => socket.into_raw_fd(),
            Self::Inherited(socket) => socket,
        }
    }
}

/// One listener as a service of pingora: puts the bound socket where pingora looks for inherited ones, and lets the
/// drain say when accepting ends.
struct Endpoint<A> {
    address: String,
    socket: Option<Socket>,
    opened: watch::Receiver<bool>,
    closed: ShutdownWatch,
    inner: ListeningService<A>,
}

#[async_trait::async_trait]
impl<S: Service> PingoraService for Endpoint<App<S>> {
    async fn start_service(&mut self, table: Option<ListenFds>, _: ShutdownWatch, listeners: usize) {
        // Until then a TERM would kill the process in the middle of a request. The kernel queues connections.
        if self.opened.wait_for(|&opened| opened).await.is_err() {
            return;
        }
        if let (Some(table), Some(socket)) = (&table, self.socket.take()) {
            table.lock().add(self.address.clone(), socket.into_raw());
        }
        PingoraService::start_service(&mut self.inner, table, self.closed.clone(), listeners).await;
    }

    fn name(&self) -> &str {
        PingoraService::name(&self.inner)
    }

    fn threads(&self) -> Option<usize> {
        self.inner.threads
    }
}

/// Tells pingora to stop when there is nothing left to wait for.
struct EndOfService {
    drain: Drain,
    handover: Handover,
    signals: bool,
    metrics: Arc<Metrics>,
}

#[async_trait::async_trait]
impl ShutdownSignalWatch for EndOfService {
    async fn recv(&self) -> ShutdownSignal {
        let signals = self.signals.then(Signals::install).transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "signals cannot be handled");
            None
        });
        self.drain.conduct(signals, &self.handover, &self.metrics).await;
        ShutdownSignal::FastShutdown
    }
}
