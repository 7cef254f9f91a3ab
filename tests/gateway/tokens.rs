//! Bearer tokens through the whole gateway: who gets in, who does not and is told why, and what a workspace sees of it.

use std::future::Future;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::{
    Answer, Gateway, Issuer, KeyServer, ORIGIN, Say, Serve, Setup, Upstream, eventually, now, request, request2, within,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Keys of `identity` for one issuer.
fn issuer(keys: &str, more: &str) -> String {
    format!(
        "tokens: [ {{ name: platform, issuer: \"https://id.example.com\", audience: [ usher ], keys: {keys}, \
         tenant: [ {{ claim: org }} ]{more} }} ]"
    )
}

/// A gateway that takes tokens of `keys`, with a set of theirs in its configuration.
async fn taking(keys: &[&Issuer], more: &str, upstream: &Upstream) -> Gateway {
    let set = json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string();
    let keys = format!("{{ set: '{set}' }}");
    Setup::new().app(upstream).identity(&issuer(&keys, more)).start().await
}

async fn get(gateway: &Gateway, token: &str) -> Answer {
    gateway.get("/app/", &format!("Authorization: Bearer {token}")).await
}

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn with(changes: Value) -> Value {
    let mut claims = Issuer::claims();
    for (key, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(key);
        } else {
            claims[key] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn every_algorithm_that_is_allowed_gets_its_holder_in_as_who_they_are() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let all = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    let keys: Vec<Issuer> = all.iter().map(|algorithm| Issuer::new(&format!("{algorithm:?}"), *algorithm)).collect();
    let names: Vec<String> = all.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    let more = format!(", algorithms: [ {} ]", names.join(", "));
    let gateway = taking(&keys.iter().collect::<Vec<_>>(), &more, &upstream).await;
    for key in &keys {
        let answer = get(&gateway, &key.token(&Issuer::claims())).await;
        assert_eq!(answer.status(), 200, "{:?}: {answer:?}", key.algorithm);
    }
    for (head, _) in upstream.requests().await {
        assert_eq!((head.one("x-usher-user"), head.one("x-usher-tenant")), ("ada", "acme"));
        assert_eq!(head.one("x-usher-groups"), "dev");
        assert!(!head.has("authorization"), "the token stays here: {head:?}");
    }
    assert_eq!(gateway.metric("usher_tokens_total{issuer=\"platform\",result=\"success\"}").await, 9);
}

/// One row a case: what is wrong with the token, and the label of its refusal.
#[tokio::test]
async fn a_token_that_is_not_sound_is_refused_with_its_reason_and_reaches_nobody() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let (good, stranger) = (Issuer::new("k1", Algorithm::ES256), Issuer::new("k1", Algorithm::ES256));
    let rsa = Issuer::new("r1", Algorithm::RS256);
    let more = ", authorized_parties: [ cli ], max_age: 1h";
    let gateway = taking(&[&good, &rsa], more, &upstream).await;
    let claims = |changes: Value| {
        let mut claims = with(changes);
        if claims.get("azp").is_none() && claims.get("client_id").is_none() {
            claims["azp"] = json!("cli");
        }
        claims
    };
    let signed = |changes: Value| good.token(&claims(changes));
    let header = |header: Value| good.with_header(&header, &claims(json!({})));
    let sound = signed(json!({}));
    let (start, _) = sound.rsplit_once('.').unwrap();
    let other = signed(json!({ "jti": "another" }));
    let (_, signature) = other.rsplit_once('.').unwrap();
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(claims(json!({})).to_string())
    );
    // The public key as a secret: who takes the algorithm from the token alone would believe it.
    let confused = {
        let start = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"r1"}"#),
            URL_SAFE_NO_PAD.encode(claims(json!({})).to_string())
        );
        let key = jsonwebtoken::EncodingKey::from_secret(rsa.public_pem.as_bytes());
        format!("{start}.{}", jsonwebtoken::crypto::sign(start.as_bytes(), &key, Algorithm::HS256).unwrap())
    };
    let twice = |extra: &str| {
        let claims = claims(json!({})).to_string();
        good.of_texts(r#"{"alg":"ES256","kid":"k1"}"#, &format!("{},{extra}}}", claims.trim_end_matches('}')))
    };
    let cases = [
        ("sound", sound.clone(), "success"),
        ("aud in a list", signed(json!({ "aud": ["other", "usher"] })), "success"),
        ("client_id for azp", signed(json!({ "azp": null, "client_id": "cli" })), "success"),
        ("just expired, within the leeway", signed(json!({ "exp": now() - 10 })), "success"),
        ("fractions of a second", signed(json!({ "exp": 1e9f64.mul_add(1.0, now() as f64 - 1e9 + 600.5) })), "success"),
        ("typ at+jwt", header(json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" })), "success"),
        ("no typ, no kid", header(json!({ "alg": "ES256" })), "success"),
        ("expired", signed(json!({ "exp": now() - 60 })), "expired"),
        ("no exp", signed(json!({ "exp": null })), "expired"),
        ("exp as a text", signed(json!({ "exp": "9999999999" })), "malformed"),
        ("exp beyond all time", signed(json!({ "exp": 1e300 })), "malformed"),
        ("negative exp", signed(json!({ "exp": -1 })), "malformed"),
        ("not yet", signed(json!({ "nbf": now() + 120 })), "not-yet"),
        ("nbf as a text", signed(json!({ "nbf": "0" })), "malformed"),
        ("from the future", signed(json!({ "iat": now() + 120 })), "issued"),
        ("no iat where age counts", signed(json!({ "iat": null })), "issued"),
        ("too old", signed(json!({ "iat": now() - 4000 })), "too-old"),
        ("another issuer", signed(json!({ "iss": "https://evil.example" })), "unknown-issuer"),
        ("issuer with a slash", signed(json!({ "iss": "https://id.example.com/" })), "unknown-issuer"),
        ("issuer in a list", signed(json!({ "iss": ["https://id.example.com"] })), "unknown-issuer"),
        ("no issuer", signed(json!({ "iss": null })), "unknown-issuer"),
        ("another audience", signed(json!({ "aud": "other" })), "audience"),
        ("no audience", signed(json!({ "aud": null })), "audience"),
        ("audience of numbers", signed(json!({ "aud": ["usher", 5] })), "audience"),
        ("another party", signed(json!({ "azp": "web" })), "party"),
        (
            "a logout token",
            signed(json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } })),
            "logout-token",
        ),
        ("no user", signed(json!({ "sub": null })), "no-user"),
        ("a user that is a list", signed(json!({ "sub": ["ada", "bo"] })), "no-user"),
        ("a user with a line break", signed(json!({ "sub": "ada\r\nX-Usher-User: root" })), "no-user"),
        ("no tenant", signed(json!({ "org": null })), "no-tenant"),
        ("two tenants", signed(json!({ "org": ["acme", "globex"] })), "ambiguous-tenant"),
        ("another's key of the same name", stranger.token(&claims(json!({}))), "signature"),
        ("signature cut", sound[..sound.len() - 22].to_owned(), "signature"),
        ("signature of another token", format!("{start}.{signature}"), "signature"),
        ("signature that is no base64", format!("{sound}!"), "malformed"),
        ("unknown key", header(json!({ "alg": "ES256", "kid": "k9" })), "unknown-key"),
        ("kid of a key for another algorithm", header(json!({ "alg": "ES256", "kid": "r1" })), "algorithm"),
        ("alg none", none, "malformed"),
        ("public key as a secret", confused, "algorithm"),
        ("crit", header(json!({ "alg": "ES256", "kid": "k1", "crit": ["exp"] })), "extension"),
        ("b64", header(json!({ "alg": "ES256", "kid": "k1", "b64": false })), "extension"),
        ("typ of another kind", header(json!({ "alg": "ES256", "kid": "k1", "typ": "logout+jwt" })), "type"),
        (
            "its own key",
            {
                let header =
                    json!({ "alg": "ES256", "jwk": stranger.jwk(), "jku": "https://evil.example/k", "kid": "k1" });
                stranger.with_header(&header, &claims(json!({})))
            },
            "signature",
        ),
        ("a claim twice", twice(r#""sub":"root""#), "malformed"),
        ("not a token", "opaque".to_owned(), "malformed"),
        ("too long", signed(json!({ "filler": "x".repeat(9000) })), "too-large"),
    ];
    for (name, token, label) in cases {
        let count = async || {
            let platform =
                gateway.metric(&format!("usher_tokens_total{{issuer=\"platform\",result=\"{label}\"}}")).await;
            platform + gateway.metric(&format!("usher_tokens_total{{issuer=\"\",result=\"{label}\"}}")).await
        };
        let (before, forwarded) = (count().await, upstream.requests().await.len());
        let answer = get(&gateway, &token).await;
        let expected = match label {
            "success" => 200,
            "no-tenant" | "ambiguous-tenant" => 403,
            _ => 401,
        };
        assert_eq!(answer.status(), expected, "{name}: {answer:?}");
        assert_eq!(count().await, before + 1, "{name} is counted as {label}");
        assert_eq!(upstream.requests().await.len() - forwarded, usize::from(label == "success"), "{name}");
        if expected == 401 {
            assert_eq!(answer.head.one("www-authenticate"), "Bearer error=\"invalid_token\"", "{name}");
        }
        if expected != 200 {
            assert!(answer.json()["detail"].is_string(), "{name} says why: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_shared_secret_and_a_key_in_a_file_work_too() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let secret = "a secret of at least 32 bytes, really";
    let setup = Setup::new().app(&upstream).file("secret", secret).identity(&issuer("{ secret_file: secret }", ""));
    let gateway = setup.start().await;
    let start = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
        URL_SAFE_NO_PAD.encode(Issuer::claims().to_string())
    );
    let sign = |secret: &str| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        format!("{start}.{}", jsonwebtoken::crypto::sign(start.as_bytes(), &key, Algorithm::HS256).unwrap())
    };
    assert_eq!(get(&gateway, &sign(secret)).await.status(), 200);
    assert_eq!(get(&gateway, &sign("another secret of at least 32 bytes")).await.status(), 401);

    let key = Issuer::new("whatever", Algorithm::EdDSA);
    let setup = Setup::new().app(&upstream).file("key.pem", &key.public_pem);
    let gateway = setup.identity(&issuer("{ public_key_file: key.pem }", "")).start().await;
    assert_eq!(get(&gateway, &key.token(&Issuer::claims())).await.status(), 200);
}

#[tokio::test]
async fn what_a_token_and_a_session_say_together() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let gateway = taking(&[&key], "", &upstream).await;
    let (ada, bo) = (gateway.sign_in("ada").await, gateway.sign_in("bo").await);
    let ours = format!("Authorization: Bearer {}", key.token(&Issuer::claims()));
    let foreign = "Authorization: Bearer token-of-the-workspace";
    let ask = async |lines: &[&str]| gateway.ask("GET", request("GET", "/app/", lines)).await.status();
    assert_eq!(ask(&[&ada, &ours]).await, 200, "the same person");
    assert_eq!(ask(&[&bo, &ours]).await, 401, "two people");
    assert_eq!(ask(&[&bo, foreign]).await, 200, "somebody else's token is none of ours");
    assert_eq!(ask(&[foreign]).await, 401);
    assert_eq!(ask(&[&ours, &ours]).await, 400, "two of them");
    let heard = upstream.requests().await;
    let passed: Vec<&str> = heard.iter().map(|(head, _)| head.one("authorization")).collect();
    assert_eq!(passed, ["", "Bearer token-of-the-workspace"]);
}

#[tokio::test]
async fn a_token_in_a_cookie_is_held_to_the_rules_of_cookies_and_one_in_a_header_is_not() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let gateway = taking(&[&key], ", cookie: platform-token", &upstream).await;
    let token = key.token(&Issuer::claims());
    let (cookie, header) =
        (format!("Cookie: a=1; platform-token={token}; b=2"), format!("Authorization: Bearer {token}"));
    let evil = "Origin: https://evil.example";
    let ask = async |method: &str, lines: &[&str]| gateway.ask(method, request(method, "/app/", lines)).await.status();
    assert_eq!(ask("GET", &[&cookie]).await, 200);
    assert_eq!(ask("POST", &[&cookie, evil, "Content-Length: 0"]).await, 403);
    assert_eq!(ask("POST", &[&header, evil, "Content-Length: 0"]).await, 200);
    assert_eq!(ask("GET", &["Cookie: platform-token=rubbish"]).await, 401);
    let page =
        ["Cookie: platform-token=rubbish", "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    assert_eq!(ask("GET", &page).await, 303, "a person goes to sign in");
    for (head, _) in upstream.requests().await {
        assert!(!format!("{head:?}").contains(&token), "the token stays here: {head:?}");
    }
    assert_eq!(upstream.requests().await[0].0.one("cookie"), "a=1; b=2");
}

#[tokio::test]
async fn a_websocket_brings_its_token_as_a_sub_protocol_and_ends_with_it() {
    let upstream = Upstream::scripted(|heard| {
        let accept = usher::websocket::handshake::accept_key(heard.head.one("sec-websocket-key").as_bytes());
        Say::Hold(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .into_bytes(),
        )
    })
    .await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let gateway = taking(&[&key], ", websocket_protocol: true, leeway: 1s", &upstream).await;
    let open = async |token: &str| {
        let mut client = gateway.connect().await;
        let protocol = format!("Sec-WebSocket-Protocol: access_token, {token}");
        let key = format!("Sec-WebSocket-Key: {KEY}");
        let lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", &key, &protocol];
        client.send(request("GET", "/app/socket", &lines)).await.unwrap();
        let head = client.answer_head().await;
        (client, head)
    };
    let (_client, head) = open("rubbish").await;
    assert_eq!(head.status(), 401);
    let (mut client, head) = open(&key.token(&with(json!({ "exp": now() + 3 })))).await;
    assert_eq!((head.status(), head.one("sec-websocket-protocol")), (101, "access_token"));
    assert!(!upstream.requests().await[0].0.has("sec-websocket-protocol"));
    // 0x88: a close frame, of its own accord, when the token has expired.
    let frame = within(client.exactly(4)).await.unwrap();
    assert_eq!((frame[0], u16::from_be_bytes([frame[2], frame[3]])), (0x88, 4401));
}

#[tokio::test]
async fn a_change_of_the_configuration_ends_what_a_token_has_open() {
    let upstream = streaming().await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let gateway = taking(&[&key], "", &upstream).await;
    let token = format!("Authorization: Bearer {}", key.token(&Issuer::claims()));
    let mut client = gateway.connect().await;
    client.send(request("GET", "/app/events", &[&token])).await.unwrap();
    assert_eq!(client.answer_head().await.status(), 200);
    within(gateway.reconfigure("acme: { title: Acme }", "acme: { title: Acme, disabled: true }")).await;
    within(async { while client.more().await.unwrap_or(false) {} }).await;
    assert_eq!(gateway.get("/app/", &token).await.status(), 403);
    within(gateway.reconfigure("title: Acme, disabled: true", "title: Acme")).await;
    assert_eq!(gateway.get("/app/", &token).await.status(), 200, "and back");
}

/// An upstream whose `/events` never ends.
async fn streaming() -> Upstream {
    Upstream::scripted(|heard| match heard.head.target() {
        "/events" => Say::Hold(b"HTTP/1.1 200 OK\r\n\r\nfirst".to_vec()),
        _ => Say::ok(""),
    })
    .await
}

/// Opens the stream with this token, does something, and waits for the stream's end.
async fn ends_by(gateway: &Gateway, token: &str, what: impl Future<Output = ()>) {
    let mut client = gateway.connect().await;
    client.send(request("GET", "/app/events", &[&format!("Authorization: Bearer {token}")])).await.unwrap();
    assert_eq!(client.answer_head().await.status(), 200);
    within(what).await;
    within(async { while client.more().await.unwrap_or(false) {} }).await;
    assert_eq!(get(gateway, token).await.status(), 401, "and it is worth nothing any more");
}

#[tokio::test]
async fn a_key_that_its_issuer_takes_back_ends_what_its_tokens_have_open() {
    let upstream = streaming().await;
    let (old, new) = (Issuer::new("old", Algorithm::ES256), Issuer::new("new", Algorithm::ES256));
    let server = KeyServer::start(Serve::Body(old.set())).await;
    let gateway = fetching(&server, &upstream, "least_age: 1s, most_age: 1s").await;
    let token = old.token(&Issuer::claims());
    ends_by(&gateway, &token, async { server.serve(Serve::Body(new.set())) }).await;
}

#[tokio::test]
async fn an_issuer_that_is_configured_otherwise_ends_what_its_tokens_have_open() {
    let upstream = streaming().await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let gateway = taking(&[&key], "", &upstream).await;
    let token = key.token(&Issuer::claims());
    ends_by(&gateway, &token, gateway.reconfigure("audience: [ usher ]", "audience: [ others ]")).await;
}

#[tokio::test]
async fn signing_out_everywhere_ends_what_a_users_tokens_have_open() {
    let upstream = streaming().await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let gateway = taking(&[&key], "", &upstream).await;
    let token = key.token(&Issuer::claims());
    let bearer = format!("Authorization: Bearer {token}");
    let sign_out = async {
        let answer = gateway.ask("DELETE", request("DELETE", "/.usher/api/v1/sessions", &[&bearer])).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    };
    ends_by(&gateway, &token, sign_out).await;
}

#[tokio::test]
async fn the_api_serves_scripts_that_bring_a_token() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let set = key.set();
    let keys = format!("{{ set: '{set}' }}");
    let gateway = Setup::new().app(&upstream).ide().identity(&issuer(&keys, "")).start().await;
    let token = format!("Authorization: Bearer {}", key.token(&Issuer::claims()));
    let me = gateway.get("/.usher/api/v1/me", &token).await;
    assert_eq!(me.status(), 200, "{me:?}");
    let me: Value = serde_json::from_slice(&me.body).unwrap();
    assert_eq!(
        (&me["user"], &me["source"], &me["display_name"]),
        (&json!("ada"), &json!("platform"), &json!("Ada L."))
    );
    let start = request("POST", "/.usher/api/v1/workspaces/ide/start", &[&token, "Content-Length: 0"]);
    let started = gateway.ask("POST", start).await;
    assert_eq!(started.status(), 200, "{started:?}");
    let refused = gateway.get("/.usher/api/v1/me", "Authorization: Bearer x.y.z").await;
    assert_eq!(refused.status(), 401);
    let events = gateway.get("/.usher/events", &token).await;
    assert_eq!(events.status(), 403, "streams of updates are for pages");
}

