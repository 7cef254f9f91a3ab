//! The keys of an issuer, each with the algorithms that it may be used with.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::{Compact, TokenRefused};

/// Most keys of one issuer; the largest providers have about ten.
pub const MOST_KEYS: usize = 100;
/// Fewest bytes of a secret: as long as the shortest hash that signs with it (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;

/// Why keys cannot be used. Quotes nothing of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysRefused {
    /// Not a set of keys.
    #[error("is not a JSON Web Key Set")]
    NotASet,
    /// More than anybody has.
    #[error("holds more than {MOST_KEYS} keys")]
    TooMany,
    /// Nothing in it signs in a way that is allowed.
    #[error("holds no public key for signatures with one of the allowed algorithms")]
    NoneUsable,
    /// Not a public key in PEM form.
    #[error("is not a public key in PEM form for one of the allowed algorithms")]
    NotPem,
    /// Too short to protect anything.
    #[error("is shorter than {SHORTEST_SECRET} bytes")]
    ShortSecret,
}

/// One key.
#[derive(Debug, Clone)]
struct Key {
    id: Option<Box<str>>,
    /// Tells this key from others (RFC 7638); empty for one that is not of a published set.
    print: Arc<str>,
    /// What it may be used with: what the configuration allows and the key is for, never what a token asks for.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// Keys of one issuer.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that are for something else are passed over.
    ///
    /// # Errors
    /// Returns an error if it is none, or nothing in it can be used.
    pub fn from_jwks(text: &[u8], allowed: &[Algorithm]) -> Result<Self, KeysRefused> {
        let set: JwkSet = serde_json::from_slice(text).map_err(|_| KeysRefused::NotASet)?;
        if set.keys.len() > MOST_KEYS {
            return Err(KeysRefused::TooMany);
        }
        let keys: Vec<Key> = set.keys.iter().filter_map(|jwk| Key::of(jwk, allowed)).collect();
        if keys.is_empty() { Err(KeysRefused::NoneUsable) } else { Ok(Self(keys)) }
    }

    /// Reads one public key in PEM form.
    ///
    /// # Errors
    /// Returns an error if it is none, or none for an allowed algorithm.
    pub fn from_pem(text: &[u8], allowed: &[Algorithm]) -> Result<Self, KeysRefused> {
        let readers = [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
        let keys = readers.iter().filter_map(|read| read(text).ok());
        let key = keys.into_iter().find_map(|decoding| {
            let algorithms = of_family(allowed, decoding.family());
            (!algorithms.is_empty()).then_some(Key { id: None, print: Arc::from(""), algorithms, decoding })
        });
        key.map(|key| Self(vec![key])).ok_or(KeysRefused::NotPem)
    }

    /// Takes a secret that the issuer shares with us.
    ///
    /// # Errors
    /// Returns an error if it is too short.
    pub fn from_secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Self, KeysRefused> {
        if secret.len() < SHORTEST_SECRET {
            return Err(KeysRefused::ShortSecret);
        }
        let decoding = DecodingKey::from_secret(secret);
        let algorithms = of_family(allowed, AlgorithmFamily::Hmac);
        Ok(Self(vec![Key { id: None, print: Arc::from(""), algorithms, decoding }]))
    }

    /// Whether none have been had yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the key with this print is among these.
    #[must_use]
    pub fn holds(&self, print: &str) -> bool {
        self.0.iter().any(|key| *key.print == *print)
    }

    /// Verifies a token's signature with the key that it names; with the only one that fits if it names none. Returns the
    /// print of that key.
    ///
    /// # Errors
    /// Returns [`TokenRefused::UnknownKey`] if there is no such key, [`TokenRefused::Algorithm`] if that key is not for
    /// the token's algorithm, and [`TokenRefused::Signature`] if another key signed it.
    pub fn verify(&self, token: &Compact<'_>) -> Result<Arc<str>, TokenRefused> {
        let key = self.key_of(token)?;
        let verified =
            jsonwebtoken::crypto::verify(token.signature, token.signed.as_bytes(), &key.decoding, token.algorithm);
        if verified.unwrap_or(false) { Ok(key.print.clone()) } else { Err(TokenRefused::Signature) }
    }

    fn key_of(&self, token: &Compact<'_>) -> Result<&Key, TokenRefused> {
        let fits = |key: &&Key| key.algorithms.contains(&token.algorithm);
        // A key of just that name, and otherwise those without one: a key from a file has none, whatever tokens call it.
        let is_named = |key: &&Key| token.key.is_some() && key.id.as_deref() == token.key.as_deref();
        let by_name = self.0.iter().any(|key| is_named(&key));
        let named = |key: &&Key| if by_name { is_named(key) } else { key.id.is_none() || token.key.is_none() };
        let mut fitting = self.0.iter().filter(named).filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) if self.0.iter().any(|key| named(&key)) => Err(TokenRefused::Algorithm),
            // None; or two keys of one name, or no name and several keys: which one is meant nobody can say.
            _ => Err(TokenRefused::UnknownKey),
        }
    }
}

