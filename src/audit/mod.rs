//! The audit log: one line of JSON for each sign-in, refusal, end of a session, administrator's action and change of
//! rights. docs/audit.md tells every action and field.
//!
//! Promises: recording never blocks and never fails; a line never holds a password, a cookie, a token or a code; text
//! from outside is bounded and cannot break a line; strangers cannot flood it ([`Audit::record_limited`]); a user
//! name that was typed in is written only once it is known to be one ([`Audit::attempt`]).
//! Leaves to others: noticing what happens.

mod action;
mod attempts;
mod event;
mod handle;
mod limits;

pub use action::{Action, By};
pub use attempts::Attempt;
pub use event::Event;
pub use handle::{Audit, Output};
