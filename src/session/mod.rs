//! Browser logins: the cookie, the sessions behind it, their way to other hosts and end everywhere, and the brake on guessing passwords.
//!
//! Promises: a cookie that we did not sign is never believed; a session that has ended never comes back, not after
//! a restart either; whoever holds a [`Session`] learns of its end within two seconds of the cause; a broken state
//! folder costs memory of ended sessions at most, never the process.
//! Leaves to others: who somebody is (`identity`), what they may do (`proxy::decision`), and pages (`portal`).

mod audited;
mod authentication;
mod claims;
mod cookie;
mod ended;
mod journal;
mod keys;
mod login_tokens;
mod private_file;
mod refresh;
pub mod return_to;
mod revoke;
mod seen;
mod sessions;
mod settings;
mod state;
mod store;
mod throttle;
mod tickets;
mod upkeep;

use std::net::IpAddr;
use std::sync::Arc;

use crate::identity::tokens::Bearer;

pub use authentication::Authentication;
pub use claims::{Claims, SessionId};
pub use cookie::COOKIE_NAME;
pub use keys::KeyError;
pub use login_tokens::{LOGIN_COOKIE_NAME, LoginTokens};
pub use refresh::Refreshed;
pub use revoke::{RevokeError, Whom, revoke};
pub use sessions::{OpenError, Prepared, Sessions};
pub use state::{EndReason, Session};
pub use throttle::{LoginThrottle, RetryAfter};
pub use tickets::{Binding, BindingDigest, ENTER_COOKIE_NAME, TicketRefused};

/// Who sent a request, and from where. In the extensions of every request that goes to the portal.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Their session, if they are signed in.
    pub session: Option<Arc<Session>>,
    /// The token that vouches for them.
    pub bearer: Option<Arc<Bearer>>,
    /// The client's address.
    pub address: IpAddr,
    /// The id of the request, as in the access log.
    pub request_id: String,
}
