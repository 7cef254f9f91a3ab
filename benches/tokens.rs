//! What verifying a bearer token costs: by each algorithm when it is met for the first time, and when it is known.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;
use usher::config::Config;
use usher::identity::Identity;
use usher::identity::tokens::{Compact, KeySet};
use usher::model::Timestamp;

/// A token's time, and a second in its life.
const NOW: u64 = 1_700_000_000;
const SECRET: &[u8] = b"a secret of at least 32 bytes, really";

fn claims() -> String {
    serde_json::json!({
        "iss": "https://id.example.com", "aud": "usher", "sub": "developer1234", "org": "tenant-123",
        "groups": ["desktop-users", "developers"], "iat": NOW, "exp": NOW + 3600,
    })
    .to_string()
}

fn token(algorithm: Algorithm, key: &EncodingKey) -> String {
    let header = format!(r#"{{"alg":"{algorithm:?}","typ":"JWT"}}"#);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims()));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).expect("signs");
    format!("{signed}.{signature}")
}

/// A token of each algorithm, and the key that verifies it.
fn tokens() -> Vec<(Algorithm, String, KeySet)> {
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).expect("a key");
    let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let ed = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let of = |algorithm, pair: &KeyPair, key: EncodingKey| {
        let keys = KeySet::from_pem(pair.public_key_pem().as_bytes(), &[algorithm]).expect("a public key");
        (algorithm, token(algorithm, &key), keys)
    };
    let rsa_key = || EncodingKey::from_rsa_pem(rsa.serialize_pem().as_bytes()).expect("a key");
    let secret = KeySet::from_secret(SECRET, &[Algorithm::HS256]).expect("a secret");
    vec![
        (Algorithm::HS256, token(Algorithm::HS256, &EncodingKey::from_secret(SECRET)), secret),
        of(Algorithm::RS256, &rsa, rsa_key()),
        of(Algorithm::PS256, &rsa, rsa_key()),
        of(Algorithm::ES256, &p256, EncodingKey::from_ec_pem(p256.serialize_pem().as_bytes()).expect("a key")),
        of(Algorithm::ES384, &p384, EncodingKey::from_ec_pem(p384.serialize_pem().as_bytes()).expect("a key")),
        of(Algorithm::EdDSA, &ed, EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).expect("a key")),
    ]
}

fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token");
    for (algorithm, token, keys) in tokens() {
        group.bench_function(format!("{algorithm:?}"), |bencher| {
            bencher.iter(|| keys.verify(&Compact::parse(black_box(&token)).expect("a token")).expect("genuine"));
        });
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), SECRET).expect("written");
    let config: Config = serde_saphyr::from_str(&format!(
        "public_url: https://dev.example.com\n\
         listen: {{ public: {{ address: \"127.0.0.1:0\", tls: {{ certificate: c, key: k }} }} }}\n\
         session: {{ keys: [ {{ id: k1, file: k1 }} ] }}\n\
         identity: {{ directories: [], tokens: [ {{ name: t, issuer: \"https://id.example.com\", audience: [ usher ], \
         keys: {{ secret_file: {} }}, tenant: [ {{ claim: org }} ] }} ] }}\n",
        folder.path().join("secret").display()
    ))
    .expect("a configuration");
    let identity = Identity::build(&config).expect("builds");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let known = token(Algorithm::HS256, &EncodingKey::from_secret(SECRET));
    let now = Timestamp::from_secs(NOW + 1);
    group.bench_function("known", |bencher| {
        bencher.to_async(&runtime).iter(|| async { identity.bearer(black_box(&known), now).await.1.expect("taken") });
    });
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
