//! The routing table: immutable, pure, built from the configuration.
//!
//! It answers which route covers a host and a canonical path: an exact host before a pattern, the longest path
//! prefix at segment boundaries, in time that depends on the length of the path and not on the number of routes.
//! `/` and `/.usher/` on the public host are our own pages, and `/.usher/` is no route on any host; on hosts of other
//! routes it holds one address, where a session is handed over.
//!
//! Who may use a route is said here ([`Rules`]); that they may is decided in `proxy::decision`.

mod error;
mod host;
mod own;
mod route;
mod rules;
mod table;
mod template;
mod tree;

pub use error::BuildError;
pub use host::{HostPattern, PublicUrl};
pub use own::{ASSERTION_KEYS, ENTER, ENTRANCE, OwnPage};
pub use route::{Route, SharedUpstream, Target};
pub use rules::Rules;
pub use table::{Match, Miss, RouteTable};
pub use template::{HeaderTemplate, push_groups, push_header_text};
