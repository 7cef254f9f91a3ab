//! Proving again who one is before what concerns others, and signing out everywhere.

use std::time::Duration;

use http::{Method, StatusCode};
use usher::model::PhaseName;
use usher::session::EndReason;

use crate::support::{Ask, Bench, workspace};

const STOP: &str = "/.usher/tenant/stop";
const PROVE: &str = "/.usher/prove?return_to=/.usher/tenant";
/// Longer than the default of `session.reauthenticate`.
const LATER: Duration = Duration::from_secs(16 * 60);

#[tokio::test]
async fn an_administrator_whose_proof_is_old_enters_the_password_and_goes_on() {
    let bench = Bench::new().await;
    let (boss, id) = (bench.session("boss"), workspace("ada"));
    bench.run(&id).await;
    bench.clock.advance(LATER);
    let stop = || Ask::form(STOP, &format!("token={}&user=ada&kind=ide", boss.form_token())).by(&boss);
    let sent = bench.send(stop()).await;
    assert_eq!((sent.status, sent.header("location")), (StatusCode::SEE_OTHER, PROVE));
    let refused = bench.send(Ask::api(Method::POST, "/.usher/api/v1/tenant/workspaces/ada/ide/stop", &boss)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["type"], "urn:usher:problem:proof-needed");
    assert!(bench.workspaces.view(&id).phase.endpoint().is_some(), "still runs");

    let page = bench.send(Ask::get(PROVE).by(&boss)).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.attribute("name=\"user\"", "value"), "boss");
    let prove = |user: &str, password: &str, token: &str| {
        let form = format!("token={token}&return_to=/.usher/tenant&user={user}&password={password}");
        Ask::form("/.usher/prove", &form).by(&boss)
    };
    let token = boss.form_token();
    for (user, password, token, status) in [
        ("boss", "wrong", token.as_str(), StatusCode::UNAUTHORIZED),
        ("ada", "right", &token, StatusCode::FORBIDDEN),
        ("boss", "right", "guessed", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(bench.send(prove(user, password, token)).await.status, status, "{user} {password}");
        assert_eq!(bench.send(stop()).await.header("location"), PROVE, "{user} {password}");
    }
    let proved = bench.send(prove("boss", "right", &token)).await;
    assert_eq!((proved.status, proved.header("location")), (StatusCode::SEE_OTHER, "/.usher/tenant"));
    assert!(proved.headers.get("set-cookie").is_none(), "the session stays the same");
    assert_eq!(bench.send(stop()).await.header("location"), "/.usher/tenant");
    bench.until(&id, |view| view.phase.name() == PhaseName::Stopped).await;
}

#[tokio::test]
async fn the_page_that_asks_again_leads_to_own_pages_only() {
    let bench = Bench::new().await;
    let boss = bench.session("boss");
    let page = bench.send(Ask::get("/.usher/prove?return_to=https://evil.example/").by(&boss)).await;
    assert_eq!(page.attribute("name=\"return_to\"", "value"), "/");
    assert_eq!(bench.send(Ask::get(PROVE)).await.status, StatusCode::SEE_OTHER, "nobody is signed in");
}

#[tokio::test]
async fn a_sign_out_everywhere_ends_every_session_of_the_user_and_no_others() {
    let bench = Bench::new().await;
    let (here, there, boss) = (bench.session("ada"), bench.session("ada"), bench.session("boss"));
    let home = bench.send(Ask::get("/").by(&here)).await;
    assert!(home.body.contains("action=\"/.usher/logout/everywhere\""));
    let forged = bench.send(Ask::form("/.usher/logout/everywhere", "token=guessed").by(&here)).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert_eq!(there.end_reason(), None);
    let form = format!("token={}", here.form_token());
    let done = bench.send(Ask::form("/.usher/logout/everywhere", &form).by(&here)).await;
    assert_eq!(done.header("location"), "/.usher/login?note=signed-out-everywhere");
    assert!(done.header("set-cookie").contains("Max-Age=0"), "{}", done.header("set-cookie"));
    for session in [&here, &there] {
        assert_eq!(session.end_reason(), Some(EndReason::SignedOutEverywhere));
    }
    assert_eq!(boss.end_reason(), None);
}

#[tokio::test]
async fn a_script_of_the_pages_can_sign_out_everywhere() {
    let bench = Bench::new().await;
    let (here, there) = (bench.session("ada"), bench.session("ada"));
    let done = bench.send(Ask::api(Method::DELETE, "/.usher/api/v1/sessions", &here)).await;
    assert_eq!((done.status, done.json()["ended"].as_u64()), (StatusCode::OK, Some(2)));
    assert!(there.end_reason().is_some());
}
