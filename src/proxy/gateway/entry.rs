//! Takes a session from the public host to the host of another route, in three redirects.
//!
//! A tab that comes to another host without a session gets a binding there and is sent to `/.usher/enter` on the
//! public host; that gives it a ticket and sends it to `/.usher/session` on the other host; that takes the ticket, sets
//! the session cookie of this host, and sends it to where it wanted to go. What each is worth: `session::tickets`.
//! The ticket stands in one address only, which is logged without its query, kept in no history and sent in no
//! `Referer`, since it is answered by a redirect.

use http::{HeaderValue, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::visit::Visit;
use crate::audit::{Action, By, Event};
use crate::model::ErrorKind;
use crate::proxy::admit::Admitted;
use crate::proxy::body::AnswerBody;
use crate::proxy::headers::cookies;
use crate::routing::{ENTER, ENTRANCE, Match};
use crate::session::{Binding, BindingDigest, return_to};

/// What a request for `/.usher/enter` asks.
pub(super) struct Onward {
    /// The route that it leads to.
    pub(super) found: Match,
    host: String,
    target: String,
    binding: BindingDigest,
    /// The way was gone before, in vain.
    again: bool,
}

impl Visit<'_> {
    /// Sends a tab that has no session here to where its session is known.
    pub(super) fn send_to_public_host(self, request: &Admitted) -> Response<AnswerBody> {
        let target = own_target(request.target().as_str());
        self.ask_for_ticket(request, &target, false)
    }

    fn ask_for_ticket(self, request: &Admitted, target: &str, again: bool) -> Response<AnswerBody> {
        // One that is there already stays, so that several tabs that come at once do not spoil each other's.
        let binding = cookies::binding(&self.head.headers).unwrap_or_else(Binding::random);
        let (host, target) = (encode(request.authority().host()), encode(target));
        let origin = self.rules.routes.public().origin();
        let again = if again { "&again=1" } else { "" };
        let address = format!("{origin}{ENTER}?host={host}&target={target}&binding={}{again}", binding.digest());
        let mut answer = self.send_on(&address);
        set_cookie(&mut answer, &binding.store());
        answer
    }

    /// What a request for `/.usher/enter` asks; `None` if it is for something else, or names nothing that there is.
    pub(super) fn onward(&self, request: &Admitted) -> Option<Onward> {
        if request.path() != ENTER || !self.is_on_public_host() {
            return None;
        }
        let host = parameter(request, "host")?;
        let target = own_target(&parameter(request, "target")?);
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let found = self.rules.routes.find(&host, path).filter(|_| host != self.rules.routes.public().host())?;
        let binding = BindingDigest::parse(&parameter(request, "binding")?)?;
        let again = parameter(request, "again").is_some();
        Some(Onward { found, host, target, binding, again })
    }

    /// Gives a ticket for the host that was decided on.
    pub(super) async fn enter(self, request: &Admitted) -> Response<AnswerBody> {
        let (Some(onward), Some(session)) = (self.onward(request), &self.who.session) else {
            return self.problem(ErrorKind::Internal, None).await;
        };
        let ticket = self.gateway.parts.sessions.issue_ticket(session, &onward.host, &onward.binding);
        let (host, port) = (&onward.host, self.rules.routes.public().port_suffix());
        let again = if onward.again { "&again=1" } else { "" };
        let address =
            format!("https://{host}{port}{ENTRANCE}?ticket={ticket}&target={}{again}", encode(&onward.target));
        self.send_on(&address)
    }

    /// Takes the ticket that a tab brings. A tab whose ticket is worth nothing goes the whole way once more.
    pub(super) async fn take_ticket(mut self, request: &Admitted) -> Response<AnswerBody> {
        let target = parameter(request, "target").map_or_else(|| "/".to_owned(), |target| own_target(&target));
        // Another tab was faster, or somebody went back in their history.
        if self.who.session.is_some() {
            return self.send_on(&target);
        }
        let ticket = parameter(request, "ticket").unwrap_or_default();
        let binding = cookies::binding(&self.head.headers);
        let sessions = &self.gateway.parts.sessions;
        match sessions.redeem_ticket(&ticket, request.authority().host(), binding.as_ref()) {
            Ok((session, cookie)) => {
                let principal = session.principal();
                let event = self.entry_event(request).principal(&principal).session(session.id());
                self.gateway.parts.audit.record(event);
                self.record.principal = Some(principal);
                let mut answer = self.send_on(&target);
                set_cookie(&mut answer, &cookie);
                set_cookie(&mut answer, &Binding::clear());
                answer
            }
            Err(refused) => {
                self.record.reason = Some(refused.label());
                self.gateway.parts.audit.record_limited(self.entry_event(request).refused(refused.label()));
                if parameter(request, "again").is_some() {
                    return self.problem(ErrorKind::SignInNeeded, None).await;
                }
                self.ask_for_ticket(request, &target, true)
            }
        }
    }

    /// What the audit log is told of a session that is brought to this host.
    fn entry_event(&self, request: &Admitted) -> Event {
        let event = Event::new(Action::HostEntry).by(By::Session).address(self.connection.address());
        event.request_id(&self.record.id.to_string()).detail(request.authority().host())
    }

    fn send_on(self, address: &str) -> Response<AnswerBody> {
        let mut answer = self.redirect(StatusCode::SEE_OTHER, address);
        answer.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        answer
    }
}

fn set_cookie(answer: &mut Response<AnswerBody>, line: &str) {
    let line = HeaderValue::from_str(line).expect("our cookies are base64url and plain attributes");
    answer.headers_mut().append(header::SET_COOKIE, line);
}

/// Where to go on the other host: a path of its own that is not ours, or else its root.
fn own_target(target: &str) -> String {
    return_to::safe(target).filter(|target| !target.starts_with("/.usher")).unwrap_or_else(|| "/".to_owned())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A value of the query, which we have written ourselves: percent-encoded, without `+` for blanks.
fn parameter(request: &Admitted, name: &str) -> Option<String> {
    let mut pairs = request.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(given, _)| *given == name)?;
    percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fixture::{HOST, admitted};

    #[test]
    fn values_are_read_as_they_were_written() {
        let target = "/a b/?x=1&y=%2F+#z";
        let request = admitted("GET", HOST, &format!("/.usher/enter?host=a&target={}&again=1", encode(target)));
        assert_eq!(parameter(&request, "target").as_deref(), Some(target));
        assert_eq!(parameter(&request, "host").as_deref(), Some("a"));
        assert_eq!(parameter(&request, "binding"), None);
        let broken = admitted("GET", HOST, "/.usher/enter?target=%ff");
        assert_eq!(parameter(&broken, "target"), None);
    }

    #[test]
    fn a_target_is_a_path_of_the_host_and_none_of_ours() {
        for kept in ["/", "/a/b?c=//d", "/x#y"] {
            assert_eq!(own_target(kept), kept);
        }
        for dropped in ["//evil.example.com/", "https://evil.example.com/", "/.usher/session?ticket=x", "/a/../b", ""] {
            assert_eq!(own_target(dropped), "/", "{dropped}");
        }
    }
}
