//! One issuer of tokens: what its tokens must say, and whom they vouch for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Compact, KeySet, KeySource, TokenRefused};
use crate::config::{ClaimPath, TokenClaims, TokenIssuer};
use crate::identity::Person;
use crate::identity::person::group_set;
use crate::identity::rules::claims;
use crate::model::{GroupName, Timestamp, UserId};

/// The claim of a logout token (OpenID Connect Back-Channel Logout §2.4).
const EVENTS: &str = "events";
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    /// At hand; with the digest of what they were read from.
    Fixed(Arc<KeySet>, [u8; 32]),
    /// Fetched.
    Fetched(Arc<KeySource>),
}

/// One issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    /// As configured, so that a reload knows it again.
    pub(super) config: TokenIssuer,
    pub(super) name: Arc<str>,
    pub(super) iss: String,
    pub(super) keys: Keys,
    audience: BTreeSet<String>,
    parties: BTreeSet<String>,
    types: BTreeSet<String>,
    leeway: Duration,
    max_age: Option<Duration>,
    claims: TokenClaims,
}

/// A token that holds.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) person: Person,
    pub(super) expires: Timestamp,
    /// When it was issued; where it does not say, the earliest time.
    pub(super) issued: Timestamp,
    /// The print of the key that signed it.
    pub(super) key: Arc<str>,
}

impl Issuer {
    pub(super) fn new(config: &TokenIssuer, keys: Keys) -> Self {
        Self {
            config: config.clone(),
            name: Arc::from(config.name.as_str()),
            iss: config.issuer.clone(),
            keys,
            audience: config.audience.iter().cloned().collect(),
            parties: config.authorized_parties.iter().cloned().collect(),
            types: config.types.iter().map(|kind| kind.to_ascii_lowercase()).collect(),
            leeway: config.leeway.0,
            max_age: config.max_age.map(|span| span.0),
            claims: config.claims.clone(),
        }
    }

    /// Whom the token vouches for at `now`. Its type and claims are looked at after its signature, so that a stranger
    /// learns nothing from the answer.
    pub(super) async fn verify(&self, token: &Compact<'_>, now: Timestamp) -> Result<Holding, TokenRefused> {
        let key = match &self.keys {
            Keys::Fixed(keys, _) => keys.verify(token)?,
            Keys::Fetched(source) => source.verify(token).await?,
        };
        self.check_purpose(token)?;
        let (expires, issued) = self.check_times(token, now)?;
        // One from the future, within the leeway, counts as from now: what is revoked now must bar it.
        Ok(Holding { person: self.person(token)?, expires, issued: issued.min(now), key })
    }

    /// Whether this is still the same issuer with the same keys as `other`.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let same_keys = match (&self.keys, &other.keys) {
            (Keys::Fixed(_, digest), Keys::Fixed(_, other)) => digest == other,
            (Keys::Fetched(source), Keys::Fetched(other)) => Arc::ptr_eq(source, other),
            _ => false,
        };
        same_keys && self.config == other.config
    }

    /// Whether the issuer still has the key with this print.
    pub(super) fn has_key(&self, print: &str) -> bool {
        match &self.keys {
            Keys::Fixed(..) => true,
            Keys::Fetched(source) => source.holds(print),
        }
    }

    fn check_purpose(&self, token: &Compact<'_>) -> Result<(), TokenRefused> {
        let kind = token.kind.as_deref().unwrap_or("jwt");
        if !self.types.contains(kind) {
            return Err(TokenRefused::Type);
        }
        if token.claims.get(EVENTS).is_some_and(|events| events.get(LOGOUT_EVENT).is_some()) {
            return Err(TokenRefused::Logout);
        }
        let is_ours = match token.claims.get("aud") {
            Some(Value::String(one)) => self.audience.contains(one),
            Some(Value::Array(several)) => {
                several.iter().all(Value::is_string)
                    && several.iter().filter_map(Value::as_str).any(|one| self.audience.contains(one))
            }
            _ => false,
        };
        if !is_ours {
            return Err(TokenRefused::Audience);
        }
        // RFC 9068 names the party `client_id`, OpenID Connect `azp`.
        let party = token.text("azp").or_else(|| token.text("client_id"));
        let allowed = self.parties.is_empty() || party.is_some_and(|party| self.parties.contains(party));
        if allowed { Ok(()) } else { Err(TokenRefused::Party) }
    }

    /// Until when it holds, the leeway included, and when it was issued.
    fn check_times(&self, token: &Compact<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), TokenRefused> {
        let expires = time(token, "exp")?.ok_or(TokenRefused::Expired)? + self.leeway;
        if expires <= now {
            return Err(TokenRefused::Expired);
        }
        if time(token, "nbf")?.is_some_and(|from| from > now + self.leeway) {
            return Err(TokenRefused::NotYet);
        }
        let issued = time(token, "iat")?;
        if issued.is_some_and(|issued| issued > now + self.leeway) {
            return Err(TokenRefused::Issued);
        }
        let Some(most) = self.max_age else { return Ok((expires, issued.unwrap_or_default())) };
        let issued = issued.ok_or(TokenRefused::Issued)?;
        let dies = issued + most + self.leeway;
        if dies <= now { Err(TokenRefused::TooOld) } else { Ok((expires.min(dies), issued)) }
    }

    fn person(&self, token: &Compact<'_>) -> Result<Person, TokenRefused> {
        let text = |path: &ClaimPath| {
            let value = claims::find(&token.claims, path)?;
            let mut texts = claims::texts(value).ok()?;
            if texts.len() == 1 { texts.pop().map(std::borrow::Cow::into_owned) } else { None }
        };
        let user = text(&self.claims.user).and_then(|name| UserId::new(&name).ok()).ok_or(TokenRefused::NoUser)?;
        let groups = self.claims.groups.iter().flat_map(|path| groups(token, path)).collect();
        Ok(Person {
            display_name: text(&self.claims.display_name).map(Arc::from),
            groups: group_set(groups),
            claims: Arc::new(token.claims.clone()),
            ..Person::new(user, self.name.clone())
        })
    }
}

/// The groups that a claim names. What cannot be a group's name is no group of ours.
fn groups(token: &Compact<'_>, path: &ClaimPath) -> Vec<GroupName> {
    let texts = claims::find(&token.claims, path).and_then(|value| claims::texts(value).ok()).unwrap_or_default();
    texts.iter().filter_map(|name| GroupName::new(name.as_ref()).ok()).collect()
}

/// A time in seconds; a fraction is cut off (RFC 7519 §2, `NumericDate`).
fn time(token: &Compact<'_>, claim: &str) -> Result<Option<Timestamp>, TokenRefused> {
    /// The year 9999; whatever says more means no time.
    const LAST: f64 = 253_402_300_799.0;
    let Some(value) = token.claims.get(claim) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST).contains(seconds)).ok_or(TokenRefused::Malformed)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and the year 9999")]
    Ok(Some(Timestamp::from_secs(seconds as u64)))
}
