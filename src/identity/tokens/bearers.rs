//! [`Bearers`]: all issuers, the tokens that were verified, and those that something is open on behalf of.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use moka::future::Cache;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::issuer::{Holding, Issuer, Keys};
use super::{Ages, Compact, KeySet, KeySource, KeysRefused, Origin, TokenRefused};
use crate::config::{Config, KeyPlace, TokenIssuer};
use crate::identity::{Person, SignInError};
use crate::metrics::Metrics;
use crate::model::{Principal, Timestamp};
use crate::outbound::{HttpClient, Trust, TrustError};

/// Most memory of remembered tokens, roughly: some 20,000 of a usual kilobyte.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// What a remembered token takes for each of its bytes: its claims twice decoded, and the rest.
const WEIGHT_OF_A_BYTE: usize = 3;
/// A token is verified anew after this.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Most bytes of a file with keys that are read.
const LARGEST_FILE: u64 = 256 * 1024;

type Digest = [u8; 32];

/// A verified token.
pub struct Bearer {
    principal: Arc<Principal>,
    person: Person,
    expires: Timestamp,
    issued: Timestamp,
    over: CancellationToken,
    /// The configuration under which it was last found to be admitted.
    generation: AtomicU64,
    issuer: Arc<Issuer>,
    /// The print of the key that signed it.
    key: Arc<str>,
}

impl Bearer {
    /// Whom it vouches for.
    #[must_use]
    pub const fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// When it stops to hold, the leeway included.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// When it was issued; where it does not say, the earliest time.
    #[must_use]
    pub const fn issued(&self) -> Timestamp {
        self.issued
    }

    /// Is cancelled when the token has expired, is revoked, or its user is no longer admitted; within two seconds.
    #[must_use]
    pub const fn ended(&self) -> &CancellationToken {
        &self.over
    }

    /// Whether it was found to be admitted under this configuration.
    fn is_of(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    fn holds(&self, now: Timestamp) -> bool {
        now < self.expires && !self.over.is_cancelled()
    }
}

/// Issuers of one configuration.
pub(in crate::identity) struct Issuers {
    list: Vec<Arc<Issuer>>,
}

/// Why an issuer's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A file cannot be read.
    #[error("tokens of `{issuer}`: {file}: {source}")]
    File {
        /// The issuer's name.
        issuer: String,
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Keys that are none.
    #[error("tokens of `{issuer}`: the key {source}")]
    Keys {
        /// The issuer's name.
        issuer: String,
        /// What is wrong.
        source: KeysRefused,
    },
    /// An address that is none.
    #[error("tokens of `{issuer}`: the address of its keys is none")]
    Address {
        /// The issuer's name.
        issuer: String,
    },
    /// Nobody to trust.
    #[error("tokens of `{issuer}`: {source}")]
    Trust {
        /// The issuer's name.
        issuer: String,
        /// What is wrong.
        source: TrustError,
    },
}

/// All issuers behind one handle. Clones share it.
#[derive(Clone)]
pub struct Bearers(Arc<Inner>);

struct Inner {
    issuers: ArcSwap<Issuers>,
    /// How often other issuers, tenants or rules came into force.
    generation: AtomicU64,
    /// The sources that are to be kept.
    sources: watch::Sender<Vec<Arc<KeySource>>>,
    verified: Cache<Digest, Arc<Bearer>>,
    /// Every bearer that may still be in use.
    in_use: Mutex<Vec<Weak<Bearer>>>,
}

/// Makes a principal of a person, or says why not.
type Admit<'a> = &'a (dyn Fn(Person) -> Result<Principal, SignInError> + Sync);

impl Bearers {
    /// These issuers.
    pub(in crate::identity) fn new(issuers: Issuers) -> Self {
        let verified = Cache::builder()
            .max_capacity(MOST_BYTES)
            .weigher(|_, bearer: &Arc<Bearer>| bearer.weight())
            .time_to_live(REMEMBERED)
            .build();
        let (sources, _) = watch::channel(issuers.sources());
        let (issuers, in_use) = (ArcSwap::from_pointee(issuers), Mutex::default());
        let generation = AtomicU64::new(0);
        Self(Arc::new(Inner { issuers, generation, sources, verified, in_use }))
    }

