//! The committed sample, schema and reference page say what the code does.

use serde_json::Value;

use super::{Folder, SMALLEST, repository};

use crate::config::document::Document;
use crate::config::{Config, load, reference, restart_needed, schema};

fn sample() -> String {
    std::fs::read_to_string(repository().join("config/usher.yaml")).unwrap()
}

/// Puts a configuration where the sample stands beside the folder of certificates, and loads it.
fn load_as_sample(folder: &Folder, yaml: &str) -> crate::config::Loaded {
    folder.write("config/certs/id-ca.crt", &std::fs::read(folder.path("certs/tls.crt")).unwrap());
    folder.write("config/secrets/keys.json", b"{\"keys\":[]}");
    folder.write("config/secrets/key.pem", b"-----BEGIN PUBLIC KEY-----\n");
    folder.write("secrets/token-secret", b"a secret of at least 32 bytes, really");
    for name in ["session-k1", "session-k2", "users.yaml", "token-secret", "ldap-password"] {
        let content = std::fs::read(folder.path("secrets").join(name)).unwrap();
        folder.write(&format!("config/secrets/{name}"), &content);
    }
    folder.write("config/secrets/assertion-a1.pem", &std::fs::read(folder.path("certs/tls.key")).unwrap());
    let path = folder.write("config/usher.yaml", yaml.as_bytes());
    load(&path).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn the_sample_loads_without_a_warning_once_its_files_exist() {
    let loaded = load_as_sample(&Folder::new(), &sample());
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.read.files().count(), 5);
}

#[test]
fn paths_are_absolute_after_loading() {
    let folder = Folder::new();
    let loaded = folder.load(SMALLEST).unwrap();
    let expected = |name: &str| folder.path(name).to_string_lossy().into_owned();
    assert_eq!(loaded.config.listen.public.tls.key, expected("certs/tls.key"));
    assert_eq!(loaded.config.session.keys[0].file, expected("secrets/session-k1"));
    assert_eq!(loaded.config.state_dir, expected("state"));
    assert!(loaded.read.files().any(|file| file == folder.path("secrets/users.yaml")));
}

#[test]
fn only_keys_that_cannot_be_taken_over_need_a_restart() {
    let folder = Folder::new();
    let old = folder.load(SMALLEST).unwrap().config;
    let more = "log: { filter: debug }\nhttp: { idle_timeout: 5s }\nmetrics: { max_tenants: 7 }\nstate_dir: other\n";
    let new = folder.load(&format!("{SMALLEST}{more}")).unwrap().config;
    assert_eq!(restart_needed(&old, &new), ["state_dir", "metrics.max_tenants", "log"]);
    assert!(restart_needed(&old, &old).is_empty());
    let proxied = SMALLEST.replace("    tls:", "    proxy_protocol: { trusted: [ 10.0.0.0/8 ] }\n    tls:");
    let new = folder.load(&proxied).unwrap().config;
    assert_eq!(restart_needed(&old, &new), ["listen.public.proxy_protocol"]);
}

/// Holds a committed file against what the code makes now; `write` says how to make it anew.
fn assert_current(name: &str, made: &str, write: &str) {
    let committed = std::fs::read_to_string(repository().join(name)).unwrap_or_default();
    assert!(committed == made, "{name} is not current; run: {write} > {name}");
}

#[test]
fn the_committed_schema_is_current() {
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    assert_current("docs/usher.schema.json", &made, "usher schema");
}

#[test]
fn the_committed_reference_page_is_current() {
    assert_current("docs/config.md", &reference(), "usher schema --markdown");
}

