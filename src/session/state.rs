//! One session: whose it is, how long it lasts, and its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_util::sync::CancellationToken;

use super::claims::{Claims, SessionId, Subject, seal};
use super::keys::Key;
use crate::model::{Principal, Timestamp};

/// The characters at the end of a cookie that hold its MAC, 32 bytes; the first may hold bits of the body too.
const MAC_TEXT: usize = 44;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Its user signed out.
    SignedOut,
    /// Its user signed out everywhere.
    SignedOutEverywhere,
    /// Its browser signed in again.
    Superseded,
    /// It reached its longest life.
    Lifetime,
    /// It was not used for too long.
    Idle,
    /// Its user is gone from the directory, disabled or of another tenant, or the tenant is not admitted any more.
    AccessWithdrawn,
    /// An administrator or operator ended it.
    Revoked,
    /// The key that signed it was taken out.
    KeyRemoved,
    /// Its user opened more sessions than one user may have, and it was the oldest.
    TooMany,
    /// The gateway holds as many sessions as it can. Its cookie stays good and brings it back.
    Capacity,
}

impl EndReason {
    /// Stable name for JSON, logs and labels; one of a fixed few.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::SignedOut => "signed-out",
            Self::SignedOutEverywhere => "signed-out-everywhere",
            Self::Superseded => "superseded",
            Self::Lifetime => "lifetime",
            Self::Idle => "idle",
            Self::AccessWithdrawn => "access-withdrawn",
            Self::Revoked => "revoked",
            Self::KeyRemoved => "key-removed",
            Self::TooMany => "too-many",
            Self::Capacity => "capacity",
        }
    }

    /// Whether its cookie would be believed after a restart if we did not remember the end.
    pub(super) const fn must_be_remembered(self) -> bool {
        // The cookie itself says that lifetime and idle limit are over; without its key it is not genuine.
        !matches!(self, Self::Lifetime | Self::Idle | Self::KeyRemoved | Self::Capacity)
    }
}

/// A browser's login.
pub struct Session {
    id: SessionId,
    key: Arc<Key>,
    opened: Timestamp,
    expires: Timestamp,
    principal: ArcSwap<Principal>,
    /// Milliseconds; only ever grows.
    seen: AtomicU64,
    /// When its user last proved who they are, in milliseconds.
    proved: AtomicU64,
    /// When the browser was last sent a cookie, in milliseconds; keeps parallel requests from each getting one.
    renewed: AtomicU64,
    /// The last cookie that was found genuine, so that it need not be verified again.
    genuine: ArcSwapOption<Genuine>,
    /// Beside the token, because asking a token takes a lock.
    over: AtomicBool,
    ended: CancellationToken,
    reason: OnceLock<EndReason>,
}

/// A cookie that was verified, and the time of last use that it says.
pub(super) struct Genuine {
    pub(super) text: Box<str>,
    pub(super) seen: Timestamp,
}

impl Session {
    /// A new session for somebody who just proved who they are.
    pub(super) fn fresh(principal: Principal, key: Arc<Key>, opened: Timestamp, expires: Timestamp) -> Self {
        Self::new(SessionId::random(), principal, key, [opened, expires, opened])
    }

    /// A session that this process learns of from its cookie.
    pub(super) fn revived(claims: &Claims, principal: Principal, key: Arc<Key>, now: Timestamp) -> Self {
        Self::new(claims.id, principal, key, [claims.opened, claims.expires, now])
    }

