//! The JSON API against its OpenAPI document, and against those who may not use it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use usher::model::{Failure, FailureClass, PhaseName};
use usher::portal::openapi_document;
use usher::runtime::Seen;

use crate::support::{Answer, Ask, Bench, workspace};

const BASE: &str = "/.usher/api/v1";

/// Fails unless the answer is one that the document allows for this operation.
fn conforms(answer: &Answer, method: &str, path: &str) {
    let document = openapi_document();
    let response = &document["paths"][path][method]["responses"][answer.status.as_str()];
    assert!(response.is_object(), "{method} {path} may not answer {}", answer.status);
    let (media_type, content) = response["content"].as_object().and_then(|all| all.iter().next()).expect("has content");
    assert_eq!(answer.header("content-type"), media_type);
    let mut schema = content["schema"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&schema).expect("schema is valid");
    let body = answer.json();
    let problems: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{method} {path}: {problems:?} in {body}");
}

#[tokio::test]
async fn every_operation_is_served_and_no_other() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    let document = openapi_document();
    for (path, operations) in document["paths"].as_object().expect("has paths") {
        let address = format!("{BASE}{}", path.replace("{kind}", "ide").replace("{user}", "ada"));
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let documented = operations.get(method.as_str().to_lowercase()).is_some();
            let answer = bench.send(Ask::api(method.clone(), &address, &ada)).await;
            assert_eq!(
                answer.status != StatusCode::METHOD_NOT_ALLOWED,
                documented,
                "{method} {path}: {}",
                answer.status
            );
        }
    }
    let source = include_str!("../../src/portal/api/mod.rs");
    let served = source.matches("handler: ||").count();
    let documented: usize = document["paths"]
        .as_object()
        .expect("has paths")
        .values()
        .map(|p| p.as_object().expect("is an object").len())
        .sum();
    assert_eq!(served, documented);
}

#[test]
fn the_committed_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let current = format!("{:#}\n", openapi_document());
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    if committed != current {
        let fresh = concat!(env!("CARGO_MANIFEST_DIR"), "/target/openapi.json");
        std::fs::write(fresh, &current).expect("is written");
        panic!("docs/openapi.json is not current: copy {fresh} over it");
    }
}

