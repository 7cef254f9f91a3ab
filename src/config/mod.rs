//! The YAML's mirror: every key, its default, its meaning. Imports nothing of what it configures.
//!
//! The doc comment of a key is its text in the JSON schema and on the reference page.
//! [`load`] reads the YAML and everything that it names, and reports all problems together. A [`Config`] from it has
//! passed every check: references resolve, files are readable, routes do not overlap, paths are absolute.

mod assertion;
mod diagnose;
mod document;
mod draft;
mod fingerprint;
mod identity;
mod key_path;
mod ldap;
mod limits;
mod listen;
mod load;
mod operations;
mod paths;
pub mod pattern;
mod public_url;
mod reference;
mod report;
mod restart;
mod routes;
pub mod rules;
mod schema;
mod session;
mod source;
pub mod template;
mod tenants;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod units;
pub mod users_file;
mod validate;
mod workspaces;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use assertion::{Assertion, AssertionKey};
pub use fingerprint::Fingerprint;
pub use identity::{Directory, DirectoryKind, Identity, LoginThrottle, UsersFile};
pub use ldap::{Ldap, LdapGroups, LdapScope, LdapServer, LdapUsers};
pub use limits::{Http, Upstream};
pub use listen::{Admin, Certificate, Listen, ProxyProtocol, Public, Redirect, Tls};
pub use load::{Loaded, load, load as check};
pub use operations::{AuditOutput, Log, LogFormat, Metrics, Shutdown};
pub use reference::reference;
pub use report::{Diagnostic, Report, Severity};
pub use restart::restart_needed;
pub use routes::{Allow, Route};
pub use rules::{ClaimPath, GrantedRole, RoleRule, TenantRule};
pub use schema::schema;
pub use session::{Session, SessionKey};
pub use tenants::{Tenant, Tenants};
pub use tokens::{KeyPlace, SignatureAlgorithm, TokenClaims, TokenIssuer, TokenKeys};
pub use units::{ByteSize, Cidr, Span};
pub use workspaces::{
    ActivityClassifier, Autostop, HttpActivity, ProcessSettings, Profile, Readiness, RuntimeKind, TheiaSettings,
    WorkspaceKind,
};

/// What the names of directories, workspace kinds and profiles look like.
const NAME_RULE: &str = "must be 1 to 32 of a-z, 0-9 and -, with a letter or digit at both ends";

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
    /// Signed statements to workspaces and upstreams of who sent a request.
    #[serde(default)]
    pub assertion: Assertion,
    /// The companies, by id, and under `defaults` what holds for all of them. A tenant that is not listed gets the
    /// defaults; with `defaults: { disabled: true }` only listed ones get in.
    #[serde(default)]
    pub tenants: Tenants,
    /// The kinds of workspace, by name: 1 to 32 of `a-z 0-9 -`. Routes lead to them.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {
        "pattern": "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        "patternErrorMessage": NAME_RULE,
    }))]
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
