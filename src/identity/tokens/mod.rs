//! Bearer tokens: JSON Web Tokens of configured issuers, and whom they vouch for.
//!
//! Promises: a token is believed only if it has one reading, is signed with a key of its issuer by an algorithm that
//! the configuration allows that key, is for us, and holds now; what a token says of itself chooses neither key type
//! nor algorithm. Verified tokens are remembered, within bounds, until they expire or their user is no longer
//! admitted; refused ones are not, so that strangers push nothing out. Keys are fetched by [`Bearers::keep_keys`] alone.
//! Leaves to others where a token stands in a request (`proxy`), and what its user may do.

mod bearers;
mod compact;
mod issuer;
mod json;
mod keys;
mod refused;
mod source;

pub use bearers::{Bearer, Bearers};
pub(super) use bearers::{Issuers, PrepareError};
pub use compact::Compact;
pub use keys::{KeySet, KeysRefused, MOST_KEYS};
pub use refused::TokenRefused;
pub use source::{Ages, KeySource, KeysError, Origin, discovery};
