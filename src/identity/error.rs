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
    /// The password is right and the account is locked, mostly after too many wrong ones.
    #[error("the account is locked")]
    Locked,
    /// The password is right and the account has expired.
    #[error("the account has expired")]
    Expired,
    /// The password is right and too old.
    #[error("the password has expired")]
    PasswordExpired,
    /// The password is right and has to be changed before it is of use.
    #[error("the password must be changed")]
    PasswordMustChange,
    /// The directory names this trouble whether or not the password is right, and it was not shown to be right.
    /// Logs, metrics and audit hear of it; the person reads what they read after a wrong password.
    #[error("{0} (the password was not proven)")]
    Unproven(AccountTrouble),
    /// They are who they say, and no rule yields a tenant for them.
    #[error("no rule yields a tenant for them")]
    NoTenant,
    /// They are who they say, and what a rule yields cannot be a tenant.
    #[error("{rule} yields {value:?}, which cannot be a tenant")]
    BadTenant {
        /// The rule, by its key in the configuration.
        rule: String,
        /// What it yields, cut if it is long.
        value: String,
    },
    /// They are who they say, and one rule yields two tenants for them.
    #[error("{rule} yields two tenants: {first:?} and {second:?}")]
    AmbiguousTenant {
        /// The rule, by its key in the configuration.
        rule: String,
        /// One of them.
        first: String,
        /// Another of them.
        second: String,
    },
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
            Self::Locked => "locked",
            Self::Expired => "expired",
            Self::PasswordExpired => "password-expired",
            Self::PasswordMustChange => "password-must-change",
            Self::Unproven(trouble) => trouble.label(),
            Self::NoTenant | Self::BadTenant { .. } => "no-tenant",
            Self::AmbiguousTenant { .. } => "ambiguous-tenant",
            Self::TenantRefused { .. } => "tenant-refused",
            Self::Busy => "busy",
            Self::Unreachable { .. } => "unreachable",
            Self::Misconfigured { .. } => "misconfigured",
        }
    }

    /// Whether the user name that was typed in is that of an account, so that logs may have it.
    #[must_use]
    pub const fn is_about_an_account(&self) -> bool {
        !matches!(self, Self::WrongCredentials | Self::Busy | Self::Unreachable { .. } | Self::Misconfigured { .. })
    }

    /// Whether it says something about what was typed in, so that it counts against guessing.
    /// The rest is ours and is not held against anybody.
    #[must_use]
    pub const fn is_failed_guess(&self) -> bool {
        matches!(self, Self::WrongCredentials | Self::Unproven(_))
    }
}

/// What is the matter with an account or its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountTrouble {
    /// See [`SignInError::Disabled`].
    #[error("the account is disabled")]
    Disabled,
    /// See [`SignInError::Locked`].
    #[error("the account is locked")]
    Locked,
    /// See [`SignInError::Expired`].
    #[error("the account has expired")]
    Expired,
    /// See [`SignInError::PasswordExpired`].
    #[error("the password has expired")]
    PasswordExpired,
    /// See [`SignInError::PasswordMustChange`].
    #[error("the password must be changed")]
    PasswordMustChange,
}

impl AccountTrouble {
    /// What stands against somebody whose password is right.
    #[must_use]
    pub const fn proven(self) -> SignInError {
        match self {
            Self::Disabled => SignInError::Disabled,
            Self::Locked => SignInError::Locked,
            Self::Expired => SignInError::Expired,
            Self::PasswordExpired => SignInError::PasswordExpired,
            Self::PasswordMustChange => SignInError::PasswordMustChange,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Locked => "locked",
            Self::Expired => "expired",
            Self::PasswordExpired => "password-expired",
            Self::PasswordMustChange => "password-must-change",
        }
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
    /// A directory says nowhere what it is.
    #[error("directory `{directory}` names no kind")]
    NoKind {
        /// Its name in the configuration.
        directory: String,
    },
    /// A directory is asked over a network, and there is none here.
    #[error("directory `{directory}` is asked over a network")]
    NoNetwork {
        /// Its name in the configuration.
        directory: String,
    },
    /// A file that an LDAP directory needs cannot be read or used.
    #[error("directory `{directory}`: {detail}")]
    Ldap {
        /// Its name in the configuration.
        directory: String,
        /// What is wrong.
        detail: String,
    },
    /// A rule for tenants or roles cannot be read.
    #[error("{key} {detail}")]
    Rule {
        /// Its key in the configuration.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The keys of an issuer of tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] super::tokens::PrepareError),
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
