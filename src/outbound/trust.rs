//! Whose certificates are believed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file of authorities cannot be read, or holds something else.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The system's store holds no certificate.
    #[error("the system trusts no certificate authority; name a file in `ca_file`")]
    NoSystemStore,
    /// The TLS library does not take it.
    #[error("cannot verify with these authorities: {0}")]
    Tls(#[from] rustls::Error),
}

/// The authorities that servers are verified against. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The authorities in a PEM file, or the system's where there is none. Reads files: not for a proxy thread.
    ///
    /// # Errors
    /// Returns an error if there is no authority to be had.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, TrustError> {
        let roots = match ca_file {
            Some(path) => from_file(path).map_err(|source| TrustError::File { path: path.to_owned(), source })?,
            None => from_system()?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// As the TLS library takes it.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

fn from_file(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() { Err(io::Error::other("holds no certificate")) } else { Ok(roots) }
}

/// One bad certificate among the system's does not take the others away.
fn from_system() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TrustError::NoSystemStore) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused_by_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("none.crt", ""), ("key.crt", "-----BEGIN X-----\nAAAA\n-----END X-----\n")] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            let error = Trust::load(Some(&path)).expect_err("refused").to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(Trust::load(Some(&folder.path().join("missing.crt"))).is_err());
    }
}
