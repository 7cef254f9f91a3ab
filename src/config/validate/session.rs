//! `session`: keys and lifetimes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::files::{is_world_readable, read};
use super::{Checks, Draft, KeyPath, quoted};
use crate::config::SessionKey;
use crate::config::paths::absolute;

/// Longest time between two readings of a user.
const LONGEST_REFRESH: Duration = Duration::from_secs(86_400);
/// Shortest key: as long as the output of SHA-256, which signs with it.
const SHORTEST_KEY: usize = 32;
/// Largest key file; nobody needs more.
const LARGEST_KEY: u64 = 4096;
/// 32 random bytes have fewer different values than this once in 10^44 draws.
const FEWEST_DIFFERENT_BYTES: usize = 8;

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    let Some(session) = &draft.session else { return };
    if session.idle > session.lifetime {
        checks.error(&KeyPath::of("session.idle"), "must not be longer than session.lifetime");
    }
    if session.refresh.0 > LONGEST_REFRESH {
        checks.error(&KeyPath::of("session.refresh"), "must not be longer than 24h");
    }
    distinct_ids(&session.keys, checks);
    times_to_sign(&session.keys, checks);
    strong_keys(&session.keys, checks);
}

fn times_to_sign(keys: &[SessionKey], checks: &mut Checks<'_>) {
    for (at, _) in keys.iter().enumerate().filter(|(_, key)| key.signs_from().is_none()) {
        checks.error(&path_of(at).key("sign_from"), "must be a time in UTC, as in 2026-03-02T10:30:00Z");
    }
    if !keys.is_empty() && keys.iter().all(|key| key.sign_from.is_some()) {
        let message = "one key must be without sign_from, so that there is always one that signs";
        checks.error(&KeyPath::of("session.keys"), message);
    }
}

fn distinct_ids(keys: &[SessionKey], checks: &mut Checks<'_>) {
    let mut seen = BTreeMap::new();
    for (at, key) in keys.iter().enumerate() {
        if let Some(first) = seen.insert(key.id.as_str(), at) {
            seen.insert(&key.id, first);
            let message = format!("{} is the id of session.keys[{first}] already", quoted(&key.id));
            checks.error(&path_of(at).key("id"), message);
        }
    }
}

fn strong_keys(keys: &[SessionKey], checks: &mut Checks<'_>) {
    let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for (at, key) in keys.iter().enumerate() {
        let path = path_of(at).key("file");
        let Some(bytes) = read(&path, &key.file, LARGEST_KEY, checks) else { continue };
        if is_world_readable(&absolute(checks.folder, &key.file)) {
            checks.error(&path, "can be read by everybody on this machine; take the permission away (chmod o-r)");
        }
        if let Some(weakness) = weakness(&bytes) {
            checks.error(&path, weakness);
        } else if let Some(first) = seen.get(&bytes) {
            checks.error(&path, format!("holds the same key as session.keys[{first}].file"));
        }
        seen.entry(bytes).or_insert(at);
    }
}

fn weakness(key: &[u8]) -> Option<&'static str> {
    let mut different = [false; 256];
    key.iter().for_each(|byte| different[usize::from(*byte)] = true);
    if key.len() < SHORTEST_KEY {
        return Some("is too short; a key has at least 32 random bytes (usher session-key makes one)");
    }
    let few = different.iter().filter(|seen| **seen).count() < FEWEST_DIFFERENT_BYTES;
    few.then_some("is weak: its bytes are not random (usher session-key makes a good one)")
}

fn path_of(at: usize) -> KeyPath {
    KeyPath::of("session.keys").index(at)
}
