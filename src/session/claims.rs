//! What a session cookie says, and its binary form. Pure.
//!
//! A cookie is base64url of: version (1), reserved (0), session id (16 bytes), then opened, expires and seen as
//! seconds in 4 bytes each, then key id, source, tenant and user with a length byte before each, then 32 bytes of
//! HMAC-SHA256 over all of that. The id ends on a multiple of three bytes, so that it can be read alone.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{Principal, TenantId, Timestamp, UserId};

/// Longest cookie value in characters: with its name and `=` it stays under 300 bytes.
pub(super) const LONGEST_TEXT: usize = 286;
/// What that many characters decode to.
const LONGEST_BYTES: usize = LONGEST_TEXT / 4 * 3 + 1;
/// Room for decoding, in whole groups of three bytes.
const BUFFER: usize = LONGEST_TEXT.div_ceil(4) * 3;
/// Version and id, and how many characters they are.
const HEAD_BYTES: usize = 18;
const HEAD_TEXT: usize = 24;
const MAC_BYTES: usize = 32;
const VERSION: u8 = 1;

/// The identity of a session: 128 random bits. Not a secret by itself; the cookie is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A fresh id.
    ///
    /// # Panics
    /// Panics if the system has no random numbers.
    #[must_use]
    pub(super) fn random() -> Self {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers do not fail");
        Self(bytes)
    }

    pub(super) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// All of it in hexadecimal, for the state files.
    pub(super) fn to_hex(self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(32), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Reads [`to_hex`](Self::to_hex).
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

/// The first four bytes, enough to tell sessions apart in a log.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// Whose session it is; enough to find them again in their directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub(super) source: Box<str>,
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
}

impl Subject {
    pub(super) fn of(principal: &Principal) -> Self {
        Self { source: Box::from(&*principal.source), tenant: principal.tenant.clone(), user: principal.user.clone() }
    }
}

/// What a genuine cookie says. There is no way to make one but to verify a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub(super) id: SessionId,
    pub(super) key: Box<str>,
    pub(super) opened: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) seen: Timestamp,
    /// `None` where their names were too long for a cookie; such a session does not survive a restart.
    pub(super) subject: Option<Subject>,
}

/// A cookie taken apart and not yet believed.
pub(super) struct Sealed {
    buffer: [u8; BUFFER],
    body: usize,
}

/// The session id at the head of a cookie. Not verified: good for finding what to compare the cookie with.
pub(super) fn peek_id(text: &str) -> Option<SessionId> {
    let mut head = [0_u8; HEAD_BYTES];
    let written = URL_SAFE_NO_PAD.decode_slice(text.as_bytes().get(..HEAD_TEXT)?, &mut head).ok()?;
    match (written, head) {
        (HEAD_BYTES, [VERSION, 0, id @ ..]) => Some(SessionId(id)),
        _ => None,
    }
}

impl Sealed {
    /// Takes a cookie apart: `None` if it is longer than ours get, or not base64url in its one form.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST_TEXT {
            return None;
        }
        let mut buffer = [0_u8; BUFFER];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut buffer).ok()?;
        Some(Self { buffer, body: written.checked_sub(MAC_BYTES)? })
    }

    /// What the MAC is over.
    pub(super) fn body(&self) -> &[u8] {
        self.buffer.get(..self.body).unwrap_or_default()
    }

    /// The MAC that came with it.
    pub(super) fn mac(&self) -> &[u8] {
        self.buffer.get(self.body..self.body + MAC_BYTES).unwrap_or_default()
    }

    /// What it claims; `None` if anything is missing, left over or not a valid name.
    pub(super) fn claims(&self) -> Option<Claims> {
        Claims::read(self.body())
    }
}

impl Claims {
    fn read(body: &[u8]) -> Option<Self> {
        let mut rest = Reader(body);
        if rest.bytes::<2>()? != [VERSION, 0] {
            return None;
        }
        let id = SessionId(rest.bytes()?);
        let (opened, expires, seen) = (rest.time()?, rest.time()?, rest.time()?);
        let (key, source, tenant, user) = (rest.text()?, rest.text()?, rest.text()?, rest.text()?);
        if !rest.0.is_empty() || key.is_empty() {
            return None;
        }
        let subject = match (source, tenant, user) {
            ("", "", "") => None,
            ("", ..) => return None,
            _ => Some(Subject {
                source: source.into(),
                tenant: TenantId::new(tenant).ok()?,
                user: UserId::new(user).ok()?,
            }),
        };
        Some(Self { id, key: key.into(), opened, expires, seen, subject })
    }

    /// The bytes to sign. Names that would make the cookie too long are left out.
    pub(super) fn write(&self) -> Vec<u8> {
        let names = self.subject.as_ref().map_or(["", "", ""], |s| [&s.source, s.tenant.as_str(), s.user.as_str()]);
        let mut body = self.write_with(names);
        if body.len() + MAC_BYTES > LONGEST_BYTES || names.iter().any(|name| name.len() > 255) {
            body = self.write_with(["", "", ""]);
        }
        body
    }

