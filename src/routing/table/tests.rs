//! Which address leads where.

use std::collections::BTreeMap;

use super::*;
use crate::config;
use crate::config::tests::{Folder, SMALLEST};
use crate::routing::Target;

/// A configuration with nothing but what routes need.
fn config(routes: &[config::Route]) -> Config {
    let json = serde_json::json!({
        "public_url": "https://dev.example.com",
        "listen": { "public": { "address": "127.0.0.1:0", "tls": { "certificate": "c", "key": "k" } } },
        "session": { "keys": [{ "id": "k1", "file": "k1" }] },
        "identity": { "directories": [] },
    });
    let mut config: Config = serde_json::from_value(json).expect("a configuration");
    config.routes = routes.to_vec();
    config
}

fn route(host: Option<&str>, path: &str) -> config::Route {
    config::Route {
        host: host.map(str::to_owned),
        path: Some(path.to_owned()),
        workspace: Some("ide".to_owned()),
        ..config::Route::default()
    }
}

fn table(routes: &[config::Route]) -> RouteTable {
    RouteTable::build(&config(routes)).expect("a table")
}

fn label(table: &RouteTable, host: &str, path: &str) -> Result<String, Miss> {
    table.look_up(host, path).map(|found| found.route.label.to_string())
}

const HOST: &str = "dev.example.com";

#[test]
fn the_longest_prefix_at_a_segment_boundary_wins() {
    let table = table(&[route(None, "/a/"), route(None, "/a/b/c/"), route(None, "/d/e/")]);
    for (path, found) in [
        ("/a/", Ok("/a/")),
        ("/a/x", Ok("/a/")),
        ("/a/b/", Ok("/a/")),
        ("/a/b/cd", Ok("/a/")),
        ("/a/b/c/", Ok("/a/b/c/")),
        ("/a/b/c/d/e", Ok("/a/b/c/")),
        ("/ab/", Err(Miss::Path)),
        ("/A/", Err(Miss::Path)),
        ("/d/", Err(Miss::Path)),
        ("/d/ex", Err(Miss::Path)),
        ("/d/e", Ok("/d/e/")),
        ("", Err(Miss::Path)),
        ("a/", Err(Miss::Path)),
    ] {
        assert_eq!(label(&table, HOST, path), found.map(str::to_owned), "{path}");
    }
    assert_eq!(label(&table, "other.example.com", "/a/"), Err(Miss::Host));
}

#[test]
fn a_prefix_without_its_last_slash_is_told() {
    let table = table(&[route(None, "/ide/")]);
    let find = |path| table.find(HOST, path).map(|found| (found.lacks_slash, found.prefix_end));
    assert_eq!(find("/ide"), Some((true, 4)));
    assert_eq!(find("/ide/"), Some((false, 4)));
    assert_eq!(find("/ide/x"), Some((false, 4)));
}

#[test]
fn other_spellings_of_a_prefix_are_the_prefix() {
    let table = table(&[route(None, "/"), route(None, "/a@b/编/")]);
    for path in ["/a@b/%E7%BC%96/x", "/a%40b/%E7%BC%96/x", "/a@b;v=1/%E7%BC%96;/x", "/a%2540b%3Bv/%E7%BC%96/"] {
        assert_eq!(label(&table, HOST, path).as_deref(), Ok("/a@b/编/"), "{path}");
    }
    let found = table.find(HOST, "/a%40b;v/%E7%BC%96/x").expect("a match");
    assert_eq!(&"/a%40b;v/%E7%BC%96/x"[found.prefix_end..], "/x");
}

#[test]
fn own_pages_are_on_the_public_host_and_forwarded_on_none() {
    let table = table(&[
        route(None, "/"),
        route(None, "/ide/"),
        route(Some("other.example.com"), "/"),
        route(Some("{workspace}.ide.example.com"), "/"),
    ]);
    for path in ["/", "/.usher", "/.usher/", "/.usher/login", "/.usher/session", "/.usher;x/login", "/%2Eusher/x"] {
        assert_eq!(table.find(HOST, path).map(|found| found.route.target.clone()), Some(Target::Own), "{path}");
    }
    for host in ["other.example.com", "ada.ide.example.com"] {
        assert!(label(&table, host, "/").is_ok());
        assert_eq!(label(&table, host, "/.usher/login"), Err(Miss::Path), "{host}");
        assert_eq!(label(&table, host, "/.usher"), Err(Miss::Path), "{host}");
        assert_eq!(label(&table, host, "/%2Eusher;/"), Err(Miss::Path), "{host}");
        let target = |path| table.find(host, path).map(|found| found.route.target.clone());
        assert_eq!(target("/.usher/session"), Some(Target::Entrance), "{host}");
        for path in ["/.usher/session/", "/%2Eusher/session", "/.usher/session;x", "/.usher/enter"] {
            assert_eq!(target(path), None, "{host}{path}");
        }
    }
    assert_eq!(label(&table, HOST, "/.usherx").as_deref(), Ok("/"));
    assert_eq!(label(&table, HOST, "/ide/.usher/").as_deref(), Ok("/ide/"));
}

