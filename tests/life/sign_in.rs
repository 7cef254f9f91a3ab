//! Signing in and out over the wire.

use http::StatusCode;
use serde_json::json;

use crate::support::{Answer, Browser, Gateway, PASSWORD, Site, between, closing};

const SESSION: &str = "__Host-usher";

#[tokio::test]
async fn a_sign_in_leads_to_where_one_wanted_to_go_and_leaves_one_small_strict_cookie() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.browser();
    let sent = browser.navigate("/ide/?folder=%2Fwork").await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    let login = browser.navigate(sent.header("location")).await;
    let token = between(&login.body, "name=\"token\" value=\"", "\"").unwrap();
    let back = between(&login.body, "name=\"return_to\" value=\"", "\"").unwrap();
    assert_eq!(back, "/ide/?folder=%2Fwork");
    let fields = [("token", token), ("return_to", back), ("user", "ada"), ("password", PASSWORD)];
    let answer = browser.submit("/.usher/login", &fields).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/ide/?folder=%2Fwork"));

    let line = answer.set_cookie(SESSION).unwrap();
    let mut attributes: Vec<_> = line.split("; ").skip(1).filter(|part| !part.starts_with("Max-Age=")).collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"], "{line}");
    let sent_back = SESSION.len() + 1 + browser.cookie(SESSION).unwrap().len();
    assert!(sent_back < 300, "{sent_back} bytes");
    assert!(browser.navigate("/").await.body.contains("ada"));
}

#[tokio::test]
async fn a_form_without_the_token_of_its_page_signs_nobody_in() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.browser();
    let other = gateway.browser().navigate("/.usher/login").await;
    let others_token = between(&other.body, "name=\"token\" value=\"", "\"").unwrap();
    for token in ["", "guessed", others_token] {
        let fields = [("token", token), ("user", "ada"), ("password", PASSWORD)];
        let answer = browser.submit("/.usher/login", &fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{token}");
        assert_eq!(browser.cookie(SESSION), None);
    }
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_the_same_answer() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let refused = async |user: &str| {
        let answer = gateway.browser().try_sign_in(user, "wrong").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        without_what_differs(&answer, user)
    };
    assert_eq!(refused("ada").await, refused("zoe").await);
}

/// The page without its token and without the name that was typed.
fn without_what_differs(answer: &Answer, user: &str) -> String {
    let token = between(&answer.body, "name=\"token\" value=\"", "\"").unwrap();
    answer.body.replace(token, "TOKEN").replace(&format!("value=\"{user}\""), "value=\"USER\"")
}

#[tokio::test]
async fn after_some_failed_guesses_even_the_right_password_has_to_wait() {
    let mut site = Site::new();
    site.set("identity.throttle", json!({ "per_user": 2, "per_address": 100, "window": "10m" })).write();
    let gateway = Gateway::start(&site).await;
    for _ in 0..2 {
        assert_eq!(gateway.browser().try_sign_in("ada", "wrong").await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = gateway.browser().try_sign_in("ada", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=600).contains(&wait), "{wait}");
    gateway.browser().sign_in("bob").await;
    let operator = gateway.operator();
    assert!(operator.value("usher_logins_total{directory=\"\",result=\"throttled\"}").await >= 1.0);
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_a_sign_out_does_too() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let stays = gateway.signed_in("ada").await;
    let leaves = gateway.signed_in("bob").await;
    let kept = leaves.cookie(SESSION).unwrap();
    let answer = leaves.sign_out().await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.set_cookie(SESSION).unwrap().contains("Max-Age=0"));
    // Whoever kept a copy of the cookie has nothing of it.
    leaves.set_cookie(SESSION, &kept);
    assert!(!is_signed_in(&leaves).await);
    gateway.stop().await;

    let again = Gateway::start(&site).await;
    assert!(is_signed_in(&stays.at(&again.browser())).await);
    assert!(!is_signed_in(&leaves.at(&again.browser())).await);
}

async fn is_signed_in(browser: &Browser) -> bool {
    browser.navigate("/").await.status == StatusCode::OK
}

#[tokio::test]
async fn a_sign_in_over_another_one_ends_the_first_and_its_websockets() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    let mut socket = browser.console("/ide/").await;
    let first = browser.cookie(SESSION).unwrap();
    // A second tab had the form open already.
    let form = gateway.browser();
    let page = form.navigate("/.usher/login").await;
    form.set_cookie(SESSION, &first);
    let token = between(&page.body, "name=\"token\" value=\"", "\"").unwrap();
    let fields = [("token", token), ("user", "bob"), ("password", PASSWORD)];
    assert_eq!(form.submit("/.usher/login", &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(closing(&mut socket).await, (4401, "signed out".to_owned()));
    assert!(!is_signed_in(&browser).await);
    assert!(is_signed_in(&form).await);
}
