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
    #[schemars(
        regex(pattern = "^/([A-Za-z0-9._~!$&'()*+,=:@-]+/)*$"),
        extend("patternErrorMessage" = "must start and end with /, and have plain segments between: no //, %, ;, ?, # or blanks")
    )]
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
    /// Who may use it. Each list that is not empty must be met; within a list one match is enough.
    /// Default: everybody who is signed in.
    pub allow: Allow,
    /// Send `X-Usher-Assertion` with each request: a signed statement of who sent it. Needs `assertion.keys`.
    pub assertion: bool,
    /// Take the path prefix out before forwarding. Default: true.
    pub strip_prefix: Option<bool>,
}

impl Route {
    /// The placeholders of `headers`.
    pub const HEADER_PLACEHOLDERS: [&'static str; 3] = ["user", "tenant", "groups"];
}

/// Who may use a route. Each list that is not empty must be met; within a list one match is enough.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Ids of tenants.
    #[schemars(extend("items" = { "type": "string", "format": "tenant-id" }))]
    pub tenants: Vec<String>,
    /// Names of groups.
    #[schemars(extend("items" = { "type": "string", "format": "group-name" }))]
    pub groups: Vec<String>,
    /// Roles.
    pub roles: Vec<Role>,
}
