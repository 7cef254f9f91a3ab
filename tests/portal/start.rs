//! The start page and the problem pages.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use usher::model::Asked;
use usher::model::{ErrorKind, Failure, FailureClass, PageRequest, PhaseName, Problem, StartStep, StopReason};
use usher::runtime::Seen;

use crate::support::{Ask, Bench, REQUEST_ID, endpoint, workspace};

fn page(owner: &str) -> PageRequest {
    PageRequest::Start { workspace: workspace(owner), target: "/ide/?folder=%2Fa".to_owned() }
}

fn failure(class: FailureClass) -> Failure {
    let log_tail = vec!["first line".to_owned(), "</pre><script>alert(1)</script>".to_owned()];
    Failure { class, detail: "process 4711 ended with exit status 1".to_owned(), log_tail }
}

#[tokio::test]
async fn looking_at_a_stopped_workspace_starts_it_and_shows_the_steps() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    let answer = bench.send(Ask::get("/.usher/page").page(page("ada")).by(&ada)).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
    for expected in [
        "Starting IDE",
        "data-target=\"/ide/?folder=%2Fa\"",
        "<noscript><meta http-equiv=\"refresh\" content=\"3; url=/.usher/start/ide?return_to=",
        "data-step=\"requested\" aria-current=\"step\"",
        "aria-live=\"polite\"",
    ] {
        assert!(answer.body.contains(expected), "{expected} is missing in {}", answer.body);
    }
    bench.until(&workspace("ada"), |view| view.phase.name() == PhaseName::Starting).await;
}

#[tokio::test]
async fn the_start_page_follows_the_start_up_to_the_workspace() {
    let bench = Bench::new().await;
    let (ada, id) = (bench.session("ada"), workspace("ada"));
    bench.workspaces.start(&id, None).expect("starts");
    bench.until(&id, |view| view.phase.name() == PhaseName::Starting).await;
    let path = "/.usher/events/ide?target=%2Fide%2F%3Fa";
    let mut body = bench.open(Ask::api(Method::GET, path, &ada)).await.into_body();
    let mut heard = String::new();
    let mut read = async |until: &str| {
        while !heard.contains(until) {
            let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
            let frame = frame.unwrap_or_else(|_| panic!("no {until} in {heard}")).expect("goes on");
            heard
                .push_str(std::str::from_utf8(frame.expect("is whole").data_ref().expect("is data")).expect("is text"));
        }
    };
    read("\"phase\":\"starting\"").await;
    let waiting = |view: &usher::workspace::View| view.steps.iter().any(|(step, _)| *step == StartStep::Waiting);
    bench.see(&id, Seen::Step(StartStep::Waiting), waiting).await;
    read("data-step=\\\"waiting\\\" aria-current").await;
    bench.see(&id, Seen::Ready(endpoint()), |view| view.phase.name() == PhaseName::Running).await;
    read("\"phase\":\"running\"").await;
    read("href=\\\"/ide/?a\\\"").await;
}

#[tokio::test]
async fn a_failed_start_is_explained_and_only_the_button_tries_again() {
    let bench = Bench::new().await;
    let (ada, id) = (bench.session("ada"), workspace("ada"));
    bench.workspaces.start(&id, None).expect("starts");
    bench.until(&id, |view| view.phase.name() == PhaseName::Starting).await;
    let failed = |view: &usher::workspace::View| view.phase.name() == PhaseName::Failed;
    bench.see(&id, Seen::Exited(Err(failure(FailureClass::CrashedAtStart))), failed).await;
    let answer = bench.send(Ask::get("/.usher/page").page(page("ada")).by(&ada)).await;
    for expected in [
        "IDE could not be started",
        "It ended with an error while it was starting.",
        "What you can do",
        "crashed-at-start",
        "process 4711 ended with exit status 1",
        REQUEST_ID,
        "it-help@acme.example",
        "first line",
        "Try again",
    ] {
        assert!(answer.body.contains(expected), "{expected} is missing in {}", answer.body);
    }
    assert!(!answer.body.contains("<script>alert") && !answer.body.contains("http-equiv"), "{}", answer.body);
    assert!(failed(&bench.workspaces.view(&id)), "it was started by looking at it");
    let body = format!("token={}&return_to=/ide/%3Ffolder%3D%252Fa", ada.form_token());
    let retry = bench.send(Ask::form("/.usher/workspaces/ide/start", &body).by(&ada)).await;
    assert_eq!((retry.status, retry.header("location")), (StatusCode::SEE_OTHER, "/ide/?folder=%2Fa"));
    bench.until(&id, |view| view.phase.name() == PhaseName::Starting).await;
}

