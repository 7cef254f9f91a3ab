//! One request, stage by stage.

use std::sync::Arc;

use http::request::Parts as Head;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::Shared;
use super::rules::Rules;
use crate::edge::{Connection, RequestBody};
use crate::identity::tokens::Bearer;
use crate::model::{ErrorKind, PageRequest, Phase, Principal, Problem, WorkspaceId};
use crate::proxy::access_log::Record;
use crate::proxy::admit::{self, Admitted, ConnectionFacts, Rejection};
use crate::proxy::body::AnswerBody;
use crate::proxy::decision::{self, Decision, Facts, Fetch, OriginCheck, WorkspaceState};
use crate::proxy::errors;
use crate::proxy::headers;
use crate::routing::{Match, Miss};
use crate::session::{Authentication, Session};
use crate::workspace::Tracked;

/// Whole seconds after which a script should ask again for a workspace that is on its way.
const ASK_AGAIN_AFTER: u32 = 2;

/// One request on its way through the stages.
pub(super) struct Visit<'a> {
    pub(super) gateway: &'a Arc<Shared>,
    pub(super) rules: Arc<Rules>,
    pub(super) connection: &'a Arc<Connection>,
    pub(super) head: Head,
    pub(super) body: RequestBody,
    pub(super) record: Box<Record>,
    /// What the browser wants it for; read once.
    pub(super) fetch: Fetch,
    /// Who sent it; nobody until that stage.
    pub(super) who: Who,
    /// A token came as a sub-protocol of a WebSocket, and was taken out.
    pub(super) token_protocol: bool,
}

/// Who sent a request.
pub(super) struct Who {
    pub(super) session: Option<Arc<Session>>,
    pub(super) principal: Option<Arc<Principal>>,
    /// The token that vouches for them, beside the session or instead of it.
    pub(super) bearer: Option<Arc<Bearer>>,
    /// A browser would send what shows who they are by itself, whichever page makes it.
    pub(super) is_ambient: bool,
    /// A new session cookie for the answer, if it is time for one.
    pub(super) renew: Option<HeaderValue>,
    /// The cookie is genuine and the directory cannot say whether its user is still there.
    pub(super) unknown: bool,
}

impl Default for Who {
    fn default() -> Self {
        Self { session: None, principal: None, bearer: None, is_ambient: true, renew: None, unknown: false }
    }
}

impl<'a> Visit<'a> {
    pub(super) fn begin(
        gateway: &'a Arc<Shared>,
        connection: &'a Arc<Connection>,
        request: Request<RequestBody>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let id = gateway.ids.next();
        let now = gateway.parts.clock.now();
        let record = Record::begin(gateway.parts.access_log.clone(), id, now, connection.address(), &head);
        let fetch = Fetch::of(&head.headers);
        let rules = gateway.rules.load_full();
        let who = Who::default();
        Self { gateway, rules, connection, head, body, record, fetch, who, token_protocol: false }
    }

    /// The stages, in their order.
    pub(super) async fn answer(mut self) -> Response<AnswerBody> {
        // 1. admit
        let request = match self.admit() {
            Ok(request) => request,
            Err(rejection) => return self.reject(rejection).await,
        };
        self.record.authority = Some(request.authority().clone());
        // 2. route
        let found = self.rules.routes.look_up(request.authority().host(), request.path());
        // 3. who
        self.who = self.who().await;
        if self.rules.tokens.any
            && let Err(refused) = Box::pin(self.add_bearer(request.is_tunnel())).await
        {
            return self.refuse_token(refused);
        }
        self.count(&found);
        self.decide_and_act(&request, found).await
    }

    fn admit(&self) -> Result<Admitted, Rejection> {
        let connection =
            ConnectionFacts { http2: self.connection.is_http2(), server_name: self.connection.server_name() };
        admit::admit(&self.head, &self.rules.limits, &connection)
    }

