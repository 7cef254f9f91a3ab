//! Browser logins: cookie, store, revocation, login throttle.
