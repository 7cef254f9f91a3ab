//! What each mistake in a configuration is answered with.

use std::os::unix::fs::PermissionsExt;

use super::{Folder, SMALLEST};
use crate::config::{Diagnostic, Report, Severity};

/// A finding as `line:column key: message`.
fn shown(finding: &Diagnostic) -> String {
    let warning = if finding.severity == Severity::Warning { "warning: " } else { "" };
    format!("{warning}{}:{} {}: {}", finding.line, finding.column, finding.key, finding.message)
}

/// What is found in the smallest configuration with one text in it replaced.
fn findings(folder: &Folder, replace: &str, with: &str) -> Vec<String> {
    assert!(SMALLEST.contains(replace), "{replace:?} is not in the configuration");
    match folder.load(&SMALLEST.replace(replace, with)) {
        Ok(loaded) => loaded.warnings.iter().map(shown).collect(),
        Err(Report { problems, .. }) => problems.iter().map(shown).collect(),
    }
}

/// Each row: a text of the smallest configuration, what stands there instead, where the one finding is and how it
/// reads (`...` stands for anything).
const MISTAKES: &[(&str, &str, &str)] = &[
    // Shape.
    ("session:", "sesion: {}\nsession:", "6:1 sesion: unknown key; did you mean \"session\"?"),
    ("session:", "zzz: {}\nsession:", "6:1 zzz: unknown key; known here: assertion, http, identity, ..."),
    ("public_url: https://localhost:8443\n", "", "1:1 public_url: missing; this key is required"),
    ("tls: {", "tls: { kee: 1,", "5:12 listen.public.tls.kee: unknown key; did you mean \"key\"?"),
    ("127.0.0.1:0", "8443", "4:14 listen.public.address: must be text; put it in quotes"),
    ("127.0.0.1:0", "localhost:1", "4:14 listen.public.address: must be an IP address and a port, ..."),
    ("127.0.0.1:0", "[ a ]", "4:14 listen.public.address: must be text, not a list"),
    ("127.0.0.1:0", "", "4:12 listen.public.address: has no value; it must be text, or the key must be left out"),
    ("id: k1", "id: K_1", "7:17 session.keys[0].id: must be 1 to 16 of a-z, 0-9 and -"),
    ("identity:", "http: { head_timeout: 30 }\nidentity:", "8:23 http.head_timeout: must be text; ..."),
    (
        "identity:",
        "http: { head_timeout: 30x }\nidentity:",
        "8:23 http.head_timeout: must be a number with a unit, ...",
    ),
    (
        "identity:",
        "http: { max_header_size: 9 kB }\nidentity:",
        "8:26 http.max_header_size: must be a whole number with ...",
    ),
    (
        "identity:",
        "http: { max_concurrent_streams: 0 }\nidentity:",
        "8:33 http.max_concurrent_streams: must be at least 1",
    ),
    (
        "identity:",
        "http: { max_connections: 5000000000 }\nidentity:",
        "8:26 http.max_connections: must be at most 4294967295",
    ),
    (
        "identity:",
        "http: { max_connections: 1.5 }\nidentity:",
        "8:26 http.max_connections: must be a whole number, not a number",
    ),
    ("identity:", "log: { format: xml }\nidentity:", "8:16 log.format: must be one of: json, text"),
    ("identity:", "tenants: { Acme: {} }\nidentity:", "8:12 tenants.Acme: a tenant's id must be 1 to 48 of ..."),
    (
        "identity:",
        "tenants: { acme: { admins: [ \" a\" ] } }\nidentity:",
        "8:30 tenants.acme.admins[0]: must not start or end with a blank",
    ),
    (
        "[ { name: people, users_file: { path: secrets/users.yaml } } ]",
        "[]",
        "9:16 identity.directories: must have at least 1 entry",
    ),
    (", users_file: { path: secrets/users.yaml }", "", "9:18 identity.directories[0]: needs one of: users_file, ldap"),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: {  } } ]",
        "9:94 identity.tokens[0].keys: needs one of: discovery, url, set, set_file, public_key_file, secret_file",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { discovery: true, url: x } } ]",
        "9:113 identity.tokens[0].keys.url: stands beside discovery; keys are at one place",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { discovery: false } } ]",
        "9:107 identity.tokens[0].keys.discovery: must be true, or be left out",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { url: x } } ]",
        "9:101 identity.tokens[0].keys.url: must be an https address for keys to be fetched",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { url: \"http://x/k\" } } ]",
        "9:101 identity.tokens[0].keys.url: must be https for keys to be fetched; plaintext: true allows http",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { set: x } } ]",
        "9:101 identity.tokens[0].keys.set: must be a JSON Web Key Set: an object with a list `keys`",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { secret_file: certs/none } } ]",
        "9:109 identity.tokens[0].keys.secret_file: cannot read .../certs/none: no such file or directory",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { secret_file: secrets/short } } ]",
        "9:109 identity.tokens[0].keys.secret_file: must have at least 32 bytes",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { public_key_file: certs/tls.crt } } ]",
        "9:113 identity.tokens[0].keys.public_key_file: must hold a public key in PEM form",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], algorithms: [ HS256 ], keys: { set: '{ \"keys\": [] }' } } ]",
        "9:102 identity.tokens[0].algorithms[0]: needs a secret_file",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], algorithms: [ none ], keys: { set: '{ \"keys\": [] }' } } ]",
        "9:102 identity.tokens[0].algorithms[0]: must be one of: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], types: [ logout+jwt ], keys: { set: '{ \"keys\": [] }' } } ]",
        "9:97 identity.tokens[0].types[0]: is the type of messages about the end of sessions, which vouch for nobody",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], cookie: __Host-usher, keys: { set: '{ \"keys\": [] }' } } ]",
        "9:96 identity.tokens[0].cookie: is a name of the gateway's own cookies",
    ),
    (
        "identity:",
        "identity:\n  tokens: [ { name: t, issuer: \"https://i\", audience: [ u ], tenant: [ { fixed: a } ], keys: { discovery: true, least_age: 2h } } ]",
        "9:124 identity.tokens[0].keys.least_age: is longer than most_age",
    ),
    (
        "  ide: {",
        "  ide: { activity: [ sleep ],",
        "11:22 workspaces.ide.activity[0]: must be one of: theia, socketio, websocket, http, connections",
    ),
    ("routes:", "routes: []\nroutes:", "13:1 routes: stands here for the second time; the first is in line 12"),
    (
        "command: [ sample",
        "command: [ *x",
        "11:50 workspaces.ide.process.command[0]: aliases are not supported: write the value out",
    ),
    ("workspace: ide }", "workspace: &w ide }", "13:34 routes[0].workspace: anchors are not supported"),
    ("routes:", "---\nroutes:", "12:1 : a second document starts here; a file has one"),
    // Meaning.
    ("https://localhost:8443", "http://localhost", "1:13 public_url: must start with https://"),
    ("https://localhost:8443", "https://localhost/ide/", "1:13 public_url: must be a host and nothing after it: ..."),
    (
        "https://localhost:8443",
        "https://elsewhere",
        "warning: 5:25 listen.public.tls.certificate: is not made out to elsewhere, ...",
    ),
    ("127.0.0.1:0", "0.0.0.0:9090", "2:1 listen.admin.address: takes the same address as listen.public.address"),
    (
        "certs/tls.crt",
        "certs/none.crt",
        "5:25 listen.public.tls.certificate: cannot read .../certs/none.crt: no such file or directory",
    ),
    ("certs/tls.crt", "certs", "5:25 listen.public.tls.certificate: cannot read .../certs: not a regular file"),
    ("certs/tls.crt", "certs/tls.key", "5:25 listen.public.tls.certificate: holds no certificate in PEM form"),
    ("certs/tls.key", "certs/ide.key", "5:45 listen.public.tls.key: does not belong to the certificate beside it"),
    ("certs/tls.key", "certs/tls.crt", "5:45 listen.public.tls.key: holds no private key in PEM form"),
    ("key: certs/tls.key }", "key: certs/tls.key }\n  threads: -1", "6:12 listen.threads: must be at least 0"),
    ("secrets/session-k1", "secrets/short", "7:27 session.keys[0].file: is too short; ..."),
    ("secrets/session-k1", "secrets/weak", "7:27 session.keys[0].file: is weak: ..."),
    ("secrets/session-k1", "secrets/open", "7:27 session.keys[0].file: can be read by everybody ..."),
    (
        "secrets/session-k1 }",
        "secrets/session-k1 }, { id: k1, file: secrets/session-k2 }",
        "7:55 session.keys[1].id: \"k1\" is the id of session.keys[0] already",
    ),
    (
        "secrets/session-k1 }",
        "secrets/session-k1 }, { id: k2, file: secrets/session-k1 }",
        "7:65 session.keys[1].file: holds the same key as session.keys[0].file",
    ),
    ("session:", "session:\n  refresh: 25h", "7:12 session.refresh: must not be longer than 24h"),
    ("session:", "session:\n  refresh: 0s", "7:12 session.refresh: must be longer than 0s"),
    ("session:", "session:\n  reauthenticate: 0s", "7:19 session.reauthenticate: must be longer than 0s"),
    (
        "secrets/session-k1 }",
        "secrets/session-k1, sign_from: tomorrow }, { id: k2, file: secrets/session-k2 }",
        "7:58 session.keys[0].sign_from: must be a time in UTC, as in 2026-03-02T10:30:00Z",
    ),
    (
        "secrets/session-k1 }",
        "secrets/session-k1, sign_from: 2026-03-02T10:30:00Z }",
        "7:9 session.keys: one key must be without sign_from, ...",
    ),
    (
        "session:",
        "assertion: { keys: [ { id: a1, file: secrets/session-k1 } ] }\nsession:",
        "6:38 assertion.keys[0].file: holds no private key in PEM form",
    ),
    (
        "session:",
        "assertion: { keys: [ { id: a1, file: secrets/p384.pem } ] }\nsession:",
        "6:38 assertion.keys[0].file: must hold a PKCS#8 key on the curve P-256 or Ed25519 ...",
    ),
    (
        "session:",
        "assertion: { keys: [ { id: a1, file: certs/tls.key }, { id: a1, file: certs/ca.key } ] }\nsession:",
        "6:61 assertion.keys[1].id: \"a1\" is the id of assertion.keys[0] already",
    ),
    (
        "workspace: ide }",
        "workspace: ide, assertion: true }",
        "... routes[0].assertion: needs a key in assertion.keys ...",
    ),
    ("session:", "session:\n  idle: 13h", "7:9 session.idle: must not be longer than session.lifetime"),
    ("session:", "session:\n  idle: 0s", "7:9 session.idle: must be longer than 0s"),
    (
        "users.yaml } } ]",
        "users.yaml } }, { name: people, users_file: { path: secrets/users.yaml } } ]",
        "9:86 identity.directories[1].name: another directory is named \"people\" already",
    ),
    (
        "secrets/users.yaml",
        "secrets/none.yaml",
        "9:54 identity.directories[0].users_file.path: cannot read .../none.yaml: no such file or directory",
    ),
    (
        "{ runtime: process, process: { command: [ sample, '{port}' ] } }",
        "{ runtime: process }",
        "11:8 workspaces.ide: runtime: process needs the key process",
    ),
    (
        "'{port}'",
        "'{prot}', '{port}'",
        "11:58 workspaces.ide.process.command[1]: unknown placeholder {prot}; known here: {port}, {user}, ...",
    ),
    (
        "'{port}'",
        "x",
        "warning: 11:48 workspaces.ide.process.command: {port} stands neither here nor in environment, ...",
    ),
    ("'{port}' ]", "'{port}' ], home: homes/all", "11:76 workspaces.ide.process.home: must hold {workspace}, ..."),
    (
        "'{port}' ]",
        "'{port}' ], home: '/h/{user}/{workspace}'",
        "11:76 workspaces.ide.process.home: unknown placeholder {user}; ...",
    ),
    (
        "'{port}' ]",
        "'{port}' ], environment: { A-B: x }",
        "11:85 workspaces.ide.process.environment.A-B: \"A-B\" cannot be the name of ...",
    ),
    (
        "  ide: {",
        "  ide: { autostop: { warning: 30m },",
        "11:31 workspaces.ide.autostop.warning: must be shorter than human_idle (30m)",
    ),
    (
        "  ide: {",
        "  ide: { autostop: { idle_after: 1h },",
        "11:34 workspaces.ide.autostop.idle_after: must not be longer than human_idle (30m)",
    ),
    (
        "  ide: {",
        "  ide: { activity: [ theia, websocket ],",
        "warning: 11:20 workspaces.ide.activity: websocket and connections count ...",
    ),
    (
        "  ide: {",
        "  desk: { runtime: process, process: { command: [ d, '{port}' ] } }\n  ide: {",
        "warning: 11:3 workspaces.desk: no route leads to this kind, ...",
    ),
    (
        "workspace: ide",
        "workspace: idd",
        "13:31 routes[0].workspace: no such workspace kind \"idd\"; did you mean ide?",
    ),
    (
        "workspace: ide",
        "workspace: desktop",
        "13:31 routes[0].workspace: no such workspace kind \"desktop\"; known: ide",
    ),
    (
        "workspace: ide",
        "workspace: ide, upstream: 'http://a:1'",
        "13:5 routes[0]: leads to a workspace and an upstream; ...",
    ),
    ("  - {", "  - { path: /x/ }\n  - {", "13:5 routes[0]: needs a workspace or an upstream to lead to"),
    ("  - {", "  - { workspace: ide }\n  - {", "13:5 routes[0]: needs a path, a host or both"),
    (
        "  - {",
        "  - { path: /ide/, workspace: ide }\n  - {",
        "14:5 routes[1]: has the same host and path as routes[0] in line 13",
    ),
    (
        "  - {",
        "  - { path: /ide/, host: LOCALHOST, workspace: ide }\n  - {",
        "14:5 routes[1]: has the same host and path as routes[0] in line 13",
    ),
    (
        "  - {",
        "  - { path: /, workspace: ide }\n  - {",
        "13:13 routes[0].path: / on the host of public_url is the portal's; ...",
    ),
    (
        "  - {",
        "  - { host: localhost, workspace: ide }\n  - {",
        "13:13 routes[0].host: / on the host of public_url is the portal's; ...",
    ),
    ("  - {", "  - { path: /.usher/x/, workspace: ide }\n  - {", "13:13 routes[0].path: lies under /.usher/, ..."),
    (
        "  - {",
        "  - { path: /a/../b/, workspace: ide }\n  - {",
        "13:13 routes[0].path: must not hold the segments . and ..",
    ),
    ("  - {", "  - { path: /a//b/, workspace: ide }\n  - {", "13:13 routes[0].path: must start and end with /, ..."),
    ("  - {", "  - { path: /a, workspace: ide }\n  - {", "13:13 routes[0].path: must start and end with /, ..."),
    (
        "  - {",
        "  - { host: 'a.{workspace}.b', workspace: ide }\n  - {",
        "13:13 routes[0].host: may hold {workspace} in its first label only",
    ),
    (
        "  - {",
        "  - { host: '{workspace}.b', upstream: 'http://a:1' }\n  - {",
        "13:13 routes[0].host: holds {workspace}, but ...",
    ),
    (
        "  - {",
        "  - { host: '{workspace}.b', workspace: ide }\n  - { host: 'x-{workspace}.b', workspace: ide }\n  - {",
        "14:13 routes[1].host: can match the same hosts as routes[0].host in line 13",
    ),
    (
        "  - {",
        "  - { path: /x/, upstream: 'ftp://a:1' }\n  - {",
        "13:28 routes[0].upstream: must be http:// or https://, ...",
    ),
    (
        "  - {",
        "  - { path: /x/, upstream: 'http://a' }\n  - {",
        "13:28 routes[0].upstream: must be http:// or https://, ...",
    ),
    (
        "  - {",
        "  - { path: /x/, upstream: 'http://a:1/b' }\n  - {",
        "13:28 routes[0].upstream: must have no path, query or fragment",
    ),
    (
        "  - {",
        "  - { path: /x/, upstream: 'https://a:1' }\n  - {",
        "13:28 routes[0].upstream: is https, and upstream.ca_file names no authorities ...",
    ),
    (
        "workspace: ide }",
        "workspace: ide, headers: { X-Usher-User: x } }",
        "13:47 routes[0].headers.X-Usher-User: is reserved: ...",
    ),
    (
        "workspace: ide }",
        "workspace: ide, headers: { X-A: '{name}' } }",
        "13:52 routes[0].headers.X-A: unknown placeholder {name}; known here: {user}, {tenant}, {groups}",
    ),
    (
        "workspace: ide }",
        "workspace: ide, headers: { X-A: a, x-a: b } }",
        "13:55 routes[0].headers.x-a: \"x-a\" stands here twice; case does not count",
    ),
    (
        "workspace: ide }",
        "workspace: ide, headers: { X-A: \"a\\nb\" } }",
        "13:52 routes[0].headers.X-A: must be printable ASCII ...",
    ),
    (
        "workspace: ide }",
        "workspace: ide, allow: { tenants: [ Acme ] } }",
        "13:56 routes[0].allow.tenants[0]: must be 1 to 48 of ...",
    ),
    (
        "workspace: ide }",
        "workspace: ide, allow: { tenants: [ acme ] } }\ntenants: { defaults: { disabled: true } }",
        "13:56 routes[0].allow.tenants[0]: no such tenant \"acme\", ...",
    ),
    (
        "workspace: ide }",
        "workspace: ide, allow: { roles: [ root ] } }",
        "13:54 routes[0].allow.roles[0]: must be one of: user, tenant-admin, operator",
    ),
    ("identity:", "log: { filter: 'a=b=c' }\nidentity:", "8:16 log.filter: must be a level ..."),
    ("identity:", "log: { audit: file }\nidentity:", "8:15 log.audit: must be one of: stdout, stderr, off"),
    (
        "identity:",
        "log: { audit_file: gone/a }\nidentity:",
        "8:20 log.audit_file: stands in a folder that is not there",
    ),
    ("identity:", "log: { audit_file: certs }\nidentity:", "8:20 log.audit_file: must be a file, but a folder ..."),
    (
        "identity:",
        "log: { audit_file: /dev/null }\nidentity:",
        "warning: 8:20 log.audit_file: can be read by everybody on this machine; ...",
    ),
    (
        "identity:",
        "log: { audit: off, audit_file: a }\nidentity:",
        "8:32 log.audit_file: is given while log.audit is off; leave one of them out",
    ),
    (
        "identity:",
        "shutdown: { deadline: 1s }\nidentity:",
        "warning: 8:23 shutdown.deadline: is shorter than drain_delay and nudge_window ...",
    ),
    (
        "identity:",
        "tenants: { acme: { max_running: 1, max_running_per_user: 2 } }\nidentity:",
        "warning: 8:58 tenants.acme.max_running_per_user: is more than ...",
    ),
    // Rules for tenant and roles.
    (
        "workspaces:\n",
        "  tenant: [ {} ]\nworkspaces:\n",
        "10:13 identity.tenant[0]: needs one of: group, dn, attribute, claim, fixed",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { group: 't-([a-z]+)' } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].group: does not say which part is the tenant; write (?<tenant>...), or (?:...) for other brackets",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { dn: 'ou=acme,.*' } ]\nworkspaces:\n",
        "10:19 identity.tenant[0].dn: does not say which part is the tenant; write (?<tenant>...)",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { pattern: a } ]\nworkspaces:\n",
        "10:13 identity.tenant[0]: needs one of: group, dn, attribute, claim, fixed",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { group: a, fixed: b } ]\nworkspaces:\n",
        "10:25 identity.tenant[0].fixed: stands beside group; a rule has one of them",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { group: \"(a\" } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].group: is not a regular expression: unclosed group",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { group: \"a)|(b\" } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].group: is not a regular expression: unopened group",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { group: \"t-(?<tenent>.*)\" } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].group: has a part named \"tenent\"; the one name that means something is \"tenant\"",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { group: a, pattern: b } ]\nworkspaces:\n",
        "10:25 identity.tenant[0].pattern: belongs beside attribute or claim",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { claim: a, pattern: \"[\" } ]\nworkspaces:\n",
        "10:34 identity.tenant[0].pattern: is not a regular expression: unclosed character class",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { claim: a, pattern: \"\\\\w{1000}\" } ]\nworkspaces:\n",
        "10:34 identity.tenant[0].pattern: is too large; name fewer repetitions or smaller classes",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { claim: 5 } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].claim: must be text or a list, not a number",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { claim: [] } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].claim: must have at least 1 entry",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { claim: [ 5 ] } ]\nworkspaces:\n",
        "10:24 identity.tenant[0].claim[0]: must be text; put it in quotes",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { claim: a..b } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].claim: has nothing between two dots; write keys that have dots of their own as a list",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { fixed: defaults } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].fixed: \"defaults\" is not a tenant",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { fixed: Acme } ]\nworkspaces:\n",
        "10:22 identity.tenant[0].fixed: must be 1 to 48 of a-z, 0-9 and -, with a letter or digit at both ends",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { fixed: acme }, { group: a } ]\nworkspaces:\n",
        "10:13 identity.tenant[0]: settles the tenant of everybody, so the rules after it are never asked; put it last",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { dn: \"uid=.*,OU=(?<tenant>.*)\" } ]\nworkspaces:\n",
        "10:19 identity.tenant[0].dn: can never apply: attribute types are in lower case here (ou=, not OU=)",
    ),
    (
        "workspaces:\n",
        "  tenant: [ { grup: a } ]\nworkspaces:\n",
        "10:15 identity.tenant[0].grup: unknown key; did you mean \"group\"?",
    ),
    (
        "workspaces:\n",
        "  roles: [ { role: operator } ]\nworkspaces:\n",
        "10:12 identity.roles[0]: needs one of: group, attribute, claim",
    ),
    (
        "workspaces:\n",
        "  roles: [ { group: a } ]\nworkspaces:\n",
        "10:12 identity.roles[0].role: missing; this key is required",
    ),
    (
        "workspaces:\n",
        "  roles: [ { role: user, group: a } ]\nworkspaces:\n",
        "10:20 identity.roles[0].role: must be one of: operator, tenant-admin",
    ),
    (
        "workspaces:\n",
        "  roles: [ { role: operator, claim: a } ]\nworkspaces:\n",
        "10:12 identity.roles[0]: needs one of: value, pattern",
    ),
    (
        "workspaces:\n",
        "  roles: [ { role: operator, claim: a, value: b, pattern: c } ]\nworkspaces:\n",
        "10:50 identity.roles[0].pattern: stands beside value; a rule has one of them",
    ),
    (
        "workspaces:\n",
        "  roles: [ { role: operator, group: a, value: b } ]\nworkspaces:\n",
        "10:40 identity.roles[0].value: belongs beside attribute or claim",
    ),
    (
        "workspaces:\n",
        "  roles: [ { role: operator, claim: a, value: \"{user}\" } ]\nworkspaces:\n",
        "10:47 identity.roles[0].value: unknown placeholder {user}; known here: {tenant}",
    ),
    ("workspaces:\n", "  contact: \"\"\nworkspaces:\n", "10:12 identity.contact: must have at least 1 characters"),
    (
        "users.yaml } }",
        "users.yaml }, tenant: [ { group: a } ] }",
        "9:76 identity.directories[0].tenant: is never asked: each user of a users file has a tenant there",
    ),
];