    /// Reads keys from files and knows where to fetch the others; sources that are configured as before are kept.
    /// Reads files: not for a proxy thread.
    ///
    /// # Errors
    /// Returns an error if keys at hand cannot be used.
    pub(in crate::identity) fn prepare(&self, config: &Config) -> Result<Issuers, PrepareError> {
        Issuers::build(config, Some(&self.0.issuers.load()))
    }

    /// Puts issuers in force, after the rules for their people. Every token is verified anew, and what is open on behalf
    /// of one that would not be admitted now ends at the next [`sweep`](Self::sweep).
    pub(in crate::identity) fn adopt(&self, issuers: Issuers) {
        self.0.sources.send_replace(issuers.sources());
        self.0.issuers.store(Arc::new(issuers));
        // Last: whoever reads the new number reads the new issuers.
        self.0.generation.fetch_add(1, Ordering::AcqRel);
        self.0.verified.invalidate_all();
    }

    /// Whether there is any issuer.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        !self.0.issuers.load().list.is_empty()
    }

    /// Whether a text is, by what it says of itself, a token of a configured issuer. Believes nothing.
    #[must_use]
    pub fn concerns(&self, token: &str) -> bool {
        Compact::parse(token).is_ok_and(|compact| self.0.issuers.load().of(&compact).is_some())
    }

    /// Whom a token vouches for at `now`; `admit` gives them tenant and roles. Does no I/O.
    ///
    /// # Errors
    /// Returns why it is worth nothing, after two seconds at most if its key has to be fetched first.
    pub(in crate::identity) async fn verify(
        &self,
        token: &str,
        now: Timestamp,
        admit: Admit<'_>,
    ) -> (Arc<str>, Result<Arc<Bearer>, TokenRefused>) {
        let digest = digest(token.as_bytes());
        // Taken first: what is verified under older rules is not remembered as verified under newer ones.
        let generation = self.0.generation.load(Ordering::Acquire);
        let known = self.0.verified.get(&digest).await;
        if let Some(known) = known.filter(|bearer| bearer.is_of(generation) && bearer.holds(now)) {
            return (known.principal.source.clone(), Ok(known));
        }
        let issuers = self.0.issuers.load_full();
        let nobody = || Arc::from("");
        let compact = match Compact::parse(token) {
            Ok(compact) => compact,
            Err(refused) => return (nobody(), Err(refused)),
        };
        let Some(issuer) = issuers.of(&compact) else { return (nobody(), Err(TokenRefused::UnknownIssuer)) };
        let holding = match issuer.verify(&compact, now).await {
            Ok(holding) => holding,
            Err(refused) => return (issuer.name.clone(), Err(refused)),
        };
        let verified = self.admitted(holding, issuer.clone(), generation, admit);
        if let Ok(bearer) = &verified {
            self.0.verified.insert(digest, bearer.clone()).await;
        }
        (issuer.name.clone(), verified)
    }

    fn admitted(
        &self,
        holding: Holding,
        issuer: Arc<Issuer>,
        generation: u64,
        admit: Admit<'_>,
    ) -> Result<Arc<Bearer>, TokenRefused> {
        let principal = admit(holding.person.clone()).map_err(TokenRefused::NotAdmitted)?;
        let bearer = Arc::new(Bearer {
            generation: AtomicU64::new(generation),
            issuer,
            key: holding.key,
            principal: Arc::new(principal),
            person: holding.person,
            expires: holding.expires,
            issued: holding.issued,
            over: CancellationToken::new(),
        });
        self.in_use().push(Arc::downgrade(&bearer));
        Ok(bearer)
    }

