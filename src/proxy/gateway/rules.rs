//! What a configuration means for requests: an immutable snapshot, swapped whole at a reload.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use http::HeaderValue;

use super::bearer::TokenPlaces;
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::model::{InstanceId, KindName, TenantId};
use crate::proxy::access_log::Counters;
use crate::proxy::admit;
use crate::proxy::assertion::{self, Assertions};
use crate::proxy::decision::Destination;
use crate::proxy::tunnel::TunnelSettings;
use crate::proxy::upstream::Peer;
use crate::routing::{BuildError, Route, RouteTable, SharedUpstream, Target};
use crate::workspace::classify::Classifier;

/// What the name of a route is in metrics when none matched.
const NO_ROUTE: &str = "none";
/// Most pairs of route and tenant whose counters are kept at hand; with 800 tenants and a dozen routes some 10,000.
const MAX_COUNTERS: usize = 100_000;

/// A year, which is what browsers ask of those that mean it.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Why routes and keys of a configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The routes cannot be compiled, which a checked configuration's can.
    #[error(transparent)]
    Routes(#[from] BuildError),
    /// A key of assertions cannot be used.
    #[error(transparent)]
    Assertion(#[from] assertion::KeyError),
}

/// Everything that the request path reads of the configuration.
pub(super) struct Rules {
    pub(super) limits: admit::Limits,
    pub(super) routes: RouteTable,
    /// What own pages of the public host say of HTTPS: to insist on it, where the host is a name that others resolve.
    pub(super) strict_transport: Option<HeaderValue>,
    pub(super) tunnels: Arc<TunnelSettings>,
    /// What signs assertions, if there are keys.
    pub(super) assertions: Option<Assertions>,
    /// Where bearer tokens are looked for.
    pub(super) tokens: TokenPlaces,
    by_label: HashMap<Arc<str>, Arc<Route>, RandomState>,
    kinds: HashMap<KindName, KindRules, RandomState>,
    listed_tenants: HashMap<TenantId, bool, RandomState>,
    others_disabled: bool,
    shared: HashMap<Arc<SharedUpstream>, Peer, RandomState>,
    counters: papaya::HashMap<(Arc<str>, Option<TenantId>), Arc<Counters>, RandomState>,
}

/// What requests need to know of a kind of workspace.
#[derive(Debug, Clone)]
pub(super) struct KindRules {
    /// How long a request that is not a page waits for a start.
    pub(super) hold: Duration,
    /// Whether the gateway holds Theia's token.
    pub(super) theia_token: bool,
    /// What counts as activity.
    pub(super) classifier: Classifier,
}

impl Rules {
    /// Compiles routes and reads the keys of assertions.
    pub(super) fn load(config: &Config) -> Result<Self, LoadError> {
        let routes = RouteTable::build(config)?;
        let assertions = Assertions::load(&config.assertion, routes.public().origin())?;
        Ok(Self::new(config, routes, assertions))
    }

    fn new(config: &Config, routes: RouteTable, assertions: Option<Assertions>) -> Self {
        let tenant = |id: &str| Some((TenantId::new(id).ok()?, config.tenants.resolve(id).disabled.unwrap_or(false)));
        let shared = routes.routes().iter().filter_map(|route| match &route.target {
            Target::Upstream(upstream) => Some((upstream.clone(), shared_peer(upstream))),
            Target::Workspace(_) | Target::Own | Target::Entrance => None,
        });
        Self {
            shared: shared.collect(),
            assertions,
            tokens: TokenPlaces::new(&config.identity.tokens),
            tunnels: Arc::new(tunnel_settings(&config.http)),
            by_label: routes.routes().iter().map(|route| (route.label.clone(), route.clone())).collect(),
            strict_transport: is_public_name(routes.public().host()).then_some(STRICT_TRANSPORT),
            limits: admit::Limits::from(&config.http),
            routes,
            kinds: config.workspaces.iter().filter_map(|(name, kind)| kind_rules(name, kind)).collect(),
            listed_tenants: config.tenants.listed().filter_map(tenant).collect(),
            // What holds for a tenant that is not listed is what holds for the defaults themselves.
            others_disabled: config.tenants.resolve("defaults").disabled.unwrap_or(false),
            counters: papaya::HashMap::default(),
        }
    }

    pub(super) fn kind(&self, kind: &KindName) -> Option<&KindRules> {
        self.kinds.get(kind)
    }

    /// The route with this metric label.
    pub(super) fn route(&self, label: &str) -> Option<&Arc<Route>> {
        self.by_label.get(label)
    }

    /// Where a permitted request goes, with what its connections are pooled by.
    pub(super) fn peer(&self, destination: &Destination) -> Peer {
        match destination {
            Destination::Workspace { endpoint, .. } => {
                Peer::Workspace { instance: endpoint.instance.clone(), address: endpoint.address, tls: endpoint.tls }
            }
            Destination::Upstream(upstream) => {
                self.shared.get(upstream).cloned().unwrap_or_else(|| shared_peer(upstream))
            }
        }
    }

    pub(super) fn is_disabled(&self, tenant: &TenantId) -> bool {
        self.listed_tenants.get(tenant).copied().unwrap_or(self.others_disabled)
    }

    /// The counters of a route and tenant, looked up by their labels only the first time.
    pub(super) fn counters(
        &self,
        metrics: &Metrics,
        route: Option<&Arc<str>>,
        tenant: Option<&TenantId>,
    ) -> Arc<Counters> {
        let route = route.cloned().unwrap_or_else(|| Arc::from(NO_ROUTE));
        let key = (route, tenant.cloned());
        let known = self.counters.pin();
        if let Some(counters) = known.get(&key) {
            return counters.clone();
        }
        let series = tenant.map_or_else(|| metrics.nobody(), |tenant| metrics.tenant(tenant));
        let counters = Arc::new(Counters {
            requests: series.route(&key.0),
            duration: metrics.request_duration(&key.0),
            tenant: series,
        });
        if known.len() < MAX_COUNTERS {
            known.insert(key, counters.clone());
        }
        counters
    }
}

/// Neither an address nor this machine: a browser would keep the promise for everything else that is served there.
fn is_public_name(host: &str) -> bool {
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    !is_address && host != "localhost" && !host.ends_with(".localhost")
}

fn tunnel_settings(http: &config::Http) -> TunnelSettings {
    let unless_zero = |span: config::Span| (!span.is_zero()).then_some(span.0);
    TunnelSettings {
        write_stall: http.write_stall_timeout.0,
        ping_every: unless_zero(http.websocket_ping),
        lifetime: unless_zero(http.websocket_lifetime),
        ..TunnelSettings::default()
    }
}

fn kind_rules(name: &str, kind: &config::WorkspaceKind) -> Option<(KindName, KindRules)> {
    let rules = KindRules {
        hold: kind.hold.0,
        theia_token: kind.theia.hold_connection_token,
        classifier: Classifier::new(&kind.activity, &kind.http_activity),
    };
    Some((KindName::new(name).ok()?, rules))
}

fn shared_peer(upstream: &SharedUpstream) -> Peer {
    let scheme = if upstream.tls { "https" } else { "http" };
    let name = format!("{scheme}://{}:{}", upstream.host, upstream.port);
    Peer::Shared {
        host: Arc::from(upstream.host.trim_start_matches('[').trim_end_matches(']')),
        port: upstream.port,
        tls: upstream.tls,
        instance: InstanceId::new(&name).expect("a host name of at most 253 characters with a port is a valid id"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_public_name;

    #[test]
    fn https_is_insisted_on_for_names_that_others_resolve() {
        for (host, insisted) in [
            ("dev.example.com", true),
            ("intranet", true),
            ("localhost", false),
            ("usher.localhost", false),
            ("192.0.2.7", false),
            ("[::1]", false),
        ] {
            assert_eq!(is_public_name(host), insisted, "{host}");
        }
    }
}
