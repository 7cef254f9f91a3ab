//! The edge: sockets, TLS and HTTP framing between clients and whatever answers their requests.
//!
//! pingora-core runs the listeners ([`Server`]), rustls speaks TLS, hyper speaks HTTP/1.1 and HTTP/2; this module
//! joins them and adds what they leave out: PROXY protocol, connection caps, deadlines for silent, slow and stalled
//! peers, a cancel budget, lingering close, a kill switch, and an orderly [`Drain`].
//!
//! It promises that a [`Service`] sees only whole request heads, that no peer holds a connection for ever by doing
//! nothing, and that an upgraded connection comes back as one raw [`Stream`] with no byte lost. What a request means
//! is left to the service. The API of pingora-core does not leave this module.

mod accept;
mod body;
mod caps;
mod certificates;
mod coalesce;
mod connection;
mod drain;
mod driver;
mod exchange;
mod filter;
mod handover;
mod limits;
mod listener;
mod protocol;
mod proxy_protocol;
mod registry;
mod server;
mod service;
mod signals;
mod stall;
mod stream;
mod tls;
mod watchdog;

pub use body::{RequestBody, RequestBodyError};
pub use certificates::{CertificateError, CertificateStore};
pub use connection::Connection;
pub use drain::{Drain, DrainPhase, Hold, Stop};
pub use exchange::Reply;
pub use handover::HandoverError;
pub use limits::Limits;
pub use listener::{Listener, Transport};
pub use proxy_protocol::{
    MAX_HEADER as MAX_PROXY_HEADER, Parsed as ProxyHeader, ProxyHeaderError, parse as parse_proxy_header,
};
pub use server::{Server, ServerError, ServerSettings};
pub use service::Service;
pub use stream::{NotOurStream, Stream, upgraded};
pub use tls::{TlsError, install_crypto_provider, server_config};
