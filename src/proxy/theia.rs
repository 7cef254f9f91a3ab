//! Theia's connection token, held by the gateway for each run of a workspace.
//!
//! Every Theia process makes a random token, sets it as the cookie `theia-connection-token`, and refuses sockets
//! without it. Left to the browser, a tab that outlives its workspace's run would loop on 403 until it is reloaded,
//! and two workspaces on one host would overwrite each other's. So the gateway asks each new run for its token,
//! puts it on requests on the way up, and takes it out of answers on the way down.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, header};
use tokio::time::{Instant, timeout};

use super::body::RequestToUpstream;
use super::headers::cookies::THEIA_TOKEN;
use super::upstream::{Exchange, Peer, Pool, Upstreams};

/// A token is asked for again no sooner than this after the last time.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a run may take to tell its token.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest token that is believed; Theia's has 36 characters.
const MAX_TOKEN: usize = 256;

/// The token of the run behind `peer`; asks the run for it when it is not known yet.
/// `None` if it does not give one: the request then goes on without.
pub async fn token(
    upstreams: &Upstreams,
    peer: &Peer,
    pool: &Arc<Pool>,
    host: &HeaderValue,
) -> Option<Arc<HeaderValue>> {
    if let Some(token) = pool.theia_token.load_full() {
        return Some(token);
    }
    let mut last_asked = pool.theia_fetch.lock().await;
    if let Some(token) = pool.theia_token.load_full() {
        return Some(token);
    }
    if last_asked.is_some_and(|last| last.elapsed() < ASK_AGAIN_AFTER) {
        return None;
    }
    let asked = timeout(ASK_TIMEOUT, ask(upstreams, peer, pool, host)).await;
    // From the end of the question: those who waited for it go on without, rather than ask one after the other.
    *last_asked = Some(Instant::now());
    let token = asked.ok().flatten().map(Arc::new);
    pool.theia_token.store(token.clone());
    token
}

/// Forgets a token that the run has refused, so that the next request asks for it again; not one that has taken
/// its place meanwhile.
pub fn refused(pool: &Pool, token: &Arc<HeaderValue>) {
    let current = pool.theia_token.load();
    if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, token)) {
        pool.theia_token.compare_and_swap(&current, None);
    }
}

/// `GET /` without a cookie is answered with the token's cookie.
async fn ask(upstreams: &Upstreams, peer: &Peer, pool: &Arc<Pool>, host: &HeaderValue) -> Option<HeaderValue> {
    let mut request = Request::new(RequestToUpstream::Empty);
    *request.method_mut() = Method::HEAD;
    request.headers_mut().insert(header::HOST, host.clone());
    let (answer, lease) = Exchange::new(upstreams, peer, pool).send(request).await.ok()?;
    let token = answer.headers().get_all(header::SET_COOKIE).iter().find_map(token_in);
    if hyper::body::Body::is_end_stream(answer.body()) {
        lease.give_back();
    }
    token
}

fn token_in(set_cookie: &HeaderValue) -> Option<HeaderValue> {
    let (name, rest) = set_cookie.to_str().ok()?.split_once('=')?;
    let value = rest.split(';').next()?.trim();
    let believable = name.trim() == THEIA_TOKEN && !value.is_empty() && value.len() <= MAX_TOKEN;
    if believable { HeaderValue::from_str(value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_in_its_cookie_only() {
        let found = |text: &str| token_in(&HeaderValue::from_str(text).expect("test header"));
        let cookie = "theia-connection-token=5f2c; Path=/; HttpOnly; SameSite=Strict";
        assert_eq!(found(cookie), Some(HeaderValue::from_static("5f2c")));
        assert_eq!(found("other=5f2c; Path=/"), None);
        assert_eq!(found("theia-connection-token=; Path=/"), None);
        assert_eq!(found(&format!("theia-connection-token={}", "x".repeat(257))), None);
    }
}
