//! The YAML's mirror: every key, its default, its meaning. Imports nothing of what it configures.
//!
//! The doc comment of a key is its text in the JSON schema and on the reference page.
//! A loaded [`Config`] has passed every check: references resolve, files are readable, routes do not overlap.

mod identity;
mod limits;
mod listen;
mod operations;
mod routes;
mod session;
mod tenants;
mod units;
mod workspaces;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use identity::{Directory, Identity, LoginThrottle, UsersFile};
pub use limits::{Http, Upstream};
pub use listen::{Admin, Certificate, Listen, ProxyProtocol, Public, Redirect, Tls};
pub use operations::{Log, LogFormat, Metrics, Shutdown};
pub use routes::{Allow, Route};
pub use session::{Session, SessionKey};
pub use tenants::{Tenant, Tenants};
pub use units::{ByteSize, Cidr, Span};
pub use workspaces::{
    ActivityClassifier, Autostop, HttpActivity, ProcessSettings, Profile, Readiness, RuntimeKind, TheiaSettings,
    WorkspaceKind,
};

/// The whole configuration of a gateway.
///
/// Relative paths in it are relative to the folder of the file that they stand in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The one address that developers open: `https://`, a host, and a port if it is not 443. No path.
    /// Origin checks, redirects and links are made from it.
    pub public_url: String,
    /// Folder for what must outlive a restart: workspace homes of the `process` runtime, ended sessions.
    /// Created with mode 0700 if it is missing. Changing it needs a restart.
    #[serde(default = "default_state_dir")]
    pub state_dir: String,
    /// The sockets that the gateway listens on. Changing addresses needs a restart; certificates do not.
    pub listen: Listen,
    /// Limits and deadlines of client connections. A change holds for new connections.
    #[serde(default)]
    pub http: Http,
    /// Limits and deadlines of connections to workspaces and shared upstreams.
    #[serde(default)]
    pub upstream: Upstream,
    /// Browser logins.
    pub session: Session,
    /// Who may sign in, and how.
    pub identity: Identity,
    /// The companies, by id, and under `defaults` what holds for all of them.
    #[serde(default)]
    pub tenants: Tenants,
    /// The kinds of workspace, by name: 1 to 32 of `a-z 0-9 -`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"}))]
    pub workspaces: BTreeMap<String, WorkspaceKind>,
    /// What addresses lead to. The longest matching path of the most specific host wins, whatever the order.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Prometheus metrics.
    #[serde(default)]
    pub metrics: Metrics,
    /// How the gateway leaves. A change holds for the next shutdown.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// What is logged, and how. Changing it needs a restart.
    #[serde(default)]
    pub log: Log,
}

fn default_state_dir() -> String {
    "state".to_owned()
}
