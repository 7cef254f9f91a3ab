//! Rules by which a person gets a tenant and roles. The same keys stand in `identity` and in everything that vouches
//! for people.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One way to somebody's tenant: exactly one of `group`, `dn`, `attribute`, `claim` and `fixed`.
///
/// A pattern is a regular expression that the whole text must match. The part named `(?<tenant>…)` is the tenant;
/// without one, the whole text is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantRule {
    /// Pattern for the name of a group that they are in: `tenant-(?<tenant>[a-z0-9-]+)`.
    pub group: Option<String>,
    /// Pattern for their distinguished name in a directory, with attribute types in lower case and no blanks around
    /// separators: `uid=[^,]+,ou=(?<tenant>[a-z0-9-]+),ou=people,.*`.
    pub dn: Option<String>,
    /// Name of an attribute of their entry in a directory.
    #[schemars(length(min = 1, max = 200))]
    pub attribute: Option<String>,
    /// A claim of their token: its name, keys with dots between them (`organization.id`), or a list of keys.
    pub claim: Option<ClaimPath>,
    /// Pattern for the values of `attribute` or `claim`. Default: a whole value is the tenant.
    pub pattern: Option<String>,
    /// This tenant, whoever they are.
    #[schemars(with = "Option<String>", extend("format" = "tenant-id"))]
    pub fixed: Option<String>,
}

/// One way to a role: exactly one of `group`, `attribute` and `claim`.
///
/// A pattern is a regular expression that the whole text must match. If it has a part named `(?<tenant>…)`, the role
/// goes only to somebody of that tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleRule {
    /// The role that somebody has to whom the rule applies.
    pub role: GrantedRole,
    /// Pattern for the name of a group that they are in.
    #[serde(default)]
    pub group: Option<String>,
    /// Name of an attribute of their entry in a directory.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    pub attribute: Option<String>,
    /// A claim of their token: its name, keys with dots between them (`realm_access.roles`), or a list of keys.
    #[serde(default)]
    pub claim: Option<ClaimPath>,
    /// The value that `attribute` or `claim` has, or has among others; `{tenant}` stands for their tenant.
    #[serde(default)]
    pub value: Option<String>,
    /// Pattern for the values of `attribute` or `claim`, instead of `value`.
    #[serde(default)]
    pub pattern: Option<String>,
}

/// A role that rules give; everybody is a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantedRole {
    /// Runs the gateway.
    Operator,
    /// Sees and stops the workspaces of their own tenant.
    TenantAdmin,
}

/// Where a claim stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClaimPath {
    /// The name of a claim if there is one of that name, and otherwise keys with dots between them.
    Dotted(String),
    /// One key a level.
    Keys(Vec<String>),
}

impl JsonSchema for ClaimPath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "minLength": 1,
            "maxLength": 500,
            "minItems": 1,
            "maxItems": 16,
            "items": { "type": "string", "minLength": 1, "maxLength": 200 },
        })
    }
}

/// What a source of people says about them, by which rules can tell their tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// The tenant itself; rules are not asked.
    Tenant,
    /// Groups, a distinguished name and attributes: a directory.
    Entry,
    /// Groups and claims: an issuer of tokens, an identity provider.
    Claims,
}

/// Something that vouches for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Source<'a> {
    /// Its name, as people have it in `Person::source`.
    pub name: &'a str,
    /// The list of the configuration that it stands in, such as `identity.directories`.
    pub list: &'static str,
    /// Its place in that list, from 0.
    pub at: usize,
    /// What it says.
    pub says: Says,
    /// Rules of its own; they replace those of `identity.tenant`.
    pub tenant: Option<&'a [TenantRule]>,
}

impl Source<'_> {
    /// Where it stands in the configuration: `identity.directories[0]`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}[{}]", self.list, self.at)
    }
}
