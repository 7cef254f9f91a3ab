//! The families, their names, labels and help texts.

use std::sync::Arc;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

use super::tenant::{TenantSeries, Tenants};
use crate::model::{ErrorKind, FailureClass, KindName, PhaseName, StopReason, TenantId};

/// Buckets for starts, in seconds: a process is up in one, a pod on a new node may take five minutes.
const COLD_START_BUCKETS: [f64; 12] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0];
/// Buckets for requests, in seconds, from admission to the end of the answer's head.
const REQUEST_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// All metric families of one gateway.
pub struct Metrics {
    registry: Registry,
    tenants: Tenants,
    connections: IntGauge,
    connections_refused: IntCounterVec,
    handshakes: IntCounterVec,
    connection_ends: IntCounterVec,
    rejections: IntCounterVec,
    errors: IntCounterVec,
    request_duration: HistogramVec,
    upstream_connections: IntCounterVec,
    workspaces: IntGaugeVec,
    starts: IntCounterVec,
    cold_start: HistogramVec,
    stops: IntCounterVec,
    kept: IntCounterVec,
    tokens: IntCounterVec,
    key_refreshes: IntCounterVec,
    logins: IntCounterVec,
    directory_requests: IntCounterVec,
    directory_request_seconds: HistogramVec,
    directory_servers: IntGaugeVec,
    sessions: IntGauge,
    config_generation: IntGauge,
    config_valid: IntGauge,
    config_reloads: IntCounterVec,
    draining: IntGauge,
    audit_lines_lost: IntCounter,
}

/// Registers a collector. Names are constants of this file, so that a clash is a fault of the build.
fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: Result<C, prometheus::Error>) -> C {
    let collector = collector.expect("metric names and labels in this file are valid");
    registry.register(Box::new(collector.clone())).expect("metric names in this file are distinct");
    collector
}

pub(super) fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

pub(super) fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn histograms(registry: &Registry, name: &str, help: &str, label: &str, buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, HistogramVec::new(options, &[label]))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

