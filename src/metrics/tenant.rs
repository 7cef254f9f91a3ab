//! Series of tenants: handles that are looked up once, and a bound on how many tenants have their own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use prometheus::core::{AtomicF64, GenericCounter, GenericCounterVec};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::families::{counters, gauges};
use crate::model::{KindName, TenantId};

/// What tenants beyond the bound are counted as.
const OVERFLOW: &str = "other";
/// Most different routes that one tenant has handles for; a configuration has some dozens.
const MAX_ROUTES: usize = 10_000;

type SecondsVec = GenericCounterVec<AtomicF64>;
type Seconds = GenericCounter<AtomicF64>;

/// The families that have a `tenant` label, and the tenants that have a value of their own.
pub(super) struct Tenants {
    families: Arc<TenantFamilies>,
    max: usize,
    known: RwLock<HashSet<TenantId>>,
    series: RwLock<HashMap<Arc<str>, Arc<TenantSeries>>>,
}

struct TenantFamilies {
    requests: IntCounterVec,
    bytes: IntCounterVec,
    tunnels: IntGaugeVec,
    running: SecondsVec,
    idle_waste: SecondsVec,
}

/// The series of one tenant (or of all tenants beyond the bound).
pub struct TenantSeries {
    label: Arc<str>,
    families: Arc<TenantFamilies>,
    /// Bytes of bodies and tunnels that clients sent.
    pub bytes_in: IntCounter,
    /// Bytes of bodies and tunnels that clients were sent.
    pub bytes_out: IntCounter,
    /// Open tunnels.
    pub tunnels: IntGauge,
    routes: Mutex<HashMap<Arc<str>, Arc<RouteSeries>>>,
}

/// Request counters of one tenant on one route, by status class.
pub struct RouteSeries {
    classes: [IntCounter; 5],
}

impl Tenants {
    pub(super) fn new(registry: &Registry, max: usize) -> Self {
        let seconds = |name: &str, help: &str| {
            let family =
                SecondsVec::new(Opts::new(name, help), &["tenant", "kind"]).expect("names in this file are valid");
            registry.register(Box::new(family.clone())).expect("names in this file are distinct");
            family
        };
        let families = TenantFamilies {
            requests: counters(
                registry,
                "usher_requests_total",
                "Requests by route, tenant and class of the answer's status (1xx is a tunnel).",
                &["route", "tenant", "class"],
            ),
            bytes: counters(
                registry,
                "usher_bytes_total",
                "Bytes of bodies and tunnels, as clients sent (in) and were sent (out) them, by tenant.",
                &["tenant", "direction"],
            ),
            tunnels: gauges(registry, "usher_tunnels", "WebSockets that are open, by tenant.", &["tenant"]),
            running: seconds(
                "usher_workspace_running_seconds_total",
                "Time that workspaces were up, by tenant and kind.",
            ),
            idle_waste: seconds(
                "usher_workspace_idle_waste_seconds_total",
                "Time that workspaces were up while nobody worked in them, by tenant and kind.",
            ),
        };
        Self { families: Arc::new(families), max, known: RwLock::default(), series: RwLock::default() }
    }

    /// The label value for `tenant`: itself, or [`OVERFLOW`] when the bound is reached.
    pub(super) fn label(&self, tenant: &TenantId) -> Arc<str> {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(tenant) {
            return Arc::from(tenant.as_str());
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.contains(tenant) || known.len() < self.max {
            known.insert(tenant.clone());
            return Arc::from(tenant.as_str());
        }
        Arc::from(OVERFLOW)
    }

    pub(super) fn series(&self, tenant: &TenantId) -> Arc<TenantSeries> {
        self.series_for(self.label(tenant))
    }

    pub(super) fn nobody(&self) -> Arc<TenantSeries> {
        self.series_for(Arc::from(""))
    }

    fn series_for(&self, label: Arc<str>) -> Arc<TenantSeries> {
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&label) {
            return series.clone();
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(label.clone()).or_insert_with(|| Arc::new(TenantSeries::new(label, &self.families))).clone()
    }
}

impl TenantSeries {
    fn new(label: Arc<str>, families: &Arc<TenantFamilies>) -> Self {
        Self {
            bytes_in: families.bytes.with_label_values(&[&*label, "in"]),
            bytes_out: families.bytes.with_label_values(&[&*label, "out"]),
            tunnels: families.tunnels.with_label_values(&[&*label]),
            routes: Mutex::default(),
            families: families.clone(),
            label,
        }
    }

    /// The request counters of this tenant on `route`; keep the handle.
    #[must_use]
    pub fn route(&self, route: &str) -> Arc<RouteSeries> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = routes.get(route) {
            return series.clone();
        }
        if routes.len() >= MAX_ROUTES {
            routes.clear();
        }
        let count = |class| self.families.requests.with_label_values(&[route, &*self.label, class]);
        let series = Arc::new(RouteSeries { classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(count) });
        routes.insert(Arc::from(route), series.clone());
        series
    }

    /// The counter of seconds that this tenant's workspaces of `kind` were up.
    #[must_use]
    pub fn running_seconds(&self, kind: &KindName) -> Seconds {
        self.families.running.with_label_values(&[&*self.label, kind.as_str()])
    }

    /// The counter of seconds that they were up while nobody worked in them.
    #[must_use]
    pub fn idle_waste_seconds(&self, kind: &KindName) -> Seconds {
        self.families.idle_waste.with_label_values(&[&*self.label, kind.as_str()])
    }
}

impl RouteSeries {
    /// Counts one answer.
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        if let Some(counter) = self.classes.get(class) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn tenants_beyond_the_bound_share_one_series() {
        let metrics = Metrics::new(Registry::new(), 2);
        for tenant in ["a", "b", "c", "d", "a"] {
            metrics.tenant(&TenantId::new(tenant).expect("test tenant")).route("/ide/").answered(204);
        }
        let text = String::from_utf8(metrics.encode().expect("encodes")).expect("is UTF-8");
        assert!(text.contains(r#"usher_requests_total{class="2xx",route="/ide/",tenant="a"} 2"#), "{text}");
        assert!(text.contains(r#"usher_requests_total{class="2xx",route="/ide/",tenant="other"} 2"#), "{text}");
        assert!(!text.contains(r#"tenant="c""#), "{text}");
    }
}