#[test]
fn an_exact_host_goes_before_a_pattern_and_the_narrower_pattern_first() {
    let table = table(&[
        route(Some("{workspace}.example.com"), "/"),
        route(Some("{workspace}-ide.example.com"), "/"),
        route(Some("shop.example.com"), "/x/"),
    ]);
    let find = |host: &str, path: &str| {
        table.find(host, path).map(|found| (found.route.label.to_string(), found.workspace_label))
    };
    let some = |label: &str, workspace: &str| Some((label.to_owned(), Some(workspace.to_owned())));
    assert_eq!(find("ada.example.com", "/"), some("{workspace}.example.com/", "ada"));
    assert_eq!(find("ada-ide.example.com", "/"), some("{workspace}-ide.example.com/", "ada"));
    assert_eq!(find("shop.example.com", "/x/"), Some(("shop.example.com/x/".to_owned(), None)));
    assert_eq!(find("shop.example.com", "/"), None);
    assert_eq!(find("a.b.example.com", "/"), None);
    assert_eq!(find("example.com", "/"), None);
}

#[test]
fn a_host_with_one_route_is_not_shared() {
    let table = table(&[
        route(None, "/ide/"),
        route(Some("one.example.com"), "/"),
        route(Some("two.example.com"), "/a/"),
        route(Some("two.example.com"), "/b/"),
        route(Some("{workspace}.ide.example.com"), "/"),
    ]);
    for (host, path, shared) in [
        (HOST, "/ide/", true),
        ("one.example.com", "/", false),
        ("two.example.com", "/a/", true),
        ("ada.ide.example.com", "/", false),
    ] {
        assert_eq!(table.find(host, path).map(|found| found.shared_host), Some(shared), "{host}");
    }
}

#[test]
fn what_cannot_be_compiled_says_which_route() {
    let with = |change: fn(&mut config::Route)| {
        let mut route = route(None, "/a/");
        change(&mut route);
        RouteTable::build(&config(&[route])).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(|_| ()), Ok(()));
    for (fault, result) in [
        ("host", with(|r| r.host = Some("A.b".to_owned()))),
        ("start", with(|r| r.path = Some("a/".to_owned()))),
        ("end", with(|r| r.path = Some("/a".to_owned()))),
        ("dots", with(|r| r.path = Some("/a/../".to_owned()))),
        ("empty segment", with(|r| r.path = Some("/a//".to_owned()))),
        ("own", with(|r| r.path = Some("/.usher/x/".to_owned()))),
        ("no target", with(|r| r.workspace = None)),
        ("two targets", with(|r| r.upstream = Some("http://a".to_owned()))),
        ("identity header", with(|r| r.headers = BTreeMap::from([("X-Usher-User".into(), "x".into())]))),
        ("framing header", with(|r| r.headers = BTreeMap::from([("Transfer-Encoding".into(), "x".into())]))),
        ("odd header", with(|r| r.headers = BTreeMap::from([("X_Tenant".into(), "x".into())]))),
        ("placeholder", with(|r| r.headers = BTreeMap::from([("X-T".into(), "{password}".into())]))),
        ("line break", with(|r| r.headers = BTreeMap::from([("X-T".into(), "a\r\nb: c".into())]))),
    ] {
        assert!(result.is_err(), "{fault} was accepted");
    }
    let twice = RouteTable::build(&config(&[route(None, "/a/"), route(None, "/a/")]));
    assert_eq!(
        twice.map(|_| ()).map_err(|error| error.to_string()),
        Err("route /a/: another route has the same host and path".to_owned())
    );
}

