//! `usher sample-workspace`: a small, honest workspace to try a gateway with.
//!
//! It shows whom the gateway says is there, when it was started, and has a console over a WebSocket.
//! All its addresses are relative, so it works below any prefix that the gateway takes out.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::clock::{Clock, SystemClock};
use crate::model::Timestamp;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Longest line that the console takes.
const MAX_LINE: usize = 4096;

struct Sample {
    clock: SystemClock,
    started: Timestamp,
    home: Option<String>,
    requests: AtomicU64,
}

#[derive(Serialize)]
struct WhoIsThere {
    user: Option<String>,
    tenant: Option<String>,
    groups: Vec<String>,
    host: Option<String>,
    started: String,
    started_millis: u64,
    process: u32,
    home: Option<String>,
    requests: u64,
}

/// Serves the sample workspace on `port` of the loopback address until it is told to stop.
///
/// # Errors
/// Returns an error if the port cannot be listened on.
pub(super) async fn serve(port: u16, home: Option<String>) -> std::io::Result<()> {
    let clock = SystemClock;
    let sample = Arc::new(Sample { started: clock.now(), clock, home, requests: AtomicU64::new(0) });
    let router = Router::new()
        .route("/", get(|| async { asset("text/html; charset=utf-8", PAGE) }))
        .route("/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/script.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/who", get(who))
        .route("/console", get(console))
        .with_state(sample);
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    axum::serve(listener, router).with_graceful_shutdown(stop_signal()).await
}

/// Resolves when the process is asked to end. Open consoles are cut by the caller's exit.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

async fn who(State(sample): State<Arc<Sample>>, headers: HeaderMap) -> axum::Json<WhoIsThere> {
    sample.requests.fetch_add(1, Ordering::Relaxed);
    axum::Json(sample.who(&headers))
}

async fn console(State(sample): State<Arc<Sample>>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let who = sample.who(&headers);
    upgrade.max_message_size(MAX_LINE).on_upgrade(move |socket| converse(sample, who, socket))
}

impl Sample {
    fn who(&self, headers: &HeaderMap) -> WhoIsThere {
        let said = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let groups = headers.get("x-usher-groups").and_then(|value| value.to_str().ok()).unwrap_or_default();
        WhoIsThere {
            user: said("x-usher-user"),
            tenant: said("x-usher-tenant"),
            groups: groups
                .split(',')
                .filter(|group| !group.is_empty())
                .map(|group| percent_decode_str(group).decode_utf8_lossy().into_owned())
                .collect(),
            host: said("host"),
            started: self.started.to_string(),
            started_millis: self.started.as_millis(),
            process: std::process::id(),
            home: self.home.clone(),
            requests: self.requests.load(Ordering::Relaxed),
        }
    }
}

async fn converse(sample: Arc<Sample>, who: WhoIsThere, mut socket: WebSocket) {
    let greeting = format!("Connected to process {}. Type help.", who.process);
    if socket.send(Message::text(greeting)).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(line) = message else { continue };
        let answer = answer(line.trim(), &sample, &who);
        if socket.send(Message::text(answer)).await.is_err() {
            return;
        }
    }
}

fn answer(line: &str, sample: &Sample, who: &WhoIsThere) -> String {
    match line {
        "help" => "Commands: who, time, uptime, help. Anything else comes back as it is.".to_owned(),
        "who" => {
            format!("{} of {}", who.user.as_deref().unwrap_or("nobody"), who.tenant.as_deref().unwrap_or("no tenant"))
        }
        "time" => sample.clock.now().to_string(),
        "uptime" => {
            let whole = std::time::Duration::from_secs(sample.clock.now().since(sample.started).as_secs());
            humantime::format_duration(whole).to_string()
        }
        other => other.to_owned(),
    }
}
