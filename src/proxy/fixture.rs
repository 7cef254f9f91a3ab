//! A small world for the tests of the request path.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request};

use super::admit::{Admitted, ConnectionFacts, Limits, admit};
use super::decision::{Decision, Facts, Fetch, OriginCheck, Permit, WorkspaceState, decide, workspace_of};
use crate::config::{self, Config};
use crate::model::{Endpoint, GroupName, InstanceId, Principal, Roles, TenantId, UserId};
use crate::routing::RouteTable;

pub(super) const HOST: &str = "dev.example.com:8443";

/// `/ide/` and `/raw/` (not stripped) lead to workspaces, `/team/` to an upstream, and there are both kinds of host.
pub(super) fn table() -> RouteTable {
    let routes = serde_json::json!([
        { "path": "/ide/", "workspace": "ide" },
        { "path": "/raw/", "workspace": "ide", "strip_prefix": false },
        { "path": "/ops/", "workspace": "ide", "allow": { "groups": ["ops"] } },
        { "path": "/team/", "upstream": "http://team.svc:8080", "headers": { "X-Team": "{tenant}/{user}", "X-All": "{groups}" } },
        { "host": "{workspace}.ide.example.com", "workspace": "ide" },
        { "host": "shop.example.com", "upstream": "https://shop.svc" },
    ]);
    let config = serde_json::json!({
        "public_url": "https://dev.example.com:8443",
        "listen": { "public": { "address": "127.0.0.1:0", "tls": { "certificate": "c", "key": "k" } } },
        "session": { "keys": [{ "id": "k1", "file": "k1" }] },
        "identity": { "directories": [] },
        "routes": routes,
    });
    let config: Config = serde_json::from_value(config).expect("a configuration");
    RouteTable::build(&config).expect("a table")
}

pub(super) fn principal(user: &str, groups: &[&str]) -> Arc<Principal> {
    let mut groups: Vec<_> = groups.iter().map(|group| GroupName::new(group).expect("a group")).collect();
    groups.sort();
    Arc::new(Principal {
        user: UserId::new(user).expect("a user"),
        tenant: TenantId::new("acme").expect("a tenant"),
        display_name: None,
        groups: groups.into(),
        roles: Roles::default(),
        source: "users".into(),
    })
}

pub(super) fn ready() -> WorkspaceState {
    WorkspaceState::Ready(Arc::new(Endpoint {
        address: ([127, 0, 0, 1], 4000).into(),
        tls: false,
        instance: InstanceId::new("run-1").expect("an instance"),
    }))
}

pub(super) fn header_map(headers: &[(&str, &str)]) -> http::HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
    };
    headers.iter().map(pair).collect()
}

/// Admits a request over HTTP/1.1; `TUNNEL` as the method makes it a WebSocket handshake.
pub(super) fn admitted(method: &str, host: &str, target: &str) -> Admitted {
    let tunnel = method == "TUNNEL";
    let mut request = Request::builder().method(if tunnel { "GET" } else { method }).uri(target).header("host", host);
    if tunnel {
        request = request
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    let parts = request.body(()).expect("a request").into_parts().0;
    admit(&parts, &Limits::from(&config::Http::default()), &ConnectionFacts::default()).expect("admitted")
}

/// A permit for `principal`, by the only way there is.
pub(super) fn permit(request: &Admitted, principal: &Arc<Principal>) -> Permit {
    let found = table().find(request.authority().host(), request.path()).expect("a route");
    let id = workspace_of(&found, principal);
    let facts = Facts {
        request,
        found: Ok(&found),
        principal: Some(principal),
        tenant_disabled: false,
        origin: OriginCheck::Own,
        ambient: true,
        has_session: true,
        fetch: Fetch::Navigation,
        workspace: id.as_ref().map(|id| (id, ready())),
        onward: None,
    };
    match decide(&facts) {
        Decision::Forward(permit) => permit,
        other => panic!("not forwarded but {other:?}"),
    }
}