#[test]
fn rules_must_all_be_met() {
    use crate::model::{GroupName, Principal, Role, Roles, TenantId, UserId};
    let principal = Principal {
        user: UserId::new("ada").expect("a user"),
        tenant: TenantId::new("acme").expect("a tenant"),
        display_name: None,
        groups: ["dev", "ops"].map(|g| GroupName::new(g).expect("a group")).into(),
        roles: Roles { tenant_admin: true, operator: false },
        source: "users".into(),
    };
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (tenants, groups, roles, permitted) in [
        (&[][..], &[][..], vec![], true),
        (&["acme"], &[], vec![], true),
        (&["zeta", "acme"], &["x", "ops"], vec![Role::TenantAdmin], true),
        (&["globex"], &[], vec![], false),
        (&["acme"], &["x"], vec![], false),
        (&["acme"], &["dev"], vec![Role::Operator], false),
        (&[], &[], vec![Role::Operator, Role::User], true),
    ] {
        let allow = config::Allow { tenants: list(tenants), groups: list(groups), roles: roles.clone() };
        let rules = crate::routing::Rules::from(&allow);
        assert_eq!(rules.permit(&principal), permitted, "{tenants:?} {groups:?} {roles:?}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The tree gives what a walk over all prefixes gives.
        #[test]
        fn the_tree_agrees_with_a_linear_scan(
            prefixes in prop::collection::btree_set("/([ab]{1,2}/){0,3}", 0..8),
            path in "/([ab]{1,2}/){0,4}[ab]{0,2}",
        ) {
            let routes: Vec<_> = prefixes.iter().map(|prefix| route(Some("x.example.com"), prefix)).collect();
            let with_slash = format!("{path}/");
            let longest = prefixes.iter().filter(|p| path.starts_with(*p) || with_slash == **p).max_by_key(|p| p.len());
            let found = table(&routes).find("x.example.com", &path).map(|found| found.route.prefix.clone());
            prop_assert_eq!(found.as_ref(), longest);
        }
    }
}

/// What `usher check` lets pass is what a gateway can start with, at the edges of what may stand in a route too.
#[test]
fn a_route_that_passes_the_check_compiles() {
    let long_label = "a".repeat(64);
    let long_name = vec!["a".repeat(60); 5].join(".");
    let public = |url: &str| ("https://localhost:8443", url.to_owned());
    let route = |route: String| ("  - { path: /ide/, workspace: ide }", format!("  - {route}"));
    let mut cases: Vec<_> =
        ["https://[::1]", "https://[0:0::1]", "https://a_b.c", "https://a..b", "https://a.", "https://a,b"]
            .map(public)
            .into();
    for host in
        ["'[::1]'", "'[::0:1]'", "'[::1'", "a_b", "A.B", "a.", "'{workspace}-.a'", "'{workspace}.a'", &long_name]
    {
        cases.push(route(format!("{{ host: {host}, workspace: ide }}")));
    }
    for path in ["/a;b/", "/.usher/", "/.Usher/", "/a=b,c/", "/.../", "/a:b@/"] {
        cases.push(route(format!("{{ path: {path}, workspace: ide }}")));
    }
    for host in ["a_b", "a.", "a,b", "'[::0:1]'", "'[x]'", &long_label, &long_name] {
        let host = host.trim_matches('\'');
        cases.push(route(format!("{{ path: /a/, upstream: 'http://{host}:80' }}")));
    }
    for header in ["Proxy: x", "Sec-Fetch-Site: x", "X-Forwarded: x", "HTTP2-Settings: x", "'X~A': x", "X-A: '{{x}}'"] {
        cases.push(route(format!("{{ path: /a/, upstream: 'http://a:80', headers: {{ {header} }} }}")));
    }
    for value in ["'{user'", "'{{user}}'", "'a } b'", "\"a\\tb\"", "'{}'"] {
        cases.push(route(format!("{{ path: /a/, upstream: 'http://a:80', headers: {{ X-A: {value} }} }}")));
    }
    let folder = Folder::new();
    let mut passed = 0;
    for (replace, with) in cases {
        let Ok(loaded) = folder.load(&SMALLEST.replace(replace, &with)) else { continue };
        passed += 1;
        assert!(RouteTable::build(&loaded.config).is_ok(), "{with}: {:?}", RouteTable::build(&loaded.config).err());
    }
    assert!(passed >= 10, "{passed}: the cases do not get as far as to be compiled");
}
