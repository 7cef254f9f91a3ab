//! The signed assertion: a short-lived JWT that tells a workspace or upstream who sent a request, so that it need not
//! trust whoever can reach its port. `docs/assertion.md` tells how it is verified.
//!
//! A token is signed once for half of its life and then sent with every request of that user to that audience, so that
//! a request costs a look-up and no signature.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use foldhash::fast::RandomState;
use http::HeaderValue;
use serde::Serialize;

use self::keys::SigningKey;
use crate::config;
use crate::model::{GroupName, Principal, TenantId, Timestamp, UserId};

pub use keys::KeyError;

/// How long an assertion is good for.
const LIFE: Duration = Duration::from_secs(60);
/// For how much of its life it is sent, so that whoever gets it has as long again to verify it.
const SENT_FOR: Duration = Duration::from_secs(30);
/// Most that are kept; at some 2 KiB each, 40 MiB.
const MOST: usize = 20_000;
/// Most bytes of groups in one: with the rest of the head it has to fit what upstreams take.
const MOST_GROUPS: usize = 4096;

/// What makes assertions with the keys of one configuration.
#[derive(Debug)]
pub(super) struct Assertions {
    issuer: String,
    signing: SigningKey,
    published: Bytes,
    signed: papaya::HashMap<Audience, Arc<Signed>, RandomState>,
}

/// Who is asserted to whom.
type Audience = (TenantId, UserId, Arc<str>);

#[derive(Debug)]
struct Signed {
    principal: Arc<Principal>,
    at: Timestamp,
    value: HeaderValue,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    tenant: &'a str,
    groups: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    groups_truncated: bool,
    iat: u64,
    exp: u64,
    jti: String,
}

impl Assertions {
    /// Reads the keys; `None` without any. `issuer` is the public URL.
    ///
    /// # Errors
    /// Returns an error if a key cannot be used.
    pub(super) fn load(config: &config::Assertion, issuer: &str) -> Result<Option<Self>, KeyError> {
        let mut keys = config.keys.iter().map(SigningKey::read).collect::<Result<Vec<_>, _>>()?.into_iter();
        let Some(signing) = keys.next() else { return Ok(None) };
        let public: Vec<_> = std::iter::once(&signing).chain(keys.as_slice()).map(SigningKey::public).collect();
        let published = Bytes::from(serde_json::json!({ "keys": public }).to_string());
        Ok(Some(Self { issuer: issuer.to_owned(), signing, published, signed: papaya::HashMap::default() }))
    }

    /// The JWK Set of all keys.
    pub(super) fn published(&self) -> Bytes {
        self.published.clone()
    }

    /// The assertion of `principal` to `audience`; `None` if the system has no random numbers.
    pub(super) fn value(&self, principal: &Arc<Principal>, audience: &Arc<str>, now: Timestamp) -> Option<HeaderValue> {
        let key = (principal.tenant.clone(), principal.user.clone(), audience.clone());
        let signed = self.signed.pin();
        if let Some(known) = signed.get(&key).filter(|known| known.is_good(principal, now)) {
            return Some(known.value.clone());
        }
        let value = self.sign(principal, audience, now)?;
        if signed.len() >= MOST {
            // They are good for half a minute; making them again is cheap.
            signed.clear();
        }
        signed.insert(key, Arc::new(Signed { principal: principal.clone(), at: now, value: value.clone() }));
        Some(value)
    }

    fn sign(&self, principal: &Principal, audience: &str, now: Timestamp) -> Option<HeaderValue> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).ok()?;
        let groups = fitting(&principal.groups);
        let claims = Claims {
            iss: &self.issuer,
            aud: audience,
            sub: principal.user.as_str(),
            tenant: principal.tenant.as_str(),
            groups_truncated: groups.len() < principal.groups.len(),
            groups,
            iat: now.as_secs(),
            exp: (now + LIFE).as_secs(),
            jti: URL_SAFE_NO_PAD.encode(id),
        };
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        let mut token = part(self.signing.header().to_string());
        token.push('.');
        token.push_str(&part(serde_json::to_string(&claims).ok()?));
        let signature = self.signing.sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&signature);
        let mut value = HeaderValue::try_from(token).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Signed {
    fn is_good(&self, principal: &Arc<Principal>, now: Timestamp) -> bool {
        let same = Arc::ptr_eq(&self.principal, principal) || self.principal == *principal;
        same && self.at <= now && now.since(self.at) < SENT_FOR
    }
}