impl Metrics {
    /// Registers every family on `registry`. At most `max_tenants` tenants get series of their own.
    #[must_use]
    pub fn new(registry: Registry, max_tenants: usize) -> Arc<Self> {
        let r = &registry;
        build_info(r);
        Arc::new(Self {
            tenants: Tenants::new(r, max_tenants),
            connections: gauge(r, "usher_connections", "Client connections that are open."),
            connections_refused: counters(
                r,
                "usher_connections_refused_total",
                "Connections closed before TLS, by reason.",
                &["reason"],
            ),
            handshakes: counters(r, "usher_tls_handshakes_total", "TLS handshakes by result.", &["result"]),
            connection_ends: counters(r, "usher_connection_ends_total", "Why client connections ended.", &["reason"]),
            rejections: counters(
                r,
                "usher_rejections_total",
                "Requests refused at admission, before any routing, by reason.",
                &["reason"],
            ),
            errors: counters(r, "usher_errors_total", "Answers made by the gateway itself, by kind.", &["kind"]),
            request_duration: histograms(
                r,
                "usher_request_duration_seconds",
                "From a request's admission to the head of its answer, by route.",
                "route",
                &REQUEST_BUCKETS,
            ),
            upstream_connections: counters(
                r,
                "usher_upstream_connections_total",
                "Connections to workspaces and upstreams: opened, reused, failed, replayed.",
                &["event"],
            ),
            workspaces: gauges(r, "usher_workspaces", "Workspaces by tenant and phase.", &["tenant", "phase"]),
            starts: counters(r, "usher_workspace_starts_total", "Starts by kind and result.", &["kind", "result"]),
            cold_start: histograms(
                r,
                "usher_cold_start_seconds",
                "From the request that started a workspace to its readiness, by kind.",
                "kind",
                &COLD_START_BUCKETS,
            ),
            stops: counters(r, "usher_workspace_stops_total", "Stops by kind and reason.", &["kind", "reason"]),
            kept: counters(
                r,
                "usher_autostop_kept_total",
                "Idle stops that were due and not made, by what kept the workspace.",
                &["kind", "by"],
            ),
            tokens: counters(r, "usher_tokens_total", "Bearer tokens by issuer and result.", &["issuer", "result"]),
            key_refreshes: counters(
                r,
                "usher_key_refreshes_total",
                "Fetches of issuers' keys by issuer and result.",
                &["issuer", "result"],
            ),
            logins: counters(r, "usher_logins_total", "Sign-ins by directory and result.", &["directory", "result"]),
            directory_requests: counters(
                r,
                "usher_directory_requests_total",
                "What was asked of LDAP directories, by directory, operation and result.",
                &["directory", "operation", "result"],
            ),
            directory_request_seconds: histograms(
                r,
                "usher_directory_request_seconds",
                "How long LDAP directories take to answer, or not to, by directory.",
                "directory",
                &REQUEST_BUCKETS,
            ),
            directory_servers: gauges(
                r,
                "usher_directory_server_up",
                "1 if an LDAP server answered when it was last asked, 0 if not.",
                &["directory", "url"],
            ),
            sessions: gauge(r, "usher_sessions", "Browser sessions held in memory."),
            config_generation: gauge(r, "usher_config_generation", "How often a configuration was applied."),
            config_valid: gauge(
                r,
                "usher_config_valid",
                "1 if the file on disk is the one in force, 0 if it was refused.",
            ),
            config_reloads: counters(r, "usher_config_reloads_total", "Configuration reloads by result.", &["result"]),
            draining: gauge(r, "usher_draining", "1 from TERM on."),
            audit_lines_lost: register(
                r,
                IntCounter::new(
                    "usher_audit_lines_lost_total",
                    "Lines of the audit log that could not be written, or found no room to wait in.",
                ),
            ),
            registry,
        })
    }

    /// The exposition in Prometheus' text format. Takes milliseconds with many series: not on a proxy thread.
    ///
    /// # Errors
    /// Returns an error if the encoder fails.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }

    /// The series of one tenant; keep the handle.
    #[must_use]
    pub fn tenant(&self, tenant: &TenantId) -> Arc<TenantSeries> {
        self.tenants.series(tenant)
    }

    /// Series for requests that nobody is signed in for, `tenant=""`.
    #[must_use]
    pub fn nobody(&self) -> Arc<TenantSeries> {
        self.tenants.nobody()
    }

    /// The duration histogram of one route; keep the handle.
    #[must_use]
    pub fn request_duration(&self, route: &str) -> Histogram {
        self.request_duration.with_label_values(&[route])
    }

    /// Client connections that are open.
    #[must_use]
    pub const fn connections(&self) -> &IntGauge {
        &self.connections
    }

    /// Counts a connection that was closed before TLS.
    pub fn connection_refused(&self, reason: &'static str) {
        self.connections_refused.with_label_values(&[reason]).inc();
    }

    /// Counts a TLS handshake.
    pub fn handshake(&self, result: &'static str) {
        self.handshakes.with_label_values(&[result]).inc();
    }

    /// Counts the end of a connection.
    pub fn connection_end(&self, reason: &'static str) {
        self.connection_ends.with_label_values(&[reason]).inc();
    }

    /// Counts a request that admission refused.
    pub fn rejection(&self, reason: &'static str) {
        self.rejections.with_label_values(&[reason]).inc();
    }

    /// Counts an answer of our own.
    pub fn error(&self, kind: ErrorKind) {
        self.errors.with_label_values(&[kind.label()]).inc();
    }

    /// A counter of events on upstream connections; keep the handle.
    #[must_use]
    pub fn upstream_connections(&self, event: &'static str) -> IntCounter {
        self.upstream_connections.with_label_values(&[event])
    }

