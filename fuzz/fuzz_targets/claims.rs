//! Whatever a token claims and whatever a directory calls somebody, their tenant is a valid one or they are refused,
//! and the form of a distinguished name that patterns see has separators only where the name has.
//!
//! Input: a line that is a distinguished name, and JSON that is claims, or attributes.

#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use usher::config::Config;
use usher::identity::person::{Person, group_set};
use usher::identity::rules::Rules;
use usher::identity::{SignInError, dn};
use usher::model::{GroupName, TenantId, UserId};

fn rules() -> Rules {
    let config: Config = serde_json::from_value(json!({
        "public_url": "https://usher.example",
        "listen": { "public": { "address": "127.0.0.1:0", "tls": { "certificate": "c", "key": "k" } } },
        "session": { "keys": [ { "id": "k1", "file": "k1" } ] },
        "identity": {
            "directories": [ { "name": "directory", "tenant": [
                { "group": "t-(?<tenant>.*)" },
                { "dn": "(?:[^,]+,)?ou=(?<tenant>[^,]+),dc=x" },
                { "attribute": "o", "pattern": "(?i)(?<tenant>[a-z]*).*" },
            ] } ],
            "tenant": [ { "claim": "a.t" }, { "claim": ["a", "b"], "pattern": "/(?<tenant>.*)" }, { "claim": "t" } ],
            "roles": [
                { "role": "operator", "claim": "r", "value": "{tenant}" },
                { "role": "tenant-admin", "attribute": "r", "pattern": "(?<tenant>.*)-admins" },
            ],
        },
    }))
    .expect("a configuration");
    Rules::new(&config).expect("rules")
}

/// Groups that the claims list, as whoever reads claims takes them.
fn groups(claims: &Map<String, Value>) -> Arc<[GroupName]> {
    let listed = claims.get("groups").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    group_set(listed.filter_map(|name| GroupName::new(name).ok()).collect())
}

/// The number of parts that a distinguished name has is told by its separators alone.
fn check_name(text: &str) {
    let Ok(name) = dn::Dn::parse(text) else { return };
    let form = name.normalised();
    assert_eq!(dn::normalised(&form).as_deref(), Ok(form.as_str()), "{text:?}");
    for part in form.split([',', '+']).filter(|part| !part.is_empty()) {
        let alone = dn::normalised(part).expect("a part is a name");
        assert_eq!(alone, part, "{text:?}");
        assert_eq!(part.matches('=').count(), 1, "{text:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    static RULES: OnceLock<Rules> = OnceLock::new();
    let rules = RULES.get_or_init(rules);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (name, json) = text.split_once('\n').unwrap_or((text, "{}"));
    check_name(name);
    let Ok(Value::Object(claims)) = serde_json::from_str(json) else { return };
    for source in ["directory", "issuer"] {
        let person = Person {
            groups: groups(&claims),
            dn: Some(Arc::from(name)),
            claims: Arc::new(claims.clone()),
            ..Person::new(UserId::new("somebody").expect("a user"), Arc::from(source))
        };
        match rules.principal(person) {
            Ok(principal) => assert!(TenantId::new(principal.tenant.as_str()).is_ok(), "{text:?}"),
            Err(refusal) => assert!(SignInError::from(refusal).label().ends_with("-tenant"), "{text:?}"),
        }
    }
});
