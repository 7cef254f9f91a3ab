//! Composition root: a checked configuration in, a running gateway out.
//!
//! Two kinds of threads: those of the edge's listeners, which carry requests, and a small control runtime, which owns
//! supervisors, sweeps and the watching of files. Nothing is global but the TLS provider, so that several gateways
//! can run in one process.

mod impatience;
mod offers;
mod parts;
mod state_lock;
mod tasks;
mod tenure;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Health};
use crate::config::Loaded;
use crate::edge::{self, Drain, Listener, Server, ServerSettings, Transport};
use crate::metrics::Metrics;
use crate::proxy::redirect::RedirectService;
use crate::workspace::Workspaces;

use parts::Parts;
use state_lock::StateLock;

/// How a gateway fits into its process.
#[derive(Default)]
pub struct Options {
    /// Take the listening sockets over from the gateway that runs now.
    pub take_over: bool,
    /// Obey the process's signals. Only one gateway of a process can.
    pub signals: bool,
    /// Where access-log lines go; `None`: nowhere.
    pub access_log: Option<Box<dyn Write + Send>>,
    /// Where audit lines go that the configuration has no file for; `None`: nowhere.
    pub audit: Option<Box<dyn Write + Send>>,
    /// The environment that workspaces may be passed parts of.
    pub environment: BTreeMap<String, String>,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No control runtime or access-log thread.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// The file of the audit log.
    #[error("cannot use log.audit_file {path}: {error}")]
    Audit {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The folder for what outlives restarts.
    #[error("cannot use state_dir {path}: {error}")]
    StateDir {
        /// The folder.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// Another gateway uses the folder.
    #[error("state_dir {0} is in use by another gateway; end it first, or take over from it with --upgrade")]
    StateInUse(String),
    /// The authorities for `https` upstreams.
    #[error("cannot use upstream.ca_file: {0}")]
    Authorities(std::io::Error),
    /// A directory.
    #[error(transparent)]
    Identity(#[from] crate::identity::BuildError),
    /// The session store.
    #[error(transparent)]
    Sessions(#[from] crate::session::OpenError),
    /// The routes.
    #[error(transparent)]
    Routes(#[from] crate::routing::BuildError),
    /// The gateway's routes and keys.
    #[error(transparent)]
    Gateway(#[from] crate::proxy::gateway::LoadError),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] edge::CertificateError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] edge::TlsError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] edge::ServerError),
}

/// Where a gateway really listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Developers.
    pub public: SocketAddr,
    /// Plain HTTP to be redirected.
    pub redirect: Option<SocketAddr>,
    /// Operators.
    pub admin: SocketAddr,
}

/// A gateway that listens and does not serve yet.
pub struct App {
    server: Server,
    control: tokio::runtime::Runtime,
    parts: Arc<Parts>,
    lock: Arc<StateLock>,
    /// Whether workspaces are still the gateway's before this one.
    takes_over: bool,
    signals: bool,
    loaded: Loaded,
    config_path: PathBuf,
    addresses: Addresses,
}

/// Threads of the control runtime: its work is waiting.
const CONTROL_THREADS: usize = 2;
/// What a hand-over of workspaces, the last writing of state, and the control runtime's blocking work may each still
/// take when all else has ended.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How long a gateway that takes over leaves connections to the kernel's queue for the workspaces to be there first, so
/// that no request finds them missing. The one before lets go of them in milliseconds.
const HEAD_START: Duration = Duration::from_secs(3);
/// Threads of the redirect and the operators' listener each.
const SIDE_THREADS: usize = 1;

impl App {
    /// Builds every part, binds every listener, and then takes over the workspaces that an earlier gateway has left, or
    /// later those of one that still serves. `loaded` was read from `config_path`, which is watched later.
    ///
    /// # Errors
    /// Returns an error that says which part cannot be had.
    pub fn build(config_path: PathBuf, loaded: Loaded, options: Options) -> Result<Self, StartError> {
        edge::install_crypto_provider();
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let settings = ServerSettings {
            handover: loaded.config.listen.handover_socket.as_ref().map(PathBuf::from),
            take_over: options.take_over,
            signals: options.signals,
        };
        let (takes_over, signals) = (options.take_over, options.signals);
        let lock = state_lock(&loaded.config.state_dir, takes_over)?;
        let drain = Drain::new(&loaded.config.shutdown);
        let metrics = Metrics::new(Registry::new(), loaded.config.metrics.max_tenants as usize);
        // First what can fail by itself: who has given its sockets away does not get them back.
        let parts = Parts::build(&loaded.config, options, drain.clone(), metrics.clone(), control.handle())?;
        let mut server = Server::new(settings, drain, metrics)?;
        let addresses = listen(&mut server, &loaded, &parts)?;
        if !takes_over {
            control.block_on(parts.workspaces.take_over());
        }
        let (parts, lock) = (Arc::new(parts), Arc::new(lock));
        Ok(Self { server, control, parts, lock, takes_over, signals, loaded, config_path, addresses })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// A handle that stops it, as a signal would.
    #[must_use]
    pub fn drain(&self) -> Drain {
        self.parts.drain.clone()
    }

    /// A handle on its health.
    #[must_use]
    pub fn health(&self) -> Health {
        self.parts.health.clone()
    }

    /// Serves until it is stopped, then ends workspaces as configured, which takes their `stop_grace` and some seconds
    /// more at most, or until a second signal. Blocks its thread.
    pub fn run(self) {
        let background = tasks::start(&self.control, &self.parts, &self.loaded, self.config_path);
        let has_them = CancellationToken::new();
        if !self.takes_over {
            has_them.cancel();
        }
        let keep = tenure::keep(self.parts.clone(), self.lock.clone(), has_them.clone());
        let mut tenure = self.control.spawn(keep);
        let again = if self.signals {
            impatience::watch(self.control.handle(), &self.parts.drain)
        } else {
            CancellationToken::new()
        };
        let head_start = async { tokio::time::timeout(HEAD_START, has_them.cancelled()).await };
        if self.control.block_on(head_start).is_err() {
            tracing::warn!("the gateway before this one keeps its workspaces; serving, starts have to wait");
        }
        self.parts.health.ready();
        tracing::info!(public = %self.addresses.public, admin = %self.addresses.admin, "serving");
        self.server.run();
        self.control.block_on(async {
            if tokio::time::timeout(LAST_WAIT, &mut tenure).await.is_err() {
                tracing::error!("workspaces are not handed over in time");
                tenure.abort();
            }
            end_workspaces(&self.parts.workspaces, &again).await;
            background.end(LAST_WAIT).await;
        });
        self.lock.release();
        self.control.shutdown_timeout(LAST_WAIT);
        self.parts.audit.close(LAST_WAIT);
        tracing::info!("gone");
    }
}

/// Stops what is still this gateway's, unless told again to leave.
async fn end_workspaces(workspaces: &Workspaces, again: &CancellationToken) {
    if again.run_until_cancelled(workspaces.shutdown()).await.is_none() {
        tracing::warn!("told to stop again, leaving workspaces to the next gateway");
        if tokio::time::timeout(LAST_WAIT, workspaces.let_go()).await.is_err() {
            tracing::error!("why workspaces stopped is not written in time");
        }
    }
}

/// The lock of the state folder, held unless the gateway that has it will let go of it.
fn state_lock(state_dir: &str, takes_over: bool) -> Result<StateLock, StartError> {
    let named = |error| StartError::StateDir { path: state_dir.to_owned(), error };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(state_dir);
    let lock = made.and_then(|()| StateLock::of(Path::new(state_dir))).map_err(named)?;
    if takes_over || lock.try_take().map_err(named)? {
        return Ok(lock);
    }
    Err(StartError::StateInUse(state_dir.to_owned()))
}

fn listen(server: &mut Server, loaded: &Loaded, parts: &Parts) -> Result<Addresses, StartError> {
    let listen = &loaded.config.listen;
    let public = server.listen(Listener {
        name: "public",
        address: listen.public.address.clone(),
        threads: usize::from(listen.threads),
        transport: Transport::Tls(edge::server_config(&parts.certificates)?),
        proxies: listen.public.proxy_protocol.as_ref().map(|proxy| proxy.trusted.clone()).unwrap_or_default(),
        stays: false,
        limits: parts.edge_limits.clone(),
        service: Arc::new(parts.gateway.clone()),
    })?;
    let redirect = listen.redirect.as_ref().map(|redirect| {
        server.listen(Listener {
            name: "redirect",
            address: redirect.address.clone(),
            threads: SIDE_THREADS,
            transport: Transport::Plain,
            proxies: Vec::new(),
            stays: false,
            limits: parts.edge_limits.clone(),
            service: Arc::new(RedirectService(parts.redirect.clone())),
        })
    });
    let admin = server.listen(Listener {
        name: "admin",
        address: listen.admin.address.clone(),
        threads: SIDE_THREADS,
        transport: Transport::Plain,
        proxies: Vec::new(),
        stays: true,
        limits: parts.edge_limits.clone(),
        service: Arc::new(admin::service(parts.metrics.clone(), parts.health.clone())),
    })?;
    Ok(Addresses { public, redirect: redirect.transpose()?, admin })
}
