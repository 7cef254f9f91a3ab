//! One connection to one server: TCP, TLS, and the LDAP library behind a guard.
//!
//! The library (ldap3) parses answers recursively and without a limit, and its driver panics on some that are not
//! LDAP. So it never sees the network: it talks through a socket pair to a task of ours, which passes on whole
//! messages that [`ber`] has checked. Driver and task are one; if either ends or panics, that connection is lost, its
//! users get an error, and nothing else happens.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, StdStream};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::ber;
use super::fault::Fault;
use crate::config::LdapServer;

/// Largest answer to StartTLS; real ones have 14 to 100 bytes.
const LARGEST_START_TLS: usize = 4096;
/// What is read from the network at once.
const CHUNK: usize = 16 * 1024;

/// How bytes on the way to a server are protected.
#[derive(Debug, Clone)]
pub(super) enum Protection {
    /// TLS: from the start with `ldaps://`, after StartTLS with `ldap://`.
    Tls(Arc<rustls::ClientConfig>),
    /// TLS with `ldaps://`, and with `ldap://` none, because the configuration says so in as many words.
    Plaintext(Option<Arc<rustls::ClientConfig>>),
}

/// An open connection. Dropping it closes it.
pub(super) struct Wire {
    ldap: Ldap,
    driver: AbortOnDropHandle<()>,
}

impl Wire {
    /// Connects within `limit`. Nothing is sent before TLS stands, except the wish for it.
    pub(super) async fn open(server: &LdapServer, protection: &Protection, limit: Duration) -> Result<Self, Fault> {
        match tokio::time::timeout(limit, connect(server, protection)).await {
            Ok(opened) => opened,
            Err(_) => Err(Fault::Unreachable(format!("no connection within {limit:?}"))),
        }
    }

    /// A handle for one operation.
    pub(super) fn ldap(&self) -> Ldap {
        self.ldap.clone()
    }

    /// Whether it is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }
}

async fn connect(server: &LdapServer, protection: &Protection) -> Result<Wire, Fault> {
    let unreachable = |error: io::Error| Fault::Unreachable(error.to_string());
    let mut tcp = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let config = match (protection, server.tls) {
        (Protection::Plaintext(_), false) => return join(tcp).await,
        (Protection::Tls(config), false) => {
            start_tls(&mut tcp).await?;
            config
        }
        (Protection::Tls(config) | Protection::Plaintext(Some(config)), true) => config,
        (Protection::Plaintext(None), true) => return Err(Fault::Misconfigured("no authority to trust".to_owned())),
    };
    let name = ServerName::try_from(server.host.clone())
        .map_err(|_| Fault::Misconfigured(format!("{:?} is not a name that a certificate can have", server.host)))?;
    let tls = TlsConnector::from(config.clone()).connect(name, tcp).await.map_err(|error| tls_fault(&error))?;
    join(tls).await
}

/// A certificate that does not do is a matter for the operator; the rest may pass.
fn tls_fault(error: &io::Error) -> Fault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) => {
            Fault::Misconfigured(format!("TLS: {error}"))
        }
        _ => Fault::Unreachable(format!("TLS: {error}")),
    }
}

/// Asks for TLS, and reads the answer to its last byte and not one further: what follows belongs to TLS, and whoever
/// puts plain text there breaks the handshake.
async fn start_tls(tcp: &mut TcpStream) -> Result<(), Fault> {
    let lost = |error: io::Error| Fault::Unreachable(format!("StartTLS: {error}"));
    tcp.write_all(ber::START_TLS).await.map_err(lost)?;
    let mut answer = Vec::new();
    let whole = loop {
        match ber::message(&answer).map_err(|error| Fault::Unreachable(format!("StartTLS: {error}")))? {
            Some(whole) => break whole,
            None if answer.len() == LARGEST_START_TLS => {
                return Err(Fault::Unreachable("StartTLS: the answer does not end".to_owned()));
            }
            None => answer.push(tcp.read_u8().await.map_err(lost)?),
        }
    };
    match ber::start_tls_result(&answer[..whole]) {
        Some(0) => Ok(()),
        Some(code) => Err(Fault::Misconfigured(format!("the server refuses StartTLS (result code {code})"))),
        None => Err(Fault::Unreachable("StartTLS: answered something else".to_owned())),
    }
}

/// Puts the LDAP library on a stream, with the guard between.
async fn join<S: AsyncRead + AsyncWrite + Send + 'static>(network: S) -> Result<Wire, Fault> {
    let local = |error: io::Error| Fault::Unreachable(format!("this machine: {error}"));
    let (ours, theirs) = UnixStream::pair().map_err(local)?;
    let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(theirs.into_std().map_err(local)?));
    let (library, ldap) = LdapConnAsync::with_settings(settings, "ldapi:///")
        .await
        .map_err(|error| Fault::Unreachable(format!("this machine: {error}")))?;
    let work = async move {
        tokio::select! {
            _ = library.drive() => {}
            () = relay(ours, network) => {}
        }
    };
    let driver = AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn(work));
    Ok(Wire { ldap, driver })
}

async fn relay(library: UnixStream, network: impl AsyncRead + AsyncWrite) {
    let (mut from_library, to_library) = library.into_split();
    let (from_network, mut to_network) = tokio::io::split(network);
    tokio::select! {
        _ = tokio::io::copy(&mut from_library, &mut to_network) => {
            let _ = to_network.shutdown().await;
        }
        ended = checked(from_network, to_library) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "LDAP connection ended");
            }
        }
    }
}

/// Passes on whole, sound messages and nothing else.
async fn checked(mut network: impl AsyncRead + Unpin, mut library: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    loop {
        while let Some(whole) = ber::message(&buffer).map_err(io::Error::other)? {
            library.write_all(&buffer.split_to(whole)).await?;
        }
        buffer.reserve(CHUNK);
        if network.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
