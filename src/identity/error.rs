//! Why somebody was not signed in, not found, or why a directory cannot be used.

use std::path::PathBuf;

/// Why somebody was not signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// No such user, or not their password; nobody is told which.
    #[error("wrong user name or password")]
    WrongCredentials,
    /// The password is right and the account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The password is right and their tenant is disabled or not known.
    #[error("tenant `{tenant}` is not admitted")]
    TenantRefused {
        /// The tenant that they belong to.
        tenant: crate::model::TenantId,
    },
    /// Too many sign-ins are being checked at once; a little later it will work.
    #[error("too many sign-ins at once")]
    Busy,
    /// The directory does not answer.
    #[error("directory `{directory}` cannot be reached")]
    Unreachable {
        /// Its name in the configuration.
        directory: String,
    },
    /// The directory answers, and something about it or the account in it is set up wrongly.
    #[error("directory `{directory}`: {detail}")]
    Misconfigured {
        /// Its name in the configuration.
        directory: String,
        /// What is wrong, for the operator.
        detail: String,
    },
}

impl SignInError {
    /// The value of the `result` label; one of a fixed few.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::WrongCredentials => "wrong-credentials",
            Self::Disabled => "disabled",
            Self::TenantRefused { .. } => "tenant-refused",
            Self::Busy => "busy",
            Self::Unreachable { .. } => "unreachable",
            Self::Misconfigured { .. } => "misconfigured",
        }
    }

    /// Whether it says something about what was typed in, so that it counts against guessing.
    /// The rest is ours and is not held against anybody.
    #[must_use]
    pub const fn is_failed_guess(&self) -> bool {
        matches!(self, Self::WrongCredentials)
    }
}

/// Why a directory could not say whether somebody is still there. Never means that they are not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("directory `{directory}`: {detail}")]
pub struct LookUpError {
    /// Its name in the configuration.
    pub directory: String,
    /// What went wrong, for the operator.
    pub detail: String,
}

/// Why the configured directories cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The users file cannot be read or has errors; all of them, each with its place.
    #[error("users file: {0}")]
    UsersFile(#[from] crate::config::Report),
    /// A stored password is not one that can be checked.
    #[error("users file {path}: password of `{user}` {source}")]
    Hash {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        user: crate::model::UserId,
        /// What is wrong with it.
        source: super::HashRefused,
    },
}
