//! The keys that sign session cookies, from files. The first one whose time has come signs, all of them verify.
//!
//! A session belongs to the key that signed it for its whole life. So a key that leaked is taken out of the
//! configuration, and every session that it ever vouched for ends with it.

use std::sync::Arc;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::config;
use crate::model::Timestamp;

/// Fewest bytes of a key file.
const SHORTEST: usize = 32;
/// Most bytes of one that are read; more is not a key.
const LONGEST: u64 = 4096;
/// Length of a HMAC-SHA256.
pub(super) const MAC_BYTES: usize = 32;

/// Why a signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read.
    #[error("session key `{id}`: {file}: {source}")]
    Unreadable {
        /// The key's id in the configuration.
        id: String,
        /// Its file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is too short to protect anything, or too long to be a key.
    #[error("session key `{id}`: {file}: must have {SHORTEST} to {LONGEST} bytes")]
    Size {
        /// The key's id in the configuration.
        id: String,
        /// Its file.
        file: String,
    },
    /// The time from which it signs is none.
    #[error("session key `{id}`: sign_from is no time")]
    SignFrom {
        /// The key's id in the configuration.
        id: String,
    },
    /// The configuration names none.
    #[error("no session keys")]
    None,
}

/// One signing key, as one derived key for each purpose. The underlying library wipes them when they are dropped.
pub(super) struct Key {
    id: Box<str>,
    /// Tells whether two keys are the same without keeping either.
    fingerprint: [u8; MAC_BYTES],
    cookie: hmac::Key,
    form: hmac::Key,
    login: hmac::Key,
    ticket: hmac::Key,
}

impl Key {
    pub(super) fn derive(id: &str, material: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, material);
        let mut fingerprint = [0; MAC_BYTES];
        fingerprint.copy_from_slice(&*output(&root, &[b"usher fingerprint 1 ", id.as_bytes()]));
        let purpose = |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, &*output(&root, &[label]));
        Self {
            id: id.into(),
            fingerprint,
            cookie: purpose(b"usher session cookie 1"),
            form: purpose(b"usher form token 1"),
            login: purpose(b"usher login token 1"),
            ticket: purpose(b"usher host ticket 1"),
        }
    }

    fn read(key: &config::SessionKey) -> Result<Self, KeyError> {
        let file = || key.file.clone();
        let unreadable = |source| KeyError::Unreadable { id: key.id.clone(), file: file(), source };
        let mut material = Zeroizing::new(Vec::with_capacity(SHORTEST * 4));
        let opened = std::fs::File::open(&key.file).map_err(unreadable)?;
        std::io::Read::read_to_end(&mut std::io::Read::take(opened, LONGEST + 1), &mut material).map_err(unreadable)?;
        let most = usize::try_from(LONGEST).unwrap_or(usize::MAX);
        if !(SHORTEST..=most).contains(&material.len()) {
            return Err(KeyError::Size { id: key.id.clone(), file: file() });
        }
        Ok(Self::derive(&key.id, &material))
    }

    /// Its id in the configuration.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Signs a cookie's body.
    pub(super) fn sign_cookie(&self, body: &[u8]) -> hmac::Tag {
        hmac::sign(&self.cookie, body)
    }

    /// Whether this key signed a cookie's body; in constant time.
    pub(super) fn signed_cookie(&self, body: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.cookie, body, mac).is_ok()
    }

    /// A MAC for form tokens.
    pub(super) fn form_mac(&self, data: &[u8]) -> [u8; MAC_BYTES] {
        *output(&self.form, &[data])
    }

    /// A MAC for the tokens of the login form, over a label and the data.
    pub(super) fn login_mac(&self, label: &[u8], data: &[u8]) -> [u8; MAC_BYTES] {
        *output(&self.login, &[label, data])
    }

    /// Signs what a ticket to another host says.
    pub(super) fn sign_ticket(&self, body: &[u8]) -> hmac::Tag {
        hmac::sign(&self.ticket, body)
    }

    /// Whether this key signed a ticket; in constant time.
    pub(super) fn signed_ticket(&self, body: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.ticket, body, mac).is_ok()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

