//! What the tests stand on: servers, their people, and a relay that can fail.

mod authority;
mod client;
mod door;
mod needs;
mod relay;
mod samba;
mod slapd;
mod town;

pub(crate) use authority::Authority;
pub(crate) use client::connect;
pub(crate) use door::{DIRECTORY, PASSWORD_FILE, at_work, attempt, counted, holds, me, opened, read_again, site_of};
pub(crate) use relay::{Fault, Relay, Target};
pub(crate) use samba::{ADMINISTRATOR, ADMINISTRATOR_PASSWORD, DOMAIN, Samba, ad_dn_of};
pub(crate) use slapd::{ADMIN_PASSWORD, BASE, Slapd};
pub(crate) use town::{Town, dn_of};
