//! What the configuration says about sessions, and when one is past.

use std::time::Duration;

use super::keys::KeyRing;
use super::{EndReason, KeyError};
use crate::config;
use crate::model::Timestamp;

/// What the configuration says about sessions. Replaced whole.
pub(super) struct Settings {
    pub(super) keys: KeyRing,
    pub(super) lifetime: Duration,
    pub(super) idle: Duration,
    /// How often each user is read again.
    pub(super) refresh: Duration,
    /// For how long a sign-in is proof enough for what administrators do.
    pub(super) reauthenticate: Duration,
}

impl Settings {
    pub(super) fn load(config: &config::Session) -> Result<Self, KeyError> {
        Ok(Self {
            keys: KeyRing::load(config)?,
            lifetime: config.lifetime.0,
            idle: config.idle.0,
            refresh: config.refresh.0,
            reauthenticate: config.reauthenticate.0,
        })
    }

    /// How old the last use that a cookie says may get before a new cookie is sent. What a restart may shorten an
    /// idle limit by.
    pub(super) fn renewal(&self) -> Duration {
        self.idle / 8
    }

    /// Why a session with these times is past at `now`, if it is.
    pub(super) fn past(
        &self,
        opened: Timestamp,
        expires: Timestamp,
        seen: Timestamp,
        now: Timestamp,
    ) -> Option<EndReason> {
        if now >= expires || now >= opened + self.lifetime {
            return Some(EndReason::Lifetime);
        }
        (now.since(seen) >= self.idle).then_some(EndReason::Idle)
    }
}

#[cfg(test)]
impl Settings {
    /// Settings for tests of what only needs keys.
    pub(super) fn with_keys(keys: KeyRing) -> Self {
        Self {
            keys,
            lifetime: Duration::from_secs(43_200),
            idle: Duration::from_secs(7200),
            refresh: Duration::from_secs(300),
            reauthenticate: Duration::from_secs(900),
        }
    }
}
