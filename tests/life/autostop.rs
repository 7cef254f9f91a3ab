//! Workspaces that stop by themselves, and what keeps them.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Duration, interval};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Browser, Gateway, Site, Socket, closing, eventually, is_alive, sample, within};

/// Idle for two seconds stops it; only what a person does in a Theia page counts.
async fn impatient(autostop: Value) -> (Site, Gateway, Browser) {
    let mut site = Site::new();
    let mut kind = sample();
    kind["activity"] = json!(["theia"]);
    kind["autostop"] = autostop;
    site.set("workspaces.ide", kind).write();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    (site, gateway, browser)
}

/// Keeps saying something by itself until the WebSocket is closed, as an open tab does; returns code and reason.
async fn chatter(socket: &mut Socket, messages: &[Message]) -> (u16, String) {
    let mut ticks = interval(Duration::from_millis(100));
    let mut messages = messages.iter().cycle();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                // What fails now is told by what is read.
                let _ = socket.send(messages.next().unwrap().clone()).await;
            }
            read = socket.next() => match read {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.as_str().to_owned()),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            },
        }
    }
}

/// What an untouched tab sends: engine.io's heartbeats, pings, Theia's liveness call with its announcement.
fn heartbeats() -> [Message; 4] {
    let call: &[u8] = b"\x00getEnvironmentVariable does_not_matter";
    let announcement = Message::text("451-/services,[\"message\",{\"_placeholder\":true,\"num\":0}]");
    [Message::text("3"), Message::Ping(b"there?".as_slice().into()), announcement, Message::binary(call)]
}

#[tokio::test]
async fn an_open_tab_that_nobody_touches_does_not_keep_a_workspace() {
    let policy = json!({ "human_idle": "2s", "idle_after": "500ms", "warning": "1s" });
    let (site, gateway, browser) = impatient(policy).await;
    let pid = site.workspace_processes()[0];
    let mut socket = browser.console("/ide/").await;
    assert_eq!(within(chatter(&mut socket, &heartbeats())).await, (1001, "workspace stopped".to_owned()));

    let stopped = browser.reaches("ide", "stopped").await;
    assert_eq!(
        (&stopped["last_stop"]["reason"], &stopped["last_stop"]["after_seconds"]),
        (&json!("human-idle"), &json!(2))
    );
    assert!(!is_alive(pid));
    assert!(browser.navigate("/").await.body.contains("because nobody had worked in it for"));
    let operator = gateway.operator();
    let value = async |series: &str| operator.value(series).await;
    assert_eq!(value("usher_workspace_stops_total{kind=\"ide\",reason=\"human-idle\"}").await, 1.0);
    let running = value("usher_workspace_running_seconds_total{kind=\"ide\",tenant=\"acme\"}").await;
    let wasted = value("usher_workspace_idle_waste_seconds_total{kind=\"ide\",tenant=\"acme\"}").await;
    assert!((1.9..4.0).contains(&running), "{running}");
    assert!((1.2..2.5).contains(&wasted) && wasted < running, "{wasted} of {running}");
    assert_eq!(value("usher_workspaces{phase=\"running\",tenant=\"acme\"}").await, 0.0);
    assert_eq!(value("usher_workspaces{phase=\"idle\",tenant=\"acme\"}").await, 0.0);
}

#[tokio::test]
async fn one_key_typed_puts_the_stop_off() {
    let policy = json!({ "human_idle": "3s", "idle_after": "500ms", "warning": "2s" });
    let (_site, gateway, browser) = impatient(policy).await;
    let mut socket = browser.console("/ide/").await;
    let warned = async || Some(browser.workspace("ide").await).filter(|found| found["stops_soon"] == true);
    let before = eventually("a warning", warned).await;
    assert_eq!(before["phase"], "idle");
    assert!(browser.navigate("/").await.body.contains("note warn"), "the card warns");
    socket.send(Message::text("42[\"key\",\"a\"]")).await.unwrap();
    let later = async || {
        let found = browser.workspace("ide").await;
        (found["phase"] == "running" && found["human_activity"]["source"] == "websocket").then_some(found)
    };
    let after = eventually("it counts as used", later).await;
    assert!(after["next_stop"]["at"].as_str() > before["next_stop"]["at"].as_str(), "{before} {after}");
    assert_eq!(closing(&mut socket).await.0, 1001);
    let stopped = browser.reaches("ide", "stopped").await;
    assert!(stopped["last_stop"]["at"].as_str() >= after["next_stop"]["at"].as_str(), "{after} {stopped}");
    drop(gateway);
}

