//! The pure stages that every request passes: admission, the route, the decision, the headers.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::Request;
use http::request::Parts;
use usher::config::Config;
use usher::model::{Endpoint, GroupName, InstanceId, Principal, Roles, TenantId, UserId};
use usher::proxy::admit::{Admitted, BodyLength, ConnectionFacts, Limits, admit};
use usher::proxy::decision::{Decision, Facts, Fetch, OriginCheck, WorkspaceState, decide, workspace_of};
use usher::proxy::headers::{Upward, prepare_request};
use usher::routing::RouteTable;

const LIMITS: Limits = Limits { target: 8192, headers: 32 * 1024 };
const CONNECTION: ConnectionFacts<'static> = ConnectionFacts { http2: false, server_name: Some("dev.example.com") };

/// What Chromium sends for a script of an IDE.
fn browser_request(target: &str) -> Parts {
    let headers = [
        ("host", "dev.example.com"),
        ("connection", "keep-alive"),
        ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\""),
        ("sec-ch-ua-mobile", "?0"),
        ("sec-ch-ua-platform", "\"Linux\""),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        ),
        ("accept", "*/*"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-dest", "script"),
        ("referer", "https://dev.example.com/ide/"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "zh-CN,zh;q=0.9,en;q=0.8"),
        ("cookie", "__Host-usher=k1.eyJzIjoiYWJjZGVmZ2hpamtsbW5vcCJ9.c2lnbmF0dXJl; theia-connection-token=1b6e"),
    ];
    let mut request = Request::builder().uri(target);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(()).expect("a valid request").into_parts().0
}

fn table(routes: usize) -> RouteTable {
    let route = |n: usize| serde_json::json!({ "path": format!("/team-{}/app-{n}/", n % 100), "workspace": "ide" });
    let mut all: Vec<_> = (1..routes).map(route).collect();
    all.push(serde_json::json!({ "path": "/ide/", "workspace": "ide" }));
    let config: Config = serde_json::from_value(serde_json::json!({
        "public_url": "https://dev.example.com",
        "listen": { "public": { "address": "127.0.0.1:0", "tls": { "certificate": "c", "key": "k" } } },
        "session": { "keys": [{ "id": "k1", "file": "k1" }] },
        "identity": { "directories": [] },
        "routes": all,
    }))
    .expect("a valid configuration");
    RouteTable::build(&config).expect("valid routes")
}

fn principal() -> Arc<Principal> {
    Arc::new(Principal {
        user: UserId::new("ada@example.com").expect("a user"),
        tenant: TenantId::new("acme").expect("a tenant"),
        display_name: None,
        groups: ["dev", "ide-users"].map(|group| GroupName::new(group).expect("a group")).into(),
        roles: Roles::default(),
        source: "users".into(),
    })
}

fn admitted(target: &str) -> Admitted {
    admit(&browser_request(target), &LIMITS, &CONNECTION).expect("an admissible request")
}

fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("admit");
    for (name, target) in [("canonical", "/ide/static/bundle.js?v=1"), ("rewritten", "/ide//%E5%BC%A0/%7Ex.js")] {
        let parts = browser_request(target);
        group.bench_function(name, |b| b.iter(|| admit(black_box(&parts), &LIMITS, &CONNECTION)));
    }
    group.finish();
}

fn routing(criterion: &mut Criterion) {
    let table = table(10_000);
    let mut group = criterion.benchmark_group("route/10000");
    for (name, path) in
        [("short", "/ide/static/bundle.js"), ("long", "/team-42/app-9942/a/b/c"), ("none", "/nowhere/x")]
    {
        group.bench_function(name, |b| b.iter(|| table.find(black_box("dev.example.com"), black_box(path))));
    }
    group.finish();
}

fn deciding(criterion: &mut Criterion) {
    let table = table(10);
    let principal = principal();
    let request = admitted("/ide/static/bundle.js?v=1");
    let found = table.find("dev.example.com", request.path()).expect("a route");
    let endpoint = Arc::new(Endpoint {
        address: ([127, 0, 0, 1], 4000).into(),
        tls: false,
        instance: InstanceId::new("run-1").expect("an instance"),
    });
    let id = workspace_of(&found, &principal).expect("a workspace");
    let facts = || Facts {
        request: &request,
        found: Ok(&found),
        principal: Some(&principal),
        tenant_disabled: false,
        origin: OriginCheck::Absent,
        ambient: true,
        has_session: true,
        fetch: Fetch::Subresource,
        workspace: Some((&id, WorkspaceState::Ready(endpoint.clone()))),
        onward: None,
    };
    criterion.bench_function("decide", |b| b.iter(|| decide(black_box(&facts()))));

    let Decision::Forward(permit) = decide(&facts()) else { panic!("the request of this bench is forwarded") };
    let request_id = http::HeaderValue::from_static("00ff00ff00000001");
    let up = Upward {
        permit: &permit,
        request: &request,
        body: BodyLength::None,
        client: [192, 0, 2, 7].into(),
        request_id: &request_id,
        theia_token: None,
        assertion: None,
    };
    let headers = browser_request("/ide/").headers;
    criterion.bench_function("headers/up", |b| {
        b.iter_batched(
            || headers.clone(),
            |mut headers| {
                prepare_request(&mut headers, &up);
                headers
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, admission, routing, deciding);
criterion_main!(benches);
