//! Requests over HTTP.

use http::Method;

use crate::config::{ActivityClassifier, HttpActivity};

/// What of a request tells whether somebody is at work.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its canonical path below the route's prefix; begins with `/`.
    pub path: &'a str,
    /// Its query, without the `?`.
    pub query: Option<&'a str>,
    /// Whether a browser's page is being opened with it.
    pub navigation: bool,
    /// Whether it asks for a WebSocket.
    pub upgrade: bool,
}

/// The rules for requests of one kind of workspace.
#[derive(Debug)]
pub(super) struct Requests {
    any: bool,
    theia: bool,
    engine_io: bool,
    excluded: Vec<String>,
}

impl Requests {
    pub(super) fn new(kinds: &[ActivityClassifier], http: &HttpActivity) -> Self {
        let theia = kinds.contains(&ActivityClassifier::Theia);
        Self {
            any: kinds.contains(&ActivityClassifier::Http),
            theia,
            engine_io: theia || kinds.contains(&ActivityClassifier::Socketio),
            excluded: http.exclude.iter().map(|prefix| prefix.trim_end_matches('/').to_owned()).collect(),
        }
    }

    /// A WebSocket's own request never counts: a page left open opens lost ones again by itself.
    pub(super) fn count(&self, request: &RequestFacts<'_>) -> bool {
        if request.upgrade || self.excludes(request.path) || (self.engine_io && is_engine_io_poll(request)) {
            return false;
        }
        self.any || (self.theia && (request.navigation || changes_something(request.method)))
    }

    /// Whether its body holds packets of engine.io 4, which tell what its head does not.
    pub(super) fn carries_packets(&self, request: &RequestFacts<'_>) -> bool {
        let version_4 = || request.query.unwrap_or_default().split('&').any(|pair| pair == "EIO=4");
        self.engine_io
            && request.method == Method::POST
            && is_engine_io_poll(request)
            && version_4()
            && !self.excludes(request.path)
    }

    fn excludes(&self, path: &str) -> bool {
        self.excluded.iter().any(|prefix| {
            path.strip_prefix(prefix.as_str()).is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
    }
}

/// Theia's pages fetch assets by themselves; they upload a file when somebody asks for it.
fn changes_something(method: &Method) -> bool {
    !method.is_safe()
}

/// Engine.io over HTTP: what a page uses until its WebSocket is open, and for ever to ask whether the server is back.
/// No head of it counts; what a client sends that has nothing but polling is in the bodies.
fn is_engine_io_poll(request: &RequestFacts<'_>) -> bool {
    let mut query = request.query.unwrap_or_default().split('&');
    let polls = query.clone().any(|pair| pair == "transport=polling");
    polls && query.any(|pair| pair.starts_with("EIO="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ActivityClassifier::{Connections, Http, Socketio, Theia, Websocket};

    const GET: Method = Method::GET;
    const POST: Method = Method::POST;

    fn counts(kinds: &[ActivityClassifier], method: &Method, target: &str) -> bool {
        let http = HttpActivity { exclude: vec!["/api/status".to_owned(), "/lsp/".to_owned()] };
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let facts = RequestFacts { method, path, query, navigation: path == "/", upgrade: false };
        Requests::new(kinds, &http).count(&facts)
    }

    #[test]
    fn http_counts_all_but_the_excluded() {
        for (target, expected) in [
            ("/", true),
            ("/files/a.txt", true),
            ("/api/status", false),
            ("/api/status/more", false),
            ("/api/status?now", false),
            ("/api/statuses", true),
            ("/lsp", false),
            ("/lsp/x", false),
            ("/lspx", true),
        ] {
            assert_eq!(counts(&[Http], &GET, target), expected, "{target}");
        }
    }

    #[test]
    fn theia_counts_navigations_and_uploads_only() {
        assert!(counts(&[Theia], &GET, "/"));
        assert!(counts(&[Theia], &POST, "/file-upload"));
        assert!(!counts(&[Theia], &GET, "/bundle.js"));
        assert!(!counts(&[Theia], &GET, "/files/a.txt"));
    }

    #[test]
    fn engine_io_polling_never_counts() {
        let poll = "/socket.io/?EIO=4&transport=polling&t=abc&sid=x";
        for kinds in [&[Theia][..], &[Socketio], &[Theia, Http], &[Socketio, Http]] {
            assert!(!counts(kinds, &GET, poll), "{kinds:?}");
            assert!(!counts(kinds, &POST, poll), "{kinds:?}");
        }
        assert!(counts(&[Http], &GET, poll));
        assert!(counts(&[Theia, Http], &GET, "/socket.io/socket.io.js"));
    }

    #[test]
    fn the_bodies_of_engine_io_4_carry_packets_where_its_messages_count() {
        let http = HttpActivity { exclude: vec!["/lsp/".to_owned()] };
        let carries = |kind, method, path, query| {
            let facts = RequestFacts { method, path, query: Some(query), navigation: false, upgrade: false };
            Requests::new(&[kind], &http).carries_packets(&facts)
        };
        let poll = "EIO=4&transport=polling&sid=x";
        assert!(carries(Theia, &POST, "/socket.io/", poll) && carries(Socketio, &POST, "/engine.io/", poll));
        assert!(!carries(Theia, &GET, "/socket.io/", poll));
        assert!(!carries(Theia, &POST, "/socket.io/", "EIO=3&transport=polling&sid=x"));
        assert!(!carries(Theia, &POST, "/socket.io/", "EIO=4&transport=websocket&sid=x"));
        assert!(!carries(Theia, &POST, "/lsp/socket.io/", poll));
        assert!(!carries(Http, &POST, "/socket.io/", poll) && !carries(Websocket, &POST, "/socket.io/", poll));
    }

    #[test]
    fn other_classifiers_count_no_request() {
        for kind in [Websocket, Connections, Socketio] {
            assert!(!counts(&[kind], &GET, "/"), "{kind:?}");
        }
    }

    #[test]
    fn opening_a_websocket_is_no_activity_by_itself() {
        let facts = RequestFacts { method: &GET, path: "/ws", query: None, navigation: false, upgrade: true };
        assert!(!Requests::new(&[Http, Theia], &HttpActivity::default()).count(&facts));
    }
}
