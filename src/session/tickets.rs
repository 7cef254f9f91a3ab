//! How a session comes to the host of another route: by a ticket that is good once, there, and for one browser.
//!
//! The session cookie belongs to one host. A browser that comes to another host without one gets a [`Binding`] there,
//! as a cookie, and takes its digest to the public host, where its session is known. There it gets a ticket: session,
//! host, digest and an expiry, signed. Back on the other host ticket and binding together are worth the session
//! cookie, once. So a ticket that was seen by others, or slipped to somebody, is worth nothing without the cookie of
//! the browser that asked for it.
//!
//! Used tickets are remembered in memory until they expire. Another process of the same gateway does not know them;
//! there the binding alone keeps a ticket from being used again, as it is taken away with the first use.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::SessionId;
use super::keys::{KeyRing, MAC_BYTES};
use super::{Session, Sessions, cookie};
use crate::model::Timestamp;

/// Name of the cookie that holds a [`Binding`].
pub const ENTER_COOKIE_NAME: &str = "__Host-usher-enter";

/// How long a browser may take from the other host to the public one and back, without signing in anew.
const BINDING_LIFE: Duration = Duration::from_secs(300);
/// How long a ticket is good: one redirect.
const LIFE: Duration = Duration::from_secs(60);
/// Most used tickets that are remembered, at about 40 bytes each; beyond that none is taken. Only genuine tickets
/// count, so it takes a thousand hand-overs a second.
const MOST_USED: usize = 65_536;
const VERSION: u8 = 1;
/// Version, ticket id, session id, expiry and digest of the binding; the host follows.
const FIXED: usize = 1 + 16 + 16 + 4 + DIGEST;
const DIGEST: usize = 32;
/// Characters of the longest ticket: its host has at most 253 bytes.
const LONGEST_TEXT: usize = (FIXED + 253 + MAC_BYTES).div_ceil(3) * 4;

/// 128 random bits that one browser holds on one host while a session is handed over to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; 16]);

/// What may be told of a [`Binding`]: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BindingDigest([u8; DIGEST]);

/// Why a ticket is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketRefused {
    /// It is none of ours.
    #[error("not a ticket of ours")]
    NotGenuine,
    /// It is for another host.
    #[error("for another host")]
    OtherHost,
    /// It is too old.
    #[error("expired")]
    Expired,
    /// The browser's binding is missing, or another than the one it is for.
    #[error("for another browser")]
    OtherBrowser,
    /// It was used before.
    #[error("used before")]
    Used,
    /// More tickets than can be remembered are in use.
    #[error("too many in use")]
    TooMany,
    /// Its session has ended.
    #[error("session over")]
    Over,
}

impl TicketRefused {
    /// Stable name for the access log; one of a fixed few.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotGenuine => "ticket-not-genuine",
            Self::OtherHost => "ticket-of-other-host",
            Self::Expired => "ticket-expired",
            Self::OtherBrowser => "ticket-of-other-browser",
            Self::Used => "ticket-used",
            Self::TooMany => "ticket-too-many",
            Self::Over => "ticket-session-over",
        }
    }
}

impl Binding {
    /// A fresh one.
    ///
    /// # Panics
    /// Panics if the system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }

    /// Reads the value of the cookie.
    #[must_use]
    pub fn from_cookie(value: &str) -> Option<Self> {
        decode(value).map(Self)
    }

    /// The whole `Set-Cookie` value that keeps it.
    #[must_use]
    pub fn store(&self) -> String {
        cookie::line(ENTER_COOKIE_NAME, &URL_SAFE_NO_PAD.encode(self.0), BINDING_LIFE)
    }

    /// The whole `Set-Cookie` value that takes any away.
    #[must_use]
    pub fn clear() -> String {
        cookie::line(ENTER_COOKIE_NAME, "", Duration::ZERO)
    }

    /// What may be told of it.
    #[must_use]
    pub fn digest(&self) -> BindingDigest {
        let mut bytes = [0; DIGEST];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        BindingDigest(bytes)
    }
}

impl BindingDigest {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }
}

/// Base64url, for an address.
impl fmt::Display for BindingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding")
    }
}

impl fmt::Debug for BindingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindingDigest")
    }
}

