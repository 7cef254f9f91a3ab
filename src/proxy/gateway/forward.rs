//! Sends a permitted request on and passes its answer back.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;

use super::visit::Visit;
use crate::model::{ActivitySource, ErrorKind};
use crate::proxy::admit::{Admitted, BodyLength};
use crate::proxy::answers::AnswerTag;
use crate::proxy::body::{AnswerBody, Observer, RequestToUpstream, UploadProgress};
use crate::proxy::decision::Permit;
use crate::proxy::errors;
use crate::proxy::headers;
use crate::proxy::theia;
use crate::proxy::upstream::{Exchange, Lease, Peer, Pool, SendError};
use crate::workspace::Tracked;
use crate::workspace::classify::RequestFacts;

use std::sync::Arc;

/// What an upstream did with a request.
pub(super) enum Sent {
    /// It answered; the body comes over the connection on loan.
    Answered(Response<Incoming>, Lease),
    /// It was asked to switch protocols and its connection is not pooled. Any status may stand in it.
    Switching(Response<Incoming>),
}

impl Visit<'_> {
    /// Sends the request on and passes the answer back.
    pub(super) async fn forward(
        mut self,
        request: &Admitted,
        permit: &Permit,
        tracked: Option<&Tracked>,
    ) -> Response<AnswerBody> {
        match self.send(request, permit, tracked).await {
            Ok(Sent::Answered(answer, lease)) => self.pass_on(request, permit, answer, Some(lease)).await,
            // Only a tunnel's permit makes a request switch.
            Ok(Sent::Switching(answer)) => self.pass_on(request, permit, answer, None).await,
            Err(error) => self.upstream_failed(&error, permit).await,
        }
    }

    /// Sends the request on, as far as the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: &Admitted,
        permit: &Permit,
        tracked: Option<&Tracked>,
    ) -> Result<Sent, SendError> {
        let observer = self.note_activity(request, permit, tracked);
        let peer = self.rules.peer(permit.destination());
        let upstreams = &self.gateway.parts.upstreams;
        let pool = upstreams.pool(&peer);
        let token = self.theia_token(permit, &peer, &pool, request.authority().header()).await;
        let outgoing = self.request_to_upstream(request, permit, token.as_deref(), observer);
        self.record.instance = Some(peer.instance().clone());
        self.record.follow(outgoing.body().progress());
        let exchange = Exchange::new(upstreams, &peer, &pool);
        let sent = if permit.is_tunnel() {
            exchange.send_upgrade(outgoing).await.map(Sent::Switching)
        } else {
            exchange.send(outgoing).await.map(|(answer, lease)| Sent::Answered(answer, lease))
        };
        // Theia refuses a wrong token with 403 to a request and with 400 to a WebSocket.
        let refusal = if permit.is_tunnel() { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
        if let Some(token) = token.filter(|_| sent.as_ref().is_ok_and(|sent| sent.status() == refusal)) {
            theia::refused(&pool, &token);
        }
        sent
    }

    /// Tells the workspace's clock of a request that shows somebody at work. Returns who does so once its body has
    /// told more.
    fn note_activity(&self, request: &Admitted, permit: &Permit, tracked: Option<&Tracked>) -> Option<Box<Observer>> {
        let (tracked, id) = (tracked?, permit.workspace()?);
        let kind = self.rules.kind(&id.kind)?;
        let clock = &self.gateway.parts.clock;
        let facts = RequestFacts {
            method: request.method(),
            path: permit.path_below_prefix(request),
            query: request.query(),
            navigation: self.is_navigation(),
            upgrade: request.is_tunnel(),
        };
        if let Some(source) = kind.classifier.request(&facts) {
            debug_assert_eq!(source, ActivitySource::Http);
            tracked.activity().human(source, clock.now());
        }
        let classifier = kind.classifier.body(&facts)?;
        Some(Box::new(Observer::new(classifier, tracked.activity().clone(), clock.clone())))
    }

    async fn theia_token(
        &self,
        permit: &Permit,
        peer: &Peer,
        pool: &Arc<Pool>,
        host: &HeaderValue,
    ) -> Option<Arc<HeaderValue>> {
        let holds = permit.workspace().and_then(|id| self.rules.kind(&id.kind)).is_some_and(|kind| kind.theia_token);
        if !holds {
            return None;
        }
        Box::pin(theia::token(&self.gateway.parts.upstreams, peer, pool, host)).await
    }

    /// The request as the upstream gets it. The client's headers are used up.
    fn request_to_upstream(
        &mut self,
        request: &Admitted,
        permit: &Permit,
        theia_token: Option<&HeaderValue>,
        observer: Option<Box<Observer>>,
    ) -> Request<RequestToUpstream> {
        let body = std::mem::replace(&mut self.body, crate::edge::RequestBody::empty());
        let length = request.body().resolve(http_body::Body::is_end_stream(&body));
        let body = match length {
            BodyLength::None | BodyLength::Exact(0) => RequestToUpstream::Empty,
            BodyLength::Exact(_) | BodyLength::Unknown => {
                RequestToUpstream::Streaming { body, progress: Arc::<UploadProgress>::default(), observer }
            }
        };
        let mut outgoing = Request::new(body);
        *outgoing.method_mut() = request.method().clone();
        *outgoing.uri_mut() = Uri::from(permit.upstream_target(request));
        let assertion = self.assertion(permit);
        let mut given = self.take_headers();
        headers::prepare_request(
            &mut given,
            &headers::Upward {
                permit,
                request,
                body: length,
                client: self.connection.address(),
                request_id: &self.record.id.header(),
                theia_token: theia_token.and_then(|token| token.to_str().ok()),
                assertion: assertion.as_ref(),
            },
        );
        *outgoing.headers_mut() = given;
        outgoing
    }

    /// The signed statement of who sent the request, where the route wants one.
    fn assertion(&self, permit: &Permit) -> Option<HeaderValue> {
        let assertions = self.rules.assertions.as_ref().filter(|_| permit.route().assertion)?;
        let audience = permit.workspace().map_or_else(|| permit.route().label.clone(), |id| Arc::from(id.label()));
        let value = assertions.value(permit.principal(), &audience, self.gateway.parts.clock.now());
        if value.is_none() {
            tracing::error!(request = %self.record.id, "no assertion can be signed");
        }
        value
    }

    /// The client's headers, but for what a page about a failure needs to speak the reader's language.
    fn take_headers(&mut self) -> HeaderMap {
        let given = std::mem::take(&mut self.head.headers);
        if self.is_navigation() {
            for name in [header::ACCEPT_LANGUAGE, header::COOKIE] {
                if let Some(value) = given.get(&name) {
                    self.head.headers.insert(name, value.clone());
                }
            }
        }
        given
    }

    /// Passes an answer back, unless it breaks HTTP: then its connection is dropped and never used again.
    pub(super) async fn pass_on(
        self,
        request: &Admitted,
        permit: &Permit,
        answer: Response<Incoming>,
        lease: Option<Lease>,
    ) -> Response<AnswerBody> {
        let (mut head, body) = answer.into_parts();
        if let Err(fault) = headers::check_answer(&mut head, permit.is_tunnel()) {
            tracing::warn!(request = %self.record.id, route = %permit.route().label, %fault, "answer refused");
            return self.problem(ErrorKind::UpstreamBroken, None).await;
        }
        let mut body = AnswerBody::upstream(body, lease);
        let (session, bearer) = (self.who.session.clone(), self.who.bearer.clone());
        let ended = session.as_ref().map(|session| session.ended());
        if let Some(ended) = ended.or_else(|| bearer.as_ref().map(|bearer| bearer.ended())).cloned() {
            let tag = AnswerTag { session, bearer, route: permit.route().label.clone() };
            body = body.until(ended, tag, self.gateway.answers.clone());
        }
        let mut passed = Response::new(body);
        *passed.status_mut() = head.status;
        *passed.headers_mut() = self.headers_to_client(request, permit, head.status, head.headers);
        self.finish(passed)
    }

    /// An answer's headers as the client gets them.
    pub(super) fn headers_to_client(
        &self,
        request: &Admitted,
        permit: &Permit,
        status: StatusCode,
        mut answered: HeaderMap,
    ) -> HeaderMap {
        let holds = permit.workspace().and_then(|id| self.rules.kind(&id.kind)).is_some_and(|kind| kind.theia_token);
        if holds {
            headers::cookies::take_set_cookie(&mut answered, headers::cookies::THEIA_TOKEN);
        }
        let down = headers::Downward {
            route: permit.route(),
            authority: request.authority(),
            shared_host: permit.shares_host(),
        };
        headers::confine_answer(status, &mut answered, &down);
        answered
    }

    /// Logs what went wrong once, and tells the client its share of it.
    pub(super) async fn upstream_failed(self, error: &SendError, permit: &Permit) -> Response<AnswerBody> {
        if !matches!(error, SendError::ClientBody(_)) {
            tracing::warn!(request = %self.record.id, route = %permit.route().label, %error, "upstream failed");
        }
        let mut problem = self.problem_of(errors::kind_of(error), None);
        problem.status = errors::status_of(error).as_u16();
        self.answer_problem(problem).await
    }
}

impl Sent {
    fn status(&self) -> StatusCode {
        match self {
            Self::Answered(answer, _) | Self::Switching(answer) => answer.status(),
        }
    }
}
