//! Every part of a gateway, made in the order of their dependencies, and put under a new configuration together.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::offers::OfferTable;
use super::{Options, StartError};
use tokio_util::sync::CancellationToken;

use crate::admin::Health;
use crate::audit::{Audit, Output};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, AuditOutput, Config};
use crate::edge::{CertificateStore, Drain, Limits as EdgeLimits};
use crate::identity::{Identity, Means};
use crate::metrics::Metrics;
use crate::portal::{self, PortalState};
use crate::proxy::access_log::AccessLog;
use crate::proxy::gateway::{self, Gateway};
use crate::proxy::redirect::Redirect;
use crate::proxy::tunnel::Tunnels;
use crate::proxy::upstream::{Connector, Limits as UpstreamLimits, Upstreams};
use crate::runtime::Runtimes;
use crate::session::{LoginThrottle, Sessions};
use crate::workspace::Workspaces;

/// Handles on every part.
pub(super) struct Parts {
    pub(super) metrics: Arc<Metrics>,
    pub(super) audit: Audit,
    pub(super) health: Health,
    pub(super) drain: Drain,
    pub(super) identity: Identity,
    pub(super) sessions: Sessions,
    pub(super) throttle: LoginThrottle,
    pub(super) workspaces: Workspaces,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) tunnels: Tunnels,
    /// Ends the portal's streams.
    pub(super) leaving: CancellationToken,
    pub(super) gateway: Gateway,
    pub(super) redirect: Arc<Redirect>,
    pub(super) certificates: Arc<CertificateStore>,
    pub(super) edge_limits: EdgeLimits,
    offers: OfferTable,
}

impl Parts {
    pub(super) fn build(
        config: &Config,
        options: Options,
        drain: Drain,
        metrics: Arc<Metrics>,
        control: &tokio::runtime::Handle,
    ) -> Result<Self, StartError> {
        let clock = SystemClock::shared();
        metrics.config_applied();
        let means = Means { control: control.clone(), metrics: metrics.clone(), clock: clock.clone() };
        let identity = Identity::build_with(config, means)?;
        let audit = audit(&config.log, options.audit, &clock, &metrics)?;
        let sessions = Sessions::open_audited(config, identity.clone(), clock.clone(), metrics.clone(), audit.clone())?;
        let throttle = LoginThrottle::new(&config.identity.throttle, clock.clone());
        let workspaces = workspaces(config, options.environment, &clock, &metrics, control);
        let upstreams = Upstreams::new(UpstreamLimits::from(config), connector(config)?, &metrics);
        let tunnels = Tunnels::new();
        let offers = OfferTable::new(config)?;
        let leaving = CancellationToken::new();
        let portal = portal::router(PortalState {
            identity: identity.clone(),
            sessions: sessions.clone(),
            throttle: throttle.clone(),
            login_tokens: sessions.login_tokens(),
            workspaces: workspaces.clone(),
            metrics: metrics.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            offers: offers.offers(),
            tenants: offers.tenants(),
            leaving: leaving.clone(),
        });
        let access_log = match options.access_log {
            Some(output) if config.log.access => AccessLog::to(output).map_err(StartError::Threads)?,
            _ => AccessLog::off(),
        };
        let gateway_parts = gateway::Parts {
            identity: identity.clone(),
            sessions: sessions.clone(),
            workspaces: workspaces.clone(),
            upstreams: upstreams.clone(),
            tunnels: tunnels.clone(),
            portal,
            access_log,
            audit: audit.clone(),
            clock,
            metrics: metrics.clone(),
        };
        Ok(Self {
            gateway: Gateway::new(gateway_parts, config)?,
            redirect: Arc::new(Redirect::to(&config.public_url)),
            certificates: CertificateStore::load(&config.listen.public.tls)?,
            edge_limits: EdgeLimits::new(&config.http),
            drain,
            audit,
            health: Health::default(),
            metrics,
            identity,
            sessions,
            throttle,
            workspaces,
            upstreams,
            tunnels,
            leaving,
            offers,
        })
    }

    /// Puts a new configuration in force. Everything that can fail is made first, so that a failure leaves the old one
    /// whole; a part that fails all the same after a check that found nothing is named.
    pub(super) fn apply(&self, config: &Config) -> Result<(), String> {
        let connector = connector(config).map_err(|error| error.to_string())?;
        let offers = OfferTable::new(config).map_err(|error| error.to_string())?;
        let identity = self.identity.prepare(config).map_err(|error| error.to_string())?;
        let sessions = self.sessions.prepare(config).map_err(|error| error.to_string())?;
        self.certificates.reload(&config.listen.public.tls).map_err(|error| error.to_string())?;
        self.gateway.apply(config).map_err(|error| error.to_string())?;
        self.identity.adopt(identity);
        self.sessions.adopt(sessions);
        self.offers.replace(&offers);
        self.throttle.apply(&config.identity.throttle);
        self.workspaces.apply(config);
        self.upstreams.apply(UpstreamLimits::from(config), connector);
        self.redirect.apply(&config.public_url);
        self.edge_limits.apply(&config.http);
        self.drain.apply(&config.shutdown);
        Ok(())
    }
}

fn connector(config: &Config) -> Result<Connector, StartError> {
    Connector::new(config.upstream.ca_file.as_deref()).map_err(StartError::Authorities)
}

/// The audit log, where the configuration wants it.
fn audit(
    log: &config::Log,
    stream: Option<Box<dyn Write + Send>>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Audit, StartError> {
    let output = match (&log.audit_file, stream) {
        (Some(path), _) => Output::File(Path::new(path)),
        (None, Some(stream)) if log.audit != AuditOutput::Off => Output::Stream(stream),
        _ => return Ok(Audit::off()),
    };
    Audit::to(output, clock.clone(), metrics.audit_lines_lost()).map_err(|error| match &log.audit_file {
        Some(path) => StartError::Audit { path: path.clone(), error },
        None => StartError::Threads(error),
    })
}

fn workspaces(
    config: &Config,
    environment: std::collections::BTreeMap<String, String>,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
    control: &tokio::runtime::Handle,
) -> Workspaces {
    let runtimes = Runtimes::build(config, environment, clock.clone(), control.clone());
    Workspaces::waiting(config, runtimes, clock.clone(), metrics.clone(), control.clone())
}

/// Names the keys of `new` that differ from what the process was started with and need a restart.
pub(super) fn restart_needed(started_with: &Config, new: &Config) -> Vec<&'static str> {
    config::restart_needed(started_with, new)
}
