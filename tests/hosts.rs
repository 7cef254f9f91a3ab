//! Routes on hosts of their own: how a session comes to them, what they are good for with it, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "hosts/support.rs"]
mod support;

use http::StatusCode;
use support::{Browser, HOST, SHOP, Site, address_parts, closing, host_of, say};

const SEE_OTHER: StatusCode = StatusCode::SEE_OTHER;

/// Signs in at the public host, goes to `url`, and stops before the ticket is taken: its address.
async fn ticket_for(browser: &Browser, url: &str) -> String {
    let first = browser.navigate(url).await;
    assert_eq!(first.status, SEE_OTHER, "{first:?}");
    let second = browser.navigate(first.header("location")).await;
    assert_eq!(second.status, SEE_OTHER, "{second:?}");
    assert_eq!((second.header("cache-control"), second.header("referrer-policy")), ("no-store", "no-referrer"));
    second.header("location").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_on_a_host_of_its_own_is_reached_from_its_address_by_way_of_the_sign_in() {
    let site = Site::start().await;
    let (browser, host) = (site.browser(), host_of("ada"));

    let url = format!("https://{host}/who?a=b");
    let to_public = browser.navigate(&url).await;
    assert_eq!(to_public.status, SEE_OTHER);
    let enter = to_public.header("location").to_owned();
    assert!(enter.starts_with(&format!("https://{HOST}/.usher/enter?")), "{enter}");
    let binding = browser.cookie(&host, "__Host-usher-enter").unwrap();
    assert_eq!(binding.len(), 22, "128 bits");
    assert!(!enter.contains(&binding), "only the digest travels");

    let to_login = browser.navigate(&enter).await;
    let login = to_login.header("location").to_owned();
    assert!(to_login.status == SEE_OTHER && login.starts_with("/.usher/login?return_to="), "{login}");
    // A form may not be redirected to another host, so that a page leads on.
    let signed_in = browser.sign_in_at(&format!("https://{HOST}{login}"), "ada").await;
    assert_eq!(signed_in.status, StatusCode::OK, "{signed_in:?}");
    assert!(signed_in.body.contains("http-equiv=\"refresh\" content=\"0;url=/.usher/enter?host="), "{signed_in:?}");

    let to_host = browser.navigate(&enter).await;
    let session = to_host.header("location").to_owned();
    assert!(session.starts_with(&format!("https://{host}/.usher/session?ticket=")), "{session}");
    let taken = browser.navigate(&session).await;
    assert_eq!((taken.status, taken.header("location")), (SEE_OTHER, "/who?a=b"));
    let line = taken.set_cookie("__Host-usher").unwrap();
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(line.contains(attribute), "{line}");
    }
    assert!(!line.contains("Domain"), "{line}");
    assert_eq!(browser.cookie(&host, "__Host-usher-enter").as_deref(), None, "it is taken away");

    // Stopped: the start page is at the public address, and leads back here.
    let start = browser.navigate(&url).await;
    assert_eq!(start.status, SEE_OTHER);
    let start = start.header("location").to_owned();
    assert!(start.starts_with(&format!("https://{HOST}/.usher/start/ide?return_to=https")), "{start}");
    let page = browser.navigate(&start).await;
    assert!(page.status == StatusCode::OK && page.body.contains(&format!("data-target=\"{url}\"")), "{page:?}");
    let who = browser.until_up(&url).await;
    assert_eq!((who["user"].as_str(), who["host"].as_str()), (Some("ada"), Some(&*host)));
    let page = browser.navigate(&start).await;
    assert!(page.body.contains(&format!("content=\"0;url={url}\"")), "it is up: {page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_service_on_a_host_of_its_own_gets_neither_ticket_nor_binding_nor_session() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.sign_in("ada").await;
    let answer = browser.follow(&format!("https://{SHOP}/basket?x")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "the shop"), "{answer:?}");
    browser.set_cookie(SHOP, "__Host-usher-enter", "AAAAAAAAAAAAAAAAAAAAAA");
    browser.navigate(&format!("https://{SHOP}/again")).await;
    let heard = site.shop_heard();
    assert!(heard.contains("GET /basket?x") && heard.contains("GET /again"), "{heard}");
    for secret in ["__Host-usher", "ticket=", "/.usher/"] {
        assert!(!heard.contains(secret), "{secret} in {heard}");
    }
    let log = site.log();
    assert!(log.contains("/.usher/session"), "{log}");
    let session = browser.cookie(SHOP, "__Host-usher").unwrap();
    for secret in ["ticket=", "binding=", "__Host-usher", &session] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_navigation_gets_401_on_another_host() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.sign_in("ada").await;
    for url in [format!("https://{}/who", host_of("ada")), format!("https://{SHOP}/")] {
        let answer = browser.fetch(&url).await;
        assert_eq!((answer.status, answer.set_cookie("__Host-usher-enter")), (StatusCode::UNAUTHORIZED, None), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_good_once_on_its_host_and_for_its_browser() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.sign_in("ada").await;
    let shop = format!("https://{SHOP}/basket");
    let ticket = ticket_for(&browser, &shop).await;
    let binding = browser.cookie(SHOP, "__Host-usher-enter").unwrap();
    let sent_back = |answer: &support::Answer| {
        let location = answer.header("location").to_owned();
        assert!(answer.set_cookie("__Host-usher").is_none(), "{answer:?}");
        assert_eq!(answer.status, SEE_OTHER, "{answer:?}");
        assert!(location.starts_with(&format!("https://{HOST}/.usher/enter?")), "{location}");
        assert!(location.contains("&target=%2Fbasket&") && location.ends_with("&again=1"), "{location}");
    };

    // Without the binding, with another one, and for another host.
    sent_back(&site.browser().navigate(&ticket).await);
    let other = site.browser();
    other.set_cookie(SHOP, "__Host-usher-enter", "AAAAAAAAAAAAAAAAAAAAAA");
    sent_back(&other.navigate(&ticket).await);
    let elsewhere = site.browser();
    elsewhere.set_cookie("other.example.com", "__Host-usher-enter", &binding);
    let moved = ticket.replace(SHOP, "other.example.com");
    sent_back(&elsewhere.navigate(&moved).await);
    let forged = site.browser();
    forged.set_cookie(SHOP, "__Host-usher-enter", &binding);
    sent_back(&forged.navigate(&ticket.replace("ticket=A", "ticket=B")).await);

    // None of that has used it up. Afterwards it is.
    assert_eq!(browser.navigate(&ticket).await.header("location"), "/basket");
    let replay = site.browser();
    replay.set_cookie(SHOP, "__Host-usher-enter", &binding);
    sent_back(&replay.navigate(&ticket).await);
    // Who has the session goes where they wanted to go.
    let back = browser.navigate(&ticket).await;
    assert_eq!((back.status, back.header("location")), (SEE_OTHER, "/basket"));

    // The second time in vain is the last.
    let last = replay.navigate(&format!("{ticket}&again=1")).await;
    assert_eq!(last.status, StatusCode::UNAUTHORIZED, "{last:?}");
    assert!(last.set_cookie("__Host-usher").is_none() && last.body.contains(&format!("https://{HOST}/")), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_who_came_to_which_host_and_which_tickets_were_refused() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.sign_in("ada").await;
    let ticket = ticket_for(&browser, &format!("https://{SHOP}/basket")).await;
    site.browser().navigate(&ticket).await;
    browser.navigate(&ticket).await;
    let lines = site.audit();
    let entries: Vec<_> = lines.iter().filter(|line| line["action"] == "host-entry").collect();
    let told = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let told: Vec<_> = entries.iter().map(|line| ["class", "user", "detail"].map(|field| told(line, field))).collect();
    assert_eq!(told, [["ticket-of-other-browser", "", SHOP], ["", "ada", SHOP]]);
    let (_, ticket) = ticket.split_once("ticket=").unwrap();
    assert!(lines.iter().all(|line| !line.to_string().contains(&ticket[..20])), "{lines:?}");
    assert_eq!(entries[1]["session"], lines[0]["session"], "the session of the sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_that_come_at_once_both_arrive() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.sign_in("ada").await;
    let (first, second) = (format!("https://{SHOP}/first"), format!("https://{SHOP}/second"));
    let (first, second) = (ticket_for(&browser, &first).await, ticket_for(&browser, &second).await);
    assert_eq!(browser.navigate(&first).await.header("location"), "/first");
    assert_eq!(browser.navigate(&second).await.header("location"), "/second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_no_cookies_is_told_so_in_the_end() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.sign_in("ada").await;
    let ticket = ticket_for(&browser, &format!("https://{SHOP}/")).await;
    browser.forget(SHOP);
    let again = browser.navigate(&ticket).await.header("location").to_owned();
    browser.forget(SHOP);
    let ticket = browser.navigate(&again).await.header("location").to_owned();
    assert!(ticket.ends_with("&again=1"), "{ticket}");
    assert_eq!(browser.navigate(&ticket).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_to_somebody_elses_workspace_or_to_a_host_that_is_not_for_them() {
    let site = Site::start().await;
    let bob = site.browser();
    bob.sign_in("bob").await;
    let enter = bob.navigate(&format!("https://{}/", host_of("ada"))).await.header("location").to_owned();
    let refused = bob.navigate(&enter).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("<code>not-yours</code>"), "{refused:?}");
    let enter = bob.navigate("https://other.example.com/").await.header("location").to_owned();
    let refused = bob.navigate(&enter).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("<code>forbidden</code>"), "{refused:?}");
    for host in ["evil.example.org", HOST, "dev.example.com.evil.example.org", "", "a/b.ide.example.com"] {
        let (_, query) = address_parts(&enter).1.split_once("&target=").unwrap();
        let host = percent_encoding::utf8_percent_encode(host, percent_encoding::NON_ALPHANUMERIC);
        let url = format!("https://{HOST}/.usher/enter?host={host}&target={query}");
        let answer = bob.navigate(&url).await;
        assert!(
            matches!(answer.status.as_u16(), 403 | 404) && answer.header("location").is_empty(),
            "{url} {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_needs_the_origin_of_its_own_host_and_ends_with_the_session() {
    let site = Site::start().await;
    let (browser, host) = (site.browser(), host_of("ada"));
    browser.sign_in("ada").await;
    let url = format!("https://{host}/who");
    browser.follow(&url).await;
    browser.until_up(&url).await;
    for origin in [HOST, SHOP, &host_of("bob")] {
        let refused = browser.websocket(&host, "/console", &format!("https://{origin}")).await.err();
        assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{origin}");
    }
    let mut socket = browser.websocket(&host, "/console", &format!("https://{host}")).await.unwrap();
    assert_eq!(say(&mut socket, "who").await, "ada of acme");

    browser.sign_out().await;
    assert_eq!(closing(&mut socket).await, 4401);
    assert_eq!(browser.fetch(&url).await.status, StatusCode::UNAUTHORIZED);
    let answer = browser.navigate(&url).await;
    assert!(answer.header("location").starts_with(&format!("https://{HOST}/.usher/enter?")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_a_session_that_has_ended_is_worth_nothing() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.sign_in("ada").await;
    let ticket = ticket_for(&browser, &format!("https://{SHOP}/")).await;
    browser.sign_out().await;
    let answer = browser.navigate(&ticket).await;
    assert!(answer.set_cookie("__Host-usher").is_none(), "{answer:?}");
    assert!(answer.header("location").ends_with("&again=1"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_addresses_are_forwarded_on_no_host() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.sign_in("ada").await;
    browser.follow(&format!("https://{SHOP}/")).await;
    for path in ["/.usher/", "/.usher/enter", "/.usher/login", "/.usher/session/x", "/.usher/api/v1/me", "/%2eusher/x"]
    {
        let answer = browser.fetch(&format!("https://{SHOP}{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(browser.fetch(&format!("https://{SHOP}/.usher/session?ticket=x")).await.status, StatusCode::FORBIDDEN);
    assert!(!site.shop_heard().contains("usher/"));
}

/// The sample of the operators' guide, with files where it names them.
#[test]
fn the_sample_of_the_guide_passes_the_check() {
    let guide = include_str!("../docs/hosts.md");
    let (_, rest) = guide.split_once("```yaml\n").unwrap();
    let (sample, _) = rest.split_once("```").unwrap();
    let folder = support::folder_for(sample, &["dev.example.com", "*.ide.example.com", "shop.example.com"]);
    match usher::config::load(&folder.path().join("usher.yaml")) {
        Ok(loaded) => assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings),
        Err(report) => panic!("{report}"),
    }
}