#[tokio::test]
async fn a_tab_that_can_only_poll_is_judged_by_what_it_says() {
    let policy = json!({ "human_idle": "1m", "idle_after": "500ms", "warning": "1s" });
    let (_site, _gateway, browser) = impatient(policy).await;
    let idle = browser.reaches("ide", "idle").await;
    let say = async |packets: &'static str| {
        let mut post = browser.script("/ide/socket.io/?EIO=4&transport=polling&sid=x");
        *post.method_mut() = Method::POST;
        *post.body_mut() = Bytes::from_static(packets.as_bytes()).into();
        browser.send(post).await;
    };
    // A heartbeat, and Theia's liveness call with its announcement.
    say("3").await;
    say("451-/services,[\"message\",{\"_placeholder\":true,\"num\":0}]\x1ebAGRvZXNfbm90X21hdHRlcg==").await;
    let untouched = browser.workspace("ide").await;
    assert_eq!((&untouched["phase"], &untouched["human_activity"]), (&json!("idle"), &idle["human_activity"]));
    say("451-/services,[\"message\",{\"_placeholder\":true,\"num\":0}]\x1ebAGtleSBh").await;
    let typed = browser.reaches("ide", "running").await;
    assert_eq!(typed["human_activity"]["source"], "http");
    assert!(typed["human_activity"]["at"].as_str() > idle["human_activity"]["at"].as_str(), "{idle} {typed}");
}

#[tokio::test]
async fn a_hold_keeps_it_and_is_told_and_ends() {
    let (_site, gateway, browser) =
        impatient(json!({ "human_idle": "1s", "idle_after": "500ms", "warning": "500ms" })).await;
    let hold =
        async |seconds: u64| browser.api(Method::POST, "/workspaces/ide/hold", json!({ "seconds": seconds })).await;
    assert_eq!(hold(60).await.status, StatusCode::OK);
    let kept = async || Some(browser.workspace("ide").await).filter(|found| found["kept_by"] == "hold");
    let found = eventually("kept by the hold", kept).await;
    assert!(found["phase"] == "idle" && found["hold_until"].is_string(), "{found}");
    assert_eq!(gateway.operator().value("usher_autostop_kept_total{by=\"hold\",kind=\"ide\"}").await, 1.0);
    hold(0).await;
    let stopped = browser.reaches("ide", "stopped").await;
    assert_eq!(stopped["last_stop"]["reason"], "human-idle");
}

#[tokio::test]
async fn the_longest_life_of_a_run_holds_whoever_works_in_it() {
    let (_site, _gateway, browser) =
        impatient(json!({ "human_idle": "1m", "idle_after": "1m", "warning": "1s", "max_lifetime": "2s" })).await;
    let mut socket = browser.console("/ide/").await;
    let keys = [Message::text("42[\"key\",\"a\"]")];
    assert_eq!(within(chatter(&mut socket, &keys)).await, (1001, "workspace stopped".to_owned()));
    let stopped = browser.reaches("ide", "stopped").await;
    assert_eq!(stopped["last_stop"]["reason"], "max-lifetime");
    assert!(browser.navigate("/ide/").await.body.contains("because one run may last"));
}

#[tokio::test]
async fn a_stop_by_its_owner_closes_the_websockets_as_going_away() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let browser = gateway.signed_in("ada").await;
    browser.open("/ide/").await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(browser.console("/ide/").await);
    }
    browser.stop("ide").await;
    for socket in &mut sockets {
        assert_eq!(closing(socket).await, (1001, "workspace stopped".to_owned()));
    }
}
