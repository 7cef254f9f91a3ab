//! `identity.tokens`: each issuer has keys of one kind that its algorithms are for, and a name and an `iss` of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use zeroize::Zeroizing;

use super::files::{self, is_world_readable};
use super::{Checks, KeyPath, quoted};
use crate::config::{Identity, KeyPlace, TokenIssuer, TokenKeys};

/// Least time between two fetches.
const SHORTEST_AGE: Duration = Duration::from_secs(1);
/// Most that clocks may differ by.
const LONGEST_LEEWAY: Duration = Duration::from_secs(300);
const NOT_A_SET: &str = "must be a JSON Web Key Set: an object with a list `keys`";
/// Largest file with keys.
const LARGEST_FILE: u64 = 256 * 1024;
/// Fewest bytes of a secret (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;

pub(super) fn check(identity: &Identity, checks: &mut Checks<'_>) {
    let mut names: BTreeSet<&str> = identity.directories.iter().map(|directory| directory.name.as_str()).collect();
    let (mut issuers, mut cookies) = (BTreeSet::new(), BTreeSet::new());
    for (at, issuer) in identity.tokens.iter().enumerate() {
        let path = KeyPath::of("identity.tokens").index(at);
        if !names.insert(&issuer.name) {
            let message = format!("a directory or another issuer is named {} already", quoted(&issuer.name));
            checks.error(&path.key("name"), message);
        }
        if !issuers.insert(&issuer.issuer) {
            checks.error(&path.key("issuer"), "stands above already; one entry holds for all tokens of an issuer");
        }
        check_cookie(&path.key("cookie"), issuer.cookie.as_deref(), &mut cookies, checks);
        if issuer.leeway.0 > LONGEST_LEEWAY {
            checks.error(&path.key("leeway"), "must be at most 5m: a token holds that much longer than it says");
        }
        check_types(&path.key("types"), issuer, checks);
        check_place(&path.key("keys"), &issuer.keys, checks);
        check_keys(&path, issuer, checks);
    }
}

fn check_cookie<'a>(path: &KeyPath, cookie: Option<&'a str>, taken: &mut BTreeSet<&'a str>, checks: &mut Checks<'_>) {
    let Some(cookie) = cookie else { return };
    if !taken.insert(cookie) {
        checks.error(path, "is another issuer's already");
    }
    if cookie.to_ascii_lowercase().starts_with("__host-usher") {
        checks.error(path, "is a name of the gateway's own cookies");
    }
}

fn check_types(path: &KeyPath, issuer: &TokenIssuer, checks: &mut Checks<'_>) {
    for (at, kind) in issuer.types.iter().enumerate() {
        let lower = kind.to_ascii_lowercase();
        if lower.contains("logout") {
            checks.error(&path.index(at), "is the type of messages about the end of sessions, which vouch for nobody");
        } else if lower.contains('/') {
            checks.error(&path.index(at), "must be written without application/");
        }
    }
}

fn check_place(path: &KeyPath, keys: &TokenKeys, checks: &mut Checks<'_>) {
    let stated: Vec<&str> =
        TokenKeys::PLACE_KEYS.iter().copied().filter(|key| checks.source.has(&path.key(key))).collect();
    match stated.as_slice() {
        [] => checks.error(path, format!("needs one of: {}", TokenKeys::PLACE_KEYS.join(", "))),
        [first, second, ..] => {
            checks.error_at_key(&path.key(second), format!("stands beside {first}; keys are at one place"));
        }
        ["discovery"] if !keys.discovery => checks.error(&path.key("discovery"), "must be true, or be left out"),
        _ => {}
    }
    if keys.least_age.0 < SHORTEST_AGE {
        checks.error(&path.key("least_age"), "must be at least 1s: strangers decide how often keys are asked for");
    }
    if keys.least_age.0 > keys.most_age.0 {
        checks.error(&path.key("least_age"), "is longer than most_age");
    }
}

fn check_keys(path: &KeyPath, issuer: &TokenIssuer, checks: &mut Checks<'_>) {
    let keys = path.key("keys");
    let symmetric = issuer.keys.secret_file.is_some();
    for (at, algorithm) in issuer.algorithms.iter().flatten().enumerate() {
        if algorithm.is_symmetric() != symmetric {
            let message = if symmetric { "needs public keys, not a secret_file" } else { "needs a secret_file" };
            checks.error(&path.key("algorithms").index(at), message);
        }
    }
    match issuer.keys.place() {
        Some(KeyPlace::Url(address)) => check_address(&keys.key("url"), address, issuer.keys.plaintext, checks),
        Some(KeyPlace::Discovery) => {
            check_address(&path.key("issuer"), &issuer.issuer, issuer.keys.plaintext, checks);
        }
        Some(KeyPlace::SetFile(file)) => {
            let path = keys.key("set_file");
            if files::read(&path, file, LARGEST_FILE, checks).is_some_and(|text| !is_key_set(&text)) {
                checks.error(&path, NOT_A_SET);
            }
        }
        Some(KeyPlace::PublicKeyFile(file)) => {
            let path = keys.key("public_key_file");
            let text = files::read(&path, file, LARGEST_FILE, checks);
            if text.is_some_and(|text| memchr::memmem::find(&text, b"PUBLIC KEY-----").is_none()) {
                checks.error(&path, "must hold a public key in PEM form");
            }
        }
        Some(KeyPlace::SecretFile(file)) => {
            let path = keys.key("secret_file");
            let length = files::read(&path, file, LARGEST_FILE, checks).map(|secret| Zeroizing::new(secret).len());
            if length.is_some_and(|length| length < SHORTEST_SECRET) {
                checks.error(&path, format!("must have at least {SHORTEST_SECRET} bytes"));
            }
            if files::name(&path, file, checks).is_some_and(|file| is_world_readable(&file)) {
                checks.warning(&path, "can be read by everybody on this machine; take the permission away (chmod o-r)");
            }
        }
        Some(KeyPlace::Inline(text)) if !is_key_set(text.as_bytes()) => checks.error(&keys.key("set"), NOT_A_SET),
        Some(KeyPlace::Inline(_)) | None => {}
    }
    if let Some(file) = &issuer.keys.ca_file {
        files::authorities(&keys.key("ca_file"), file, checks);
    }
    if issuer.keys.plaintext {
        checks.warning(&keys.key("plaintext"), "keys are fetched without TLS; whoever is between can sign tokens");
    }
}

/// Keys that nobody vouches for are worth nothing.
fn check_address(path: &KeyPath, address: &str, plaintext: bool, checks: &mut Checks<'_>) {
    let parsed = address.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    match parsed.as_ref().and_then(http::Uri::scheme_str) {
        Some("https") => {}
        Some("http") if plaintext => {}
        Some("http") => checks.error(path, "must be https for keys to be fetched; plaintext: true allows http"),
        _ => checks.error(path, "must be an https address for keys to be fetched"),
    }
}

/// A set with a list of keys; which of them can be used shows when they are.
fn is_key_set(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(text).is_ok_and(|set| set["keys"].is_array())
}
