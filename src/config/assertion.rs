//! `assertion`: signed statements to workspaces and upstreams of who sent a request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Signed statements of who sent a request, for routes with `assertion: true`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Assertion {
    /// Keys for the assertion. The first one signs, all of them are published at `/.usher/jwks.json`. To rotate: add
    /// the new key at the end, put it first when everybody who verifies has fetched the keys again (ten minutes), and
    /// take the old one out a few minutes later.
    #[schemars(length(max = 8))]
    pub keys: Vec<AssertionKey>,
}

/// One key for assertions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssertionKey {
    /// The key's id (`kid`): 1 to 16 of `a-z 0-9 -`. A new key has a new one.
    #[schemars(
        regex(pattern = r"^[a-z0-9-]{1,16}$"),
        extend("patternErrorMessage" = "must be 1 to 16 of a-z, 0-9 and -")
    )]
    pub id: String,
    /// File with a private key in PEM form (PKCS#8): on the curve P-256, which signs with ES256, or Ed25519, which
    /// signs with EdDSA. `usher assertion-key` makes one.
    pub file: String,
}