impl Sessions {
    /// A ticket that brings `session` to `host`, for the browser there that holds the binding with this digest.
    #[must_use]
    pub fn issue_ticket(&self, session: &Session, host: &str, binding: &BindingDigest) -> String {
        let settings = self.0.settings.load();
        let ticket = Ticket {
            id: random(),
            session: *session.id(),
            expires: self.0.clock.now() + LIFE,
            binding: *binding,
            host: host.to_owned(),
        };
        ticket.seal(&settings.keys)
    }

    /// Takes a ticket that a browser has brought to `host`, once. Returns its session and the whole `Set-Cookie`
    /// value that the browser keeps it by on this host.
    ///
    /// # Errors
    /// Returns why it is not taken. Only a ticket that is good in all else is used up.
    pub fn redeem_ticket(
        &self,
        text: &str,
        host: &str,
        binding: Option<&Binding>,
    ) -> Result<(Arc<Session>, String), TicketRefused> {
        let now = self.0.clock.now();
        let ticket = Ticket::open(text, &self.0.settings.load().keys).ok_or(TicketRefused::NotGenuine)?;
        ticket.check(host, binding, now)?;
        self.0.used_tickets.spend(&ticket, now)?;
        let session = self.0.store.find(&ticket.session).filter(|session| !session.is_over());
        let session = session.ok_or(TicketRefused::Over)?;
        let line = cookie::store(&session.cookie(now), session.expires().since(now));
        Ok((session, line))
    }
}

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ticket {
    id: [u8; 16],
    session: SessionId,
    expires: Timestamp,
    binding: BindingDigest,
    host: String,
}

