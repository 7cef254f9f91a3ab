//! The gateway as its users and its upstreams see it: real TLS in front, raw sockets behind.

#![expect(clippy::unwrap_used, reason = "a test's clients may panic")]

mod admission;
mod answers;
mod assertion;
mod deadlines;
mod pages;
mod streaming;
mod support;
mod tokens;
mod tunnels;
