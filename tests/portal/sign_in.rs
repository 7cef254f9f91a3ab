//! Signing in and out, and what guessing gets.

use http::{Method, StatusCode};

use crate::support::{Ask, Bench, principal, workspace};

/// The token and the cookie of a sign-in form.
async fn form(bench: &Bench) -> (String, String) {
    let page = bench.send(Ask::get("/.usher/login?return_to=/ide/%3Fa%3D1")).await;
    let cookie = page.header("set-cookie").split(';').next().expect("has a value").to_owned();
    (page.attribute("name=\"token\"", "value"), cookie)
}

async fn submit(bench: &Bench, user: &str, password: &str, back: &str) -> crate::support::Answer {
    let (token, cookie) = form(bench).await;
    let body = format!("token={token}&user={user}&password={password}&return_to={back}");
    bench.send(Ask::form("/.usher/login", &body).header("cookie", &cookie)).await
}

#[tokio::test]
async fn the_right_password_opens_a_session_and_leads_back() {
    let bench = Bench::new().await;
    let answer = submit(&bench, "ada", "right", "/ide/%3Fa%3D1").await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/ide/?a=1"));
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-usher=") && cookie.contains("HttpOnly") && cookie.contains("Secure"),
        "{cookie}"
    );
    assert!(cookie.len() < 400, "{cookie}");
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_the_same_answer() {
    let bench = Bench::new().await;
    let (wrong, unknown) = (submit(&bench, "ada", "wrong", "/").await, submit(&bench, "eve", "wrong", "/").await);
    assert_eq!((wrong.status, unknown.status), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
    assert!(wrong.body.contains("do not match"), "{}", wrong.body);
    let alike = |answer: &crate::support::Answer, user: &str| {
        let token = answer.attribute("name=\"token\"", "value");
        answer.body.replace(&token, "").replace(&format!("value=\"{user}\""), "")
    };
    assert_eq!(alike(&wrong, "ada"), alike(&unknown, "eve"));
    assert!(!wrong.body.contains("value=\"wrong\""), "the password came back");
}

#[tokio::test]
async fn a_form_without_its_token_or_cookie_signs_nobody_in() {
    let bench = Bench::new().await;
    let (token, cookie) = form(&bench).await;
    let good = format!("token={token}&user=ada&password=right");
    for ask in [
        Ask::form("/.usher/login", &good),
        Ask::form("/.usher/login", "token=x&user=ada&password=right").header("cookie", &cookie),
        Ask::form("/.usher/login", "user=ada&password=right").header("cookie", &cookie),
    ] {
        let answer = bench.send(ask).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(!answer.header("set-cookie").starts_with("__Host-usher="), "a session was opened");
    }
    let elsewhere = Ask::form("/.usher/login", &good).header("cookie", &cookie).header("sec-fetch-site", "cross-site");
    assert_eq!(bench.send(elsewhere).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn too_many_failures_have_to_wait_even_with_the_right_password() {
    let bench = Bench::new().await;
    for _ in 0..10 {
        assert_eq!(submit(&bench, "ada", "wrong", "/").await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = submit(&bench, "ada", "right", "/").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = answer.header("retry-after").parse().expect("is a number");
    assert!((1..=600).contains(&wait), "{wait}");
    assert!(answer.body.contains("Too many failed attempts. Please wait 1 minute before"), "{}", answer.body);
    bench.clock.advance(std::time::Duration::from_secs(wait));
    assert_eq!(submit(&bench, "ada", "right", "/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_fault_of_ours_is_said_and_not_held_against_anybody() {
    let bench = Bench::new().await;
    for _ in 0..20 {
        let answer = submit(&bench, "busy", "right", "/").await;
        assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "3"));
        assert!(answer.body.contains("Too many people are signing in"), "{}", answer.body);
    }
    assert_eq!(submit(&bench, "disabled", "right", "/").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_is_the_matter_with_an_account_is_told_to_who_proved_the_password_and_to_nobody_else() {
    let bench = Bench::new().await;
    let table = [
        ("locked", "right", StatusCode::FORBIDDEN, "This account is locked"),
        ("locked", "wrong", StatusCode::UNAUTHORIZED, "do not match"),
        ("expired", "right", StatusCode::FORBIDDEN, "This account has expired"),
        ("old-password", "right", StatusCode::FORBIDDEN, "Your password has expired"),
        ("new-password", "right", StatusCode::FORBIDDEN, "has to be changed"),
        ("stranger", "wrong", StatusCode::UNAUTHORIZED, "do not match"),
    ];
    for (user, password, status, said) in table {
        let answer = submit(&bench, user, password, "/").await;
        assert_eq!(answer.status, status, "{user} {password}");
        assert!(answer.body.contains(said), "{user} {password}: {}", answer.body);
    }
}

#[tokio::test]
async fn who_has_no_access_is_told_whom_to_ask_and_nothing_of_other_tenants() {
    let bench = Bench::new().await;
    let table = [
        ("stranger", "You have no access here yet", "no-tenant", "access@usher.example"),
        ("both", "matched to more than one company", "ambiguous-tenant", "access@usher.example"),
        ("late", "Your company has no access at present", "tenant-refused", "it@gone.example"),
    ];
    for (user, said, class, contact) in table {
        let answer = submit(&bench, user, "right", "/ide/").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{user}");
        for text in [said, class, contact, user, "href=\"/.usher/login?return_to=/ide/\""] {
            assert!(answer.body.contains(text), "{user}: {text} is not in {}", answer.body);
        }
        assert!(!answer.body.contains("acme") && !answer.body.contains("identity.tenant"), "{}", answer.body);
        assert!(!answer.header("set-cookie").starts_with("__Host-usher="), "a session was opened");
    }
}

#[tokio::test]
async fn nobody_is_led_to_another_site() {
    let bench = Bench::new().await;
    for back in ["https://evil.example/", "//evil.example/", "/%5Cevil.example", "/.usher/login"] {
        let answer = submit(&bench, "ada", "right", back).await;
        assert_eq!(answer.header("location"), "/", "{back}");
    }
}

#[tokio::test]
async fn who_is_signed_in_needs_no_form() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    let answer = bench.send(Ask::get("/.usher/login?return_to=/ide/").by(&ada)).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/ide/"));
}

#[tokio::test]
async fn pages_lead_to_sign_in_and_remember_the_way() {
    let bench = Bench::new().await;
    let answer = bench.send(Ask::get("/.usher/start/ide?x=1")).await;
    let expected = "/.usher/login?return_to=/.usher/start/ide%3Fx%3D1";
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, expected));
    assert_eq!(bench.send(Ask::get("/")).await.header("location"), "/.usher/login");
    let ada = bench.session("ada");
    let page = usher::model::PageRequest::Start { workspace: workspace("ada"), target: "/ide/".into() };
    bench.sessions.end(ada.id(), usher::session::EndReason::Revoked);
    let answer = bench.send(Ask::get("/.usher/page").page(page).by(&ada)).await;
    assert_eq!(answer.header("location"), "/.usher/login", "an ended session still works");
}

#[tokio::test]
async fn signing_out_ends_the_session_and_takes_the_cookie_away() {
    let bench = Bench::new().await;
    let ada = bench.session("ada");
    let forged = bench.send(Ask::form("/.usher/logout", "token=x").by(&ada)).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert!(!ada.ended().is_cancelled());
    let answer = bench.send(Ask::form("/.usher/logout", &format!("token={}", ada.form_token())).by(&ada)).await;
    assert_eq!(answer.header("location"), "/.usher/login?note=signed-out");
    assert!(answer.header("set-cookie").contains("Max-Age=0"), "{}", answer.header("set-cookie"));
    assert!(ada.ended().is_cancelled());
}

#[tokio::test]
async fn the_language_is_the_browser_s_until_one_is_chosen() {
    let bench = Bench::new().await;
    let chinese = bench.send(Ask::get("/.usher/login").header("accept-language", "zh-CN,zh;q=0.9,en;q=0.8")).await;
    assert!(chinese.body.contains("<html lang=\"zh-CN\"") && chinese.body.contains("用户名"), "{}", chinese.body);
    let chosen = bench.send(Ask::get("/.usher/language?set=zh&return_to=/ide/")).await;
    assert_eq!((chosen.status, chosen.header("location")), (StatusCode::SEE_OTHER, "/ide/"));
    let cookie = chosen.header("set-cookie").split(';').next().expect("has a value").to_owned();
    let page = bench.send(Ask::get("/.usher/login").header("cookie", &cookie)).await;
    assert!(page.body.contains("用户名"), "{}", page.body);
    assert_eq!(bench.send(Ask::get("/.usher/language?set=xx")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_user_name_from_outside_stays_text() {
    let bench = Bench::new().await;
    let answer = submit(&bench, "%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "wrong", "/").await;
    assert!(!answer.body.contains("<script>alert"), "{}", answer.body);
    let (session, _) = bench.sessions.start(principal("<img src=x onerror=alert(1)>"));
    let home = bench.send(Ask::get("/").by(&session)).await;
    assert!(home.body.contains("&#60;img") || home.body.contains("&lt;img"), "{}", home.body);
    assert!(!home.body.contains("<img"), "{}", home.body);
    assert_eq!(bench.send(Ask::fetch(Method::GET, "/").by(&session)).await.status, StatusCode::FORBIDDEN);
}
