//! The life of a gateway: sign-in, workspaces that start and stop, reload, shutdown, hand-over, metrics and log.
//!
//! Every test drives the real gateway over real TLS: in this process where that shows everything, as a process of its
//! own where signals, a sudden end or the log matter. Workspaces are real child processes: `usher sample-workspace`.

#![expect(clippy::unwrap_used, reason = "a test's clients may panic")]

mod access_log;
mod audit;
mod autostop;
mod commands;
mod handover;
mod metrics;
mod reload;
mod rights;
mod shutdown;
mod sign_in;
mod start;
mod support;
