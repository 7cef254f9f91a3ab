//! The home page, its buttons without a script, and its event stream.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use usher::model::{PhaseName, StopReason};

use crate::support::{Ask, Bench, now, workspace};

#[tokio::test]
async fn a_running_workspace_shows_when_it_stops_and_can_be_stopped_and_held() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    bench.run(&workspace("ada")).await;
    let page = bench.send(Ask::get("/").by(&ada)).await;
    for expected in [
        "pill running",
        "Last activity",
        "unless somebody works in it",
        "id=\"stop-menu-ide\"",
        "value=\"1800\"",
        "/docs/",
    ] {
        assert!(page.body.contains(expected), "{expected} is missing in {}", page.body);
    }
    let token = ada.form_token();
    let hold = Ask::form("/.usher/workspaces/ide/hold", &format!("token={token}&seconds=3600")).by(&ada);
    assert_eq!(bench.send(hold).await.header("location"), "/");
    let until = bench.workspaces.view(&workspace("ada")).hold_until;
    bench.until(&workspace("ada"), |view| view.hold_until == Some(now(&bench) + Duration::from_secs(3600))).await;
    let page = bench.send(Ask::get("/").by(&ada)).await;
    assert!(
        page.body.contains("kept running until") && page.body.contains("Let it stop again"),
        "{until:?} {}",
        page.body
    );
    let stop = Ask::form("/.usher/workspaces/ide/stop", &format!("token={token}")).by(&ada);
    assert_eq!(bench.send(stop).await.header("location"), "/");
    bench.until(&workspace("ada"), |view| view.phase.name() == PhaseName::Stopped).await;
    let page = bench.send(Ask::get("/").by(&ada)).await;
    assert!(page.body.contains("You stopped it at <time"), "{}", page.body);
}

#[tokio::test]
async fn a_form_without_the_token_changes_nothing() {
    let bench = Bench::new().await;
    let (ada, boss) = (bench.session("ada"), bench.session("boss"));
    bench.run(&workspace("ada")).await;
    for token in [String::new(), boss.form_token()] {
        for action in ["stop", "hold", "start"] {
            let path = format!("/.usher/workspaces/ide/{action}");
            let answer = bench.send(Ask::form(&path, &format!("token={token}")).by(&ada)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{action}");
        }
    }
    assert_eq!(bench.workspaces.view(&workspace("ada")).phase.name(), PhaseName::Running);
}

#[tokio::test]
async fn opening_with_a_size_starts_that_size() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    let token = ada.form_token();
    let ask = Ask::form("/.usher/workspaces/ide/start", &format!("token={token}&profile=small&then=open")).by(&ada);
    assert_eq!(bench.send(ask).await.header("location"), "/ide/");
    let small = usher::model::ProfileName::new("small").expect("valid");
    bench.until(&workspace("ada"), |view| view.profile.as_ref() == Some(&small)).await;
    assert_eq!(bench.workspaces.view(&workspace("ada")).phase.name(), PhaseName::Starting);
    let ask = Ask::form("/.usher/workspaces/notebook/start", &format!("token={token}&then=open")).by(&ada);
    assert_eq!(bench.send(ask).await.header("location"), "/.usher/start/notebook", "form-action forbids other hosts");
    let ask = |path: &str| Ask::form(path, &format!("token={token}&profile=huge")).by(&ada);
    assert_eq!(bench.send(ask("/.usher/workspaces/nothing/start")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.send(ask("/.usher/workspaces/notebook/start")).await.status, StatusCode::SEE_OTHER);
    bench.workspaces.stop(&workspace("ada"), StopReason::User);
    bench.until(&workspace("ada"), |view| view.phase.name() == PhaseName::Stopped).await;
    assert_eq!(bench.send(ask("/.usher/workspaces/ide/start")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn cards_follow_their_workspaces_until_the_session_ends() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    let answer = bench.open(Ask::api(Method::GET, "/.usher/events", &ada)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers().get("content-type").expect("has one"), "text/event-stream");
    let mut body = answer.into_body();
    let mut heard = String::new();
    let mut read = async |until: &str| {
        while !heard.contains(until) {
            let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
            let Some(frame) = frame.unwrap_or_else(|_| panic!("no {until} in {heard}")) else { return };
            let data = frame.expect("stream is whole").into_data().expect("is data");
            heard.push_str(std::str::from_utf8(&data).expect("is UTF-8"));
        }
    };
    read("\"kind\":\"notebook\",\"phase\":\"stopped\"").await;
    read("\"kind\":\"ide\",\"phase\":\"stopped\"").await;
    bench.run(&workspace("ada")).await;
    read("\"kind\":\"ide\",\"phase\":\"running\"").await;
    bench.workspaces.stop(&workspace("ada"), StopReason::User);
    read("You stopped it at").await;
    bench.sessions.end(ada.id(), usher::session::EndReason::SignedOut);
    // Ends instead of waiting for what never comes.
    read("never").await;
}

#[tokio::test]
async fn one_session_holds_a_bounded_number_of_streams() {
    let bench = Bench::new().await;
    let (ada, boss) = (bench.session("ada"), bench.session("boss"));
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(bench.open(Ask::api(Method::GET, "/.usher/events", &ada)).await);
    }
    assert!(open.iter().all(|answer| answer.status() == StatusCode::OK));
    let one_more = || Ask::api(Method::GET, "/.usher/events/ide", &ada);
    assert_eq!(bench.send(one_more()).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(bench.open(Ask::api(Method::GET, "/.usher/events", &boss)).await.status(), StatusCode::OK);
    open.pop();
    assert_eq!(bench.open(one_more()).await.status(), StatusCode::OK);
    assert_eq!(bench.send(Ask::fetch(Method::GET, "/.usher/events").by(&ada)).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_administrator_sees_and_stops_the_workspaces_of_their_tenant() {
    let bench = Bench::new().await;
    let (ada, boss) = (bench.session("ada"), bench.session("boss"));
    bench.run(&workspace("ada")).await;
    assert_eq!(bench.send(Ask::get("/.usher/tenant").by(&ada)).await.status, StatusCode::FORBIDDEN);
    let page = bench.send(Ask::get("/.usher/tenant").by(&boss)).await;
    assert!(page.body.contains("1 running of 1") && page.body.contains("Stop the workspace of ada"), "{}", page.body);
    let stop = |session: &std::sync::Arc<usher::session::Session>| {
        Ask::form("/.usher/tenant/stop", &format!("token={}&user=ada&kind=ide", session.form_token())).by(session)
    };
    assert_eq!(bench.send(stop(&ada)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(bench.send(stop(&boss)).await.header("location"), "/.usher/tenant");
    bench.until(&workspace("ada"), |view| view.phase.name() == PhaseName::Stopped).await;
    let home = bench.send(Ask::get("/").by(&ada)).await;
    assert!(home.body.contains("boss, an administrator, stopped it at"), "{}", home.body);
}