#[test]
fn the_document_is_whole() {
    let document = openapi_document();
    let text = document.to_string();
    for (at, _) in text.match_indices("\"$ref\":\"#") {
        let pointer = text[at + 9..].split('"').next().expect("ends");
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    for schema in document["components"]["schemas"].as_object().expect("has schemas").values() {
        let mut schema = schema.clone();
        schema["components"] = document["components"].clone();
        jsonschema::validator_for(&schema).expect("schema is valid");
    }
}

#[tokio::test]
async fn answers_of_a_life_conform_to_the_document() {
    let bench = Bench::new().await;
    let (ada, boss, id) = (bench.session("ada"), bench.session("boss"), workspace("ada"));
    let get = |path: &str| Ask::api(Method::GET, &format!("{BASE}{path}"), &ada);
    let post = |path: &str, body: &str| Ask::api(Method::POST, &format!("{BASE}{path}"), &ada).body(body);

    let me = bench.send(get("/me")).await;
    conforms(&me, "get", "/me");
    assert_eq!(me.json()["user"], "ada");
    conforms(&bench.send(get("/workspaces")).await, "get", "/workspaces");
    conforms(&bench.send(get("/workspaces/nothing")).await, "get", "/workspaces/{kind}");
    conforms(&bench.send(post("/workspaces/ide/hold", r#"{"seconds":60}"#)).await, "post", "/workspaces/{kind}/hold");
    conforms(
        &bench.send(post("/workspaces/ide/start", r#"{"profile":"huge"}"#)).await,
        "post",
        "/workspaces/{kind}/start",
    );
    conforms(&bench.send(post("/workspaces/ide/start", "nonsense")).await, "post", "/workspaces/{kind}/start");
    let started = bench.send(post("/workspaces/ide/start", r#"{"profile":"small"}"#)).await;
    conforms(&started, "post", "/workspaces/{kind}/start");
    assert_eq!(started.status, StatusCode::OK);
    bench.until(&id, |view| view.phase.name() == PhaseName::Starting).await;
    bench.run(&id).await;
    let held = bench.send(post("/workspaces/ide/hold", r#"{"seconds":3600}"#)).await;
    conforms(&held, "post", "/workspaces/{kind}/hold");
    assert_eq!(held.json()["hold_until"], "2026-05-06T11:02:00.000Z");
    let running = bench.send(get("/workspaces/ide")).await;
    conforms(&running, "get", "/workspaces/{kind}");
    let seen = running.json();
    assert_eq!((&seen["phase"], &seen["profile"]), (&json!("running"), &json!("small")));

    let all = bench.send(Ask::api(Method::GET, &format!("{BASE}/tenant/workspaces"), &boss)).await;
    conforms(&all, "get", "/tenant/workspaces");
    assert_eq!(all.json()["workspaces"][0]["user"], "ada");
    conforms(&bench.send(get("/tenant/workspaces")).await, "get", "/tenant/workspaces");
    let crash = Failure { class: FailureClass::Crashed, detail: "gone".to_owned(), log_tail: vec!["last".to_owned()] };
    bench.see(&id, Seen::Exited(Err(crash)), |view| view.phase.name() == PhaseName::Failed).await;
    let failed = bench.send(get("/workspaces/ide")).await;
    conforms(&failed, "get", "/workspaces/{kind}");
    assert_eq!(failed.json()["failure"]["class"], "crashed");

    bench.run(&id).await;
    let path = "/tenant/workspaces/{user}/{kind}/stop";
    let stop = |user: &str, by| Ask::api(Method::POST, &format!("{BASE}/tenant/workspaces/{user}/ide/stop"), by);
    conforms(&bench.send(stop("ada", &boss)).await, "post", path);
    conforms(&bench.send(stop("nobody", &boss)).await, "post", path);
    conforms(&bench.send(stop("boss", &ada)).await, "post", path);
    bench.until(&id, |view| view.phase.name() == PhaseName::Stopped).await;
    let stopped = bench.send(post("/workspaces/ide/stop", "")).await;
    conforms(&stopped, "post", "/workspaces/{kind}/stop");
    assert_eq!(
        (&stopped.json()["last_stop"]["reason"], &stopped.json()["last_stop"]["by"]),
        (&json!("administrator"), &json!("boss"))
    );
    conforms(&bench.send(get("/openapi.json")).await, "get", "/openapi.json");
}

#[tokio::test]
async fn nothing_is_answered_without_session_token_and_own_origin() {
    let bench = Bench::new().await;
    let (ada, boss) = (bench.session("ada"), bench.session("boss"));
    let document = openapi_document();
    for (path, operations) in document["paths"].as_object().expect("has paths") {
        let address = format!("{BASE}{}", path.replace("{kind}", "ide").replace("{user}", "ada"));
        for method in operations.as_object().expect("is an object").keys() {
            let verb: Method = method.to_uppercase().parse().expect("is a method");
            let ask = || Ask::fetch(verb.clone(), &address);
            let nobody = bench.send(ask()).await;
            let without = bench.send(ask().by(&ada)).await;
            let other = bench.send(ask().by(&ada).header("x-usher-token", &boss.form_token())).await;
            let foreign =
                bench.send(Ask::api(verb.clone(), &address, &ada).header("sec-fetch-site", "same-site")).await;
            assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            for answer in [without, other, foreign] {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
                conforms(&answer, method, path);
                let kind: Value = answer.json()["type"].clone();
                assert!(kind.as_str().is_some_and(|kind| kind.starts_with("urn:usher:problem:")), "{kind}");
            }
        }
    }
    assert_eq!(bench.workspaces.view(&workspace("ada")).phase.name(), PhaseName::Stopped);
}
