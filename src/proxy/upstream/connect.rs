//! Opens connections: TCP, then TLS verified against the configured authorities, under one deadline.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Limits, Peer, UpstreamStream};
use crate::outbound::Trust;

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there.
    #[error("cannot connect: {0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The peer speaks TLS and no authorities are configured to verify it.
    #[error("upstream is https and upstream.ca_file is not set")]
    NoAuthorities,
    /// The host is not a name that a certificate could be for.
    #[error("upstream host is not a valid server name")]
    ServerName,
}

/// Opens connections to peers.
#[derive(Debug, Clone, Default)]
pub struct Connector {
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// A connector that verifies `https` peers against the authorities in `ca_file`; without one it refuses them.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or holds no certificate.
    pub fn new(ca_file: Option<&str>) -> io::Result<Self> {
        let Some(path) = ca_file else { return Ok(Self::default()) };
        let trust = Trust::load(Some(Path::new(path))).map_err(io::Error::other)?;
        Ok(Self { tls: Some(trust.config()) })
    }

    /// Opens a connection within the limits' deadline.
    ///
    /// # Errors
    /// Returns an error if the peer cannot be reached or its certificate does not verify.
    pub async fn connect(&self, peer: &Peer, limits: &Limits) -> Result<UpstreamStream, ConnectError> {
        let deadline = limits.connect_timeout;
        let opened = timeout(deadline, self.open(peer, limits.write_stall_timeout));
        opened.await.unwrap_or(Err(ConnectError::Timeout(deadline)))
    }

    async fn open(&self, peer: &Peer, patience: Duration) -> Result<UpstreamStream, ConnectError> {
        let (stream, tls, name) = match peer {
            Peer::Workspace { address, tls, .. } => {
                (TcpStream::connect(address).await?, *tls, ServerName::from(address.ip()))
            }
            Peer::Shared { host, port, tls, .. } => {
                let name = ServerName::try_from(host.to_string()).map_err(|_| ConnectError::ServerName)?;
                (TcpStream::connect((&**host, *port)).await?, *tls, name)
            }
        };
        stream.set_nodelay(true)?;
        if !tls {
            return Ok(UpstreamStream::plain(stream, patience));
        }
        let config = self.tls.clone().ok_or(ConnectError::NoAuthorities)?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(UpstreamStream::tls(stream, patience))
    }
}
