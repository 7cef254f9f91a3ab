//! `http` and `upstream`: limits and deadlines on both sides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Span};

/// Limits and deadlines of client connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Span,
    /// From accept to the end of the PROXY protocol header.
    pub proxy_header_timeout: Span,
    /// From the first byte of a request's head to its last.
    pub head_timeout: Span,
    /// How long a connection with nothing under way is kept.
    pub idle_timeout: Span,
    /// How long one connection is used for new requests before the client is asked to open another.
    pub connection_lifetime: Span,
    /// Ping the client of every WebSocket this often, so that one that has vanished is noticed. 0 means never.
    pub websocket_ping: Span,
    /// Close a WebSocket (code 1012, clients reconnect) after this long. 0 means no limit.
    pub websocket_lifetime: Span,
    /// How long a client may leave bytes that are ready for it unread.
    pub write_stall_timeout: Span,
    /// How long an upload may make no progress.
    pub upload_stall_timeout: Span,
    /// Largest size of all headers of a request together.
    pub max_header_size: ByteSize,
    /// Longest request target.
    pub max_target_size: ByteSize,
    /// Most requests at once on one HTTP/2 connection.
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_streams: u32,
    /// Most connections of one client address at once. Behind a load balancer this counts the address
    /// that the PROXY header names. 0 means no limit.
    pub max_connections_per_address: u32,
    /// Most connections at once, all together. 0 means no limit.
    pub max_connections: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            handshake_timeout: Span::secs(10),
            proxy_header_timeout: Span::secs(3),
            head_timeout: Span::secs(10),
            idle_timeout: Span::secs(60),
            connection_lifetime: Span::hours(12),
            websocket_ping: Span::secs(0),
            websocket_lifetime: Span::secs(0),
            write_stall_timeout: Span::secs(30),
            upload_stall_timeout: Span::secs(30),
            max_header_size: ByteSize::kib(32),
            max_target_size: ByteSize::kib(8),
            max_concurrent_streams: 100,
            max_connections_per_address: 1000,
            max_connections: 100_000,
        }
    }
}

/// Limits and deadlines of connections to workspaces and shared upstreams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// Time to open a connection, TLS included.
    pub connect_timeout: Span,
    /// From the end of the request to the end of the answer's head.
    pub head_timeout: Span,
    /// How long an idle connection is kept for reuse; below the upstream's own limit (Theia's is 5s).
    pub idle_timeout: Span,
    /// Most idle connections kept for one workspace.
    #[schemars(range(min = 0, max = 1000))]
    pub max_idle_connections: u32,
    /// File with the certificate authorities (PEM) that `https://` upstreams are verified against.
    /// Left out: `https://` upstreams cannot be used.
    pub ca_file: Option<String>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_timeout: Span::secs(5),
            head_timeout: Span::secs(120),
            idle_timeout: Span::secs(4),
            max_idle_connections: 8,
            ca_file: None,
        }
    }
}
