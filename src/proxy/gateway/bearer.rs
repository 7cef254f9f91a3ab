//! Bearer tokens of a request: where one is, whom it vouches for, and that nobody behind us sees it.
//!
//! The order: the `Authorization` header, whose sender means it; then, for who has no session, a cookie and a WebSocket's
//! sub-protocol where an issuer is configured to have them. A bearer token in the header that is of none of our issuers
//! is somebody else's: with a session it goes on to the workspace as it is, without one it is refused.

use std::sync::Arc;

use http::{HeaderValue, Response, header};

use super::visit::{Visit, Who};
use crate::audit::{Action, By, Event};
use crate::identity::tokens::{Bearer, TokenRefused};
use crate::model::ErrorKind;
use crate::proxy::body::AnswerBody;
use crate::proxy::errors;
use crate::proxy::headers::cookies;
use crate::proxy::headers::tokens::{self, Authorization};

/// Seconds after which a token may be brought again whose issuer's keys could not be had.
const KEYS_AGAIN_AFTER: u32 = 5;

/// Where issuers have their tokens, beside the `Authorization` header.
#[derive(Debug, Default)]
pub(super) struct TokenPlaces {
    /// Whether there is any issuer.
    pub(super) any: bool,
    /// Names of cookies, and those of the issuers by the same places.
    cookies: Vec<Box<str>>,
    cookie_issuers: Vec<Box<str>>,
    /// Issuers whose tokens may come as a sub-protocol.
    protocol_issuers: Vec<Box<str>>,
}

impl TokenPlaces {
    pub(super) fn new(issuers: &[crate::config::TokenIssuer]) -> Self {
        let with_cookie = || issuers.iter().filter_map(|issuer| Some((issuer.cookie.as_deref()?, &*issuer.name)));
        let by_protocol = issuers.iter().filter(|issuer| issuer.websocket_protocol);
        Self {
            any: !issuers.is_empty(),
            cookies: with_cookie().map(|(cookie, _)| cookie.into()).collect(),
            cookie_issuers: with_cookie().map(|(_, issuer)| issuer.into()).collect(),
            protocol_issuers: by_protocol.map(|issuer| issuer.name.as_str().into()).collect(),
        }
    }
}

/// The bearer token of the `Authorization` header.
enum Given {
    /// There is none.
    Nothing,
    /// It says that it is of an issuer of ours.
    Ours(String),
    /// It is somebody else's.
    Theirs(String),
}

