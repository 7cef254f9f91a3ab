//! People from an LDAP server or Active Directory.
//!
//! Promises: a password leaves only over TLS, unless the configuration says otherwise in as many words, on a connection
//! of its own that is used for nothing else afterwards; only result code 0 is success; exactly one entry is taken for
//! a person; referrals are not followed; what somebody types stays within its place in filters and names; every wait
//! has a limit; no answer of a server, however malformed, does more than fail the request it answers. All work is done
//! on the control runtime.
//! Leaves to others: tenants and roles (`rules`), how often somebody is read again (`session`).

mod account;
mod ber;
mod connection;
mod directory;
mod entry;
mod fault;
mod groups;
mod outcome;
mod people;
mod servers;
mod settings;
mod shared;
mod wire;

pub(super) use directory::LdapDirectory;