/// The first groups that have room.
fn fitting(groups: &[GroupName]) -> Vec<&str> {
    let mut room = MOST_GROUPS;
    let fits = |group: &&str| {
        let left = room.checked_sub(group.len());
        room = left.unwrap_or(room);
        left.is_some()
    };
    groups.iter().map(GroupName::as_str).take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
    use serde_json::Value;

    use super::*;
    use crate::model::Roles;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn principal(user: &str, groups: usize) -> Arc<Principal> {
        Arc::new(Principal {
            user: UserId::new(user).expect("a user"),
            tenant: TenantId::new("acme").expect("a tenant"),
            display_name: None,
            groups: (0..groups).map(|at| GroupName::new(&format!("group-number-{at:04}")).expect("a group")).collect(),
            roles: Roles::default(),
            source: Arc::from("corp"),
        })
    }

    fn assertions(algorithms: &[&'static rcgen::SignatureAlgorithm]) -> (tempfile::TempDir, Assertions) {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = algorithms.iter().enumerate().map(|(at, algorithm)| {
            let file = folder.path().join(format!("{at}.pem"));
            let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
            std::fs::write(&file, key.serialize_pem()).expect("written");
            config::AssertionKey { id: format!("a{at}"), file: file.display().to_string() }
        });
        let config = config::Assertion { keys: keys.collect() };
        let made = Assertions::load(&config, "https://dev.example.com").expect("loads").expect("has keys");
        (folder, made)
    }

    /// As somebody verifies it who knows the published keys only.
    fn verified(assertions: &Assertions, value: &HeaderValue, audience: &str) -> Option<Value> {
        let token = value.to_str().expect("text");
        let set: JwkSet = serde_json::from_slice(&assertions.published()).expect("a set");
        let jwk = set.find(&decode_header(token).expect("a head").kid.expect("a kid"))?;
        let algorithm = jwk.common.key_algorithm?.to_string().parse::<Algorithm>().expect("known");
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&[audience]);
        rules.set_issuer(&["https://dev.example.com"]);
        rules.validate_exp = false;
        let key = DecodingKey::from_jwk(jwk).expect("a key");
        decode::<Value>(token, &key, &rules).ok().map(|data| data.claims)
    }

    #[test]
    fn both_kinds_of_key_make_what_the_published_set_verifies() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
            let (_folder, assertions) = assertions(&[algorithm, &rcgen::PKCS_ECDSA_P256_SHA256]);
            let value = assertions.value(&principal("李雷", 2), &Arc::from("ide-1"), NOW).expect("signed");
            let claims = verified(&assertions, &value, "ide-1").expect("verifies");
            assert_eq!((&claims["sub"], &claims["tenant"]), (&Value::from("李雷"), &Value::from("acme")));
            assert_eq!(claims["groups"], serde_json::json!(["group-number-0000", "group-number-0001"]));
            assert_eq!(claims["exp"].as_u64().expect("a time") - claims["iat"].as_u64().expect("a time"), 60);
            assert!(claims.get("groups_truncated").is_none());
            assert_eq!(verified(&assertions, &value, "ide-2"), None, "for one audience only");
            let set: Value = serde_json::from_slice(&assertions.published()).expect("a set");
            assert_eq!(set["keys"].as_array().map(Vec::len), Some(2));
            assert!(!set.to_string().contains("\"d\""), "nothing private");
        }
    }

    #[test]
    fn one_is_sent_for_half_of_its_life_and_never_for_somebody_else() {
        let (_folder, assertions) = assertions(&[&rcgen::PKCS_ECDSA_P256_SHA256]);
        let (ann, audience) = (principal("ann", 1), Arc::from("ide-1"));
        let first = assertions.value(&ann, &audience, NOW);
        let again = |who: &Arc<Principal>, after: u64| {
            assertions.value(who, &audience, NOW + Duration::from_secs(after)) == first
        };
        assert!(again(&ann, 29));
        assert!(!again(&principal("bob", 1), 1));
        assert!(!again(&principal("ann", 2), 1), "other groups hold at once");
        assert_ne!(assertions.value(&ann, &Arc::from("ide-2"), NOW), first);
        assert!(!again(&ann, 30));
    }

    #[test]
    fn more_groups_than_fit_are_left_out_and_that_is_said() {
        let (_folder, assertions) = assertions(&[&rcgen::PKCS_ED25519]);
        let value = assertions.value(&principal("ann", 1000), &Arc::from("x"), NOW).expect("signed");
        assert!(value.len() < 8192, "{}", value.len());
        let claims = verified(&assertions, &value, "x").expect("verifies");
        assert_eq!(claims["groups_truncated"], true);
    }
}
