//! What keeps pages and API from the workspaces that share their origin.

use http::{Method, StatusCode};

use crate::support::{Ask, Bench};

const PAGES: [&str; 6] =
    ["/", "/.usher/start/ide", "/.usher/tenant", "/.usher/nothing", "/.usher/page", "/.usher/language?set=zh"];

#[tokio::test]
async fn a_script_or_frame_of_a_workspace_never_gets_a_page() {
    let bench = Bench::new().await;
    let boss = bench.session("boss");
    for path in PAGES {
        let fetched = Ask::fetch(Method::GET, path).by(&boss);
        let framed = Ask::get(path).header("sec-fetch-dest", "iframe").by(&boss);
        let embedded = Ask::get(path).header("sec-fetch-mode", "no-cors").header("sec-fetch-dest", "image").by(&boss);
        for ask in [fetched, framed, embedded] {
            let answer = bench.send(ask).await;
            assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
            assert!(!answer.body.contains(&boss.form_token()), "{path} gave the token away");
        }
    }
}

#[tokio::test]
async fn every_answer_carries_the_protecting_headers() {
    let bench = Bench::new().await;
    let boss = bench.session("boss");
    let page = bench.send(Ask::get("/").by(&boss)).await;
    let script = format!(
        "/.usher/assets/{}",
        page.attribute("<script src=\"/.usher/assets", "src").trim_start_matches("/.usher/assets/")
    );
    let mut asks: Vec<_> = PAGES.iter().map(|path| Ask::get(path).by(&boss)).collect();
    asks.push(Ask::get("/.usher/login"));
    asks.push(Ask::fetch(Method::GET, &script));
    asks.push(Ask::fetch(Method::GET, "/.usher/api/v1/me"));
    asks.push(Ask::api(Method::GET, "/.usher/api/v1/me", &boss));
    for ask in asks {
        let answer = bench.send(ask).await;
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), value, "{name}");
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let caching = answer.header("cache-control");
        assert!(caching == "no-store" || caching.ends_with("immutable"), "{caching}");
    }
}

#[tokio::test]
async fn pages_obey_their_own_content_security_policy() {
    let bench = Bench::new().await;
    let boss = bench.session("boss");
    for path in ["/", "/.usher/start/ide", "/.usher/tenant", "/.usher/nothing", "/.usher/login"] {
        let ask = Ask::get(path);
        let page = bench.send(if path == "/.usher/login" { ask } else { ask.by(&boss) }).await;
        assert!(!page.body.contains("style=\""), "{path} has a style attribute");
        assert!(!page.body.contains("<style"), "{path} has a style element");
        assert!(!page.body.contains(" onclick") && !page.body.contains("javascript:"), "{path} has an inline script");
        for tag in page.body.split("<script").skip(1) {
            assert!(tag.starts_with(" src=\"/.usher/assets/"), "{path} has an inline script: {tag:.60}");
        }
        assert!(!page.body.contains("http://") && !page.body.contains("src=\"https://"), "{path} loads from elsewhere");
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_the_hash_of_their_content() {
    let bench = Bench::new().await;
    let page = bench.send(Ask::get("/.usher/login")).await;
    let style = page.attribute("rel=\"stylesheet\"", "href");
    let answer = bench.send(Ask::fetch(Method::GET, &style)).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    let etag = answer.header("etag").to_owned();
    let again = bench.send(Ask::fetch(Method::GET, &style).header("if-none-match", &etag)).await;
    assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let other = bench.send(Ask::fetch(Method::GET, "/.usher/assets/older/portal.css")).await;
    assert_eq!((other.status, other.header("cache-control")), (StatusCode::OK, "no-store"));
    assert_eq!(bench.send(Ask::fetch(Method::GET, "/.usher/assets/x/../main.rs")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_without_a_caller_gets_nothing() {
    use tower_service::Service as _;
    let bench = Bench::new().await;
    for path in ["/", "/.usher/login", "/.usher/api/v1/me"] {
        let request = http::Request::get(path).body(axum::body::Body::empty()).expect("request is valid");
        let answer = bench.router.clone().call(request).await.expect("the router answers");
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
}

#[tokio::test]
async fn a_large_form_is_refused() {
    let bench = Bench::new().await;
    let answer = bench.send(Ask::form("/.usher/login", &format!("user={}", "a".repeat(20_000)))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}