    /// Looks the session cookie up; after a restart its user is read from the directory again.
    async fn who(&mut self) -> Who {
        let sessions = &self.gateway.parts.sessions;
        let Some(cookie) = headers::cookies::session_cookie(&self.head.headers) else { return Who::default() };
        let mut authentication = sessions.authenticate(cookie);
        if let Authentication::Revivable(claims) = authentication {
            authentication = Box::pin(sessions.revive(claims)).await;
        }
        match authentication {
            Authentication::Valid { session, renew } => Who {
                principal: Some(session.principal()),
                session: Some(session),
                renew: renew.and_then(|cookie| HeaderValue::from_str(&cookie).ok()),
                ..Who::default()
            },
            Authentication::Invalid(reason) => {
                self.record.reason = Some(reason);
                Who::default()
            }
            Authentication::Unknown | Authentication::Revivable(_) => Who { unknown: true, ..Who::default() },
        }
    }

    fn count(&mut self, found: &Result<Match, Miss>) {
        let route = found.as_ref().ok().map(|found| &found.route.label);
        let tenant = self.who.principal.as_ref().map(|principal| &principal.tenant);
        self.record.count_with(self.rules.counters(&self.gateway.parts.metrics, route, tenant));
        self.record.route = route.cloned();
        self.record.principal.clone_from(&self.who.principal);
        self.record.bearer.clone_from(&self.who.bearer);
    }

    /// Stages 4 to 8: may they, where, decide, and what follows from it. Decides again after each wait.
    async fn decide_and_act(self, request: &Admitted, found: Result<Match, Miss>) -> Response<AnswerBody> {
        let mut has_waited = false;
        loop {
            let (tracked, decision) = self.decide(request, found.as_ref());
            match decision {
                Decision::Forward(permit) if permit.is_tunnel() => {
                    return Box::pin(self.tunnel(request, &permit, tracked)).await;
                }
                Decision::Forward(permit) => return self.forward(request, &permit, tracked.as_deref()).await,
                Decision::Own => return Box::pin(self.own(request)).await,
                // Somebody may be there; the directory cannot say so now, and their cookie stays good.
                Decision::Login { .. } if self.who.unknown => {
                    return self.problem(ErrorKind::Unavailable, Some(ASK_AGAIN_AFTER)).await;
                }
                Decision::Login { navigation: true } if !self.is_on_public_host() => {
                    return self.send_to_public_host(request);
                }
                Decision::Login { navigation: true } => return self.send_to_login(request),
                Decision::Login { navigation: false } => return self.problem(ErrorKind::SignInNeeded, None).await,
                Decision::Enter => return Box::pin(self.enter(request)).await,
                Decision::TakeTicket => return Box::pin(self.take_ticket(request)).await,
                Decision::StartPage(workspace) if !self.is_on_public_host() => {
                    return self.send_to_start(request, &workspace);
                }
                Decision::StartPage(workspace) => {
                    let page = PageRequest::Start { workspace, target: request.target().as_str().to_owned() };
                    return Box::pin(self.page(page)).await;
                }
                Decision::Wait(id) if has_waited => return self.not_up_yet(&id).await,
                Decision::Wait(id) => {
                    Box::pin(self.wait(&id, tracked)).await;
                    has_waited = true;
                }
                Decision::Redirect(target) => return self.redirect(StatusCode::PERMANENT_REDIRECT, target.as_str()),
                Decision::Deny(kind) => return self.deny(kind).await,
            }
        }
    }

