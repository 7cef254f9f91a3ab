//! What a session cookie turned out to be.

use std::sync::Arc;

use super::{Claims, Session};

/// What a session cookie turned out to be.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Somebody is signed in.
    Valid {
        /// Their session.
        session: Arc<Session>,
        /// A whole `Set-Cookie` value to add to the answer, if it is time for a new cookie.
        renew: Option<String>,
    },
    /// The cookie is genuine, and this process does not know its session: `Sessions::revive` finds its user.
    Revivable(Claims),
    /// The cookie is worth nothing; why, for the log.
    Invalid(&'static str),
    /// The cookie is genuine, and the directory cannot say whether its user is still there: answer 503 and do not
    /// take the cookie away. Only `Sessions::revive` gives this.
    Unknown,
}