    /// Ends what has expired, is revoked, or would not be admitted as it was. To be called each second.
    pub(in crate::identity) fn sweep(&self, now: Timestamp, revoked: &dyn Fn(&Bearer) -> bool, admit: Admit<'_>) {
        let generation = self.0.generation.load(Ordering::Acquire);
        let issuers = self.0.issuers.load();
        let admitted = |bearer: &Bearer| {
            // An issuer that is configured otherwise now, or has other keys, is another.
            let stands = issuers.list.iter().any(|issuer| Arc::ptr_eq(issuer, &bearer.issuer))
                && admit(bearer.person.clone()).is_ok_and(|now| now == *bearer.principal);
            bearer.generation.store(generation, Ordering::Release);
            stands
        };
        // Taken out meanwhile, so that requests that add to it do not wait.
        let mut in_use = std::mem::take(&mut *self.in_use());
        in_use.retain(|bearer| {
            let Some(bearer) = bearer.upgrade() else { return false };
            let still = bearer.holds(now)
                && bearer.issuer.has_key(&bearer.key)
                && !revoked(&bearer)
                && (bearer.is_of(generation) || admitted(&bearer));
            if !still {
                bearer.over.cancel();
            }
            still
        });
        self.in_use().append(&mut in_use);
    }

    /// Keeps the issuers' keys until `stop`. To be driven once, on the control runtime.
    pub async fn keep_keys(&self, metrics: Arc<Metrics>, stop: CancellationToken) {
        let mut sources = self.0.sources.subscribe();
        let mut kept: Vec<(Arc<KeySource>, tokio::task::AbortHandle)> = Vec::new();
        let mut tasks = JoinSet::new();
        loop {
            let wanted = sources.borrow_and_update().clone();
            kept.retain(|(source, task)| {
                let stays = wanted.iter().any(|wanted| Arc::ptr_eq(wanted, source));
                if !stays {
                    task.abort();
                }
                stays
            });
            for source in wanted {
                if !kept.iter().any(|(known, _)| Arc::ptr_eq(known, &source)) {
                    let (keeper, metrics) = (source.clone(), metrics.clone());
                    kept.push((source, tasks.spawn(async move { keeper.keep(&metrics).await })));
                }
            }
            // The sender lives as long as this handle.
            if stop.run_until_cancelled(sources.changed()).await.is_none_or(|changed| changed.is_err()) {
                return;
            }
        }
    }

