//! Files that the configuration names: certificates, keys, authorities. No finding quotes what they hold.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::{Checks, KeyPath};
use crate::config::fingerprint::hash;
use crate::config::paths::absolute;
use crate::config::source::read_capped;

/// Largest PEM file: a bundle of all public authorities has 230 KiB.
const LARGEST_PEM: u64 = 1 << 20;

/// The absolute path of a file; `None` if the text cannot be a path.
pub(super) fn name(path: &KeyPath, file: &str, checks: &mut Checks<'_>) -> Option<PathBuf> {
    // A key that was pasted in here must not come out in a message.
    if file.is_empty() || file.len() > 1024 || file.contains(char::is_control) {
        checks.error(path, "must name a file");
        return None;
    }
    Some(absolute(checks.folder, file))
}

/// Reads a file and notes what it held.
pub(super) fn read(path: &KeyPath, file: &str, limit: u64, checks: &mut Checks<'_>) -> Option<Vec<u8>> {
    let file = name(path, file, checks)?;
    match read_capped(&file, limit) {
        Ok(bytes) => {
            checks.named.read.note(&file, hash(&bytes));
            Some(bytes)
        }
        Err(message) => {
            checks.named.read.look_at(&file);
            checks.error(path, message);
            None
        }
    }
}

/// Whether everybody on the machine may read the file.
pub(super) fn is_world_readable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Checks the certificate and key of the mapping at `path`, and returns the leaf.
pub(super) fn pair(path: &KeyPath, chain: &str, key: &str, checks: &mut Checks<'_>) -> Option<CertificateDer<'static>> {
    let chain = certificates(&path.key("certificate"), chain, checks);
    let key = private_key(&path.key("key"), key, checks);
    let chain = chain?;
    let leaf = chain.first()?.clone();
    if let Some(key) = key {
        match CertifiedKey::from_der(chain, key, &default_provider()) {
            Ok(_) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                checks.error(&path.key("key"), "does not belong to the certificate beside it");
            }
            Err(_) => checks.error(&path.key("key"), "is of a kind that cannot be used; use ECDSA P-256, P-384 or RSA"),
        }
    }
    Some(leaf)
}

fn certificates(path: &KeyPath, file: &str, checks: &mut Checks<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let bytes = read(path, file, LARGEST_PEM, checks)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if chain.first().is_some_and(|leaf| ParsedCertificate::try_from(leaf).is_ok()) => Some(chain),
        Ok(chain) if chain.is_empty() => {
            checks.error(path, "holds no certificate in PEM form");
            None
        }
        _ => {
            checks.error(path, "holds a certificate that cannot be read");
            None
        }
    }
}

/// Reads a private key in PEM form.
pub(super) fn private_key(path: &KeyPath, file: &str, checks: &mut Checks<'_>) -> Option<PrivateKeyDer<'static>> {
    let bytes = read(path, file, LARGEST_PEM, checks)?;
    if is_world_readable(&absolute(checks.folder, file)) {
        checks.warning(path, "can be read by everybody on this machine; take the permission away (chmod o-r)");
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes).ok();
    if key.is_none() {
        checks.error(path, "holds no private key in PEM form");
    }
    key
}

/// Checks a file of certificate authorities.
pub(super) fn authorities(path: &KeyPath, file: &str, checks: &mut Checks<'_>) {
    let Some(certificates) = certificates(path, file, checks) else { return };
    let mut store = RootCertStore::empty();
    if certificates.into_iter().any(|certificate| store.add(certificate).is_err()) {
        checks.error(path, "holds a certificate that cannot be an authority");
    }
}

/// Whether a certificate is made out to `host`; an IPv6 address stands in brackets.
pub(super) fn serves(leaf: &CertificateDer<'_>, host: &str) -> bool {
    let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']'));
    let (Ok(certificate), Ok(name)) = (ParsedCertificate::try_from(leaf), name) else { return false };
    rustls::client::verify_server_name(&certificate, &name).is_ok()
}
