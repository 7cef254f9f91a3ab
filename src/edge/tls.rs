//! TLS of the public listener: versions, ALPN, tickets. Certificates are [`CertificateStore`]'s.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};

use super::CertificateStore;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("tls cannot be set up: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// Makes aws-lc-rs the process's cryptography. To be called before anything else touches TLS, since pingora-core
/// would install another; calling it again does nothing.
pub fn install_crypto_provider() {
    let _already_installed = aws_lc_rs::default_provider().install_default();
}

/// The TLS settings of the public listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, the certificate that the
/// client's SNI asks for, stateless tickets with keys of this process, no 0-RTT (it can be replayed).
///
/// # Errors
/// Returns an error if the process has no randomness for ticket keys.
pub fn server_config(certificates: &Arc<CertificateStore>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates.clone());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