/// The samples of YAML in a guide.
fn samples_of(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join(page)).unwrap();
    let blocks = text.split("```yaml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The smallest configuration with the keys of a sample put in; those in `identity` join its own.
fn with_sample(sample: &str) -> Value {
    let mut whole = Document::parse(SMALLEST).value;
    let Value::Object(sections) = Document::parse(sample).value else { panic!("not a mapping: {sample}") };
    for (name, section) in sections {
        match (name.as_str(), section) {
            ("identity", Value::Object(keys)) => whole["identity"].as_object_mut().unwrap().extend(keys),
            (_, section) => whole[name] = section,
        }
    }
    whole
}

#[test]
fn the_samples_of_the_guide_to_identity_fit_the_schema() {
    let (schema, samples) = (schema(), samples_of("docs/identity.md"));
    let validator = crate::config::schema::validator(&schema).unwrap();
    assert!(samples.len() > 5, "the samples were not found");
    for sample in samples {
        let misfits = crate::config::diagnose::misfits(&validator, &schema, &with_sample(&sample));
        assert_eq!(misfits, [], "{sample}");
    }
}

/// The sample with every key that is commented out put in: what follows `#` at once, or after more than one blank.
fn sample_with_every_key() -> String {
    let put_in = |line: &str| {
        let (before, after) = line.split_once('#')?;
        let is_key = !after.is_empty() && (!after.starts_with(' ') || after.starts_with("  "));
        (before.trim().is_empty() && is_key).then(|| format!("{before}{after}"))
    };
    sample().lines().map(|line| put_in(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// The configuration as its structs write it: spans in one spelling, defaults filled in.
fn spelt_out(yaml: &str) -> Value {
    let config: Config = serde_json::from_value(Document::parse(yaml).value).unwrap();
    serde_json::to_value(config).unwrap()
}

/// The values that the parts of a schema rule: its keys', its items', its named entries'.
fn below<'v>(schema: &'v Value, values: &[&'v Value]) -> Vec<(String, &'v Value, Vec<&'v Value>)> {
    let mut parts = Vec::new();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        parts.push((format!(".{key}"), property, values.iter().filter_map(|value| value.get(key)).collect()));
    }
    if schema["items"].is_object() {
        let items = values.iter().filter_map(|value| value.as_array()).flatten().collect();
        parts.push(("[]".to_owned(), &schema["items"], items));
    }
    if schema["additionalProperties"].is_object() {
        let entries =
            values.iter().filter_map(|value| value.as_object()).flat_map(|entries| entries.values()).collect();
        parts.push((".<name>".to_owned(), &schema["additionalProperties"], entries));
    }
    parts
}

fn missing_keys(schema: &Value, values: &[&Value], path: &str, missing: &mut Vec<String>) {
    for (step, part, found) in below(schema, values) {
        let path = format!("{path}{step}");
        match found.is_empty() {
            true => missing.push(path),
            false => missing_keys(part, &found, &path, missing),
        }
    }
}

/// The keys of `values` that differ from their default, if that is more than nothing.
fn set_keys(schema: &Value, values: &[&Value], path: &str, set: &mut Vec<String>) {
    for (step, part, found) in below(schema, values) {
        let path = format!("{path}{step}");
        let default = part.get("default").filter(|default| **default != serde_json::json!([]));
        let leaf = default.filter(|default| !default.is_object() || path == ".listen.admin");
        if leaf.is_some_and(|default| found.iter().any(|value| *value != default)) {
            set.push(path.clone());
        }
        set_keys(part, &found, &path, set);
    }
}

#[test]
fn every_key_of_the_schema_stands_in_the_sample() {
    let mut missing = Vec::new();
    missing_keys(&schema(), &[&Document::parse(&sample_with_every_key()).value], "", &mut missing);
    // The sample's directory is a users file, which has no use for rules.
    missing.retain(|key| key != ".identity.directories[].tenant");
    // Rules and the forms of paths stand at `identity.tenant`.
    missing.retain(|key| {
        !key.starts_with(".identity.tokens[].tenant[].") && !key.starts_with(".identity.tokens[].claims.")
    });
    assert!(missing.is_empty(), "not in the sample: {missing:?}");
}

#[test]
fn the_sample_loads_with_every_key_put_in() {
    let loaded = load_as_sample(&Folder::new(), &sample_with_every_key());
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.read.files().count(), 15);
}

#[test]
fn defaults_in_the_samples_comments_are_true() {
    let set_in = |yaml: &str| {
        let mut set = Vec::new();
        set_keys(&schema(), &[&spelt_out(yaml)], "", &mut set);
        set
    };
    let mut set = set_in(&sample_with_every_key());
    // What an entry of a list says is an example, with keys that have to be said and others that are.
    set.retain(|key| !key.starts_with(".identity.tokens[]."));
    assert_eq!(set, set_in(&sample()));
    let wrong = sample_with_every_key().replace("head_timeout: 120s", "head_timeout: 121s");
    assert_ne!(set_in(&wrong), set_in(&sample()), "this test sees nothing");
}
