//! The edge over real sockets and real TLS, with a small service behind it.

#![expect(clippy::unwrap_used, reason = "a test's clients may panic")]

mod deadlines;
mod drain;
mod http;
mod processes;
mod support;
mod tls;