#[tokio::test]
async fn a_returning_user_is_told_why_it_had_been_stopped() {
    let bench = Bench::new().await;
    let (ada, id) = (bench.session("ada"), workspace("ada"));
    bench.run(&id).await;
    bench.workspaces.stop(&id, StopReason::HumanIdle { after_secs: 1800 });
    bench.until(&id, |view| view.phase.name() == PhaseName::Stopped).await;
    let english = bench.send(Ask::get("/.usher/page").page(page("ada")).by(&ada)).await;
    assert!(
        english.body.contains("10:02 UTC</time> because nobody had worked in it for 30 minutes."),
        "{}",
        english.body
    );
    let ask = Ask::get("/.usher/page").page(page("ada")).by(&ada).header("accept-language", "zh");
    let chinese = bench.send(ask).await;
    assert!(chinese.body.contains("因连续 30 分钟无人使用，已于 <time"), "{}", chinese.body);
}

#[tokio::test]
async fn a_refused_start_says_why_and_offers_another_try() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    for user in ["one", "two", "three"] {
        bench.workspaces.start(&workspace(user), None).expect("starts");
    }
    let answer = bench.send(Ask::get("/.usher/page").page(page("ada")).by(&ada)).await;
    for expected in ["IDE cannot start now", "already running", "tenant-quota", "Try again", REQUEST_ID] {
        assert!(answer.body.contains(expected), "{expected} is missing in {}", answer.body);
    }
    assert!(!answer.body.contains("http-equiv"), "it would load again and again: {}", answer.body);
    let token = ada.form_token();
    let retry = bench.send(Ask::form("/.usher/workspaces/ide/start", &format!("token={token}")).by(&ada)).await;
    assert_eq!(retry.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn nobody_gets_the_start_page_of_somebody_else() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    let answer = bench.send(Ask::get("/.usher/page").page(page("boss")).by(&ada)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.body.contains("belongs to somebody else"), "{}", answer.body);
    assert_eq!(bench.workspaces.view(&workspace("boss")).phase.name(), PhaseName::Stopped);
}

