//! [`KeySource`]: the keys of an issuer, fetched in the background and kept.
//!
//! Promises: whoever verifies never fetches; it reads what is there, and may wait a bounded time for a fetch under way.
//! What strangers send causes at most one fetch in each `least age`. A fetch that fails changes nothing: the last good
//! keys stay, however old they get.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, StatusCode, Uri, header};
use jsonwebtoken::Algorithm;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Compact, KeySet, KeysRefused, TokenRefused, json};
use crate::metrics::Metrics;
use crate::outbound::{Answer, FetchError, HttpClient, Limits};

/// What one fetch may take.
const FETCH: Limits = Limits { timeout: Duration::from_secs(5), body: 256 * 1024 };
/// How long a verification waits for a key that it does not know.
const PATIENCE: Duration = Duration::from_secs(2);
/// Waits after fetches that fail, doubled up to the second.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A key set at this address.
    Set(Uri),
    /// The key set that the issuer's discovery document names.
    Discovery {
        /// The issuer, as the document must name it.
        issuer: String,
    },
}

/// How long fetched keys are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// Not fetched again sooner than this, whatever an answer or a token says.
    pub least: Duration,
    /// Fetched again after this at the latest.
    pub most: Duration,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An answer that is none.
    #[error("{host}: answered {status}")]
    Status {
        /// Who was asked.
        host: String,
        /// What they said.
        status: StatusCode,
    },
    /// The issuer describes itself as another.
    #[error("{host}: the discovery document {detail}")]
    Discovery {
        /// Who was asked.
        host: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// Keys that cannot be used.
    #[error("{host}: the key set {source}")]
    Keys {
        /// Who was asked.
        host: String,
        /// What is wrong.
        source: KeysRefused,
    },
}

/// What is known of fetches.
#[derive(Debug, Clone, Copy)]
struct Fetches {
    /// How many have ended, well or not.
    ended: u64,
    /// When the next one may begin.
    next: Instant,
}

/// Keys that are fetched. Read by verifications, kept by [`keep`](Self::keep).
pub struct KeySource {
    name: Arc<str>,
    origin: Origin,
    algorithms: Vec<Algorithm>,
    ages: Ages,
    client: HttpClient,
    keys: ArcSwap<KeySet>,
    fetches: watch::Sender<Fetches>,
    /// Somebody met a key that is not known.
    wanted: Notify,
}

impl KeySource {
    /// A source without keys yet. `name` is the issuer's, for logs and metrics.
    #[must_use]
    pub fn new(name: Arc<str>, origin: Origin, algorithms: Vec<Algorithm>, ages: Ages, client: HttpClient) -> Self {
        let (fetches, _) = watch::channel(Fetches { ended: 0, next: Instant::now() });
        let (keys, wanted) = (ArcSwap::default(), Notify::new());
        Self { name, origin, algorithms, ages, client, keys, fetches, wanted }
    }

    /// Verifies a token's signature. A key that is not known is fetched, if it is time for that, and waited for.
    ///
    /// # Errors
    /// Returns an error if the signature is not of a key that the issuer has.
    pub async fn verify(&self, token: &Compact<'_>) -> Result<Arc<str>, TokenRefused> {
        let mut fetches = self.fetches.subscribe();
        let first = self.keys.load().verify(token);
        match &first {
            Err(TokenRefused::UnknownKey) => self.wanted.notify_one(),
            // Another key may have the same name by now, or none; not likely enough to wait for.
            Err(TokenRefused::Signature | TokenRefused::Algorithm) => {
                self.wanted.notify_one();
                return first;
            }
            _ => return first,
        }
        let until = Instant::now() + PATIENCE;
        if fetches.borrow_and_update().next < until {
            // Whether that fetch brought it is seen by looking again.
            let _ = tokio::time::timeout_at(until, fetches.changed()).await;
        }
        let keys = self.keys.load();
        if keys.is_empty() { Err(TokenRefused::NoKeys) } else { keys.verify(token) }
    }

    /// Whether the issuer still has the key with this print.
    #[must_use]
    pub fn holds(&self, print: &str) -> bool {
        self.keys.load().holds(print)
    }

