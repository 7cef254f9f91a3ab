//! The home page: a card for each workspace, a link to each shared service.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::card::Card;
use super::shell::{self, Shell};
use super::state::{LinkOffer, Offer, Portal, WorkspaceOffer};
use super::visit::SignedIn;
use super::words::{Html, Words};
use crate::model::Principal;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    shell: Shell<'a>,
    cards: Vec<HomeCard>,
    links: Vec<LinkOffer>,
}

struct HomeCard {
    kind: String,
    name: String,
    phase: &'static str,
    body: Html,
}

/// `GET /`.
pub(super) async fn show(State(portal): State<Portal>, SignedIn { visit, session, principal }: SignedIn) -> Response {
    let words = visit.words(&portal);
    let token = session.form_token();
    let (mut cards, mut links) = (Vec::new(), Vec::new());
    for offer in (portal.state.offers)(&principal) {
        match offer {
            Offer::Workspace(offer) => cards.push(card(&portal, words, &principal, &offer, &token)),
            Offer::Link(link) => links.push(link),
        }
    }
    shell::html(StatusCode::OK, &HomePage { shell: Shell::new(&portal, &visit), cards, links })
}

fn card(portal: &Portal, words: Words, principal: &Principal, offer: &WorkspaceOffer, token: &str) -> HomeCard {
    let view = portal.state.workspaces.view(&principal.workspace(&offer.kind));
    HomeCard {
        kind: offer.kind.to_string(),
        name: offer.title.clone(),
        phase: view.phase.name().label(),
        body: Card::new(words, offer, &view, token).body(),
    }
}
