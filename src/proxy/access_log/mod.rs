//! One line of JSON for each request, written when its last byte has gone or its tunnel has ended.
//!
//! A line never holds a query, a cookie, a token or a form. docs/access-log.md tells every field.
//! Lines go through a bounded buffer to a thread of their own, so that a slow reader of our output
//! never holds up a request; what does not fit is dropped, and a warning counts it.

mod record;
mod writer;

pub use record::{Counters, Record, RequestId, RequestIds, TunnelSummary};
pub use writer::AccessLog;
