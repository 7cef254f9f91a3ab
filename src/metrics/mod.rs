//! Every Prometheus family of the gateway, on a registry that is handed in. Tenant labels only, and bounded.
//!
//! What is counted on the request path is counted through handles that are looked up once
//! ([`TenantSeries`], [`RouteSeries`]): a look-up by labels costs about 100 ns, a kept handle 20.

mod families;
mod tenant;

pub use families::Metrics;
pub use tenant::{RouteSeries, TenantSeries};
