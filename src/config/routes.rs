//! `routes`: what addresses lead to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Role;

/// One line of the routing table. It has a `path`, a `host` or both, and leads to a `workspace` or an `upstream`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Path prefix, starting and ending with `/`. Default: `/`. Without `host`, `/` alone is the portal's.
    #[schemars(regex(pattern = "^/([^/?#%\\\\]+/)*$"))]
    pub path: Option<String>,
    /// Host name, without port. `{workspace}` in its first label stands for the user's own workspace label.
    /// Default: the host of `public_url`.
    pub host: Option<String>,
    /// A kind of workspace: every user is led to their own.
    pub workspace: Option<String>,
    /// The address of a service that all users share: `http://` or `https://`, a host and a port, no path.
    pub upstream: Option<String>,
    /// Headers to set for the upstream, with `{user}`, `{tenant}` and `{groups}` replaced.
    pub headers: BTreeMap<String, String>,
    /// Who may use it. Default: everybody who is signed in.
    pub allow: Allow,
    /// Take the path prefix out before forwarding. Default: true.
    pub strip_prefix: Option<bool>,
}

/// Who may use a route. Each list that is not empty must be met; within a list one match is enough.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Tenants.
    pub tenants: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Roles.
    pub roles: Vec<Role>,
}
