//! `usher dev-certificates`: a certificate authority and a server certificate for one machine.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Why no certificates were made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// A name cannot stand in a certificate.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// A file cannot be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
}

/// Makes `ca.crt`, `ca.key`, `tls.crt` and `tls.key` in `folder`, for `names` (DNS names or IP addresses).
/// Existing files are replaced. Keys are readable by their owner only.
///
/// # Errors
/// Returns an error if a name is not valid or a file cannot be written.
pub(super) fn make(folder: &Path, names: &[String]) -> Result<(), CertificateError> {
    let write_error = |path: &Path| {
        let path = path.display().to_string();
        move |error| CertificateError::Write { path, error }
    };
    std::fs::create_dir_all(folder).map_err(write_error(folder))?;

    let authority_key = KeyPair::generate()?;
    let authority = authority_params();
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, &authority_key);

    let server_key = KeyPair::generate()?;
    let server_certificate = server_params(names)?.signed_by(&server_key, &issuer)?;

    let chain = format!("{}{}", server_certificate.pem(), authority_certificate.pem());
    let files = [
        ("ca.crt", 0o644, authority_certificate.pem()),
        ("ca.key", 0o600, authority_key.serialize_pem()),
        ("tls.crt", 0o644, chain),
        ("tls.key", 0o600, server_key.serialize_pem()),
    ];
    for (name, mode, pem) in files {
        let path = folder.join(name);
        write(&path, mode, &pem).map_err(write_error(&path))?;
    }
    Ok(())
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = common_name("Usher development authority");
    params
}

fn server_params(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = common_name(names.first().map_or("localhost", String::as_str));
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Writes a new file with `mode`; an old one is removed first, so that its mode does not live on.
fn write(path: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_for_their_owner_only_also_when_they_replace_others() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("tls.key"), "old").expect("writes");
        make(folder.path(), &["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("makes certificates");
        for key in ["ca.key", "tls.key"] {
            let mode = std::fs::metadata(folder.path().join(key)).expect("is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
    }
}
