//! What a listener is made of.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;

use super::Limits;
use crate::config::Cidr;

/// What is spoken on a listener.
#[derive(Clone)]
pub enum Transport {
    /// HTTP/1.1 in the clear: redirects, metrics.
    Plain,
    /// TLS, and in it HTTP/2 or HTTP/1.1 as the client chooses.
    Tls(Arc<ServerConfig>),
}

/// A listener and what answers on it.
pub struct Listener<S> {
    /// Names its threads and appears in the log. At most 15 characters reach the operating system.
    pub name: &'static str,
    /// IP address and port. Port 0 takes a free one.
    pub address: String,
    /// Threads of its own. 0 means one for each core.
    pub threads: usize,
    /// What is spoken.
    pub transport: Transport,
    /// Networks whose connections must start with a PROXY protocol header. Others are taken as they are.
    pub proxies: Vec<Cidr>,
    /// Whether it goes on accepting to the end of a drain, and its connections are not waited for: health, metrics.
    pub stays: bool,
    /// Limits and deadlines.
    pub limits: Limits,
    /// What answers requests.
    pub service: Arc<S>,
}

/// Whether connections from `address` start with a PROXY header.
pub(super) fn is_proxy(proxies: &[Cidr], address: IpAddr) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.0.contains(&address))
}