/// Whether `text` reads like `pattern`, in which `...` stands for anything.
fn reads_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    pattern.ends_with("...") || rest.is_empty()
}

fn folder_with_bad_keys() -> Folder {
    let folder = Folder::new();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    folder.write("secrets/p384.pem", p384.serialize_pem().as_bytes());
    folder.write("secrets/short", b"hunter2secret");
    folder.write("secrets/weak", &[b'h'; 64]);
    let open = folder.write("secrets/open", &(0..64).collect::<Vec<u8>>());
    std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o644)).unwrap();
    folder
}

#[test]
fn each_mistake_is_found_at_its_place_and_alone() {
    let folder = folder_with_bad_keys();
    let mut wrong = Vec::new();
    for (replace, with, expected) in MISTAKES {
        let found = findings(&folder, replace, with);
        if !matches!(found.as_slice(), [only] if reads_like(only, expected)) {
            wrong.push(format!("{with:?}\n  expected {expected}\n  found    {}", found.join("\n           ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_smallest_configuration_has_no_finding() {
    assert_eq!(findings(&Folder::new(), "routes", "routes"), [""; 0]);
}

#[test]
fn all_mistakes_of_a_file_and_of_what_it_names_are_reported_together() {
    let folder = folder_with_bad_keys();
    folder.write("secrets/users.yaml", b"users:\n  - { name: ada, tenant: acme, password: hunter2secret }\n");
    let yaml = SMALLEST
        .replace("https://localhost:8443", "http://localhost")
        .replace("secrets/session-k1", "secrets/short")
        .replace("certs/tls.key", "certs/none.key")
        .replace("workspace: ide", "workspace: idd, strip: true")
        .replace("'{port}' ] }", "'{port}', '{nobody}' ] }, hold: 3");
    let report = folder.load(&yaml).unwrap_err();
    let found: Vec<_> = report.problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    let expected = [
        (1, "public_url"),
        (5, "listen.public.tls.key"),
        (7, "session.keys[0].file"),
        (11, "workspaces.ide.process.command[2]"),
        (11, "workspaces.ide.hold"),
        (13, "routes[0].workspace"),
        (13, "routes[0].strip"),
        (2, "users[0].password"),
    ];
    assert_eq!(found, expected);
    assert!(report.to_string().ends_with("\n8 errors"), "{report}");
}

#[test]
fn no_report_quotes_a_secret_wherever_it_stands() {
    const SECRET: &str = "hunter2secret";
    let folder = Folder::new();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n");
    folder.write("secret.pem", pem.as_bytes());
    folder.write("secret.crt", pem.replace("PRIVATE KEY", "CERTIFICATE").as_bytes());
    folder.write("secret.key", SECRET.as_bytes());
    folder.write(
        "secret.yaml",
        format!("users:\n - {{ name: a, password: {SECRET}, {SECRET}: 1 }}\n {SECRET}").as_bytes(),
    );
    folder.write("users2.yaml", format!("users:\n - {{ name: a, password: {SECRET}, {SECRET}: 1 }}\n").as_bytes());
    for (replace, with) in [
        ("certs/tls.key", "secret.pem"),
        ("certs/tls.crt", "secret.crt"),
        ("certs/tls.crt", "secret.pem"),
        ("secrets/session-k1", "secret.key"),
        ("secrets/users.yaml", "secret.yaml"),
        ("secrets/users.yaml", "users2.yaml"),
        // In the place of a file's name, or of something else.
        ("certs/tls.key", "\"-----BEGIN PRIVATE KEY-----\\nhunter2secret\""),
        ("id: k1", "id: hunter2secret!, value: hunter2secret"),
        ("path: secrets/users.yaml", "path: secrets/users.yaml, password: hunter2secret"),
        ("https://localhost:8443", "https://ada:hunter2secret@localhost"),
        ("workspace: ide", "upstream: 'http://ada:hunter2secret@localhost:1'"),
        ("workspace: ide", "workspace: ide, headers: { Authorization: hunter2secret }"),
        ("127.0.0.1:0", "hunter2secret"),
    ] {
        let report = folder.load(&SMALLEST.replace(replace, with)).unwrap_err();
        let json = serde_json::to_string(&report).unwrap();
        assert!(!report.to_string().contains(SECRET) && !json.contains(SECRET), "{with}: {report}");
        assert!(!format!("{report:?}").contains(SECRET), "{with}: {report}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_reported_as_a_whole() {
    let folder = Folder::new();
    for (content, message) in
        [(vec![0xff, 0xfe], "is not UTF-8 text"), (vec![b'#'; (4 << 20) + 1], "larger than 4096 KiB")]
    {
        let report = crate::config::load(&folder.write("usher.yaml", &content)).unwrap_err();
        assert_eq!(report.problems.len(), 1);
        assert_eq!(report.problems[0].line, 0);
        assert!(report.problems[0].message.contains(message), "{report}");
    }
    assert!(crate::config::load(&folder.path("none.yaml")).is_err());
}

#[test]
fn a_user_of_a_tenant_stands_in_one_directory_only() {
    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
                        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let folder = Folder::new();
    let users = |people: &[(&str, &str)]| {
        let user =
            |(name, tenant): &(&str, &str)| format!("- {{ name: {name}, tenant: {tenant}, password: {HASH:?} }}\n");
        format!("users:\n{}", people.iter().map(user).collect::<String>())
    };
    folder.write("secrets/users.yaml", users(&[("ann", "acme"), ("bob", "acme")]).as_bytes());
    folder.write("secrets/more.yaml", users(&[("ann", "globex"), ("Bob", "acme"), ("cyd", "acme")]).as_bytes());
    let both = "{ name: people, users_file: { path: secrets/users.yaml } }, \
                { name: more, users_file: { path: secrets/more.yaml } }";
    let report =
        folder.load(&SMALLEST.replace("{ name: people, users_file: { path: secrets/users.yaml } }", both)).unwrap_err();
    let [problem] = report.problems.as_slice() else { panic!("{report}") };
    assert_eq!((problem.file.clone(), problem.line), (folder.path("secrets/more.yaml"), 3));
    assert!(problem.message.contains("in line 3 of directory \"people\""), "{report}");
}
