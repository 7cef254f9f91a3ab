//! Why a token is worth nothing.

use crate::identity::SignInError;

/// Why a token is worth nothing. Quotes nothing of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// It is longer than any that we read.
    #[error("token is too long")]
    TooLarge,
    /// It is no token in compact form, or has more than one reading.
    #[error("token is malformed")]
    Malformed,
    /// Its header names extensions that we do not know.
    #[error("token asks for an extension that is not understood")]
    Extension,
    /// Its issuer is none of the configured ones.
    #[error("token is of an unknown issuer")]
    UnknownIssuer,
    /// Its header names another type than its issuer's tokens have.
    #[error("token is of another type")]
    Type,
    /// It is not signed in a way that its issuer's keys are for.
    #[error("token is signed with an algorithm that is not allowed")]
    Algorithm,
    /// Its issuer has no such key.
    #[error("token is signed with an unknown key")]
    UnknownKey,
    /// Its issuer's keys have not been had yet.
    #[error("keys of the token's issuer cannot be had")]
    NoKeys,
    /// The signature is not of that key.
    #[error("token has a wrong signature")]
    Signature,
    /// It says no time of expiry, or it is past.
    #[error("token has expired")]
    Expired,
    /// It holds from a later time.
    #[error("token does not hold yet")]
    NotYet,
    /// It was issued in the future, or says no time of issue where one is needed.
    #[error("token has no sound time of issue")]
    Issued,
    /// It was issued too long ago.
    #[error("token is too old")]
    TooOld,
    /// It is for somebody else.
    #[error("token is for another audience")]
    Audience,
    /// It was issued to a party that is not on the list.
    #[error("token was issued to a party that is not allowed")]
    Party,
    /// It is a message about the end of sessions, which vouches for nobody.
    #[error("token is a logout token")]
    Logout,
    /// It names no user, or one whose name is none.
    #[error("token names no user")]
    NoUser,
    /// It was issued before its user's logins were revoked.
    #[error("token is revoked")]
    Revoked,
    /// It is of another person than the session that came with it.
    #[error("token and session are of different people")]
    OtherPerson,
    /// It is genuine, and its user is not admitted.
    #[error("{0}")]
    NotAdmitted(SignInError),
}

impl TokenRefused {
    /// The value of the `result` label; one of a fixed few.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::Extension => "extension",
            Self::UnknownIssuer => "unknown-issuer",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::NoKeys => "no-keys",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::Issued => "issued",
            Self::TooOld => "too-old",
            Self::Audience => "audience",
            Self::Party => "party",
            Self::Logout => "logout-token",
            Self::NoUser => "no-user",
            Self::Revoked => "revoked",
            Self::OtherPerson => "other-person",
            Self::NotAdmitted(reason) => reason.label(),
        }
    }
}
