//! Own pages and the addresses around them.

use usher::model::{KindName, TenantId, UserId, WorkspaceId};

use crate::support::{Answer, Gateway, HOST, ORIGIN, Say, Setup, Upstream, request, within};

/// What a browser's tab sends along.
const TAB: [&str; 3] = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html"];
/// What a script's call sends along.
const SCRIPT: [&str; 3] = ["Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: same-origin"];
/// What a frame sends along.
const FRAME: [&str; 3] = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Accept: text/html"];

/// A request with these headers and this `Cookie` line.
async fn ask(gateway: &Gateway, method: &str, target: &str, lines: &[&str], cookie: &str) -> Answer {
    let lines: Vec<&str> = lines.iter().copied().chain(Some(cookie).filter(|cookie| !cookie.is_empty())).collect();
    gateway.ask(method, request(method, target, &lines)).await
}

async fn gateway() -> (Gateway, Upstream, String) {
    let upstream = Upstream::scripted(|_| Say::ok("fine")).await;
    let gateway = Setup::new().app(&upstream).ide().start().await;
    let cookie = gateway.sign_in("ada").await;
    (gateway, upstream, cookie)
}

/// The token that pages of this session hold.
async fn token(gateway: &Gateway, cookie: &str) -> String {
    let page = ask(gateway, "GET", "/", &TAB, cookie).await.text();
    page.split_once("name=\"usher-token\" content=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn pages_of_ours_are_for_tabs_only() {
    let (gateway, _upstream, cookie) = gateway().await;
    for page in ["/", "/.usher/tenant", "/.usher/start/ide", "/.usher/login"] {
        for (lines, refused) in [(SCRIPT, true), (FRAME, true), (TAB, false)] {
            let answer = ask(&gateway, "GET", page, &lines, &cookie).await;
            assert_eq!(answer.status() == 403, refused || page == "/.usher/tenant", "{page} {lines:?}: {answer:?}");
        }
    }
    let home = ask(&gateway, "GET", "/", &TAB, &cookie).await;
    assert_eq!((home.status(), home.head.one("cache-control")), (200, "no-store"));
    assert!(home.head.one("content-security-policy").contains("frame-ancestors 'none'"));
    // Nobody is there: a tab is led to the sign-in page, a script is told.
    let stranger = ask(&gateway, "GET", "/app/x?y=1&z", &TAB, "").await;
    let login = "/.usher/login?return_to=%2Fapp%2Fx%3Fy%3D1%26z";
    assert_eq!((stranger.status(), stranger.head.one("location")), (303, login));
    assert_eq!(ask(&gateway, "GET", "/app/", &SCRIPT, "").await.status(), 401);
}

#[tokio::test]
async fn the_api_wants_the_token_that_only_pages_hold() {
    let (gateway, _upstream, cookie) = gateway().await;
    let token = format!("X-Usher-Token: {}", token(&gateway, &cookie).await);
    let list = "/.usher/api/v1/workspaces";
    for (lines, cookie, status) in [
        (vec![], "", 401),
        (vec![], cookie.as_str(), 403),
        (vec!["X-Usher-Token: forged"], &cookie, 403),
        (vec![token.as_str()], "", 401),
        (vec![token.as_str()], &cookie, 200),
    ] {
        let lines: Vec<&str> = SCRIPT.into_iter().chain(lines).collect();
        let answer = ask(&gateway, "GET", list, &lines, cookie).await;
        assert_eq!(answer.status(), status, "{lines:?}: {answer:?}");
        if status != 200 {
            assert_eq!(answer.json()["status"], status);
        }
    }
    // The token of one session is nothing in another.
    let other = gateway.sign_in("bo").await;
    let lines: Vec<&str> = SCRIPT.into_iter().chain([token.as_str()]).collect();
    assert_eq!(ask(&gateway, "GET", list, &lines, &other).await.status(), 403);
}

#[tokio::test]
async fn what_changes_something_has_to_come_from_our_own_pages() {
    let (gateway, upstream, cookie) = gateway().await;
    let own = format!("Origin: {ORIGIN}");
    for (path, origin, refused) in [
        ("/.usher/logout", "", true),
        ("/.usher/logout", "Origin: null", true),
        ("/.usher/logout", "Origin: https://evil.example", true),
        ("/.usher/login", "Origin: https://dev.example.com", true),
        ("/.usher/login", own.as_str(), false),
        ("/app/form", "Origin: https://evil.example", true),
        ("/app/form", "Origin: null", true),
        ("/app/form", "", false),
        ("/app/form", own.as_str(), false),
    ] {
        let lines: Vec<&str> =
            ["Content-Length: 0"].into_iter().chain(Some(origin).filter(|it| !it.is_empty())).collect();
        let answer = ask(&gateway, "POST", path, &lines, &cookie).await;
        let foreign = answer.status() == 403 && answer.text().contains("urn:usher:problem:foreign-origin");
        assert_eq!(foreign, refused, "{path} {origin}: {answer:?}");
    }
    assert_eq!(upstream.requests().await.len(), 2);
}

#[tokio::test]
async fn signing_in_leads_to_our_own_addresses_only() {
    let (gateway, _upstream, cookie) = gateway().await;
    for (return_to, location) in [
        ("%2Fapp%2F%3Fx", "/app/?x"),
        ("", "/"),
        ("https%3A%2F%2Fevil.example%2F", "/"),
        ("%2F%2Fevil.example%2F", "/"),
        ("%2F%5Cevil.example", "/"),
        ("%2F%09%2Fevil.example", "/"),
        ("%2F.usher%2Flogin", "/"),
    ] {
        let answer = ask(&gateway, "GET", &format!("/.usher/login?return_to={return_to}"), &TAB, &cookie).await;
        assert_eq!((answer.status(), answer.head.one("location")), (303, location), "{return_to}");
    }
}

#[tokio::test]
async fn an_unknown_address_is_told_as_such_in_the_form_that_was_asked_for() {
    let (gateway, _upstream, cookie) = gateway().await;
    let script = ask(&gateway, "GET", "/nowhere", &SCRIPT, &cookie).await;
    assert_eq!((script.status(), &script.json()["type"]), (404, &"urn:usher:problem:not-found".into()));
    let tab = ask(&gateway, "GET", "/nowhere", &TAB, &cookie).await;
    assert_eq!(tab.status(), 404);
    assert!(tab.head.one("content-type").starts_with("text/html") && tab.text().contains("/.usher/assets/"));

    // A host that nobody configured, on a connection that was made for it.
    let other = "GET / HTTP/1.1\r\nHost: other.example.com:8443\r\n";
    let script = gateway.connect_as("other.example.com").await.ask("GET", format!("{other}\r\n")).await;
    assert_eq!((script.status(), &script.json()["type"]), (421, &"urn:usher:problem:misdirected".into()));
    let tab =
        gateway.connect_as("other.example.com").await.ask("GET", format!("{other}Accept: text/html\r\n\r\n")).await;
    assert_eq!(tab.status(), 421);
    assert!(stands_alone(&tab), "{tab:?}");
}

/// Whether a page loads nothing: on its host there is nothing of ours to load.
fn stands_alone(page: &Answer) -> bool {
    let text = page.text();
    page.head.one("content-type").starts_with("text/html")
        && text.contains(&format!("href=\"{ORIGIN}/\""))
        && !text.contains("/.usher/")
        && !page.head.has("strict-transport-security")
}

#[tokio::test]
async fn a_prefix_without_its_slash_is_redirected_with_the_query() {
    let (gateway, upstream, cookie) = gateway().await;
    for (target, location) in [("/app", "/app/"), ("/app?x=/y", "/app/?x=/y"), ("/ide", "/ide/")] {
        let answer = ask(&gateway, "GET", target, &TAB, &cookie).await;
        assert_eq!((answer.status(), answer.head.one("location")), (308, location), "{target}");
    }
    assert_eq!(ask(&gateway, "GET", "/apple", &SCRIPT, &cookie).await.status(), 404);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn browsers_are_told_to_insist_on_https_where_the_host_is_a_name() {
    let (gateway, _upstream, cookie) = gateway().await;
    for (target, told) in [("/", true), ("/.usher/login", true), ("/nowhere", true), ("/app/", false)] {
        let answer = ask(&gateway, "GET", target, &TAB, &cookie).await;
        assert_eq!(answer.head.one("strict-transport-security") == "max-age=31536000", told, "{target}: {answer:?}");
    }
    for (url, host) in [("https://localhost:8443", "localhost"), ("https://127.0.0.1:8443", "127.0.0.1")] {
        let gateway = Setup::new().public_url(url).ide().start().await;
        let login = format!("GET /.usher/login HTTP/1.1\r\nHost: {host}:8443\r\n\r\n");
        let answer = gateway.connect_as(host).await.ask("GET", login).await;
        assert_eq!((answer.status(), answer.head.has("strict-transport-security")), (200, false), "{url}");
    }
}

#[tokio::test]
async fn the_icon_is_found_where_browsers_look_for_one() {
    let (gateway, upstream, _) = gateway().await;
    let image = ["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Sec-Fetch-Site: same-origin"];
    let answer = ask(&gateway, "GET", "/favicon.ico", &image, "").await;
    assert_eq!(answer.status(), 302, "{answer:?}");
    let icon = ask(&gateway, "GET", answer.head.one("location"), &image, "").await;
    assert_eq!((icon.status(), icon.head.one("content-type")), (200, "image/svg+xml"));
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_refused_method_is_answered_with_those_that_are_allowed() {
    let (gateway, _upstream, cookie) = gateway().await;
    for lines in [&SCRIPT, &TAB] {
        let answer = ask(&gateway, "PROPFIND", "/app/", lines, &cookie).await;
        let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!((answer.status(), answer.head.one("allow")), (405, allowed), "{lines:?}");
    }
    let origin = format!("Origin: {ORIGIN}");
    let post = ask(&gateway, "POST", "/.usher/tenant", &[TAB[0], TAB[1], &origin, "Content-Length: 0"], &cookie).await;
    assert_eq!((post.status(), post.head.one("allow")), (405, "GET,HEAD"));
}

#[tokio::test]
async fn plain_http_leads_to_the_public_address_whatever_host_it_names() {
    let (gateway, ..) = gateway().await;
    let redirect = gateway.addresses.redirect.unwrap();
    for (method, target, host, status, location) in [
        ("GET", "/app/?x", HOST, 308, "https://dev.example.com:8443/app/?x"),
        ("GET", "/", "evil.example", 308, "https://dev.example.com:8443/"),
        ("GET", "http://evil.example/x", "evil.example", 308, "https://dev.example.com:8443/x"),
        ("HEAD", "//evil.example/", HOST, 308, "https://dev.example.com:8443//evil.example/"),
        ("POST", "/.usher/login", HOST, 403, ""),
    ] {
        let bytes = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = gateway.plain(redirect, method, bytes).await;
        assert_eq!((answer.status(), answer.head.one("location")), (status, location), "{method} {target} {host}");
    }
}

#[tokio::test]
async fn only_a_tab_starts_a_workspace_and_then_everything_reaches_it() {
    let (gateway, _upstream, cookie) = gateway().await;
    let script = ask(&gateway, "GET", "/ide/who", &SCRIPT, &cookie).await;
    assert_eq!((script.status(), script.head.has("retry-after")), (424, true), "{script:?}");
    assert_eq!(script.json()["type"], "urn:usher:problem:not-running");

    let tab = ask(&gateway, "GET", "/ide/", &TAB, &cookie).await;
    assert_eq!((tab.status(), tab.head.one("cache-control")), (200, "no-store"));
    assert!(tab.text().contains("data-target=\"/ide/\""), "{}", tab.text());

    let who = within(async {
        loop {
            // Waits by itself while the workspace is on its way.
            let answer = ask(&gateway, "GET", "/ide/who", &SCRIPT, &cookie).await;
            if answer.status() == 200 {
                return answer;
            }
            assert_eq!(answer.status(), 503, "{answer:?}");
        }
    })
    .await;
    let who: serde_json::Value = serde_json::from_slice(&who.body).unwrap();
    assert_eq!((&who["user"], &who["tenant"], &who["host"]), (&"ada".into(), &"acme".into(), &HOST.into()));

    // Somebody else has another one, which nobody has started.
    let other = gateway.sign_in("王小明").await;
    assert_eq!(ask(&gateway, "GET", "/ide/who", &SCRIPT, &other).await.status(), 424);
}

#[tokio::test]
async fn after_signing_out_the_cookie_is_worth_nothing() {
    let (gateway, _upstream, cookie) = gateway().await;
    let form = format!("token={}", token(&gateway, &cookie).await);
    let origin = format!("Origin: {ORIGIN}");
    let length = format!("Content-Length: {}", form.len());
    let lines = [TAB[0], TAB[1], &origin, "Content-Type: application/x-www-form-urlencoded", &length, &cookie];
    let answer = gateway.ask("POST", request("POST", "/.usher/logout", &lines) + &form).await;
    assert_eq!(answer.status(), 303, "{answer:?}");
    assert!(answer.head.one("set-cookie").starts_with("__Host-usher=;"));
    assert_eq!(ask(&gateway, "GET", "/app/", &SCRIPT, &cookie).await.status(), 401);
}

#[tokio::test]
async fn a_host_without_pages_of_ours_leads_to_those_that_are_elsewhere() {
    let gateway = Setup::new().route("{ host: \"{workspace}.ide.example.com\", workspace: ide }").start().await;
    let cookie = gateway.sign_in("ada").await;
    let id = WorkspaceId {
        tenant: TenantId::new("acme").unwrap(),
        user: UserId::new("ada").unwrap(),
        kind: KindName::new("ide").unwrap(),
    };
    let host = format!("{}.ide.example.com", id.label());
    let at = async |host: &str, target: &str, lines: &[&str]| {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}:8443\r\n{lines}\r\n");
        gateway.connect_as(host).await.ask("GET", bytes).await
    };
    let tab = [TAB[0], TAB[1], TAB[2], &cookie];

    let stranger = at(&host, "/a?b", &TAB).await;
    let enter = stranger.head.one("location");
    assert!(
        enter.starts_with("https://dev.example.com:8443/.usher/enter?host=") && stranger.status() == 303,
        "{enter}"
    );

    // Somebody else's workspace, and a page of ours that is not here.
    for (host, target, status) in [("eve-00000.ide.example.com", "/", 403), (host.as_str(), "/.usher/login", 404)] {
        let problem = at(host, target, &tab).await;
        assert_eq!(problem.status(), status);
        assert!(stands_alone(&problem), "{problem:?}");
    }

    let stopped = at(&host, "/a?b=1", &tab).await;
    let start = stopped.head.one("location").strip_prefix(ORIGIN).expect("our own host").to_owned();
    let back = format!("https://{host}:8443/a?b=1");
    assert_eq!((stopped.status(), start.starts_with("/.usher/start/ide?return_to=")), (303, true), "{stopped:?}");
    let page = ask(&gateway, "GET", &start, &TAB, &cookie).await;
    assert!(page.text().contains(&format!("data-target=\"{back}\"")), "{}", page.text());

    // It leads nowhere else.
    for evil in ["https%3A%2F%2Fevil.example%2F", "https%3A%2F%2Feve-00000.ide.example.com%3A8443%2F"] {
        let page = ask(&gateway, "GET", &format!("/.usher/start/ide?return_to={evil}"), &TAB, &cookie).await;
        let leads = if page.status() == 303 { page.head.one("location").to_owned() } else { page.text() };
        assert!(leads.contains(&format!("https://{host}:8443/")) && !leads.contains("\"https://ev"), "{leads}");
    }

    within(async { while at(&host, "/who", &[SCRIPT[0], SCRIPT[1], &cookie]).await.status() != 200 {} }).await;
    let up = ask(&gateway, "GET", &start, &TAB, &cookie).await;
    // A page rather than a redirect, which browsers do not let a form follow to another host.
    assert!(up.status() == 200 && up.text().contains(&format!("content=\"0;url={back}\"")), "{}", up.text());
}

#[tokio::test]
async fn an_own_page_is_found_under_every_spelling_that_admission_knows_to_be_it() {
    let (gateway, _upstream, cookie) = gateway().await;
    for target in
        ["/%2eusher/login", "//.usher///login", "/.usher/%6Cogin", "https://dev.example.com:8443/.usher/login"]
    {
        assert_eq!(ask(&gateway, "GET", target, &TAB, "").await.status(), 200, "{target}");
        assert_eq!(ask(&gateway, "GET", target, &FRAME, &cookie).await.status(), 403, "{target}");
    }
}
