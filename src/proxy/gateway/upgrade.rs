//! WebSockets: the handshake goes through as any request does; after a sound 101 the two raw streams are joined.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::Shared;
use super::forward::Sent;
use super::visit::Visit;
use crate::clock::Clock;
use crate::edge;
use crate::model::{ActivitySource, ErrorKind};
use crate::proxy::access_log::{Record, TunnelSummary};
use crate::proxy::admit::Admitted;
use crate::proxy::body::AnswerBody;
use crate::proxy::decision::{Destination, Permit};
use crate::proxy::headers;
use crate::proxy::tunnel::{Classified, Closing, Ending, Side, Terms, TunnelTag};
use crate::proxy::upstream::UpstreamStream;
use crate::websocket::handshake;
use crate::workspace::{Activity, Tracked, TunnelGuard};

/// How long both sides may take from the 101's head to raw streams.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(10);

/// What a tunnel needs of the request that opened it.
struct Opening {
    terms: Terms,
    classified: Option<(crate::workspace::classify::TunnelClassifier, Arc<Activity>)>,
    /// Counts it as open, where that is activity.
    guard: Option<TunnelGuard>,
    record: Box<Record>,
}

impl Visit<'_> {
    /// Sends the handshake on. A 101 that is sound becomes a tunnel; any other answer is passed on as it is.
    pub(super) async fn tunnel(
        mut self,
        request: &Admitted,
        permit: &Permit,
        tracked: Option<Arc<Tracked>>,
    ) -> Response<AnswerBody> {
        let Some(client) = self.head.extensions.remove::<OnUpgrade>() else {
            return self.problem(ErrorKind::Internal, None).await;
        };
        let key = self.head.headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        let sent = self.send(request, permit, tracked.as_deref()).await;
        let answer = match sent {
            Ok(Sent::Switching(answer)) if answer.status() != StatusCode::SWITCHING_PROTOCOLS => {
                return self.pass_on(request, permit, answer, None).await;
            }
            Ok(Sent::Switching(answer)) => answer,
            Ok(Sent::Answered(answer, lease)) => return self.pass_on(request, permit, answer, Some(lease)).await,
            Err(error) => return self.upstream_failed(&error, permit).await,
        };
        let (mut head, body) = answer.into_parts();
        if let Err(fault) = check_switch(&mut head, key.as_ref()) {
            tracing::warn!(request = %self.record.id, route = %permit.route().label, fault, "switch refused");
            return self.problem(ErrorKind::UpstreamBroken, None).await;
        }
        let headers = std::mem::take(&mut head.headers);
        let upstream = hyper::upgrade::on(Response::from_parts(head, body));
        let mut switched = Response::new(AnswerBody::empty());
        *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *switched.headers_mut() = self.headers_to_client(request, permit, StatusCode::SWITCHING_PROTOCOLS, headers);
        if self.token_protocol && !switched.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
            // A browser that offered sub-protocols gives up if none of them is agreed on (WHATWG WebSockets §3).
            let agreed = HeaderValue::from_static(headers::tokens::TOKEN_PROTOCOL);
            switched.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, agreed);
        }
        self.record.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        self.record.outlive_head();
        let gateway = self.gateway.clone();
        let opening = self.opening(permit, tracked.as_deref());
        gateway.tasks.clone().spawn(run(gateway, client, upstream, opening));
        switched
    }

    fn opening(self, permit: &Permit, tracked: Option<&Tracked>) -> Opening {
        let (workspace, instance) = match permit.destination() {
            Destination::Workspace { id, endpoint } => (Some(id.clone()), Some(endpoint.instance.clone())),
            Destination::Upstream(_) => (None, None),
        };
        let kind = workspace.as_ref().and_then(|id| self.rules.kind(&id.kind));
        let activity = tracked.map(Tracked::activity);
        let bearer = self.who.bearer;
        let vouched = self.who.session.as_ref().map(|session| session.ended());
        let vouched = vouched.or_else(|| bearer.as_ref().map(|bearer| bearer.ended()));
        let signed_out = vouched.map(|ended| Ending { token: ended.clone(), closing: Closing::SIGNED_OUT });
        let stopped = tracked
            .zip(instance.as_ref())
            .map(|(tracked, run)| Ending { token: tracked.run_over(run), closing: Closing::WORKSPACE_STOPPED });
        Opening {
            classified: kind.zip(activity).map(|(kind, activity)| (kind.classifier.tunnel(), activity.clone())),
            guard: kind
                .zip(activity)
                .filter(|(kind, _)| kind.classifier.counts_open_tunnels())
                .map(|(_, activity)| activity.tunnel_opened()),
            terms: Terms {
                tag: TunnelTag {
                    tenant: permit.principal().tenant.clone(),
                    workspace,
                    instance,
                    session: self.who.session.clone(),
                    bearer,
                    route: permit.route().label.clone(),
                },
                settings: self.rules.tunnels.clone(),
                endings: signed_out.into_iter().chain(stopped).collect(),
                series: self.gateway.parts.metrics.tenant(&permit.principal().tenant),
            },
            record: self.record,
        }
    }
}

/// Waits until both sides have switched, and carries bytes until one of them ends it.
async fn run(gateway: Arc<Shared>, client: OnUpgrade, upstream: OnUpgrade, opening: Opening) {
    let Opening { terms, classified, guard, mut record } = opening;
    let Some((client, upstream)) = switch(client, upstream).await else {
        record.tunnelled(0, 0, TunnelSummary { ended_by: "not-switched", close_code: None });
        return;
    };
    let clock = gateway.parts.clock.clone();
    let tunnels = gateway.parts.tunnels.clone();
    drop(gateway);
    let end = match classified {
        Some((classifier, activity)) => {
            let observer = Classified::new(classifier, move |source| note(&activity, source, &*clock));
            tunnels.open(client, upstream, terms, observer).await
        }
        None => tunnels.open(client, upstream, terms, crate::proxy::tunnel::Unobserved).await,
    };
    drop(guard);
    let summary = TunnelSummary { ended_by: end.cause.label(), close_code: end.close_code };
    record.tunnelled(end.bytes_in, end.bytes_out, summary);
}

fn note(activity: &Activity, source: ActivitySource, clock: &dyn Clock) {
    activity.human(source, clock.now());
}

/// Checks a 101 before it is passed on: it may not be framed, as no switch is, and must answer this very handshake.
fn check_switch(head: &mut http::response::Parts, key: Option<&HeaderValue>) -> Result<(), String> {
    headers::check_answer(head, true).map_err(|fault| fault.to_string())?;
    let key = key.map(HeaderValue::as_bytes).unwrap_or_default();
    handshake::check_answer(head.status, &head.headers, key).map_err(|fault| fault.to_string())
}

async fn switch(client: OnUpgrade, upstream: OnUpgrade) -> Option<(Side<edge::Stream>, Side<UpstreamStream>)> {
    let both = timeout(SWITCH_TIMEOUT, async { tokio::try_join!(client, upstream) });
    let (client, upstream) = both.await.ok()?.ok()?;
    let (stream, early) = edge::upgraded(client).ok()?;
    let client = Side { stream, early };
    let upstream = upstream.downcast::<TokioIo<UpstreamStream>>().ok()?;
    // A copy, since what hyper gives keeps its whole read buffer alive.
    let early = Bytes::copy_from_slice(&upstream.read_buf);
    Some((client, Side { stream: upstream.io.into_inner(), early }))
}
