//! The signed assertion as an upstream gets it, verified with nothing but the published keys.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::support::{ORIGIN, Say, Setup, Upstream, request, within};

fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
    rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem()
}

fn verified(set: &Value, token: &str, audience: &str) -> Result<Value, jsonwebtoken::errors::Error> {
    let head = decode_header(token)?;
    let set: JwkSet = serde_json::from_value(set.clone()).unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.algorithms = vec![head.alg];
    rules.set_audience(&[audience]);
    rules.set_issuer(&[ORIGIN]);
    let key = DecodingKey::from_jwk(set.find(&head.kid.unwrap()).unwrap())?;
    decode::<Value>(token, &key, &rules).map(|data| data.claims)
}

fn route(path: &str, upstream: &Upstream) -> String {
    format!("{{ path: {path}, upstream: \"{}\", assertion: true }}", upstream.url())
}

#[tokio::test]
async fn an_upstream_gets_an_assertion_that_the_published_keys_verify() {
    let upstream = Upstream::scripted(|_| Say::ok("fine")).await;
    let gateway = Setup::new()
        .file("a1.pem", &key(&rcgen::PKCS_ECDSA_P256_SHA256))
        .file("a2.pem", &key(&rcgen::PKCS_ED25519))
        .with("assertion: { keys: [ { id: a1, file: a1.pem }, { id: a2, file: a2.pem } ] }")
        .route(&route("/signed/", &upstream))
        .app(&upstream)
        .start()
        .await;
    let published = gateway.ask("GET", request("GET", "/.usher/jwks.json", &[])).await;
    assert_eq!((published.status(), published.head.one("content-type")), (200, "application/jwk-set+json"));
    assert_eq!(published.head.one("cache-control"), "public, max-age=300");
    let set: Value = serde_json::from_slice(&published.body).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    assert_eq!(
        gateway.ask("POST", request("POST", "/.usher/jwks.json", &[&format!("Origin: {ORIGIN}")])).await.status(),
        405
    );

    let cookie = gateway.sign_in("ada").await;
    let forged = "X-Usher-Assertion: forged";
    let ask = async |path: &str| {
        upstream.forget();
        let answer = gateway.ask("GET", request("GET", path, &[&cookie, forged])).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let (head, _) = upstream.only_request().await;
        head.all("x-usher-assertion").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let sent = ask("/signed/").await;
    assert_eq!(sent.len(), 1);
    let claims = verified(&set, &sent[0], "/signed/").unwrap();
    assert_eq!((&claims["sub"], &claims["tenant"]), (&json!("ada"), &json!("acme")));
    assert!(claims["groups"].as_array().unwrap().contains(&json!("研发")), "{claims}");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert!(verified(&set, &sent[0], "/other/").is_err(), "for this upstream only");
    assert_eq!(ask("/signed/").await, sent, "not signed anew for each request");
    assert_eq!(ask("/app/").await, Vec::<String>::new(), "and the client's own copy goes nowhere");

    // The second key signs once it is the first.
    let (from, to) =
        ("{ id: a1, file: a1.pem }, { id: a2, file: a2.pem }", "{ id: a2, file: a2.pem }, { id: a1, file: a1.pem }");
    within(gateway.reconfigure(from, to)).await;
    let sent = ask("/signed/").await;
    assert_eq!(decode_header(&sent[0]).unwrap().alg, Algorithm::EdDSA);
    assert!(verified(&set, &sent[0], "/signed/").is_ok());
}
