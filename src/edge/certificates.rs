//! Certificates by host name, replaced while connections run.
//!
//! A reload takes effect with the next handshake; open connections keep what they agreed on. A reload that fails
//! leaves the old certificates in force.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config;

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read or is not PEM.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The file has no certificate in it.
    #[error("{}: no certificate in this file", .0.display())]
    Empty(PathBuf),
    /// The certificate cannot be parsed.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: webpki::Error,
    },
    /// The key does not fit the certificate, or is of a kind that is not supported.
    #[error("{}: key cannot be used with {}: {source}", key.display(), certificate.display())]
    Key {
        /// The file with the key.
        key: PathBuf,
        /// The file with the certificate.
        certificate: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// The certificates of the public listener.
pub struct CertificateStore(ArcSwap<Table>);

struct Table {
    default: Arc<CertifiedKey>,
    /// By DNS name, lower case; a wildcard without its `*`.
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl CertificateStore {
    /// Reads the certificates that `tls` names.
    ///
    /// # Errors
    /// Returns an error that names the file if one cannot be read or used.
    pub fn load(tls: &config::Tls) -> Result<Arc<Self>, CertificateError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(Table::load(tls)?))))
    }

    /// Reads them again, from what may be other files; the next handshake uses them.
    ///
    /// # Errors
    /// Returns an error as [`Self::load`] does; what was in force stays.
    pub fn reload(&self, tls: &config::Tls) -> Result<(), CertificateError> {
        self.0.store(Arc::new(Table::load(tls)?));
        Ok(())
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().find(hello.server_name()))
    }
}

impl std::fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateStore").finish_non_exhaustive()
    }
}

impl Table {
    fn load(tls: &config::Tls) -> Result<Self, CertificateError> {
        let (default, _) = pair(&tls.certificate, &tls.key)?;
        let mut by_name = HashMap::new();
        for certificate in &tls.additional {
            let (key, names) = pair(&certificate.certificate, &certificate.key)?;
            for name in names {
                by_name.entry(name).or_insert_with(|| key.clone());
            }
        }
        Ok(Self { default, by_name })
    }

    /// The certificate for exactly this name, then that for a wildcard, then the default.
    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let Some(name) = name.filter(|_| !self.by_name.is_empty()).map(str::to_ascii_lowercase) else {
            return self.default.clone();
        };
        let wildcard = || self.by_name.get(name.get(name.find('.')?..)?);
        self.by_name.get(&name).or_else(wildcard).unwrap_or(&self.default).clone()
    }
}

/// Reads a certificate with its key, and the DNS names that it is for.
fn pair(certificate: &str, key: &str) -> Result<(Arc<CertifiedKey>, Vec<String>), CertificateError> {
    let (certificate, key) = (Path::new(certificate), Path::new(key));
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| CertificateError::Read { path: certificate.to_owned(), source })?;
    let leaf = chain.first().ok_or_else(|| CertificateError::Empty(certificate.to_owned()))?;
    let names = names(leaf).map_err(|source| CertificateError::Certificate { path: certificate.to_owned(), source })?;
    let der =
        PrivateKeyDer::from_pem_file(key).map_err(|source| CertificateError::Read { path: key.to_owned(), source })?;
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let certified = CertifiedKey::from_der(chain, der, &provider).map_err(|source| CertificateError::Key {
        key: key.to_owned(),
        certificate: certificate.to_owned(),
        source,
    })?;
    Ok((Arc::new(certified), names))
}

fn names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, webpki::Error> {
    let certificate = webpki::EndEntityCert::try_from(leaf)?;
    Ok(certificate.valid_dns_names().map(|name| name.trim_start_matches('*').to_ascii_lowercase()).collect())
}
