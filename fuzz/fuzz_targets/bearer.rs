//! Whatever an `Authorization` header or a sub-protocol holds, reading it does not panic, a token is taken apart in one
//! way only, and none is believed that no key of ours signed.
//!
//! Input: the value of a header.

#![no_main]

use std::sync::OnceLock;

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use usher::identity::tokens::{Compact, KeySet};
use usher::proxy::headers::tokens::{Authorization, authorization, protocol_token, take_protocol_token};

static KEYS: OnceLock<KeySet> = OnceLock::new();

fuzz_target!(|value: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let mut headers = HeaderMap::from_iter([(AUTHORIZATION, value.clone()), (SEC_WEBSOCKET_PROTOCOL, value)]);
    if let Authorization::Bearer(token) = authorization(&headers) {
        believe(token);
    }
    if let Ok(Some(token)) = protocol_token(&headers) {
        believe(token);
        take_protocol_token(&mut headers);
        assert_eq!(protocol_token(&headers), Ok(None));
    }
});

fn believe(token: &str) {
    let keys = KEYS.get_or_init(|| {
        let secret = b"a secret of at least 32 bytes, really";
        KeySet::from_secret(secret, &["HS256".parse().expect("an algorithm")]).expect("a key")
    });
    if let Ok(compact) = Compact::parse(token) {
        assert!(token.len() <= 8192 && token.matches('.').count() == 2);
        assert!(keys.verify(&compact).is_err(), "nobody knows the secret");
    }
}