fn output(key: &hmac::Key, parts: &[&[u8]]) -> Zeroizing<[u8; MAC_BYTES]> {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut bytes = Zeroizing::new([0; MAC_BYTES]);
    bytes.copy_from_slice(context.sign().as_ref());
    bytes
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.id).finish()
    }
}

/// All keys, in the order of the configuration. Never empty.
#[derive(Debug)]
pub(super) struct KeyRing {
    /// The last of [`all`](Self::all), which signs if the time of none has come.
    last: Arc<Key>,
    all: Vec<Arc<Key>>,
    /// From when on each of them signs.
    sign_from: Vec<Timestamp>,
}

impl KeyRing {
    /// Reads the key files.
    pub(super) fn load(config: &config::Session) -> Result<Self, KeyError> {
        let all = config.keys.iter().map(|key| Key::read(key).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let time = |key: &config::SessionKey| key.signs_from().ok_or_else(|| KeyError::SignFrom { id: key.id.clone() });
        let sign_from = config.keys.iter().map(time).collect::<Result<Vec<_>, _>>()?;
        let last = all.last().ok_or(KeyError::None)?.clone();
        Ok(Self { last, all, sign_from })
    }

    /// The key that new sessions are signed with: the first one that may sign at `now`.
    pub(super) fn signing(&self, now: Timestamp) -> &Arc<Key> {
        let first = self.all.iter().zip(&self.sign_from).find(|(_, from)| **from <= now);
        first.map_or(&self.last, |(key, _)| key)
    }

    /// The key with this id.
    pub(super) fn find(&self, id: &str) -> Option<&Arc<Key>> {
        self.all.iter().find(|key| &*key.id == id)
    }

    /// All keys, in the order of the configuration.
    pub(super) fn all(&self) -> &[Arc<Key>] {
        &self.all
    }

    /// Whether `key` is still among them, id and content.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.find(&key.id).is_some_and(|own| own.is_same(key))
    }
}

#[cfg(test)]
impl KeyRing {
    /// Keys for tests.
    pub(super) fn of(keys: &[(&str, u8)]) -> Self {
        let all: Vec<_> = keys.iter().map(|(id, byte)| Arc::new(Key::derive(id, &[*byte; 32]))).collect();
        Self { last: all[all.len() - 1].clone(), sign_from: vec![Timestamp::default(); all.len()], all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_the_same_id_and_other_content_is_another_key() {
        let old = Key::derive("k1", &[1; 32]);
        assert!(KeyRing::of(&[("k2", 2), ("k1", 1)]).holds(&old));
        assert!(!KeyRing::of(&[("k1", 2)]).holds(&old));
        assert!(!KeyRing::of(&[("k2", 1)]).holds(&old));
    }

    #[test]
    fn a_new_key_verifies_at_once_and_signs_when_its_time_has_come() {
        let mut ring = KeyRing::of(&[("k2", 2), ("k1", 1)]);
        ring.sign_from[0] = Timestamp::from_secs(100);
        assert_eq!(ring.signing(Timestamp::from_secs(99)).id(), "k1");
        assert!(ring.find("k2").is_some());
        assert_eq!(ring.signing(Timestamp::from_secs(100)).id(), "k2");
    }

    #[test]
    fn the_purposes_have_keys_of_their_own() {
        let key = Key::derive("k1", &[1; 32]);
        assert_ne!(key.sign_cookie(b"x").as_ref(), key.form_mac(b"x"));
        assert_ne!(key.form_mac(b"x"), key.login_mac(b"", b"x"));
        assert!(!format!("{key:?}").contains("[1"), "{key:?}");
    }

    #[test]
    fn short_and_missing_key_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("k").display().to_string();
        let key = config::SessionKey { id: "k1".to_owned(), file: file.clone(), sign_from: None };
        assert!(matches!(Key::read(&key), Err(KeyError::Unreadable { .. })));
        for (length, good) in [(0, false), (31, false), (32, true), (4096, true), (4097, false)] {
            std::fs::write(&file, vec![9; length]).expect("written");
            assert_eq!(Key::read(&key).is_ok(), good, "{length}");
        }
    }
}