    fn decide(&self, request: &Admitted, found: Result<&Match, &Miss>) -> (Option<Arc<Tracked>>, Decision) {
        let found = found.map_err(|miss| *miss);
        let principal = self.who.principal.as_ref();
        let id = principal.zip(found.ok()).and_then(|(principal, found)| decision::workspace_of(found, principal));
        let tracked = id.as_ref().and_then(|id| self.gateway.parts.workspaces.tracked(id));
        let onward = self.onward(request);
        let decision = decision::decide(&Facts {
            request,
            found,
            principal,
            tenant_disabled: principal.is_some_and(|principal| self.rules.is_disabled(&principal.tenant)),
            origin: OriginCheck::of(&self.head.headers, self.rules.routes.public(), request.authority()),
            fetch: self.fetch,
            ambient: self.who.is_ambient,
            has_session: self.who.session.is_some(),
            workspace: id.as_ref().map(|id| (id, state(tracked.as_deref()))),
            onward: onward.as_ref().map(|onward| &onward.found),
        });
        (tracked, decision)
    }

    /// Waits for a start under way, at most as long as the kind holds requests. Dropped when the client leaves.
    async fn wait(&self, id: &WorkspaceId, tracked: Option<Arc<Tracked>>) {
        let (Some(tracked), Some(kind)) = (tracked, self.rules.kind(&id.kind)) else { return };
        let mut views = tracked.subscribe();
        let settled = views.wait_for(|view| !matches!(view.phase, Phase::Starting { .. }));
        // Whether it settled or not is seen by deciding again.
        let _ = tokio::time::timeout(kind.hold, settled).await;
    }

    /// The answer to a request that has waited and whose workspace is still on its way: 503 rather than 424, since
    /// asking again will help.
    async fn not_up_yet(mut self, id: &WorkspaceId) -> Response<AnswerBody> {
        self.record.error = Some(ErrorKind::NotRunning);
        let mut problem = self.problem_of(ErrorKind::NotRunning, Some(ASK_AGAIN_AFTER));
        problem.status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
        problem.detail = Some(format!("{} is starting", id.kind));
        self.answer_problem(problem).await
    }

    fn send_to_login(self, request: &Admitted) -> Response<AnswerBody> {
        let return_to =
            percent_encoding::utf8_percent_encode(request.target().as_str(), percent_encoding::NON_ALPHANUMERIC);
        self.redirect(StatusCode::SEE_OTHER, &format!("/.usher/login?return_to={return_to}"))
    }

    /// On a host of its own a workspace has no start page: that is at the public address, and leads back here.
    fn send_to_start(self, request: &Admitted, workspace: &WorkspaceId) -> Response<AnswerBody> {
        let public = self.rules.routes.public();
        let here = format!("{}{}", decision::expected_origin(public, request.authority()), request.target());
        let here = percent_encoding::utf8_percent_encode(&here, percent_encoding::NON_ALPHANUMERIC);
        let start = format!("{}/.usher/start/{}?return_to={here}", public.origin(), workspace.kind);
        self.redirect(StatusCode::SEE_OTHER, &start)
    }

    async fn deny(self, kind: ErrorKind) -> Response<AnswerBody> {
        // A stopped workspace is started by a person's navigation only, so a script need not ask again soon.
        let retry_after = matches!(kind, ErrorKind::NotRunning | ErrorKind::StartFailed).then_some(10);
        self.problem(kind, retry_after).await
    }

    async fn reject(mut self, rejection: Rejection) -> Response<AnswerBody> {
        self.gateway.parts.metrics.rejection(rejection.label());
        self.record.reason = Some(rejection.label());
        self.record.count_with(self.rules.counters(&self.gateway.parts.metrics, None, None));
        let mut problem = self.problem_of(rejection.kind(), None);
        problem.status = rejection.status().as_u16();
        problem.detail = Some(rejection.to_string());
        self.answer_problem(problem).await
    }

    /// Whether a tab goes there, so that the answer is best a page.
    pub(super) const fn is_navigation(&self) -> bool {
        matches!(self.fetch, Fetch::Navigation | Fetch::LikelyNavigation)
    }

    /// Whether own pages and their files have the host that the request is for.
    pub(super) fn is_on_public_host(&self) -> bool {
        self.record.authority.as_ref().is_some_and(|authority| authority.host() == self.rules.routes.public().host())
    }

