//! argon2id hashes in their PHC form: made, read, checked. Takes tens of milliseconds and megabytes of memory.

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::Password;

/// Most memory of one hash, in KiB: what a sign-in may cost us, whatever the users file says.
const MOST_MEMORY: u32 = 256 * 1024;
/// Most passes, and most lanes, of one hash.
const MOST_PASSES: u32 = 16;

/// Why a stored hash is not one that can be checked. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashRefused {
    /// Not a PHC string with salt and output.
    #[error("is not an argon2id hash as `usher hash-password` makes them")]
    Malformed,
    /// Some other function, or a version of it that nobody knows.
    #[error("is not made with argon2id")]
    Algorithm,
    /// It would cost too much to check.
    #[error("needs more than 256 MiB of memory, {MOST_PASSES} passes or {MOST_PASSES} lanes")]
    Cost,
}

/// A stored hash, ready to be checked against.
pub(super) struct StoredHash {
    version: Version,
    params: Params,
    salt: Box<[u8]>,
    /// `None` for the stand-in of an unknown user, which no password matches.
    output: Option<Box<[u8]>>,
}

impl StoredHash {
    /// Reads a PHC string.
    pub(super) fn parse(text: &str) -> Result<Self, HashRefused> {
        let hash = PasswordHash::new(text).map_err(|_| HashRefused::Malformed)?;
        if hash.algorithm.as_str() != "argon2id" {
            return Err(HashRefused::Algorithm);
        }
        // A hash that names no version is of the first one.
        let version = hash.version.map_or(Ok(Version::V0x10), Version::try_from);
        let version = version.map_err(|_| HashRefused::Algorithm)?;
        let (Some(salt), Some(output)) = (&hash.salt, &hash.hash) else { return Err(HashRefused::Malformed) };
        let params = Params::try_from(&hash).map_err(|_| HashRefused::Malformed)?;
        if !affordable(&params) {
            return Err(HashRefused::Cost);
        }
        Ok(Self { version, params, salt: salt.as_ref().into(), output: Some(output.as_bytes().into()) })
    }

    /// What is checked for a user that does not exist: the same work as for `like`, and never a match.
    pub(super) fn stand_in(like: Option<&Self>) -> Self {
        let params = like.map_or(Params::DEFAULT, |hash| hash.params.clone());
        Self { version: Version::V0x13, params, salt: Box::from([0_u8; 16]), output: None }
    }

    /// What it costs to check, for comparing.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.params.m_cost()) * u64::from(self.params.t_cost())
    }

    /// Checks a password: blocks for tens of milliseconds.
    pub(super) fn matches(&self, password: &Password) -> bool {
        let expected = self.output.as_deref();
        let mut computed = Zeroizing::new(vec![0_u8; expected.map_or(Params::DEFAULT_OUTPUT_LEN, <[u8]>::len)]);
        let argon2 = Argon2::new(Algorithm::Argon2id, self.version, self.params.clone());
        let done = argon2.hash_password_into(password.expose().as_bytes(), &self.salt, &mut computed);
        done.is_ok() && expected.is_some_and(|expected| verify_slices_are_equal(expected, &computed).is_ok())
    }
}

fn affordable(params: &Params) -> bool {
    params.m_cost() <= MOST_MEMORY && params.t_cost() <= MOST_PASSES && params.p_cost() <= MOST_PASSES
}

/// Hashes a password for the users file: argon2id with 19 MiB, two passes, one lane, and a salt of its own.
///
/// # Panics
/// Panics if the system has no random numbers.
#[must_use]
pub fn hash_password(password: &Password) -> String {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.expose().as_bytes())
        .expect("default parameters, a bounded password and the system's random numbers do not fail");
    hash.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).expect("a password")
    }

    #[test]
    fn a_hash_matches_its_password_and_no_other() {
        let hash = hash_password(&password("correct horse"));
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let stored = StoredHash::parse(&hash).expect("our own hash");
        assert!(stored.matches(&password("correct horse")));
        assert!(!stored.matches(&password("correct horse ")));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        assert_ne!(hash_password(&password("same")), hash_password(&password("same")));
    }

    #[test]
    fn a_stand_in_matches_nothing() {
        assert!(!StoredHash::stand_in(None).matches(&password("x")));
    }

    #[test]
    fn foreign_and_ruinous_hashes_are_refused() {
        let tail = "c29tZXNhbHRzb21lc2FsdA$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMTI";
        let cases = [
            (format!("$argon2i$v=19$m=19456,t=2,p=1${tail}"), HashRefused::Algorithm),
            (format!("$argon2id$v=18$m=19456,t=2,p=1${tail}"), HashRefused::Algorithm),
            (format!("$argon2id$v=19$m=19456,t=17,p=1${tail}"), HashRefused::Cost),
            (format!("$argon2id$v=19$m=4194304,t=2,p=1${tail}"), HashRefused::Cost),
            ("$argon2id$v=19$m=19456,t=2,p=1".to_owned(), HashRefused::Malformed),
            ("hunter2".to_owned(), HashRefused::Malformed),
            (String::new(), HashRefused::Malformed),
        ];
        for (text, expected) in cases {
            assert_eq!(StoredHash::parse(&text).err(), Some(expected), "{text}");
        }
        assert!(StoredHash::parse(&format!("$argon2id$v=19$m=19456,t=2,p=1${tail}")).is_ok());
    }
}