    /// Moves one workspace from a phase to another. `None` stands for a workspace that is not tracked.
    pub fn workspace_phase(&self, tenant: &TenantId, from: Option<PhaseName>, to: Option<PhaseName>) {
        let label = self.tenants.label(tenant);
        if let Some(from) = from {
            self.workspaces.with_label_values(&[&*label, from.label()]).dec();
        }
        if let Some(to) = to {
            self.workspaces.with_label_values(&[&*label, to.label()]).inc();
        }
    }

    /// Counts a start that became ready, and how long it took.
    pub fn start_succeeded(&self, kind: &KindName, took: std::time::Duration) {
        self.starts.with_label_values(&[kind.as_str(), "ready"]).inc();
        self.cold_start.with_label_values(&[kind.as_str()]).observe(took.as_secs_f64());
    }

    /// Counts a start or a run that failed.
    pub fn start_failed(&self, kind: &KindName, class: FailureClass) {
        self.starts.with_label_values(&[kind.as_str(), class.label()]).inc();
    }

    /// Counts a stop.
    pub fn stopped(&self, kind: &KindName, reason: &StopReason) {
        self.stops.with_label_values(&[kind.as_str(), reason.label()]).inc();
    }

    /// Counts an idle stop that was due and not made.
    pub fn kept(&self, kind: &KindName, by: &'static str) {
        self.kept.with_label_values(&[kind.as_str(), by]).inc();
    }

    /// Counts a sign-in.
    pub fn login(&self, directory: &str, result: &'static str) {
        self.logins.with_label_values(&[directory, result]).inc();
    }

    /// Counts a bearer token. The issuer is empty if it is none of ours.
    pub fn token(&self, issuer: &str, result: &'static str) {
        self.tokens.with_label_values(&[issuer, result]).inc();
    }

    /// Counts a fetch of an issuer's keys.
    pub fn key_refresh(&self, issuer: &str, result: &'static str) {
        self.key_refreshes.with_label_values(&[issuer, result]).inc();
    }

    /// Counts what was asked of a directory, and how long that took.
    pub fn directory_request(
        &self,
        directory: &str,
        operation: &'static str,
        result: &'static str,
        took: std::time::Duration,
    ) {
        self.directory_requests.with_label_values(&[directory, operation, result]).inc();
        self.directory_request_seconds.with_label_values(&[directory]).observe(took.as_secs_f64());
    }

    /// Records whether a server of a directory answers.
    pub fn directory_server(&self, directory: &str, url: &str, up: bool) {
        self.directory_servers.with_label_values(&[directory, url]).set(i64::from(up));
    }

    /// Forgets a server that is not asked any more.
    pub fn directory_server_gone(&self, directory: &str, url: &str) {
        // It is an error only if there is no such series, which is as well.
        let _ = self.directory_servers.remove_label_values(&[directory, url]);
    }

    /// Browser sessions in memory.
    #[must_use]
    pub const fn sessions(&self) -> &IntGauge {
        &self.sessions
    }

    /// Records that a configuration was applied.
    pub fn config_applied(&self) {
        self.config_generation.inc();
        self.config_valid.set(1);
        self.config_reloads.with_label_values(&["applied"]).inc();
    }

    /// Records that a configuration was refused and the old one stays.
    pub fn config_refused(&self) {
        self.config_valid.set(0);
        self.config_reloads.with_label_values(&["refused"]).inc();
    }

    /// The counter of lines that the audit log has lost; keep the handle.
    #[must_use]
    pub fn audit_lines_lost(&self) -> IntCounter {
        self.audit_lines_lost.clone()
    }

    /// Records that the gateway is leaving.
    pub fn draining(&self) {
        self.draining.set(1);
    }
}

/// `usher_build_info`: constant 1, with the version as its label.
fn build_info(registry: &Registry) {
    let options = Opts::new("usher_build_info", "The version that runs; always 1.")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    register(registry, Gauge::with_opts(options)).set(1.0);
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