    pub(super) async fn problem(self, kind: ErrorKind, retry_after: Option<u32>) -> Response<AnswerBody> {
        let problem = self.problem_of(kind, retry_after);
        self.answer_problem(problem).await
    }

    pub(super) fn problem_of(&self, kind: ErrorKind, retry_after: Option<u32>) -> Problem {
        let status = errors::status(kind).as_u16();
        Problem { kind, status, request_id: self.record.id.to_string(), retry_after, detail: None }
    }

    /// A page for people, problem JSON for scripts.
    pub(super) async fn answer_problem(mut self, problem: Problem) -> Response<AnswerBody> {
        self.gateway.parts.metrics.error(problem.kind);
        let kind = problem.kind;
        self.record.error = Some(kind);
        let navigation = self.is_navigation();
        // An answer to a request that was not understood is made without looking further at it.
        if navigation && kind != ErrorKind::BadRequest {
            let page = if self.is_on_public_host() {
                PageRequest::Problem(problem)
            } else {
                PageRequest::ProblemElsewhere { problem, home: self.rules.routes.public().origin().to_owned() }
            };
            let mut answer = Box::pin(self.page(page)).await;
            errors::add_allow(kind, answer.headers_mut());
            return answer;
        }
        let answer = errors::problem_json(&problem);
        self.finish(answer)
    }

    pub(super) fn redirect(self, status: StatusCode, location: &str) -> Response<AnswerBody> {
        let mut answer = Response::new(AnswerBody::empty());
        match HeaderValue::from_str(location) {
            Ok(location) => {
                *answer.status_mut() = status;
                answer.headers_mut().insert(header::LOCATION, location);
                answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
        }
        self.finish(answer)
    }

    /// Hands the record over to the answer's body. An answer before the request's body has ended closes an HTTP/1.1
    /// connection, and says so.
    pub(super) fn finish(mut self, mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
        self.record.answered(answer.status().as_u16());
        if !self.connection.is_http2() && (!http_body::Body::is_end_stream(&self.body) || self.record.is_uploading()) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.renew_cookie(&mut answer);
        // hyper leaves it to us over HTTP/2 to send no content in answer to HEAD.
        if self.head.method == Method::HEAD && answer.body().is_own() {
            answer = without_content(answer);
        }
        let record = self.record;
        answer.map(|body| body.recorded(record))
    }

    /// Adds a new session cookie if it is time for one: to pages only, since other answers may be cached, and not beside
    /// a cookie that the answer sets or takes away itself.
    fn renew_cookie(&mut self, answer: &mut Response<AnswerBody>) {
        let Some(cookie) = self.who.renew.take().filter(|_| self.is_navigation()) else { return };
        let has_ended = self.who.session.as_ref().is_some_and(|session| session.ended().is_cancelled());
        if !has_ended && !headers::cookies::sets_session_cookie(answer.headers()) {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }

    /// Path and query, for whoever needs them after the head has been taken apart.
    pub(super) fn own_target(&self) -> Option<&PathAndQuery> {
        self.head.uri.path_and_query()
    }
}

/// The answer to HEAD: the same head, with the length that the content would have had.
fn without_content(answer: Response<AnswerBody>) -> Response<AnswerBody> {
    let (mut head, body) = answer.into_parts();
    let (body, length) = body.without_content();
    if let Some(length) = length {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    Response::from_parts(head, body)
}

/// What a workspace is doing, as far as a request cares.
fn state(tracked: Option<&Tracked>) -> WorkspaceState {
    let Some(tracked) = tracked else { return WorkspaceState::Stopped };
    if let Some(endpoint) = tracked.endpoint() {
        return WorkspaceState::Ready(endpoint);
    }
    match tracked.phase() {
        crate::model::PhaseName::Starting => WorkspaceState::Starting,
        crate::model::PhaseName::Failed => WorkspaceState::Failed,
        _ => WorkspaceState::Stopped,
    }
}
