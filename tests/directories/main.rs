//! Directories: a real slapd and a real Samba domain controller, and a gateway whose people come from them.
//!
//! Every server is started by its test, on free ports or in a network namespace of its own, and ended by it. Where the
//! programs are missing, a test says so and passes, except in CI, where it fails.

#![expect(clippy::unwrap_used, reason = "a test's clients may panic")]

mod active_directory;
mod beds;
mod faults;
mod grounds;
mod ldap;
mod refresh;
mod rights;
mod sign_in;
mod storm;
#[expect(dead_code, unused_imports, reason = "tests/life uses all of it")]
#[path = "../life/support/mod.rs"]
mod support;
