//! Live updates as Server-Sent Events: each carries a piece of the page, rendered anew.
//!
//! Read over `fetch`, because the token travels in a header. A stream ends with its session, when the gateway leaves,
//! or when its user may no longer use the kind; keep-alive comments go every 15 s, so that proxies and the client see that it lives.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::card::Card;
use super::problem::{self, Said};
use super::start_page::{self, Context};
use super::state::{Portal, WorkspaceOffer};
use super::visit::PageCaller;
use super::words::{Html, Words};
use crate::model::{ErrorKind, KindName};
use crate::workspace::View;

/// Comments that keep a quiet stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often a workspace that is up is looked at again: evidence of activity alone wakes nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How often a stopped workspace is looked at: nothing tells that it was started elsewhere.
const LOOK_WHILE_STOPPED: Duration = Duration::from_secs(1);

/// What an event carries.
#[derive(Serialize)]
struct Update<'a> {
    kind: &'a str,
    phase: &'static str,
    html: String,
}

/// What the start page asks with.
#[derive(Deserialize)]
pub(super) struct StartQuery {
    target: Option<String>,
}

/// One workspace that a stream tells of.
struct Watched {
    portal: Portal,
    caller: Arc<PageCaller>,
    kind: KindName,
    /// What was told last, and whether a start had been asked for then.
    told: Option<(Arc<View>, bool)>,
}

/// `GET /.usher/events`: the cards of the home page.
pub(super) async fn home(State(portal): State<Portal>, caller: PageCaller) -> Response {
    let caller = Arc::new(caller);
    let offers = portal.workspaces_of(&caller.caller.principal);
    let each = offers.into_iter().map(|offer| {
        let caller = caller.clone();
        watch(&portal, &caller, offer.kind).map(move |Told { words, offer, view, .. }| {
            let token = caller.session.form_token();
            let html = Card::new(words, &offer, &view, &token).body();
            update(&offer, &view, &html)
        })
    });
    answer(&portal, &caller, stream::select_all(each.map(StreamExt::boxed)))
}

/// `GET /.usher/events/{kind}`: the start page.
pub(super) async fn start(
    State(portal): State<Portal>,
    caller: PageCaller,
    Path(kind): Path<String>,
    Query(query): Query<StartQuery>,
) -> Response {
    let Some(offer) = portal.workspace_of(&caller.caller.principal, &kind) else {
        let said = Said::of(ErrorKind::NotFound, caller.caller.language.texts());
        return problem::json(StatusCode::NOT_FOUND, ErrorKind::NotFound, &said, &caller.caller.request_id);
    };
    let caller = Arc::new(caller);
    let contact = (portal.state.tenants)(&caller.caller.principal.tenant).contact;
    let reader = caller.clone();
    let updates = watch(&portal, &caller, offer.kind).map(move |Told { words, offer, view, asked }| {
        let target = start_page::own_target(query.target.as_deref(), &offer);
        let token = reader.session.form_token();
        let context = Context {
            words,
            title: &offer.title,
            target: &target,
            token: &token,
            request_id: &reader.caller.request_id,
            contact: contact.as_deref(),
        };
        update(&offer, &view, &start_page::inside(&context, &view, asked))
    });
    answer(&portal, &caller, updates)
}

fn update(offer: &WorkspaceOffer, view: &View, html: &Html) -> Result<Event, Infallible> {
    let update = Update { kind: offer.kind.as_str(), phase: view.phase.name().label(), html: html.to_string() };
    // Serialising strings does not fail; an empty comment would be harmless.
    Ok(Event::default().json_data(update).unwrap_or_else(|_| Event::default().comment("")))
}

/// What a stream tells.
struct Told {
    words: Words,
    offer: WorkspaceOffer,
    view: Arc<View>,
    /// Whether a start was asked for, if the view does not show it yet.
    asked: bool,
}

/// The workspace now and after each change, for as long as its user may use it.
fn watch(portal: &Portal, caller: &Arc<PageCaller>, kind: KindName) -> impl Stream<Item = Told> + Send + use<> {
    let watched = Watched { portal: portal.clone(), caller: caller.clone(), kind, told: None };
    stream::unfold(watched, |mut watched| async move {
        let (view, asked) = watched.next().await;
        let offer = watched.portal.workspace_of(&watched.caller.session.principal(), watched.kind.as_str())?;
        let words = Words { language: watched.caller.caller.language, now: watched.portal.state.clock.now() };
        Some((Told { words, offer, view, asked }, watched))
    })
}

impl Watched {
    /// Waits until it differs from what was told last. Subscribes before it looks, so that no change is missed.
    async fn next(&mut self) -> (Arc<View>, bool) {
        let workspaces = &self.portal.state.workspaces;
        let id = self.caller.caller.principal.workspace(&self.kind);
        loop {
            let tracked = workspaces.tracked(&id);
            let changes = tracked.as_ref().map(|tracked| tracked.subscribe());
            // A stopped workspace that is tracked has a start in its inbox.
            let asked = tracked.is_some();
            let now = (tracked.map_or_else(|| workspaces.view(&id), |tracked| tracked.view()), asked);
            if self.told.as_ref() != Some(&now) {
                self.told = Some(now.clone());
                return now;
            }
            match changes {
                // A workspace that is gone ends the watch; the next look sees it stopped.
                Some(mut changes) => drop(tokio::time::timeout(LOOK_AGAIN, changes.changed()).await),
                None => tokio::time::sleep(LOOK_WHILE_STOPPED).await,
            }
        }
    }
}

/// The stream as an answer: bounded for each session, and over when the session or the gateway's service is.
fn answer(
    portal: &Portal,
    caller: &PageCaller,
    updates: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let Some(guard) = portal.streams.open(*caller.session.id()) else {
        let said = Said::of(ErrorKind::TooMany, caller.caller.language.texts());
        return problem::json(StatusCode::TOO_MANY_REQUESTS, ErrorKind::TooMany, &said, &caller.caller.request_id);
    };
    let over = caller.session.ended().clone().cancelled_owned();
    let leaving = portal.state.leaving.clone().cancelled_owned();
    let guarded = updates.take_until(over).take_until(leaving).map(move |event| {
        let _open = &guard;
        event
    });
    let mut response = Sse::new(guarded).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies that would gather the stream leave it alone.
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    response
}