impl Visit<'_> {
    /// Adds what a bearer token says to what the session says.
    ///
    /// # Errors
    /// Returns why a token is refused that its sender means: one in a cookie, which a browser sends by itself, leaves
    /// nobody there instead.
    pub(super) async fn add_bearer(&mut self, tunnel: bool) -> Result<(), TokenRefused> {
        let rules = self.rules.clone();
        let places = &rules.tokens;
        let mut who = std::mem::take(&mut self.who);
        let given = self.header_token()?;
        if let Given::Ours(token) = &given {
            who = self.with_header_token(who, token).await?;
        }
        if who.is_nobody() {
            who = self.with_cookie_token(who, places).await?;
        }
        tokens::take_cookies(&mut self.head.headers, &places.cookies);
        if tunnel && !places.protocol_issuers.is_empty() {
            who = self.with_protocol_token(who, places).await?;
        }
        if let Given::Theirs(token) = given
            && who.is_nobody()
        {
            who = self.with_header_token(who, &token).await?;
        }
        self.who = who;
        Ok(())
    }

    async fn with_header_token(&mut self, who: Who, token: &str) -> Result<Who, TokenRefused> {
        let bearer = self.verify(token, None).await?;
        self.head.headers.remove(header::AUTHORIZATION);
        who.with(bearer)
    }

    async fn with_cookie_token(&mut self, who: Who, places: &TokenPlaces) -> Result<Who, TokenRefused> {
        for (cookie, issuer) in places.cookies.iter().zip(&places.cookie_issuers) {
            let Some(token) = cookies::only(&self.head.headers, cookie).map(str::to_owned) else { continue };
            return match self.verify(&token, Some(std::slice::from_ref(issuer))).await {
                Ok(bearer) => Ok(Who { is_ambient: true, ..who.with(bearer)? }),
                // It may be good; that cannot be told now.
                Err(TokenRefused::NoKeys) => Ok(Who { unknown: true, ..who }),
                Err(refused) => {
                    self.record.reason = Some(refused.label());
                    Ok(who)
                }
            };
        }
        Ok(who)
    }

    async fn with_protocol_token(&mut self, who: Who, places: &TokenPlaces) -> Result<Who, TokenRefused> {
        let brought = tokens::protocol_token(&self.head.headers).map_err(|_| self.refused(TokenRefused::Malformed))?;
        let Some(token) = brought.map(str::to_owned) else { return Ok(who) };
        let who = if who.is_nobody() {
            who.with(self.verify(&token, Some(&places.protocol_issuers)).await?)?
        } else if self.gateway.parts.identity.bearers().concerns(&token) {
            who
        } else {
            // The workspace's own, for who is there already.
            return Ok(who);
        };
        tokens::take_protocol_token(&mut self.head.headers);
        self.token_protocol = true;
        Ok(who)
    }

    /// The token of the `Authorization` header, and whose it is.
    fn header_token(&self) -> Result<Given, TokenRefused> {
        let bearers = self.gateway.parts.identity.bearers();
        match tokens::authorization(&self.head.headers) {
            Authorization::NoBearer => Ok(Given::Nothing),
            // One of ours must not slip through to a workspace in a header that we cannot read.
            Authorization::Ambiguous => Err(self.refused(TokenRefused::Malformed)),
            Authorization::Bearer(token) if bearers.concerns(token) => Ok(Given::Ours(token.to_owned())),
            Authorization::Bearer(token) => Ok(Given::Theirs(token.to_owned())),
        }
    }

    fn refused(&self, refused: TokenRefused) -> TokenRefused {
        self.record_refusal("", &refused);
        refused
    }

    /// Whom a token vouches for. With `issuers`, only a token of one of those is taken.
    async fn verify(&self, token: &str, issuers: Option<&[Box<str>]>) -> Result<Arc<Bearer>, TokenRefused> {
        let parts = &self.gateway.parts;
        let (issuer, verified) = parts.identity.bearer(token, parts.clock.now()).await;
        let is_of = |issuers: &[Box<str>]| issuers.iter().any(|name| **name == *issuer);
        let outcome = match verified {
            Ok(_) if !issuers.is_none_or(is_of) => Err(TokenRefused::UnknownIssuer),
            Ok(bearer) if self.is_revoked(&bearer) => Err(TokenRefused::Revoked),
            outcome => outcome,
        };
        parts.metrics.token(&issuer, outcome.as_ref().map_or_else(TokenRefused::label, |_| "success"));
        if let Err(refused) = &outcome {
            self.record_refusal(&issuer, refused);
        }
        outcome
    }

    /// Tells the audit log of a token that is refused; anybody can send as many as they like.
    fn record_refusal(&self, issuer: &str, refused: &TokenRefused) {
        let event = Event::new(Action::TokenRefusal).by(By::Token).source(issuer).refused(refused.label());
        let event = event.address(self.connection.address()).request_id(&self.record.id.to_string());
        self.gateway.parts.audit.record_limited(event);
    }

    fn is_revoked(&self, bearer: &Bearer) -> bool {
        let principal = bearer.principal();
        self.gateway.parts.sessions.bars(&principal.tenant, &principal.user, bearer.issued())
    }

    /// The answer to a token that is worth nothing: what is wrong with it, as far as its holder may know.
    pub(super) fn refuse_token(mut self, refused: TokenRefused) -> Response<AnswerBody> {
        self.record.reason = Some(refused.label());
        // The others are recorded where their issuer is known.
        if refused == TokenRefused::OtherPerson {
            self.record_refusal("", &refused);
        }
        let address = self.connection.address();
        tracing::info!(%address, request = %self.record.id, result = refused.label(), %refused, "bearer token refused");
        let (kind, retry_after) = match refused {
            TokenRefused::NotAdmitted(_) => (ErrorKind::TenantRefused, None),
            TokenRefused::NoKeys => (ErrorKind::Unavailable, Some(KEYS_AGAIN_AFTER)),
            _ => (ErrorKind::SignInNeeded, None),
        };
        self.gateway.parts.metrics.error(kind);
        self.record.error = Some(kind);
        self.record.count_with(self.rules.counters(&self.gateway.parts.metrics, None, None));
        let mut problem = self.problem_of(kind, retry_after);
        // Only what a holder of the token knows already, or needs to mend it.
        problem.detail = Some(match refused {
            TokenRefused::NotAdmitted(_) => "the token's user has no tenant that is admitted here".to_owned(),
            other => other.to_string(),
        });
        let mut answer = errors::problem_json(&problem);
        if kind == ErrorKind::SignInNeeded {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        self.finish(answer)
    }
}

impl Who {
    /// The same with what a bearer says. Beside a session it must be of the same person, and the session counts: what is
    /// open ends with it, and rights are those that the directory gives. A session and a token of different people
    /// cannot both be meant.
    fn with(self, bearer: Arc<Bearer>) -> Result<Self, TokenRefused> {
        let Some(principal) = &self.principal else {
            let principal = Some(bearer.principal().clone());
            return Ok(Self { principal, bearer: Some(bearer), is_ambient: false, unknown: false, ..self });
        };
        let same = (&principal.tenant, &principal.user) == (&bearer.principal().tenant, &bearer.principal().user);
        if same { Ok(self) } else { Err(TokenRefused::OtherPerson) }
    }

    /// Whether nobody is there, and that is certain.
    const fn is_nobody(&self) -> bool {
        self.principal.is_none() && !self.unknown
    }
}
