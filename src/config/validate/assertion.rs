//! `assertion`: keys that can sign, and routes that have some to sign with.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use rustls::pki_types::PrivateKeyDer;

use super::files::private_key;
use super::{Checks, Draft, KeyPath, quoted};

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    let Some(assertion) = &draft.assertion else { return };
    let mut seen = BTreeMap::new();
    for (at, key) in assertion.keys.iter().enumerate() {
        let path = KeyPath::of("assertion.keys").index(at);
        if let Some(first) = seen.get(key.id.as_str()) {
            let message = format!("{} is the id of assertion.keys[{first}] already", quoted(&key.id));
            checks.error(&path.key("id"), message);
        }
        seen.entry(key.id.as_str()).or_insert(at);
        let path = path.key("file");
        if private_key(&path, &key.file, checks).is_some_and(|key| !can_sign(&key)) {
            checks.error(&path, "must hold a PKCS#8 key on the curve P-256 or Ed25519 (usher assertion-key makes one)");
        }
    }
    for (at, _) in draft.routes.iter().filter(|(_, route)| route.assertion && assertion.keys.is_empty()) {
        let path = KeyPath::of("routes").index(*at).key("assertion");
        checks.error(&path, "needs a key in assertion.keys to sign with");
    }
}

fn can_sign(key: &PrivateKeyDer<'_>) -> bool {
    let PrivateKeyDer::Pkcs8(key) = key else { return false };
    let key = key.secret_pkcs8_der();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).is_ok()
        || Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).is_ok()
}
