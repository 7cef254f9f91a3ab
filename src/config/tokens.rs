//! `identity.tokens`: issuers whose bearer tokens are taken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;
use super::rules::{ClaimPath, Says, Source, TenantRule};

/// An issuer whose JSON Web Tokens are taken as bearer tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenIssuer {
    /// Its name in logs, metrics and audit: 1 to 32 of `a-z 0-9 -`.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"), extend("patternErrorMessage" = super::NAME_RULE))]
    pub name: String,
    /// What `iss` says in its tokens, exactly.
    #[schemars(length(min = 1, max = 500))]
    pub issuer: String,
    /// What `aud` must be or hold: one of these.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 500)))]
    pub audience: Vec<String>,
    /// Where its keys are.
    pub keys: TokenKeys,
    /// How its tokens may be signed. Default: `[RS256, ES256, EdDSA]`, and `[HS256]` with a `secret_file`. A key is used
    /// only with those of them that are for its type and, where a key set names one for it, with that one.
    #[serde(default)]
    #[schemars(length(min = 1, max = 12))]
    pub algorithms: Option<Vec<SignatureAlgorithm>>,
    /// Parties that its tokens may have been issued to: `azp`, or `client_id` where that is missing. Default: any.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 500)))]
    pub authorized_parties: Vec<String>,
    /// What `typ` may say, without case and without `application/`. A token without it is a `JWT`.
    #[serde(default = "usual_types")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 100)))]
    pub types: Vec<String>,
    /// How far its clock may be from ours.
    #[serde(default = "usual_leeway")]
    pub leeway: Span,
    /// Longest time since `iat` for which a token is taken, whatever its `exp` says. Default: none.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// What its tokens say of whom.
    #[serde(default)]
    pub claims: TokenClaims,
    /// Name of a cookie that may hold a token instead of the `Authorization` header. Default: none. A page of another
    /// site that makes a browser send it is held off by the same checks as for the session cookie.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.-]{1,64}$"), extend("patternErrorMessage" = "must be 1 to 64 of A-Z a-z 0-9 _ . -"))]
    pub cookie: Option<String>,
    /// Whether a WebSocket may bring a token as the sub-protocol after `access_token`, as pages have to that cannot set
    /// headers: `Sec-WebSocket-Protocol: access_token, TOKEN`. Neither goes on to the workspace.
    #[serde(default)]
    pub websocket_protocol: bool,
    /// Rules for the tenant of its people, instead of those of `identity.tenant`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 32))]
    pub tenant: Option<Vec<TenantRule>>,
}

/// Where an issuer's keys are: exactly one of `discovery`, `url`, `set`, `set_file`, `public_key_file` and `secret_file`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenKeys {
    /// `true`: the issuer says where they are, at `/.well-known/openid-configuration` below its address.
    pub discovery: bool,
    /// Address of a JSON Web Key Set.
    #[schemars(length(min = 1, max = 2000))]
    pub url: Option<String>,
    /// A JSON Web Key Set itself, as JSON in a string.
    #[schemars(length(min = 1, max = 65536))]
    pub set: Option<String>,
    /// File with a JSON Web Key Set.
    pub set_file: Option<String>,
    /// PEM file with one public key.
    pub public_key_file: Option<String>,
    /// File with a secret of at least 32 bytes that the issuer shares with us, for `HS256` and its like.
    pub secret_file: Option<String>,
    /// PEM file with the authorities that fetched keys are verified against. Default: the system's.
    pub ca_file: Option<String>,
    /// Keys are fetched by `http` too. For tests: whoever is between can put in keys of their own.
    pub plaintext: bool,
    /// Fetched keys are not fetched again sooner than this: not for a token that is signed with an unknown key, nor
    /// because their answer says so.
    pub least_age: Span,
    /// Fetched keys are fetched again after this at the latest. They are used beyond it while they cannot be had.
    pub most_age: Span,
}

impl Default for TokenKeys {
    fn default() -> Self {
        Self {
            discovery: false,
            url: None,
            set: None,
            set_file: None,
            public_key_file: None,
            secret_file: None,
            ca_file: None,
            plaintext: false,
            least_age: Span::secs(30),
            most_age: Span::minutes(60),
        }
    }
}

/// The one place that keys are at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace<'a> {
    /// Named by the issuer's discovery document.
    Discovery,
    /// A key set at an address.
    Url(&'a str),
    /// A key set in the configuration.
    Inline(&'a str),
    /// A key set in a file.
    SetFile(&'a str),
    /// One public key in a file.
    PublicKeyFile(&'a str),
    /// A shared secret in a file.
    SecretFile(&'a str),
}

impl TokenKeys {
    /// The keys of which there is exactly one.
    pub(super) const PLACE_KEYS: &'static [&'static str] =
        &["discovery", "url", "set", "set_file", "public_key_file", "secret_file"];

    /// Where keys are said to be: exactly one place once it is checked.
    pub(super) fn places(&self) -> impl Iterator<Item = KeyPlace<'_>> {
        [
            self.discovery.then_some(KeyPlace::Discovery),
            self.url.as_deref().map(KeyPlace::Url),
            self.set.as_deref().map(KeyPlace::Inline),
            self.set_file.as_deref().map(KeyPlace::SetFile),
            self.public_key_file.as_deref().map(KeyPlace::PublicKeyFile),
            self.secret_file.as_deref().map(KeyPlace::SecretFile),
        ]
        .into_iter()
        .flatten()
    }

    /// Where they are; `None` only in a configuration that was not checked.
    #[must_use]
    pub fn place(&self) -> Option<KeyPlace<'_>> {
        self.places().next()
    }
}

/// What an issuer's tokens say of whom. Each is a claim's name, keys with dots between them, or a list of keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenClaims {
    /// The user's name.
    pub user: ClaimPath,
    /// What to call them.
    pub display_name: ClaimPath,
    /// Their groups, from all of these together.
    #[schemars(length(max = 8))]
    pub groups: Vec<ClaimPath>,
}

impl Default for TokenClaims {
    fn default() -> Self {
        let claim = |name: &str| ClaimPath::Dotted(name.to_owned());
        Self { user: claim("sub"), display_name: claim("name"), groups: vec![claim("groups")] }
    }
}

/// How a token is signed (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "their names are the standard's")]
pub enum SignatureAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl SignatureAlgorithm {
    /// Whether both sides share one secret.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

impl TokenIssuer {
    /// How its tokens may be signed.
    #[must_use]
    pub fn allowed(&self) -> Vec<SignatureAlgorithm> {
        use SignatureAlgorithm::{ES256, EdDSA, HS256, RS256};
        match &self.algorithms {
            Some(algorithms) => algorithms.clone(),
            None if self.keys.secret_file.is_some() => vec![HS256],
            None => vec![RS256, ES256, EdDSA],
        }
    }

    pub(super) fn source(&self, at: usize) -> Source<'_> {
        let tenant = self.tenant.as_deref();
        Source { name: &self.name, list: "identity.tokens", at, says: Says::Claims, tenant }
    }
}

fn usual_types() -> Vec<String> {
    vec!["JWT".to_owned(), "at+jwt".to_owned()]
}

fn usual_leeway() -> Span {
    Span::secs(30)
}
