//! `identity`: who may sign in, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Who may sign in, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Password directories, asked in this order.
    #[schemars(length(min = 1, max = 8))]
    pub directories: Vec<Directory>,
    /// Limits on failed sign-ins.
    #[serde(default)]
    pub throttle: LoginThrottle,
    /// Groups whose members operate the gateway (role `operator`), each as `NAME` or `group:NAME`.
    #[serde(default)]
    #[schemars(extend("items" = { "type": "string", "format": "group-name" }))]
    pub operators: Vec<String>,
}

/// One password directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Its name in logs, metrics and audit: 1 to 32 of `a-z 0-9 -`.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"), extend("patternErrorMessage" = super::NAME_RULE))]
    pub name: String,
    /// Users from a file beside this one, for one machine or a handful of people.
    pub users_file: UsersFile,
}

/// Users from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsersFile {
    /// YAML file with a list `users`, each with `name`, `tenant`, `password` (argon2id, made by
    /// `usher hash-password`), and optionally `display_name`, `groups` and `disabled`.
    pub path: String,
}

/// Limits on failed sign-ins, so that passwords cannot be guessed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoginThrottle {
    /// Failed sign-ins for one user name from one client address (IPv6: one /64) before the next has to wait; one
    /// more is allowed each `window / per_user`. From all addresses together it may have 20 times as many.
    #[schemars(range(min = 1, max = 10000))]
    pub per_user: u32,
    /// Failed sign-ins from one client address (IPv6: one /64) before the next has to wait.
    #[schemars(range(min = 1, max = 100000))]
    pub per_address: u32,
    /// Time after which either is forgotten.
    pub window: Span,
}

impl Default for LoginThrottle {
    fn default() -> Self {
        Self { per_user: 10, per_address: 100, window: Span::minutes(10) }
    }
}
