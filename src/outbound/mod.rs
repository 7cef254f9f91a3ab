//! Calls that the gateway itself makes to other services: whom it trusts, and a small HTTP client.
//!
//! Promises: every call has a deadline and every answer a largest size; certificates are always verified, and there is
//! no switch to turn that off; redirects are not followed. Leaves to others what is asked, and what an answer means.

mod client;
mod trust;

pub use client::{Answer, FetchError, HttpClient, Limits};
pub use trust::{Trust, TrustError};