    fn new(id: SessionId, principal: Principal, key: Arc<Key>, [opened, expires, seen]: [Timestamp; 3]) -> Self {
        Self {
            id,
            key,
            opened,
            expires,
            principal: ArcSwap::from_pointee(principal),
            seen: AtomicU64::new(seen.as_millis()),
            proved: AtomicU64::new(opened.as_millis()),
            renewed: AtomicU64::new(0),
            genuine: ArcSwapOption::empty(),
            over: AtomicBool::new(false),
            ended: CancellationToken::new(),
            reason: OnceLock::new(),
        }
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whose it is, as last read from the directory. Ask again for each decision: groups and roles may change.
    #[must_use]
    pub fn principal(&self) -> Arc<Principal> {
        self.principal.load_full()
    }

    /// When they signed in.
    #[must_use]
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// When it ends, however much it is used, unless the configured lifetime ends it sooner.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// When it was last used.
    #[must_use]
    pub fn seen(&self) -> Timestamp {
        Timestamp::from_millis(self.seen.load(Ordering::Relaxed))
    }

    /// When its user last proved who they are. After a restart that is when they signed in.
    #[must_use]
    pub fn proved(&self) -> Timestamp {
        Timestamp::from_millis(self.proved.load(Ordering::Relaxed))
    }

    /// Its user proved again who they are.
    pub(super) fn prove(&self, now: Timestamp) {
        self.proved.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// Marks it as used at `now`. An open tunnel calls this at least once a minute.
    pub fn touch(&self, now: Timestamp) {
        // A write in every request would take the cache line from the other threads; a second is fine enough.
        if now.since(self.seen()).as_millis() >= 1000 {
            self.seen.fetch_max(now.as_millis(), Ordering::Relaxed);
        }
    }

    /// Is cancelled when the session ends, whatever the reason; what is open on its behalf closes then.
    #[must_use]
    pub const fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Why it ended; `None` while it lasts.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        self.reason.get().copied()
    }

    /// The token that forms and the API of this session carry against requests forged by other pages.
    #[must_use]
    pub fn form_token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.form_mac(self.id.as_bytes()))
    }

    /// Whether `token` is this session's; in constant time.
    #[must_use]
    pub fn verify_form_token(&self, token: &str) -> bool {
        verify_slices_are_equal(self.form_token().as_bytes(), token.as_bytes()).is_ok()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(super) fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Takes what the directory says now; `true` if it is something else than before.
    pub(super) fn take_principal(&self, principal: &Principal) -> bool {
        let changed = **self.principal.load() != *principal;
        if changed {
            self.principal.store(Arc::new(principal.clone()));
        }
        changed
    }

    /// Ends it; `false` if it had ended before.
    pub(super) fn finish(&self, reason: EndReason) -> bool {
        let first = self.reason.set(reason).is_ok();
        self.over.store(true, Ordering::Release);
        self.ended.cancel();
        first
    }

    /// The cookie that stands for it, saying that it was used at `now`. It counts as sent.
    pub(super) fn cookie(&self, now: Timestamp) -> String {
        self.renewed.store(now.as_millis(), Ordering::Relaxed);
        let claims = Claims {
            id: self.id,
            key: self.key.id().into(),
            opened: self.opened,
            expires: self.expires,
            seen: now,
            subject: Some(Subject::of(&self.principal.load())),
        };
        let body = claims.write();
        let mac = self.key.sign_cookie(&body);
        let text = seal(body, mac.as_ref());
        self.remember(&text, now);
        text
    }

    /// Whether to send a new cookie to a browser whose cookie says `cookie_seen`: once in `every`.
    pub(super) fn wants_renewal(&self, cookie_seen: Timestamp, now: Timestamp, every: std::time::Duration) -> bool {
        let sent = Timestamp::from_millis(self.renewed.load(Ordering::Relaxed));
        now.since(cookie_seen) >= every && now.since(sent) >= every
    }

    /// The time of last use that `text` says, if it is the cookie that was last found genuine. The MAC is compared
    /// in constant time, because a stranger chooses `text`; the rest is no secret.
    pub(super) fn recognise(&self, text: &str) -> Option<Timestamp> {
        let genuine = self.genuine.load();
        let genuine = genuine.as_ref()?;
        let (body, mac) = text.as_bytes().split_last_chunk::<MAC_TEXT>()?;
        let (genuine_body, genuine_mac) = genuine.text.as_bytes().split_last_chunk::<MAC_TEXT>()?;
        (body == genuine_body && verify_slices_are_equal(mac, genuine_mac).is_ok()).then_some(genuine.seen)
    }

    /// Keeps a genuine cookie for [`recognise`](Self::recognise).
    pub(super) fn remember(&self, text: &str, seen: Timestamp) {
        self.genuine.store(Some(Arc::new(Genuine { text: text.into(), seen })));
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let principal = self.principal.load();
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("tenant", &principal.tenant)
            .field("user", &principal.user)
            .field("ended", &self.end_reason())
            .finish_non_exhaustive()
    }
}