/// A gateway whose issuer's keys are fetched from `server`.
async fn fetching(server: &KeyServer, upstream: &Upstream, ages: &str) -> Gateway {
    let keys = format!("{{ url: \"{}\", ca_file: keys-ca.crt, {ages} }}", server.url);
    let setup = Setup::new().app(upstream).file("keys-ca.crt", &server.authority);
    setup.identity(&issuer(&keys, "")).start().await
}

#[tokio::test]
async fn keys_are_fetched_rotated_and_kept_through_every_kind_of_outage() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let (old, new) = (Issuer::new("old", Algorithm::RS256), Issuer::new("new", Algorithm::ES256));
    let server = KeyServer::start(Serve::Body(old.set())).await;
    let gateway = fetching(&server, &upstream, "least_age: 1s, most_age: 1s").await;
    // Each token is another, so that none is remembered.
    let fresh = |key: &Issuer, n: usize| key.token(&with(json!({ "jti": n.to_string() })));
    assert_eq!(get(&gateway, &fresh(&old, 0)).await.status(), 200, "the first waits for the first fetch");
    for (n, outage) in [
        Serve::Fail,
        Serve::Down,
        Serve::Hang,
        Serve::Flood,
        Serve::Body("garbage".to_owned()),
        Serve::Body("{\"keys\":[]}".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let before = server.asked();
        server.serve(outage.clone());
        eventually("keys are asked for again", || server.asked() > before).await;
        assert_eq!(get(&gateway, &fresh(&old, n + 1)).await.status(), 200, "{outage:?}");
        server.serve(Serve::Body(old.set()));
        let before = server.asked();
        eventually("keys are had again", || server.asked() > before + 1).await;
    }
    server.serve(Serve::Body(new.set()));
    let rotated = within(async {
        loop {
            let answer = get(&gateway, &fresh(&new, 100)).await;
            if answer.status() == 200 {
                return get(&gateway, &fresh(&old, 101)).await.status();
            }
        }
    });
    assert_eq!(rotated.await, 401, "the old key is gone with the set that had it");
    assert!(gateway.metric("usher_key_refreshes_total{issuer=\"platform\",result=\"failure\"}").await >= 6);
}

