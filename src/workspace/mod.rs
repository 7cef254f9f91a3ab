//! The life of workspaces: phases, supervisors, activity, autostop.
//!
//! [`Workspaces`] is the handle that everybody else holds. One supervisor task owns each workspace that is not
//! stopped; its [`Tracked`] is what the request path reads without a lock. The rules are pure: [`phase::step`] says
//! what an event does, [`autostop::due`] says when a workspace has to go. What runs workspaces is `runtime`'s.

mod activity;
pub mod autostop;
mod brake;
pub mod classify;
mod memory;
pub mod phase;
mod quota;
mod refused;
mod settings;
mod shared;
mod start_times;
mod supervisor;
mod tracked;
mod view;
mod workspaces;

#[cfg(test)]
mod tests;

pub use activity::{Activity, TunnelGuard};
pub use refused::{HoldRefused, QuotaScope, StartRefused};
pub use tracked::Tracked;
pub use view::View;
pub use workspaces::Workspaces;