    fn in_use(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Bearer>>> {
        self.0.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issuers {
    /// The issuers that `config` has; those of `before` that are configured as they were, and have the same keys, are
    /// kept, and so are sources of keys that are.
    pub(in crate::identity) fn build(config: &Config, before: Option<&Self>) -> Result<Self, PrepareError> {
        let list = config.identity.tokens.iter().map(|issuer| {
            let keys = match before.and_then(|before| before.source_of(issuer)) {
                Some(source) => Keys::Fetched(source),
                None => keys_of(issuer)?,
            };
            let made = Issuer::new(issuer, keys);
            let known = before.into_iter().flat_map(|before| &before.list).find(|known| known.is_as(&made));
            Ok(known.cloned().unwrap_or_else(|| Arc::new(made)))
        });
        Ok(Self { list: list.collect::<Result<_, PrepareError>>()? })
    }

    /// The source of keys that is configured just so.
    fn source_of(&self, wanted: &TokenIssuer) -> Option<Arc<KeySource>> {
        let same = |known: &&Arc<Issuer>| {
            let known = &known.config;
            (&known.name, &known.issuer, &known.keys, &known.algorithms)
                == (&wanted.name, &wanted.issuer, &wanted.keys, &wanted.algorithms)
        };
        match &self.list.iter().find(same)?.keys {
            Keys::Fetched(source) => Some(source.clone()),
            Keys::Fixed(..) => None,
        }
    }

    fn sources(&self) -> Vec<Arc<KeySource>> {
        let fetched = |issuer: &Arc<Issuer>| match &issuer.keys {
            Keys::Fetched(source) => Some(source.clone()),
            Keys::Fixed(..) => None,
        };
        self.list.iter().filter_map(fetched).collect()
    }

    fn of(&self, token: &Compact<'_>) -> Option<&Arc<Issuer>> {
        let iss = token.text("iss")?;
        self.list.iter().find(|issuer| issuer.iss == iss)
    }
}

fn keys_of(issuer: &TokenIssuer) -> Result<Keys, PrepareError> {
    let name = || issuer.name.clone();
    let algorithms: Vec<Algorithm> = issuer.allowed().iter().map(|algorithm| algorithm_of(*algorithm)).collect();
    let refused = |source| PrepareError::Keys { issuer: name(), source };
    let read = |file: &str| {
        read(Path::new(file)).map_err(|source| PrepareError::File { issuer: name(), file: file.to_owned(), source })
    };
    let fixed = |text: &[u8], keys: fn(&[u8], &[Algorithm]) -> Result<KeySet, KeysRefused>| {
        keys(text, &algorithms).map(|keys| Keys::Fixed(Arc::new(keys), digest(text))).map_err(refused)
    };
    let origin = match issuer.keys.place() {
        Some(KeyPlace::Inline(text)) => return fixed(text.as_bytes(), KeySet::from_jwks),
        Some(KeyPlace::SetFile(file)) => return fixed(&read(file)?, KeySet::from_jwks),
        Some(KeyPlace::PublicKeyFile(file)) => return fixed(&read(file)?, KeySet::from_pem),
        Some(KeyPlace::SecretFile(file)) => return fixed(&read(file)?, KeySet::from_secret),
        Some(KeyPlace::Url(address)) => {
            Origin::Set(address.parse().map_err(|_| PrepareError::Address { issuer: name() })?)
        }
        Some(KeyPlace::Discovery) | None => Origin::Discovery { issuer: issuer.issuer.clone() },
    };
    let trust = Trust::load(issuer.keys.ca_file.as_deref().map(Path::new))
        .map_err(|source| PrepareError::Trust { issuer: name(), source })?;
    let ages = Ages { least: issuer.keys.least_age.0, most: issuer.keys.most_age.0 };
    let client = HttpClient::new(&trust, issuer.keys.plaintext);
    Ok(Keys::Fetched(Arc::new(KeySource::new(Arc::from(name()), origin, algorithms, ages, client))))
}

fn read(file: &Path) -> std::io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(4096));
    let opened = std::fs::File::open(file)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(opened, LARGEST_FILE), &mut text)?;
    Ok(text)
}

fn algorithm_of(algorithm: crate::config::SignatureAlgorithm) -> Algorithm {
    use crate::config::SignatureAlgorithm as Configured;
    match algorithm {
        Configured::HS256 => Algorithm::HS256,
        Configured::HS384 => Algorithm::HS384,
        Configured::HS512 => Algorithm::HS512,
        Configured::RS256 => Algorithm::RS256,
        Configured::RS384 => Algorithm::RS384,
        Configured::RS512 => Algorithm::RS512,
        Configured::PS256 => Algorithm::PS256,
        Configured::PS384 => Algorithm::PS384,
        Configured::PS512 => Algorithm::PS512,
        Configured::ES256 => Algorithm::ES256,
        Configured::ES384 => Algorithm::ES384,
        Configured::EdDSA => Algorithm::EdDSA,
    }
}

fn digest(text: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text).as_ref());
    digest
}

impl Bearer {
    fn weight(&self) -> u32 {
        let claims: usize = self.person.claims.iter().map(|(key, value)| key.len() + weight_of(value)).sum();
        u32::try_from(512 + WEIGHT_OF_A_BYTE * claims).unwrap_or(u32::MAX)
    }
}

fn weight_of(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    32 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum(),
        Value::Object(entries) => entries.iter().map(|(key, value)| key.len() + weight_of(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearer")
            .field("principal", &self.principal)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Bearers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearers").finish_non_exhaustive()
    }
}