impl Key {
    fn of(jwk: &Jwk, allowed: &[Algorithm]) -> Option<Self> {
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let verifies =
            common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        let own: Option<Algorithm> = match common.key_algorithm {
            Some(algorithm) => Some(algorithm.to_string().parse().ok()?),
            None => None,
        };
        let mut algorithms = allowed.to_vec();
        algorithms.retain(|algorithm| fits(jwk, *algorithm) && own.is_none_or(|own| own == *algorithm));
        if algorithms.is_empty() {
            return None;
        }
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        let print = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        Some(Self { id: common.key_id.as_deref().map(Box::from), print: Arc::from(print), algorithms, decoding })
    }
}

/// Whether a key of this type can sign so. A symmetric key in a published set protects nothing.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => algorithm.family() == AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => algorithm == Algorithm::ES256,
            EllipticCurve::P384 => algorithm == Algorithm::ES384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(parameters) => {
            parameters.curve == EllipticCurve::Ed25519 && algorithm == Algorithm::EdDSA
        }
        _ => false,
    }
}

fn of_family(allowed: &[Algorithm], family: AlgorithmFamily) -> Vec<Algorithm> {
    allowed.iter().copied().filter(|algorithm| algorithm.family() == family).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Algorithm] = &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    #[test]
    fn keys_that_are_for_something_else_are_passed_over() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let set = |key: &str| format!(r#"{{"keys":[{key}]}}"#);
        let ed = |more: &str| set(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{more}}}"#));
        let table = [
            (ed(""), Ok(())),
            (ed(r#","use":"sig","alg":"EdDSA","kid":"k","key_ops":["verify"]"#), Ok(())),
            (ed(r#","use":"enc""#), Err(KeysRefused::NoneUsable)),
            (ed(r#","key_ops":["sign"]"#), Err(KeysRefused::NoneUsable)),
            (ed(r#","alg":"RS256""#), Err(KeysRefused::NoneUsable)),
            (set(r#"{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI"}"#), Err(KeysRefused::NoneUsable)),
            (set(r#"{"kty":"new","x":"y"}"#), Err(KeysRefused::NoneUsable)),
            (set(""), Err(KeysRefused::NoneUsable)),
            ("{}".to_owned(), Err(KeysRefused::NotASet)),
            ("nonsense".to_owned(), Err(KeysRefused::NotASet)),
            (set(&vec!["{}"; MOST_KEYS + 1].join(",")), Err(KeysRefused::TooMany)),
        ];
        for (text, expected) in table {
            assert_eq!(KeySet::from_jwks(text.as_bytes(), ALL).map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_is_long_enough_or_refused() {
        assert_eq!(KeySet::from_secret(&[7; 31], &[Algorithm::HS256]).err(), Some(KeysRefused::ShortSecret));
        assert!(KeySet::from_secret(&[7; 32], &[Algorithm::HS256]).is_ok());
    }
}
