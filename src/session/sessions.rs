//! [`Sessions`]: opens, recognises, renews, revives and ends browser logins.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use super::claims::{self, Claims, Sealed, SessionId};
use super::ended::Ended;
use super::journal::Mark;
use super::keys::KeyRing;
use super::seen::LastUses;
use super::settings::Settings;
use super::store::Store;
use super::tickets::UsedTickets;
use super::{Authentication, EndReason, KeyError, LoginTokens, Session, audited, cookie, private_file};
use crate::audit::Audit;
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::model::{Principal, TenantId, Timestamp, UserId};

/// How far ahead of ours another clock may be that opened a session (this machine's before it was set back).
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Why the session store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A signing key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Keys and limits that were read and are not in force yet.
pub struct Prepared(Settings);

/// All browser logins behind one handle. Clones share it.
#[derive(Clone)]
pub struct Sessions(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) store: Store,
    pub(super) ended: Ended,
    pub(super) last_uses: LastUses,
    pub(super) used_tickets: UsedTickets,
    pub(super) identity: Identity,
    pub(super) clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    pub(super) audit: Audit,
    /// Places people's readings within the interval.
    pub(super) spread: RandomState,
}

impl Sessions {
    /// Opens the store: reads keys, and from the state folder what has ended. Reads files: not for a proxy thread.
    /// The owner then drives [`run`](Self::run).
    ///
    /// # Errors
    /// Returns an error if a key cannot be used. A state folder that cannot be used is logged, not an error.
    pub fn open_store(
        config: &Config,
        identity: Identity,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        Self::open_audited(config, identity, clock, metrics, Audit::off())
    }

    /// [`open_store`](Self::open_store), and records on `audit` what becomes of sessions without their users' doing.
    ///
    /// # Errors
    /// Returns an error if a key cannot be used.
    pub fn open_audited(
        config: &Config,
        identity: Identity,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        audit: Audit,
    ) -> Result<Self, OpenError> {
        let settings = Arc::new(ArcSwap::from_pointee(Settings::load(&config.session)?));
        let folder = Path::new(&config.state_dir).join("sessions");
        if let Err(error) = private_file::make_folder(&folder) {
            tracing::error!(folder = %folder.display(), %error, "cannot make the folder for ended sessions");
        }
        let ended = Ended::open(&folder.join("ended"), clock.now());
        let last_uses = LastUses::open(&folder.join("seen"));
        let (store, used_tickets) = (Store::default(), UsedTickets::default());
        let spread = RandomState::default();
        Ok(Self(Arc::new(Inner {
            settings,
            store,
            ended,
            last_uses,
            used_tickets,
            identity,
            clock,
            metrics,
            audit,
            spread,
        })))
    }