#[tokio::test]
async fn strangers_cannot_make_the_gateway_fetch_keys_more_than_once_in_a_while() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let (key, stranger) = (Issuer::new("k1", Algorithm::ES256), Issuer::new("k2", Algorithm::ES256));
    let server = KeyServer::start(Serve::Body(key.set())).await;
    let gateway = Arc::new(fetching(&server, &upstream, "least_age: 10m, most_age: 1h").await);
    assert_eq!(get(&gateway, &key.token(&Issuer::claims())).await.status(), 200);
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (gateway, token) = (gateway.clone(), stranger.token(&with(json!({ "jti": n.to_string() }))));
        asking.spawn(async move { get(&gateway, &token).await.status() });
    }
    for status in asking.join_all().await {
        assert_eq!(status, 401);
    }
    assert_eq!(server.asked(), 1);
    assert_eq!(get(&gateway, &key.token(&Issuer::claims())).await.status(), 200);
}

#[tokio::test]
async fn without_keys_a_token_is_answered_that_it_cannot_be_checked_now() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let server = KeyServer::start(Serve::Down).await;
    let gateway = fetching(&server, &upstream, "least_age: 1s, most_age: 1h").await;
    let answer = get(&gateway, &key.token(&Issuer::claims())).await;
    assert_eq!((answer.status(), answer.head.one("retry-after")), (503, "5"), "{answer:?}");
    let cookie = gateway.sign_in("ada").await;
    assert_eq!(gateway.get("/app/", &cookie).await.status(), 200, "people notice nothing");
}

#[tokio::test]
async fn tokens_are_taken_over_http2_as_well() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let key = Issuer::new("k1", Algorithm::ES256);
    let gateway = taking(&[&key], "", &upstream).await;
    let token = format!("Bearer {}", key.token(&Issuer::claims()));
    let answer =
        gateway.http2().await.ask(request2("GET", "/app/", &[("authorization", &token), ("origin", ORIGIN)])).await;
    assert_eq!(answer.status, 200);
}