#[tokio::test]
async fn the_start_page_of_its_own_goes_on_when_the_workspace_is_up() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    bench.run(&workspace("ada")).await;
    let answer = bench.send(Ask::get("/.usher/start/ide").by(&ada)).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/ide/"));
    assert_eq!(bench.send(Ask::get("/.usher/start/nothing").by(&ada)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_problem_has_a_page_in_both_languages() {
    use ErrorKind as Kind;
    let bench = Bench::new().await;
    let kinds = [
        Kind::BadRequest,
        Kind::MethodNotAllowed,
        Kind::TooLarge,
        Kind::ExpectationFailed,
        Kind::Misdirected,
        Kind::NotFound,
        Kind::SignInNeeded,
        Kind::Forbidden,
        Kind::ForeignOrigin,
        Kind::NotYours,
        Kind::TenantRefused,
        Kind::NotRunning,
        Kind::StartFailed,
        Kind::Quota,
        Kind::TooMany,
        Kind::UpstreamUnreachable,
        Kind::UpstreamBroken,
        Kind::UpstreamTimeout,
        Kind::BodyBroken,
        Kind::Unavailable,
        Kind::Internal,
    ];
    for kind in kinds {
        for language in ["en", "zh"] {
            let problem = Problem {
                kind,
                status: 418,
                request_id: REQUEST_ID.to_owned(),
                retry_after: Some(90),
                detail: Some("<b>detail</b>".to_owned()),
            };
            let ask = Ask::get("/.usher/page").page(PageRequest::Problem(problem)).header("accept-language", language);
            let answer = bench.send(ask).await;
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (418, "90"), "{kind:?}");
            assert!(answer.body.contains(REQUEST_ID) && answer.body.contains(kind.label()), "{}", answer.body);
            assert!(!answer.body.contains("<b>detail"), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_problem_that_passes_leads_back_to_what_was_asked_for() {
    let bench = Bench::new().await;
    let problem = |kind| {
        PageRequest::Problem(Problem {
            kind,
            status: 502,
            request_id: REQUEST_ID.to_owned(),
            retry_after: None,
            detail: None,
        })
    };
    let ask = |kind, asked: &str| Ask::get("/.usher/page").page(problem(kind)).asked(Asked(asked.to_owned()));
    let passing = bench.send(ask(ErrorKind::UpstreamTimeout, "/gpaas/?a=1")).await;
    assert!(passing.body.contains("href=\"/gpaas/?a=1\">Try again"), "{}", passing.body);
    assert!(passing.body.contains("return_to=/gpaas/%3Fa%3D1"), "{}", passing.body);
    let hostile = bench.send(ask(ErrorKind::UpstreamTimeout, "//evil.example/")).await;
    assert!(!hostile.body.contains("evil"), "{}", hostile.body);
    let signed_out = bench.send(ask(ErrorKind::SignInNeeded, "/ide/")).await;
    assert!(signed_out.body.contains("href=\"/.usher/login?return_to=/ide/\""), "{}", signed_out.body);
}

#[tokio::test]
async fn a_page_that_is_open_does_not_undo_a_stop() {
    let bench = Bench::new().await;
    let (ada, id) = (bench.session("ada"), workspace("ada"));
    let page = bench.send(Ask::get("/.usher/page").page(page("ada")).by(&ada)).await;
    let watch = page.attribute("id=\"start\"", "data-watch").replace("&#38;", "&").replace("&amp;", "&");
    assert!(page.body.contains("content=\"3; url=/.usher/start/ide?"), "{}", page.body);
    bench.until(&id, |view| view.phase.name() == PhaseName::Starting).await;
    let path = "/.usher/events/ide?target=%2Fide%2F";
    let mut body = bench.open(Ask::api(Method::GET, path, &ada)).await.into_body();

    bench.workspaces.stop(&id, StopReason::User);
    bench.until(&id, |view| view.phase.name() == PhaseName::Stopped).await;
    // What the stream tells in the end is the page of a workspace that rests, with a button.
    let mut heard = String::new();
    while !heard.contains("IDE is stopped") {
        let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("it never rests: {heard}")).expect("goes on").expect("is whole");
        heard.push_str(std::str::from_utf8(frame.data_ref().expect("is data")).expect("is text"));
    }
    assert!(heard.contains("action=\\\"/.usher/workspaces/ide/start\\\""), "{heard}");
    // Without a script, or where streams are kept back, the page loads this.
    for _ in 0..3 {
        let answer = bench.send(Ask::get(&watch).by(&ada)).await;
        assert!(answer.status == StatusCode::OK && answer.body.contains("IDE is stopped"), "{}", answer.body);
        assert!(!answer.body.contains("http-equiv"), "it would load for ever: {}", answer.body);
    }
    assert_eq!(bench.workspaces.view(&id).phase.name(), PhaseName::Stopped);
    assert!(bench.workspaces.tracked(&id).is_none(), "it was started by itself");

    bench.run(&id).await;
    let up = bench.send(Ask::get(&watch).by(&ada)).await;
    assert_eq!((up.status, up.header("location")), (StatusCode::SEE_OTHER, "/ide/?folder=%2Fa"));
}

#[tokio::test]
async fn problems_of_our_own_handlers_are_counted_and_those_of_the_gateway_not_twice() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    bench.send(Ask::get("/.usher/nothing").by(&ada)).await;
    bench.send(Ask::fetch(Method::GET, "/.usher/nothing").by(&ada)).await;
    bench.send(Ask::api(Method::GET, "/.usher/api/v1/workspaces/nothing", &ada)).await;
    assert_eq!(bench.problems("not-found"), 3);
    bench.send(Ask::fetch(Method::GET, "/.usher/events").by(&ada)).await;
    bench.send(Ask::form("/.usher/workspaces/ide/start", "token=x").by(&ada)).await;
    assert_eq!(bench.problems("forbidden"), 2);
    let problem = Problem {
        kind: ErrorKind::NotFound,
        status: 404,
        request_id: REQUEST_ID.to_owned(),
        retry_after: None,
        detail: None,
    };
    bench.send(Ask::get("/.usher/page").page(PageRequest::Problem(problem)).by(&ada)).await;
    assert_eq!(bench.problems("not-found"), 3, "the gateway has counted it");
}