    fn write_with(&self, names: [&str; 3]) -> Vec<u8> {
        let mut body = Vec::with_capacity(LONGEST_BYTES);
        body.extend([VERSION, 0]);
        body.extend(self.id.0);
        for time in [self.opened, self.expires, self.seen] {
            body.extend(u32::try_from(time.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
        }
        let [source, tenant, user] = names;
        for text in [&*self.key, source, tenant, user] {
            body.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            body.extend(text.as_bytes());
        }
        body
    }
}

/// A cookie's text from its body and MAC.
pub(super) fn seal(mut body: Vec<u8>, mac: &[u8]) -> String {
    body.extend(mac);
    URL_SAFE_NO_PAD.encode(body)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn time(&mut self) -> Option<Timestamp> {
        Some(Timestamp::from_secs(u64::from(u32::from_be_bytes(self.bytes()?))))
    }

    fn text(&mut self) -> Option<&'a str> {
        let [length] = self.bytes()?;
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::keys::Key;

    fn key() -> Key {
        Key::derive("k1", &[7; 32])
    }

    fn claims(user: &str) -> Claims {
        let subject = Subject {
            source: "corp".into(),
            tenant: TenantId::new("acme").expect("a tenant"),
            user: UserId::new(user).expect("a user"),
        };
        Claims {
            id: SessionId::random(),
            key: "k1".into(),
            opened: Timestamp::from_secs(1_700_000_000),
            expires: Timestamp::from_secs(1_700_043_200),
            seen: Timestamp::from_secs(1_700_000_500),
            subject: Some(subject),
        }
    }

    fn sealed(claims: &Claims, key: &Key) -> String {
        let body = claims.write();
        let mac = key.sign_cookie(&body);
        seal(body, mac.as_ref())
    }

    /// As `Sessions` reads a cookie.
    fn believed(text: &str, key: &Key) -> Option<Claims> {
        let sealed = Sealed::read(text)?;
        let claims = sealed.claims()?;
        (*claims.key == *key.id() && key.signed_cookie(sealed.body(), sealed.mac())).then_some(claims)
    }

    #[test]
    fn a_cookie_says_what_was_put_into_it() {
        let claims = claims("李雷");
        let text = sealed(&claims, &key());
        assert_eq!(believed(&text, &key()), Some(claims.clone()));
        assert_eq!(peek_id(&text), Some(claims.id));
    }

    #[test]
    fn a_cookie_with_its_name_stays_under_300_bytes_however_long_the_names_are() {
        let name = crate::session::COOKIE_NAME.len() + 1;
        for length in 1..=300 {
            let text = sealed(&claims(&"u".repeat(length)), &key());
            assert!(text.len() + name < 300, "{length} gives {}", text.len());
            let read = believed(&text, &key()).expect("genuine");
            assert_eq!(read.subject.is_some(), length <= 138, "{length}");
        }
    }

    #[test]
    fn every_cookie_with_one_bit_flipped_is_refused() {
        let text = sealed(&claims("ann"), &key());
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                if let Ok(flipped) = String::from_utf8(bytes) {
                    assert_eq!(believed(&flipped, &key()), None, "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_cookie_of_another_key_is_refused_even_under_the_same_id() {
        let text = sealed(&claims("ann"), &Key::derive("k1", &[8; 32]));
        assert_eq!(believed(&text, &key()), None);
    }

    #[test]
    fn what_is_cut_or_lengthened_is_refused() {
        let text = sealed(&claims("ann"), &key());
        for length in 0..text.len() {
            assert_eq!(believed(&text[..length], &key()), None, "{length}");
        }
        for tail in ["A", "=", "AAAA", " ", ";"] {
            assert_eq!(believed(&format!("{text}{tail}"), &key()), None, "{tail}");
        }
    }

    #[test]
    fn ids_survive_the_state_files() {
        let id = SessionId::random();
        assert_eq!(SessionId::from_hex(&id.to_hex()), Some(id));
        for text in ["", "00", "+0000000000000000000000000000000", "zz000000000000000000000000000000"] {
            assert_eq!(SessionId::from_hex(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_never_believed(text in "\\PC{0,400}") {
            prop_assert_eq!(believed(&text, &key()), None);
            let _ = peek_id(&text);
        }

        #[test]
        fn arbitrary_bytes_are_never_believed(bytes in proptest::collection::vec(any::<u8>(), 0..230)) {
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            prop_assert_eq!(believed(&text, &key()), None);
            let _ = peek_id(&text);
        }

        /// Whoever holds the key may sign nonsense; reading it must not panic, and what is read is written the same.
        #[test]
        fn every_signed_body_has_one_reading(tail in proptest::collection::vec(any::<u8>(), 0..160)) {
            let mut body = vec![VERSION, 0];
            body.extend(tail);
            if let Some(claims) = Claims::read(&body) {
                prop_assert_eq!(claims.write(), body);
            }
        }
    }
}