    /// Fetches keys, and fetches them again when they are old or somebody needs one that is not there. Never ends; for
    /// the control runtime.
    pub async fn keep(&self, metrics: &Metrics) {
        let mut failures = 0_u32;
        loop {
            let fetched = self.fetch().await;
            let result = if fetched.is_ok() { "success" } else { "failure" };
            metrics.key_refresh(&self.name, result);
            let rest = match fetched {
                Ok((keys, age)) => {
                    failures = 0;
                    self.keys.store(Arc::new(keys));
                    age
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    // Once when it begins, and then now and then.
                    if failures == 1 || failures.is_multiple_of(20) {
                        tracing::warn!(issuer = %self.name, %error, failures, "cannot fetch the issuer's keys");
                    }
                    retry_after(failures)
                }
            };
            let least = if failures > 0 { rest } else { self.ages.least.min(rest) };
            let ended = Instant::now();
            self.fetches.send_modify(|fetches| *fetches = Fetches { ended: fetches.ended + 1, next: ended + least });
            tokio::time::sleep_until(ended + least).await;
            // Due when the keys are old, or sooner when somebody needs one that is not there.
            let _ = tokio::time::timeout_at(ended + rest, self.wanted.notified()).await;
        }
    }

    async fn fetch(&self) -> Result<(KeySet, Duration), KeysError> {
        let address = match &self.origin {
            Origin::Set(address) => address.clone(),
            Origin::Discovery { issuer } => self.discover(issuer).await?,
        };
        let answer = ask(&self.client, &address).await?;
        let keys = KeySet::from_jwks(&answer.body, &self.algorithms)
            .map_err(|source| KeysError::Keys { host: host(&address), source })?;
        Ok((keys, self.age(&answer.headers)))
    }

    /// The address of the keys, from the document that the issuer has at a fixed place (OpenID Connect Discovery §4).
    async fn discover(&self, issuer: &str) -> Result<Uri, KeysError> {
        let document = discovery(&self.client, issuer).await?;
        let fault = |detail| KeysError::Discovery { host: issuer.to_owned(), detail };
        let address = document.get("jwks_uri").and_then(serde_json::Value::as_str).and_then(|text| text.parse().ok());
        address.ok_or_else(|| fault("names no jwks_uri"))
    }

    /// How long an answer says that it is good for, within what is configured.
    fn age(&self, headers: &HeaderMap) -> Duration {
        let told = max_age(headers).unwrap_or(self.ages.most);
        told.clamp(self.ages.least, self.ages.most.max(self.ages.least))
    }
}

/// The discovery document of an issuer, which must describe itself as that issuer.
///
/// # Errors
/// Returns an error if there is none, or it is another's.
pub async fn discovery(
    client: &HttpClient,
    issuer: &str,
) -> Result<serde_json::Map<String, serde_json::Value>, KeysError> {
    let fault = |detail| KeysError::Discovery { host: issuer.to_owned(), detail };
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let address = address.parse().map_err(|_| fault("has no address"))?;
    let answer = ask(client, &address).await?;
    let document = json::object(&answer.body).map_err(|_| fault("is no JSON object"))?;
    if document.get("issuer").and_then(serde_json::Value::as_str) == Some(issuer) {
        Ok(document)
    } else {
        Err(fault("names another issuer"))
    }
}

async fn ask(client: &HttpClient, address: &Uri) -> Result<Answer, KeysError> {
    let accept = HeaderMap::from_iter([(header::ACCEPT, http::HeaderValue::from_static("application/json"))]);
    let answer = client.get(address, accept, FETCH).await?;
    if answer.status == StatusCode::OK {
        Ok(answer)
    } else {
        Err(KeysError::Status { host: host(address), status: answer.status })
    }
}

fn host(address: &Uri) -> String {
    address.host().unwrap_or_default().to_owned()
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let says = headers.get(header::CACHE_CONTROL)?.to_str().ok()?;
    let directives = says.split(',').map(str::trim);
    let seconds = directives.filter_map(|directive| directive.strip_prefix("max-age=")).find_map(|n| n.parse().ok());
    seconds.map(Duration::from_secs)
}

fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(LAST_RETRY)
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySource").field("name", &self.name).field("origin", &self.origin).finish_non_exhaustive()
    }
}
