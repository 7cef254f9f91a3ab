//! The login form's token against forged sign-ins: there is no session yet that it could be bound to.
//!
//! Double submit, signed: a short-lived cookie holds a nonce, the form a MAC over it. Somebody else's page can make
//! a browser send the form, but can neither read the cookie nor set one with the `__Host-` prefix.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys::Key;
use super::settings::Settings;
use crate::model::Timestamp;

/// Name of the cookie that the login form's token is bound to.
pub const LOGIN_COOKIE_NAME: &str = "__Host-usher-login";

/// How long a login page may stand open before it is sent.
const LIFE: Duration = Duration::from_secs(3600);
/// A nonce of 16 bytes and the time in seconds, until which it is good, in 4.
const TICKET: usize = 20;
const MAC: usize = 32;

/// Makes and checks tokens of login forms. A cheap handle; follows the keys of the `Sessions` that it is from.
#[derive(Clone)]
pub struct LoginTokens(pub(super) Arc<ArcSwap<Settings>>);

impl LoginTokens {
    /// A form's value and the whole `Set-Cookie` value that goes with it. Hand over the request's cookie of
    /// [`LOGIN_COOKIE_NAME`], so that forms in several tabs stay good together.
    #[must_use]
    pub fn issue(&self, now: Timestamp, cookie: Option<&str>) -> (String, String) {
        let settings = self.0.load();
        let earlier = cookie.and_then(|cookie| self.open(cookie, now));
        let (ticket, key) = match earlier {
            Some((ticket, key)) if expiry(&ticket).since(now) > LIFE / 2 => (ticket, key),
            _ => (fresh_ticket(now), settings.keys.signing(now).clone()),
        };
        let cookie = cookie_value(&key, &ticket);
        let life = expiry(&ticket).since(now).as_secs();
        let line = format!("{LOGIN_COOKIE_NAME}={cookie}; Path=/; Max-Age={life}; Secure; HttpOnly; SameSite=Lax");
        (form_value(&key, &ticket), line)
    }

    /// Whether a form's value belongs to the cookie that came with it and is still good. In constant time.
    #[must_use]
    pub fn verify(&self, form: &str, cookie: &str, now: Timestamp) -> bool {
        self.open(cookie, now).is_some_and(|(ticket, key)| equal(form_value(&key, &ticket).as_bytes(), form.as_bytes()))
    }

    fn open(&self, cookie: &str, now: Timestamp) -> Option<([u8; TICKET], Arc<Key>)> {
        // Two bytes of slack: decoding asks for room in whole groups of three.
        let mut bytes = [0_u8; TICKET + MAC + 2];
        let written = URL_SAFE_NO_PAD.decode_slice(cookie, &mut bytes).ok()?;
        let (ticket, mac) = bytes.get(..written)?.split_first_chunk::<TICKET>()?;
        let settings = self.0.load();
        let key = settings.keys.all().iter().find(|key| equal(&key.login_mac(b"cookie", ticket), mac))?;
        (expiry(ticket) > now).then(|| (*ticket, key.clone()))
    }
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

fn fresh_ticket(now: Timestamp) -> [u8; TICKET] {
    let mut ticket = [0_u8; TICKET];
    let (nonce, time) = ticket.split_at_mut(TICKET - 4);
    aws_lc_rs::rand::fill(nonce).expect("the system's random numbers do not fail");
    time.copy_from_slice(&u32::try_from((now + LIFE).as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    ticket
}

fn expiry(ticket: &[u8; TICKET]) -> Timestamp {
    let [.., a, b, c, d] = *ticket;
    Timestamp::from_secs(u64::from(u32::from_be_bytes([a, b, c, d])))
}

fn cookie_value(key: &Key, ticket: &[u8; TICKET]) -> String {
    let mut bytes = ticket.to_vec();
    bytes.extend(key.login_mac(b"cookie", ticket));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn form_value(key: &Key, ticket: &[u8; TICKET]) -> String {
    URL_SAFE_NO_PAD.encode(key.login_mac(b"form", ticket))
}

impl std::fmt::Debug for LoginTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::keys::KeyRing;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn tokens(keys: &[(&str, u8)]) -> LoginTokens {
        LoginTokens(Arc::new(ArcSwap::from_pointee(Settings::with_keys(KeyRing::of(keys)))))
    }

    fn cookie_of(line: &str) -> &str {
        line.strip_prefix("__Host-usher-login=").and_then(|rest| rest.split(';').next()).expect("our cookie")
    }

    #[test]
    fn a_form_is_good_with_its_own_cookie_and_no_other() {
        let tokens = tokens(&[("k1", 1)]);
        let (form, line) = tokens.issue(NOW, None);
        let (other, other_line) = tokens.issue(NOW, None);
        assert!(tokens.verify(&form, cookie_of(&line), NOW));
        assert!(!tokens.verify(&form, cookie_of(&other_line), NOW));
        assert!(!tokens.verify(&other, cookie_of(&line), NOW));
        assert!(!tokens.verify("", "", NOW));
        assert!(!tokens.verify(&form, "", NOW));
        assert!(!tokens.verify(cookie_of(&line), cookie_of(&line), NOW), "the cookie is not the form's value");
    }

    #[test]
    fn a_form_is_good_for_an_hour() {
        let tokens = tokens(&[("k1", 1)]);
        let (form, line) = tokens.issue(NOW, None);
        assert!(tokens.verify(&form, cookie_of(&line), NOW + Duration::from_secs(3599)));
        assert!(!tokens.verify(&form, cookie_of(&line), NOW + Duration::from_secs(3600)));
    }

    #[test]
    fn a_second_tab_keeps_the_first_ones_form_good() {
        let tokens = tokens(&[("k1", 1)]);
        let (first, line) = tokens.issue(NOW, None);
        let (second, line) = tokens.issue(NOW + Duration::from_secs(60), Some(cookie_of(&line)));
        assert!(tokens.verify(&first, cookie_of(&line), NOW + Duration::from_secs(61)));
        assert!(tokens.verify(&second, cookie_of(&line), NOW + Duration::from_secs(61)));
    }

    #[test]
    fn a_cookie_that_we_did_not_make_is_replaced() {
        let tokens = tokens(&[("k1", 1)]);
        let (_, foreign) = self::tokens(&[("k1", 2)]).issue(NOW, None);
        let (form, line) = tokens.issue(NOW, Some(cookie_of(&foreign)));
        assert_ne!(cookie_of(&line), cookie_of(&foreign));
        assert!(!tokens.verify(&form, cookie_of(&foreign), NOW));
    }

    #[test]
    fn a_form_outlives_the_rotation_of_keys() {
        let (form, line) = tokens(&[("k1", 1)]).issue(NOW, None);
        assert!(tokens(&[("k2", 2), ("k1", 1)]).verify(&form, cookie_of(&line), NOW));
        assert!(!tokens(&[("k2", 2)]).verify(&form, cookie_of(&line), NOW));
    }
}