impl Ticket {
    fn seal(&self, keys: &KeyRing) -> String {
        let mut bytes = Vec::with_capacity(FIXED + self.host.len() + MAC_BYTES);
        bytes.push(VERSION);
        bytes.extend(self.id);
        bytes.extend(self.session.as_bytes());
        bytes.extend(u32::try_from(self.expires.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(self.binding.0);
        bytes.extend(self.host.as_bytes());
        let mac = keys.signing(self.expires - LIFE).sign_ticket(&bytes);
        bytes.extend(mac.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a ticket says, if one of our keys signed it.
    fn open(text: &str, keys: &KeyRing) -> Option<Self> {
        if text.len() > LONGEST_TEXT {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        keys.all().iter().find(|key| key.signed_ticket(body, mac))?;
        Self::read(body)
    }

    fn read(body: &[u8]) -> Option<Self> {
        let ([version], rest) = body.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (binding, host) = rest.split_first_chunk()?;
        (*version == VERSION).then_some(Self {
            id: *id,
            session: SessionId::from_bytes(*session),
            expires: Timestamp::from_secs(u64::from(u32::from_be_bytes(*expires))),
            binding: BindingDigest(*binding),
            host: std::str::from_utf8(host).ok()?.to_owned(),
        })
    }

    fn check(&self, host: &str, binding: Option<&Binding>, now: Timestamp) -> Result<(), TicketRefused> {
        if self.host != host {
            return Err(TicketRefused::OtherHost);
        }
        if now >= self.expires {
            return Err(TicketRefused::Expired);
        }
        let bound = |binding: &Binding| verify_slices_are_equal(&binding.digest().0, &self.binding.0).is_ok();
        if binding.is_some_and(bound) { Ok(()) } else { Err(TicketRefused::OtherBrowser) }
    }
}

/// The tickets that were used and have not expired.
#[derive(Default)]
pub(super) struct UsedTickets(Mutex<HashMap<[u8; 16], Timestamp>>);

impl UsedTickets {
    fn spend(&self, ticket: &Ticket, now: Timestamp) -> Result<(), TicketRefused> {
        // Taken once for each hand-over, and held for a look-up; for a sweep only when it is full.
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MOST_USED {
            used.retain(|_, expires| *expires > now);
        }
        if used.contains_key(&ticket.id) {
            return Err(TicketRefused::Used);
        }
        if used.len() >= MOST_USED {
            return Err(TicketRefused::TooMany);
        }
        used.insert(ticket.id, ticket.expires);
        Ok(())
    }

    /// Forgets those that have expired.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, expires| *expires > now);
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers do not fail");
    bytes
}

/// Exactly `N` bytes of base64url.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const HOST: &str = "ada-x.ide.example.com";

    fn ticket(binding: &Binding) -> Ticket {
        Ticket {
            id: random(),
            session: SessionId::random(),
            expires: NOW + LIFE,
            binding: binding.digest(),
            host: HOST.to_owned(),
        }
    }

    #[test]
    fn a_ticket_says_what_was_put_into_it_under_every_key_that_stands() {
        let ticket = ticket(&Binding::random());
        let text = ticket.seal(&KeyRing::of(&[("k1", 1)]));
        assert_eq!(Ticket::open(&text, &KeyRing::of(&[("k2", 2), ("k1", 1)])), Some(ticket));
        assert_eq!(Ticket::open(&text, &KeyRing::of(&[("k1", 2)])), None);
    }

    #[test]
    fn a_ticket_is_good_on_its_host_for_its_browser_for_a_minute() {
        let (binding, other) = (Binding::random(), Binding::random());
        let ticket = ticket(&binding);
        let check = |host, binding, now| ticket.check(host, binding, now);
        assert_eq!(check(HOST, Some(&binding), NOW + Duration::from_secs(59)), Ok(()));
        assert_eq!(check(HOST, Some(&binding), NOW + Duration::from_secs(60)), Err(TicketRefused::Expired));
        assert_eq!(check("eve-x.ide.example.com", Some(&binding), NOW), Err(TicketRefused::OtherHost));
        assert_eq!(check(HOST, Some(&other), NOW), Err(TicketRefused::OtherBrowser));
        assert_eq!(check(HOST, None, NOW), Err(TicketRefused::OtherBrowser));
    }

    #[test]
    fn a_ticket_is_spent_once_and_forgotten_when_it_has_expired() {
        let (used, ticket) = (UsedTickets::default(), ticket(&Binding::random()));
        assert_eq!(used.spend(&ticket, NOW), Ok(()));
        assert_eq!(used.spend(&ticket, NOW), Err(TicketRefused::Used));
        used.sweep(NOW + Duration::from_secs(59));
        assert_eq!(used.spend(&ticket, NOW), Err(TicketRefused::Used));
        used.sweep(NOW + LIFE);
        assert!(used.0.lock().expect("no panic").is_empty());
    }

    #[test]
    fn with_too_many_in_use_none_is_taken_until_some_expire() {
        let used = UsedTickets::default();
        let fill = (0..MOST_USED as u128).map(|at| (at.to_be_bytes(), NOW + LIFE));
        used.0.lock().expect("no panic").extend(fill);
        let mut late = ticket(&Binding::random());
        assert_eq!(used.spend(&late, NOW), Err(TicketRefused::TooMany));
        late.expires = NOW + LIFE * 2;
        assert_eq!(used.spend(&late, NOW + LIFE), Ok(()));
    }

    #[test]
    fn a_binding_comes_back_from_its_cookie_and_is_told_by_its_digest_only() {
        let binding = Binding::random();
        let line = binding.store();
        let value = line.strip_prefix("__Host-usher-enter=").and_then(|rest| rest.split(';').next()).expect("ours");
        assert!(line.ends_with("; Path=/; Max-Age=300; Secure; HttpOnly; SameSite=Lax"), "{line}");
        assert_eq!(Binding::from_cookie(value), Some(binding));
        let digest = binding.digest().to_string();
        assert_eq!(BindingDigest::parse(&digest), Some(binding.digest()));
        assert!(!digest.contains(value) && !format!("{binding:?}").contains(value));
        for wrong in ["", "AAAA", &digest, "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAB"] {
            assert_eq!(Binding::from_cookie(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_ticket_is_no_session_cookie_and_a_session_cookie_no_ticket() {
        let keys = KeyRing::of(&[("k1", 1)]);
        let text = ticket(&Binding::random()).seal(&keys);
        let bytes = URL_SAFE_NO_PAD.decode(&text).expect("base64url");
        let (body, mac) = bytes.split_last_chunk::<MAC_BYTES>().expect("a MAC");
        assert!(!keys.signing(Timestamp::default()).signed_cookie(body, mac));
        let cookie = keys.signing(Timestamp::default()).sign_cookie(body);
        assert!(!keys.signing(Timestamp::default()).signed_ticket(body, cookie.as_ref()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_ticket(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let keys = KeyRing::of(&[("k1", 1)]);
            prop_assert_eq!(Ticket::open(&URL_SAFE_NO_PAD.encode(&bytes), &keys), None);
            let _ = Ticket::read(&bytes);
        }

        #[test]
        fn a_ticket_with_one_bit_flipped_is_none(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let keys = KeyRing::of(&[("k1", 1)]);
            let mut bytes = ticket(&Binding::random()).seal(&keys).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert_eq!(Ticket::open(&text, &keys), None);
        }
    }
}
