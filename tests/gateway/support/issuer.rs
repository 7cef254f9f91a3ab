//! An issuer of tokens: keys of its own, tokens of any content, and a server for its key set that can fail in every way.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::message::Wire;

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "tokens are made for the time that it is")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A private key and its name.
pub(crate) struct Issuer {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
    pub(crate) public_pem: String,
    public_key: Vec<u8>,
}

impl Issuer {
    pub(crate) fn new(kid: &str, algorithm: Algorithm) -> Self {
        usher::edge::install_crypto_provider();
        let pair = match algorithm {
            Algorithm::ES256 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Algorithm::ES384 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Algorithm::EdDSA => rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519),
            _ => rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
        };
        let pair = pair.unwrap();
        let pem = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
        };
        Self {
            kid: kid.to_owned(),
            algorithm,
            key: key.unwrap(),
            public_pem: pair.public_key_pem(),
            public_key: pair.public_key_raw().to_vec(),
        }
    }

    /// Claims that our configuration takes.
    pub(crate) fn claims() -> Value {
        json!({
            "iss": "https://id.example.com", "aud": "usher", "sub": "ada", "org": "acme", "name": "Ada L.",
            "groups": ["dev"], "iat": now(), "exp": now() + 600,
        })
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.with_header(&json!({ "alg": format!("{:?}", self.algorithm), "kid": self.kid, "typ": "JWT" }), claims)
    }

    /// A token that is well signed, whatever its header says.
    pub(crate) fn with_header(&self, header: &Value, claims: &Value) -> String {
        self.of_texts(&header.to_string(), &claims.to_string())
    }

    pub(crate) fn of_texts(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    /// Its public key in a set.
    pub(crate) fn jwk(&self) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.public_key);
            return json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "use": "sig" });
        }
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).unwrap()
    }

    pub(crate) fn set(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }
}

/// What the server of a key set does with a connection.
#[derive(Debug, Clone)]
pub(crate) enum Serve {
    /// Answers with this body.
    Body(String),
    /// Answers 500.
    Fail,
    /// Never answers.
    Hang,
    /// Closes before TLS.
    Down,
    /// Answers without an end, at most 10 MB.
    Flood,
}

/// A server of a key set over TLS with an authority of its own.
pub(crate) struct KeyServer {
    pub(crate) url: String,
    pub(crate) authority: String,
    serve: Arc<Mutex<Serve>>,
    asked: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

impl KeyServer {
    pub(crate) async fn start(first: Serve) -> Self {
        usher::edge::install_crypto_provider();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let authority = made.cert.pem();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let acceptor =
            TlsAcceptor::from(Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/keys", listener.local_addr().unwrap());
        let (serve, asked) = (Arc::new(Mutex::new(first)), Arc::new(Mutex::new(0)));
        let (now, count) = (serve.clone(), asked.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(answer(stream, acceptor.clone(), now.clone(), count.clone()));
            }
        });
        Self { url, authority, serve, asked, _tasks: tasks }
    }

    pub(crate) fn serve(&self, what: Serve) {
        *self.serve.lock().unwrap() = what;
    }

    /// How often keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor, serve: Arc<Mutex<Serve>>, count: Arc<Mutex<usize>>) {
    let what = || serve.lock().unwrap().clone();
    if matches!(what(), Serve::Down) {
        *count.lock().unwrap() += 1;
        return;
    }
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let mut wire = Wire::new(stream);
    while let Ok(Some(_)) = wire.head().await {
        *count.lock().unwrap() += 1;
        let said = match what() {
            Serve::Body(body) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
            Serve::Fail => "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(),
            Serve::Flood => format!("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n{}", " ".repeat(10_000_000)),
            Serve::Hang => {
                let _ = wire.more().await;
                return;
            }
            Serve::Down => return,
        };
        if wire.send(said).await.is_err() {
            return;
        }
    }
}
