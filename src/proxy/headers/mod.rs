//! What becomes of headers on the way up and on the way down. Pure.
//!
//! Up: what describes the client's connection goes, what only we may say goes and is said anew, our own cookie
//! goes, and the identity is set last. Down: the head is checked against HTTP's framing rules, what describes the
//! upstream's connection goes, and what would reach beyond the route — cookies, redirects, headers that hold for
//! a whole host — is confined to it.

pub mod cookies;
mod forwarded;
pub(crate) mod names;
mod request;
mod response;
mod set_cookie;
pub mod tokens;

pub use names::{ASSERTION, GROUPS, GROUPS_TRUNCATED, TENANT, USER};
pub use request::{Upward, prepare_request};
pub use response::{BadAnswer, Downward, check_answer, confine_answer};
