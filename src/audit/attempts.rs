//! What may be told of a user name that somebody typed in.
//!
//! People type their password into the field of the user name, sooner or later all of them. So a typed name is never
//! written as it is. A line has its digest, under a key that lives as long as the process and is kept nowhere: the
//! same name has the same digest, so that tries at one name are seen as such, and who holds the log cannot find the
//! name by trying many. Once a name has led to an account, tries at it tell the account.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;

use crate::model::{Principal, TenantId, UserId};

/// Most names that are known, at about 150 bytes each. Tries at those beyond have their digest only.
const MOST: usize = 50_000;
/// Bytes of a digest that are written: two of a million names are alike with a chance of one in five hundred.
const DIGEST: usize = 6;

/// What may be told of a typed user name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its digest.
    pub(super) digest: Box<str>,
    /// The account that it last led to.
    pub(super) account: Option<(TenantId, UserId)>,
}

pub(super) struct Attempts {
    key: hmac::Key,
    known: Mutex<HashMap<Box<str>, (TenantId, UserId)>>,
}

impl Attempts {
    /// With a key of its own, and without any known name; `None` if the system has no random numbers.
    pub(super) fn new() -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        Some(Self { key, known: Mutex::default() })
    }

    pub(super) fn of(&self, typed: &str) -> Attempt {
        let digest = self.digest(typed);
        let account = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        Attempt { digest, account }
    }

    /// A name that was typed in has led to an account.
    pub(super) fn learn(&self, attempt: &Attempt, principal: &Principal) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST || known.contains_key(&attempt.digest) {
            known.insert(attempt.digest.clone(), (principal.tenant.clone(), principal.user.clone()));
        }
    }

    fn digest(&self, typed: &str) -> Box<str> {
        // Directories do not tell `Ann` from `ann `.
        let name = typed.trim().to_lowercase();
        let mac = hmac::sign(&self.key, name.as_bytes());
        let mut text = String::with_capacity(2 * DIGEST);
        for byte in mac.as_ref().iter().take(DIGEST) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.into()
    }
}