    /// Reads other keys, lifetime and idle limit, and leaves those in force that are.
    ///
    /// # Errors
    /// Returns an error if a key cannot be used.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, OpenError> {
        Ok(Prepared(Settings::load(&config.session)?))
    }

    /// Takes what was prepared. Sessions of a key that is gone end; a longer lifetime holds for new sessions only, a
    /// shorter one for all.
    pub fn adopt(&self, Prepared(settings): Prepared) {
        let settings = Arc::new(settings);
        self.0.settings.store(settings.clone());
        for session in self.0.store.select(|session| !settings.keys.holds(session.key())) {
            self.finish(&session, EndReason::KeyRemoved);
        }
        self.sweep();
    }

    /// [`prepare`](Self::prepare) and [`adopt`](Self::adopt) in one.
    ///
    /// # Errors
    /// Returns an error if a key cannot be used; then all stays as it was.
    pub fn apply(&self, config: &Config) -> Result<(), OpenError> {
        self.adopt(self.prepare(config)?);
        Ok(())
    }

    /// Opens a session for somebody who just proved who they are, with an id that nobody has seen before.
    /// Also returns the whole `Set-Cookie` value for its browser. End the session that the browser had before, and
    /// have it [caught up](Self::catch_up) with the directories.
    #[must_use]
    pub fn start(&self, principal: Principal) -> (Arc<Session>, String) {
        let settings = self.0.settings.load();
        let now = self.0.clock.now();
        // Whole seconds, as the cookie has them.
        let opened = Timestamp::from_secs(now.as_secs());
        let key = settings.keys.signing(opened).clone();
        let session = self.admit(Session::fresh(principal, key, opened, opened + settings.lifetime));
        let line = cookie::store(&session.cookie(now), session.expires().since(now));
        (session, line)
    }

    /// What a cookie's value is worth. Takes no lock and does no I/O; a cookie that was seen before is compared,
    /// not verified again.
    #[must_use]
    pub fn authenticate(&self, cookie_value: &str) -> Authentication {
        let now = self.0.clock.now();
        let settings = self.0.settings.load();
        let Some(id) = claims::peek_id(cookie_value) else { return Authentication::Invalid("malformed") };
        let Some(session) = self.0.store.find(&id) else {
            return match verify(cookie_value, &settings.keys) {
                Ok(claims) => self.unknown(claims, &settings, now),
                Err(why) => Authentication::Invalid(why),
            };
        };
        if let Some(cookie_seen) = session.recognise(cookie_value) {
            return self.use_session(session, cookie_seen, &settings, now);
        }
        match verify(cookie_value, &settings.keys) {
            Ok(claims) if *session.key().id() == *claims.key => {
                session.remember(cookie_value, claims.seen);
                self.use_session(session, claims.seen, &settings, now)
            }
            Ok(_) => Authentication::Invalid("other key"),
            Err(why) => Authentication::Invalid(why),
        }
    }

    /// Finds the user of a genuine cookie whose session this process does not know. Asks the directory.
    pub async fn revive(&self, claims: Claims) -> Authentication {
        let Some(subject) = &claims.subject else { return Authentication::Invalid("not revivable") };
        if let Some(session) = self.0.store.find(&claims.id) {
            return self.use_session(session, claims.seen, &self.0.settings.load(), self.0.clock.now());
        }
        let generation = self.0.identity.generation();
        let found = self.ask(subject).await;
        let principal = match found {
            Ok(Some(principal)) if principal.user == subject.user => principal,
            // Said by directories or rules that are not in force any more.
            Ok(_) if self.0.identity.generation() != generation => return Authentication::Unknown,
            Ok(_) => {
                // As if the session had been in memory, so that it is told of once and not with each request.
                self.end(&claims.id, EndReason::AccessWithdrawn);
                audited::withdrawn(&self.0.audit, &claims.id, subject);
                return Authentication::Invalid("access withdrawn");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether a session's user is still there");
                return Authentication::Unknown;
            }
        };
        let settings = self.0.settings.load();
        let now = self.0.clock.now();
        let Some(key) = settings.keys.find(&claims.key).cloned() else { return Authentication::Invalid("key removed") };
        let session = self.admit(Session::revived(&claims, principal, key, now));
        // Signed out while the directory was asked: the mark is set before the session is looked for, so one of the
        // two sees the other.
        if self.0.ended.bars(&claims) {
            self.finish(&session, EndReason::SignedOut);
        }
        self.catch_up(&session, generation).await;
        let settings = self.0.settings.load();
        self.use_session(session, claims.seen, &settings, now)
    }

    /// Ends a session, here and after a restart. Whoever watches its `ended()` learns of it at once.
    pub fn end(&self, id: &SessionId, reason: EndReason) {
        let session = self.0.store.find(id);
        let now = self.0.clock.now();
        if reason.must_be_remembered() {
            let until = session.as_ref().map_or_else(|| now + self.0.settings.load().lifetime, |s| s.expires());
            self.0.ended.add(Mark::Session { until, id: *id }, now);
        }
        if let Some(session) = self.0.store.find(id).or(session) {
            self.finish(&session, reason);
        }
    }

    /// Ends every session of a user, also those that have not been used since a restart. Returns how many were
    /// in memory.
    #[expect(clippy::must_use_candidate, reason = "the end is the point, the count is for the log")]
    pub fn end_user(&self, tenant: &TenantId, user: &UserId, reason: EndReason) -> usize {
        let now = self.0.clock.now();
        let until = now + super::revoke::remembered_for(self.0.settings.load().lifetime);
        let mark = Mark::User { until, before: now, tenant: tenant.clone(), user: user.clone() };
        self.0.ended.add(mark, now);
        let sessions = self.0.store.of_user(tenant, user);
        sessions.iter().filter(|session| self.finish(session, reason)).count()
    }

    /// Whether what was issued to a user at `issued` came before their logins were ended everywhere, so that it is worth
    /// nothing any more.
    #[must_use]
    pub fn bars(&self, tenant: &TenantId, user: &UserId, issued: Timestamp) -> bool {
        self.0.ended.bars_user(tenant, user, issued)
    }

    /// Whether a proof of who somebody is, taken at `proved`, is so young that they may do what only administrators may.
    #[must_use]
    pub fn is_fresh(&self, proved: Timestamp) -> bool {
        self.0.clock.now().since(proved) < self.0.settings.load().reauthenticate
    }

    /// Whether a session's user has proved who they are so lately that they may do what only administrators may.
    #[must_use]
    pub fn is_freshly_proved(&self, session: &Session) -> bool {
        self.is_fresh(session.proved())
    }

    /// A session's user has just proved again who they are.
    pub fn prove(&self, session: &Session) {
        session.prove(self.0.clock.now());
    }

    /// A whole `Set-Cookie` value that takes the session cookie away.
    #[must_use]
    pub fn clear_cookie(&self) -> String {
        cookie::clear()
    }

    /// The tokens of the login form, under the same keys.
    #[must_use]
    pub fn login_tokens(&self) -> LoginTokens {
        LoginTokens(self.0.settings.clone())
    }

    /// Ends sessions and forgets tickets whose time is over. [`run`](Self::run) does it each second.
    pub fn sweep(&self) {
        let settings = self.0.settings.load();
        let now = self.0.clock.now();
        let past = |session: &Session| settings.past(session.opened(), session.expires(), session.seen(), now);
        for session in self.0.store.select(|session| past(session).is_some()) {
            if let Some(reason) = past(&session) {
                self.finish(&session, reason);
            }
        }
        self.0.used_tickets.sweep(now);
    }

    /// Puts a session into the store; others give way to it if there are too many.
    fn admit(&self, session: Session) -> Arc<Session> {
        if let Some(least) = self.0.store.least_missed() {
            self.finish(&least, EndReason::Capacity);
        }
        let session = self.0.store.add(session);
        for other in self.0.store.beyond_users_share(&session) {
            self.end(other.id(), EndReason::TooMany);
        }
        // Its key may have been taken out since it was chosen; `apply` changes the keys before it looks for sessions.
        if !self.0.settings.load().keys.holds(session.key()) {
            self.finish(&session, EndReason::KeyRemoved);
        }
        self.count();
        session
    }

    fn use_session(
        &self,
        session: Arc<Session>,
        cookie_seen: Timestamp,
        settings: &Settings,
        now: Timestamp,
    ) -> Authentication {
        if session.is_over() {
            return Authentication::Invalid("ended");
        }
        if let Some(reason) = settings.past(session.opened(), session.expires(), session.seen(), now) {
            self.finish(&session, reason);
            return Authentication::Invalid(reason.label());
        }
        session.touch(now);
        let renew = session
            .wants_renewal(cookie_seen, now, settings.renewal())
            .then(|| cookie::store(&session.cookie(now), session.expires().since(now)));
        Authentication::Valid { session, renew }
    }

    /// A genuine cookie whose session is not in memory.
    fn unknown(&self, claims: Claims, settings: &Settings, now: Timestamp) -> Authentication {
        let seen = self.0.last_uses.of(&claims.id).map_or(claims.seen, |seen| seen.max(claims.seen));
        if claims.opened > now + CLOCK_SKEW {
            return Authentication::Invalid("from the future");
        }
        if let Some(reason) = settings.past(claims.opened, claims.expires, seen, now) {
            return Authentication::Invalid(reason.label());
        }
        if self.0.ended.bars(&claims) {
            return Authentication::Invalid("ended");
        }
        if claims.subject.is_none() {
            return Authentication::Invalid("not revivable");
        }
        Authentication::Revivable(claims)
    }

    pub(super) fn finish(&self, session: &Session, reason: EndReason) -> bool {
        let first = session.finish(reason);
        // Only the first: after a loss of room, another with the same id may stand in its place.
        if first {
            self.0.store.remove(session);
            self.count();
            let principal = session.principal();
            let (tenant, user) = (&principal.tenant, &principal.user);
            tracing::info!(session = %session.id(), %tenant, %user, reason = reason.label(), "session ended");
            audited::end(&self.0.audit, session, &principal, reason);
        }
        first
    }

    fn count(&self) {
        self.0.metrics.sessions().set(i64::try_from(self.0.store.len()).unwrap_or(i64::MAX));
    }
}

/// What a cookie says, if one of our keys signed it.
fn verify(cookie_value: &str, keys: &KeyRing) -> Result<Claims, &'static str> {
    let sealed = Sealed::read(cookie_value).ok_or("malformed")?;
    let claims = sealed.claims().ok_or("malformed")?;
    let key = keys.find(&claims.key).ok_or("unknown key")?;
    if key.signed_cookie(sealed.body(), sealed.mac()) { Ok(claims) } else { Err("bad signature") }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("held", &self.0.store.len()).finish_non_exhaustive()
    }
}
