//! The keys that sign assertions, and how others see them: as a JWK Set (RFC 7517).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::config;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read or holds no key in PEM form.
    #[error("assertion key `{id}`: {file}: {error}")]
    Unreadable {
        /// The key's id in the configuration.
        id: String,
        /// Its file.
        file: String,
        /// What is wrong with it; nothing of what it holds.
        error: rustls::pki_types::pem::Error,
    },
    /// It is of another kind.
    #[error("assertion key `{id}`: {file}: must be a PKCS#8 key on the curve P-256 or Ed25519")]
    Kind {
        /// The key's id in the configuration.
        id: String,
        /// Its file.
        file: String,
    },
}

/// One key. The underlying library wipes it when it is dropped.
pub(super) struct SigningKey {
    id: String,
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    pub(super) fn read(key: &config::AssertionKey) -> Result<Self, KeyError> {
        let (id, file) = (key.id.clone(), key.file.clone());
        let der = PrivateKeyDer::from_pem_file(&key.file).map_err(|error| KeyError::Unreadable {
            id: id.clone(),
            file: file.clone(),
            error,
        })?;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(der) => Pair::of(der.secret_pkcs8_der()),
            _ => None,
        };
        Ok(Self { pair: pair.ok_or(KeyError::Kind { id: id.clone(), file })?, id })
    }

    /// The head of a token that it signs.
    pub(super) fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": self.pair.algorithm(), "kid": self.id })
    }

    /// The signature in the form that a JWT has; `None` if the system has no random numbers.
    pub(super) fn sign(&self, message: &[u8]) -> Option<String> {
        let signature = match &self.pair {
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message).ok()?,
            Pair::Ed25519(pair) => pair.sign(message),
        };
        Some(URL_SAFE_NO_PAD.encode(signature))
    }

    /// Its public half, as a JWK.
    pub(super) fn public(&self) -> Value {
        let mut key = self.pair.public();
        key["kid"] = json!(self.id);
        key["alg"] = json!(self.pair.algorithm());
        key["use"] = json!("sig");
        key
    }
}

impl Pair {
    fn of(der: &[u8]) -> Option<Self> {
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Self::P256);
        // Without the public half, as OpenSSL writes it, there is nothing to check it against.
        p256.or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self::Ed25519)).ok()
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn public(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::P256(pair) => {
                // An uncompressed point: 4, then both coordinates (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) =
                    point.split_at_checked(1).map_or((point, point), |(_, point)| point.split_at(point.len() / 2));
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Self::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) }),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.id).finish()
    }
}
