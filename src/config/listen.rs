//! `listen`: the sockets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Cidr;

/// The sockets that the gateway listens on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Where developers come in: HTTPS, HTTP/1.1 and HTTP/2.
    pub public: Public,
    /// Answers plain HTTP with a redirect to `public_url`. Left out: no such listener.
    #[serde(default)]
    pub redirect: Option<Redirect>,
    /// Metrics, health and status for operators and Prometheus; plain HTTP, so keep it private.
    #[serde(default)]
    pub admin: Admin,
    /// Worker threads that serve connections. 0 means one for each core.
    #[serde(default)]
    pub threads: u16,
    /// Unix socket over which a new gateway process takes over the listening sockets of an old one
    /// (`usher run --upgrade`). Left out: no hand-over.
    #[serde(default)]
    pub handover_socket: Option<String>,
}

/// The public listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// IP address and port, e.g. `0.0.0.0:8443`. Port 0 takes a free one.
    #[schemars(extend("format" = "socket-address"))]
    pub address: String,
    /// Certificates. Files are watched; a changed pair is used from the next handshake on.
    pub tls: Tls,
    /// Take the client's address from a PROXY protocol header (v1 or v2). Left out: headers are not expected,
    /// and a connection that starts with one is refused. Changing it needs a restart.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Certificates of the public listener. Files are watched; a changed pair is used from the next handshake on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File with the default certificate chain, PEM, leaf first.
    pub certificate: String,
    /// File with its private key, PEM.
    pub key: String,
    /// More certificates, chosen by the host name that the client asks for (SNI).
    #[serde(default)]
    pub additional: Vec<Certificate>,
}

/// One more certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// File with the certificate chain, PEM, leaf first. It serves the DNS names that the leaf lists.
    pub certificate: String,
    /// File with its private key, PEM.
    pub key: String,
}

/// Who may send a PROXY protocol header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Networks of the load balancers, in CIDR form. A connection from one of them must start with a header;
    /// a connection from anywhere else is served without one, under its own address.
    #[schemars(length(min = 1))]
    pub trusted: Vec<Cidr>,
}

/// The listener that sends plain HTTP to HTTPS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// IP address and port, e.g. `0.0.0.0:8080`.
    #[schemars(extend("format" = "socket-address"))]
    pub address: String,
}

/// The operators' listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// IP address and port.
    #[schemars(extend("format" = "socket-address"))]
    pub address: String,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: "127.0.0.1:9090".to_owned() }
    }
}
