//! What keeps a routing table from being built. `config` reports these first, with line and column; here they are
//! checked again, because a table that is wrong forwards to the wrong place.

/// Why a routing table cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// `public_url` is not `https://` and a host.
    #[error("public_url must be https:// with a host and at most a port")]
    PublicUrl,
    /// A host is not a lower-case host name or a pattern for one.
    #[error(
        "route {route}: the host is not a lower-case host name, with {{workspace}} at most once in its first label"
    )]
    Host {
        /// The route's label.
        route: String,
    },
    /// A prefix does not start and end with `/`, or has segments that no canonical path has.
    #[error("route {route}: the path must start and end with / and be made of plain segments")]
    Path {
        /// The route's label.
        route: String,
    },
    /// A route lies where only our own pages are.
    #[error("route {route}: /.usher/ is the gateway's own")]
    OwnPath {
        /// The route's label.
        route: String,
    },
    /// Neither or both of `workspace` and `upstream`, or one that is not valid.
    #[error("route {route}: must lead to one workspace kind or to one http:// or https:// address without a path")]
    Target {
        /// The route's label.
        route: String,
    },
    /// A host pattern names a workspace, and the route does not lead to one.
    #[error("route {route}: {{workspace}} in the host needs a workspace to lead to")]
    PatternTarget {
        /// The route's label.
        route: String,
    },
    /// A header that routes may not set, or a template that is none.
    #[error("route {route}: header {header:?} cannot be set")]
    Header {
        /// The route's label.
        route: String,
        /// The header's name as configured.
        header: String,
    },
    /// Two routes with the same host and path.
    #[error("route {route}: another route has the same host and path")]
    Duplicate {
        /// The route's label.
        route: String,
    },
}
