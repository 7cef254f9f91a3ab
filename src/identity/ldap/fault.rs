//! What is wrong with a directory or the way to it, whoever signs in.

use crate::identity::{LookUpError, SignInError};

/// Longest text of a server in a message of ours.
const LONGEST_TEXT: usize = 200;

/// A directory cannot be used. The text is for the operator; it never has a password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not answer, or not with LDAP; a little later it may.
    Unreachable(String),
    /// It answers, and somebody has to change something.
    Misconfigured(String),
}

impl Fault {
    /// What a sign-in is answered with.
    pub(super) fn sign_in_error(self, directory: &str) -> SignInError {
        let directory = directory.to_owned();
        match self {
            Self::Unreachable(_) => SignInError::Unreachable { directory },
            Self::Misconfigured(detail) => SignInError::Misconfigured { directory, detail },
        }
    }

    /// What a look-up is answered with: whatever is wrong, nobody is gone because of it.
    pub(super) fn look_up_error(self, directory: &str) -> LookUpError {
        let (Self::Unreachable(detail) | Self::Misconfigured(detail)) = self;
        LookUpError { directory: directory.to_owned(), detail }
    }

    pub(super) fn text(&self) -> &str {
        let (Self::Unreachable(detail) | Self::Misconfigured(detail)) = self;
        detail
    }
}

/// A server's own words as a message of ours may hold them: printable, and not many.
pub(super) fn words(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST_TEXT).collect::<String>().trim().to_owned()
}

/// A result code as an operator finds it in their server's log.
pub(super) fn result(code: u32, text: &str) -> String {
    let text = words(text);
    if text.is_empty() { format!("result code {code}") } else { format!("result code {code}, {text}") }
}
