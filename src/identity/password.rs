//! A password as somebody typed it: wiped when dropped, never shown.

use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

/// Longest password in bytes; keeps a stranger from making the hash function read megabytes.
const LONGEST: usize = 1024;

/// A password as somebody typed it. Not empty, not blank, without NUL, at most 1 KiB.
///
/// Clones share one buffer, which is wiped with the last of them.
#[derive(Clone)]
pub struct Password(Arc<Zeroizing<String>>);

/// Why a text is not a password. To be answered like a wrong password.
///
/// A blank password or one with a NUL would be an anonymous bind, and success, on some directory servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefused {
    /// Empty, or only white space.
    #[error("the password is blank")]
    Blank,
    /// It has a NUL byte.
    #[error("the password has a NUL byte")]
    Nul,
    /// It is longer than 1 KiB.
    #[error("the password is longer than {LONGEST} bytes")]
    TooLong,
}

impl Password {
    /// Takes a password. The text is wiped if it is refused.
    ///
    /// # Errors
    /// Returns an error if it is blank, has a NUL byte or is longer than 1 KiB.
    pub fn new(mut text: String) -> Result<Self, PasswordRefused> {
        match refusal(&text) {
            None => Ok(Self(Arc::new(Zeroizing::new(text)))),
            Some(refused) => {
                text.zeroize();
                Err(refused)
            }
        }
    }

    /// The text, for the one who checks it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn refusal(text: &str) -> Option<PasswordRefused> {
    match text {
        _ if text.len() > LONGEST => Some(PasswordRefused::TooLong),
        _ if text.contains('\0') => Some(PasswordRefused::Nul),
        _ if text.trim().is_empty() => Some(PasswordRefused::Blank),
        _ => None,
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_long_and_nul_bearing_passwords_are_refused() {
        let refusals = [
            ("", PasswordRefused::Blank),
            (" \t\u{3000}", PasswordRefused::Blank),
            ("a\0b", PasswordRefused::Nul),
            ("\0", PasswordRefused::Nul),
        ];
        for (text, expected) in refusals {
            assert_eq!(Password::new(text.to_owned()).err(), Some(expected), "{text:?}");
        }
        assert_eq!(Password::new("x".repeat(1025)).err(), Some(PasswordRefused::TooLong));
        assert!(Password::new("x".repeat(1024)).is_ok());
    }

    #[test]
    fn debug_output_does_not_show_it() {
        let password = Password::new("correct horse".to_owned()).expect("a password");
        assert!(!format!("{password:?}").contains("horse"));
    }
}
