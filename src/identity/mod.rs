//! Who somebody is: a [`Person`] out of a directory in, a [`Principal`](crate::model::Principal) out.
//!
//! Promises: an unknown user and a wrong password get the same answer after the same work; a password is wiped
//! when it is no longer needed and never shown; what is said about an account (disabled, tenant refused) is said
//! only to somebody who knew its password. Tenants and roles come from the configuration, whatever the directory.
//! Leaves to others: how often somebody may try (`session::LoginThrottle`), and how long they stay signed in.

pub mod dn;
mod error;
mod hash;
mod identities;
mod ldap;
mod means;
mod password;
pub mod person;
mod policy;
mod queue;
pub mod rules;
pub mod tokens;
mod users_file;
mod verifier;

use async_trait::async_trait;

pub use error::{AccountTrouble, BuildError, LookUpError, SignInError};
pub use hash::{HashRefused, hash_password};
pub use identities::{Identity, NotSignedIn, Prepared, sign_in_labels};
pub use means::Means;
pub use password::{Password, PasswordRefused};
pub use person::Person;

use crate::model::UserId;

/// Something that knows people and their passwords.
///
/// It says who somebody is, and nothing about what they may do here: [`Identity`] finds their tenant and roles.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Checks a password. An unknown user costs as much as a wrong password.
    ///
    /// # Errors
    /// Returns [`SignInError::WrongCredentials`] for an unknown user or a wrong password, and what is wrong with
    /// the account or the directory otherwise; [`SignInError::Unproven`] where the directory tells of the account
    /// although the password was not shown to be right. Waits at most as long as the directory's own limit.
    async fn verify(&self, user: &str, password: &Password) -> Result<Person, SignInError>;

    /// Reads somebody again without a password. `None`: not there, or disabled.
    ///
    /// # Errors
    /// Returns an error if the directory cannot tell.
    async fn look_up(&self, user: &UserId) -> Result<Option<Person>, LookUpError>;
}
