//! The whole matrix: rows for what each kind of request gets, and what must hold in every cell.

use super::*;
use crate::proxy::fixture::{HOST, admitted, permit, principal, ready, table};

/// One request, by what may vary. Starts as what is usually forwarded.
struct Case {
    method: &'static str,
    host: String,
    target: &'static str,
    principal: Option<Arc<Principal>>,
    tenant_disabled: bool,
    origin: OriginCheck,
    ambient: bool,
    fetch: Fetch,
    state: WorkspaceState,
    /// Host and path that `/.usher/enter` is to lead to.
    onward: Option<(String, &'static str)>,
}

fn case(method: &'static str, target: &'static str) -> Case {
    let tunnel = method == "TUNNEL";
    Case {
        method,
        host: HOST.to_owned(),
        target,
        principal: Some(principal("ada", &["dev"])),
        tenant_disabled: false,
        origin: if matches!(method, "GET" | "HEAD") { OriginCheck::Absent } else { OriginCheck::Own },
        fetch: if tunnel { Fetch::Subresource } else { Fetch::Navigation },
        ambient: true,
        state: ready(),
        onward: None,
    }
}

impl Case {
    fn decide(&self) -> Decision {
        let request = admitted(self.method, &self.host, self.target);
        let found = table().look_up(request.authority().host(), request.path());
        let workspace = match (&found, &self.principal) {
            (Ok(found), Some(principal)) => workspace_of(found, principal),
            _ => None,
        };
        let onward = self.onward.as_ref().and_then(|(host, path)| table().find(host, path));
        decide(&Facts {
            request: &request,
            found: found.as_ref().map_err(|miss| *miss),
            principal: self.principal.as_ref(),
            tenant_disabled: self.tenant_disabled,
            origin: self.origin,
            ambient: self.ambient,
            has_session: self.ambient,
            fetch: self.fetch,
            workspace: workspace.as_ref().map(|id| (id, self.state.clone())),
            onward: onward.as_ref(),
        })
    }

    /// The decision in one word.
    fn outcome(&self) -> String {
        match self.decide() {
            Decision::Forward(permit) => match permit.destination() {
                Destination::Workspace { id, .. } => format!("forward {id}"),
                Destination::Upstream(upstream) => format!("forward {}:{}", upstream.host, upstream.port),
            },
            Decision::Own => "own".to_owned(),
            Decision::Enter => "enter".to_owned(),
            Decision::TakeTicket => "take ticket".to_owned(),
            Decision::Login { navigation: true } => "login page".to_owned(),
            Decision::Login { navigation: false } => "401".to_owned(),
            Decision::StartPage(id) => format!("start page {id}"),
            Decision::Wait(id) => format!("wait {id}"),
            Decision::Redirect(target) => format!("redirect {target}"),
            Decision::Deny(kind) => kind.label().to_owned(),
        }
    }
}

#[test]
fn a_workspace_is_reached_by_its_owner_when_it_is_up() {
    use WorkspaceState::{Failed, Starting, Stopped};
    let cell = |fetch, state: &WorkspaceState, method| {
        Case { fetch, state: state.clone(), ..case(method, "/ide/x") }.outcome()
    };
    for method in ["GET", "POST", "TUNNEL"] {
        for fetch in [Fetch::Navigation, Fetch::Framed, Fetch::Subresource, Fetch::LikelyNavigation, Fetch::Unknown] {
            assert_eq!(cell(fetch, &ready(), method), "forward acme/ada/ide", "{method} {fetch:?}");
            let page = matches!(fetch, Fetch::Navigation | Fetch::LikelyNavigation) && method == "GET";
            for (state, otherwise) in
                [(Starting, "wait acme/ada/ide"), (Stopped, "not-running"), (Failed, "start-failed")]
            {
                let expected = if page { "start page acme/ada/ide" } else { otherwise };
                assert_eq!(cell(fetch, &state, method), expected, "{method} {fetch:?} {state:?}");
            }
        }
    }
}

#[test]
fn each_question_has_its_answer() {
    let nobody = |method, target, fetch| Case { principal: None, fetch, ..case(method, target) };
    for (question, case, outcome) in [
        ("unknown path", case("GET", "/nowhere/"), "not-found"),
        ("unknown host", Case { host: "evil.example.com".into(), ..case("GET", "/") }, "misdirected"),
        ("own path on another host", Case { host: "shop.example.com".into(), ..case("GET", "/.usher/") }, "not-found"),
        ("no last slash", case("GET", "/ide?a=b"), "redirect /ide/?a=b"),
        ("no last slash, nobody", nobody("GET", "/ide", Fetch::Navigation), "redirect /ide/"),
        ("no last slash, tunnel", case("TUNNEL", "/ide"), "forward acme/ada/ide"),
        ("nobody, page", nobody("GET", "/ide/", Fetch::Navigation), "login page"),
        ("nobody, old browser", nobody("GET", "/ide/", Fetch::LikelyNavigation), "login page"),
        ("nobody, fetch", nobody("GET", "/ide/", Fetch::Subresource), "401"),
        ("nobody, frame", nobody("GET", "/ide/", Fetch::Framed), "401"),
        ("nobody, form", nobody("POST", "/ide/", Fetch::Navigation), "401"),
        ("nobody, tunnel", nobody("TUNNEL", "/ide/", Fetch::Subresource), "401"),
        ("disabled tenant", Case { tenant_disabled: true, ..case("GET", "/ide/") }, "tenant-refused"),
        ("rules", case("GET", "/ops/"), "forbidden"),
        (
            "rules met",
            Case { principal: Some(principal("eve", &["ops"])), ..case("GET", "/ops/") },
            "forward acme/eve/ide",
        ),
        ("upstream", case("GET", "/team/"), "forward team.svc:8080"),
        ("upstream on a host", Case { host: "shop.example.com".into(), ..case("GET", "/") }, "forward shop.svc:443"),
    ] {
        assert_eq!(case.outcome(), outcome, "{question}");
    }
}

#[test]
fn a_request_of_another_site_changes_nothing() {
    use OriginCheck::{Absent, Foreign, Own, SameHost};
    for (method, target, allowed) in [
        ("TUNNEL", "/ide/", &[Own][..]),
        ("TUNNEL", "/team/", &[Own]),
        ("POST", "/ide/", &[Own, SameHost, Absent]),
        ("DELETE", "/team/", &[Own, SameHost, Absent]),
        ("GET", "/ide/", &[Own, SameHost, Absent, Foreign]),
        ("POST", "/.usher/login", &[Own]),
        ("DELETE", "/.usher/api/v1/x", &[Own]),
        ("GET", "/.usher/login", &[Own, SameHost, Absent, Foreign]),
    ] {
        for origin in [Own, SameHost, Absent, Foreign] {
            let outcome = Case { origin, ..case(method, target) }.outcome();
            assert_eq!(
                outcome != "foreign-origin",
                allowed.contains(&origin),
                "{method} {target} {origin:?}: {outcome}"
            );
        }
    }
}

#[test]
fn a_host_names_only_ones_own_workspace() {
    let ada = principal("ada", &[]);
    let own = ada.workspace(&KindName::new("ide").expect("a kind"));
    let at = |label: &str, target| Case { host: format!("{label}.ide.example.com:8443"), ..case("GET", target) };
    assert_eq!(at(&own.label(), "/").outcome(), "forward acme/ada/ide");
    let eve = principal("eve", &[]).workspace(&own.kind);
    assert_eq!(at(&eve.label(), "/").outcome(), "not-yours");
    assert_eq!(at("ada", "/").outcome(), "not-yours");
    let stopped = Case { state: WorkspaceState::Stopped, ..at(&eve.label(), "/") };
    assert_eq!(stopped.outcome(), "not-yours");
}

#[test]
fn a_session_is_taken_to_hosts_that_are_for_its_user_and_to_no_others() {
    let (ada, eve) = (principal("ada", &[]), principal("eve", &[]));
    let kind = KindName::new("ide").expect("a kind");
    let label = |person: &Principal| format!("{}.ide.example.com", person.workspace(&kind).label());
    let enter = |host: String, path| Case { onward: Some((host, path)), ..case("GET", "/.usher/enter?x") };
    for (case, outcome) in [
        (enter(label(&ada), "/"), "enter"),
        (enter("shop.example.com".into(), "/a"), "enter"),
        (enter(label(&eve), "/"), "not-yours"),
        (enter("shop.example.com".into(), "/.usher/session"), "not-found"),
        (enter("evil.example.com".into(), "/"), "not-found"),
        (enter("dev.example.com".into(), "/"), "not-found"),
        (enter("dev.example.com".into(), "/ops/"), "forbidden"),
        (case("GET", "/.usher/enter"), "not-found"),
        (Case { method: "POST", origin: OriginCheck::Own, ..enter(label(&ada), "/") }, "not-found"),
        (Case { method: "TUNNEL", ..enter(label(&ada), "/") }, "bad-request"),
        (Case { fetch: Fetch::Subresource, ..enter(label(&ada), "/") }, "forbidden"),
        (Case { fetch: Fetch::Framed, ..enter(label(&ada), "/") }, "forbidden"),
        (Case { principal: None, ..enter(label(&ada), "/") }, "login page"),
        (Case { tenant_disabled: true, ..enter(label(&ada), "/") }, "tenant-refused"),
    ] {
        assert_eq!(case.outcome(), outcome, "{:?} {:?}", case.onward, case.method);
    }
}

#[test]
fn a_ticket_is_taken_from_tabs_on_hosts_of_other_routes() {
    let at = |method| Case { host: "shop.example.com".into(), ..case(method, "/.usher/session?ticket=x") };
    for principal in [None, Some(principal("ada", &[]))] {
        assert_eq!(Case { principal: principal.clone(), ..at("GET") }.outcome(), "take ticket");
        for method in ["POST", "HEAD", "TUNNEL"] {
            assert_eq!(Case { principal: principal.clone(), ..at(method) }.outcome(), "not-found", "{method}");
        }
        for fetch in [Fetch::Framed, Fetch::Subresource] {
            assert_eq!(Case { fetch, principal: principal.clone(), ..at("GET") }.outcome(), "forbidden", "{fetch:?}");
        }
    }
    assert_eq!(case("GET", "/.usher/session?ticket=x").outcome(), "own", "a page that there is not");
}

#[test]
fn own_pages_are_for_tabs_and_not_for_scripts_or_frames() {
    use Fetch::{Framed, LikelyNavigation, Navigation, Subresource, Unknown};
    for (target, allowed, without_anybody) in [
        ("/", &[Navigation, LikelyNavigation, Unknown][..], "login page"),
        ("/.usher/account", &[Navigation, LikelyNavigation, Unknown], "login page"),
        ("/.usher/login", &[Navigation, LikelyNavigation, Unknown], "own"),
        ("/.usher/api/v1/me", &[Navigation, LikelyNavigation, Unknown, Subresource], "login page"),
        ("/.usher/assets/a.css", &[Navigation, LikelyNavigation, Unknown, Subresource], "own"),
    ] {
        for fetch in [Navigation, LikelyNavigation, Unknown, Subresource, Framed] {
            let expected = if allowed.contains(&fetch) { "own" } else { "forbidden" };
            assert_eq!(Case { fetch, ..case("GET", target) }.outcome(), expected, "{target} {fetch:?}");
        }
        assert_eq!(Case { principal: None, ..case("GET", target) }.outcome(), without_anybody, "{target}");
    }
    assert_eq!(case("TUNNEL", "/.usher/api/v1/x").outcome(), "bad-request");
    assert_eq!(Case { principal: None, ..case("POST", "/.usher/login") }.outcome(), "own");
    assert_eq!(Case { tenant_disabled: true, ..case("GET", "/") }.outcome(), "tenant-refused");
    assert_eq!(Case { tenant_disabled: true, ..case("GET", "/.usher/login") }.outcome(), "own");
}

#[test]
fn a_state_of_somebody_elses_workspace_is_never_acted_on() {
    let request = admitted("GET", HOST, "/ide/");
    let found = table().find("dev.example.com", "/ide/").expect("a route");
    let (ada, eve) = (principal("ada", &[]), principal("eve", &[]));
    let other = workspace_of(&found, &eve).expect("a workspace");
    for workspace in [Some((&other, ready())), None] {
        let facts = Facts {
            request: &request,
            found: Ok(&found),
            principal: Some(&ada),
            tenant_disabled: false,
            origin: OriginCheck::Own,
            ambient: true,
            has_session: true,
            fetch: Fetch::Navigation,
            workspace,
            onward: None,
        };
        assert!(matches!(decide(&facts), Decision::Deny(ErrorKind::Internal)));
    }
}

/// Every cell of the matrix: a permit is given only where all of its conditions hold.
#[test]
fn nothing_is_forwarded_but_what_every_rule_allows() {
    use Fetch::{Framed, LikelyNavigation, Navigation, Subresource, Unknown};
    use OriginCheck::{Absent, Foreign, Own, SameHost};
    let people = [None, Some(principal("ada", &["dev"])), Some(principal("eve", &["ops"]))];
    let states = [ready(), WorkspaceState::Starting, WorkspaceState::Stopped, WorkspaceState::Failed];
    let mut forwarded = 0;
    for target in ["/", "/.usher/x", "/ide/", "/ops/", "/team/", "/nowhere"] {
        for method in ["GET", "POST", "TUNNEL"] {
            for (person, tenant_disabled) in people.iter().flat_map(|p| [(p, false), (p, true)]) {
                for origin in [Own, SameHost, Absent, Foreign] {
                    for fetch in [Navigation, LikelyNavigation, Framed, Subresource, Unknown] {
                        for state in &states {
                            let principal = person.clone();
                            let state = state.clone();
                            let case =
                                Case { principal, tenant_disabled, origin, fetch, state, ..case(method, target) };
                            if let Decision::Forward(permit) = case.decide() {
                                forwarded += 1;
                                assert!(may_forward(&case, &permit), "{method} {target} {origin:?}");
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(forwarded > 0);
}

fn may_forward(case: &Case, permit: &Permit) -> bool {
    let Some(principal) = &case.principal else { return false };
    let up = matches!(case.state, WorkspaceState::Ready(_));
    let place = match permit.destination() {
        Destination::Workspace { id, .. } => {
            up && id.user == principal.user && matches!(case.target, "/ide/" | "/ops/")
        }
        Destination::Upstream(_) => case.target == "/team/",
    };
    let origin = match case.method {
        "TUNNEL" => case.origin == OriginCheck::Own,
        "POST" => case.origin != OriginCheck::Foreign,
        _ => true,
    };
    let rules = case.target != "/ops/" || principal.in_group("ops");
    place
        && origin
        && rules
        && !case.tenant_disabled
        && permit.principal().user == principal.user
        && permit.is_tunnel() == (case.method == "TUNNEL")
}

#[test]
fn the_prefix_is_taken_out_where_the_route_says_so() {
    let ada = principal("ada", &[]);
    for (host, target, upstream) in [
        (HOST, "/ide/", "/"),
        (HOST, "/ide/a/b?c=/ide/", "/a/b?c=/ide/"),
        (HOST, "/ide;x/a", "/a"),
        (HOST, "/%69de//a", "/a"),
        (HOST, "/raw/a", "/raw/a"),
        ("shop.example.com", "/a?b", "/a?b"),
    ] {
        let request = admitted("GET", host, target);
        assert_eq!(permit(&request, &ada).upstream_target(&request), upstream, "{target}");
    }
    for (target, upstream) in [("/ide", "/"), ("/ide?a=b", "/?a=b")] {
        let request = admitted("TUNNEL", HOST, target);
        assert_eq!(permit(&request, &ada).upstream_target(&request), upstream, "{target}");
    }
}

mod properties {
    use percent_encoding::percent_decode;
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::admit::{ConnectionFacts, Limits, admit};

    fn hostile_target() -> impl Strategy<Value = String> {
        let pieces = vec![
            "/", "//", "..", ".", "%2e", "%252e", "%2f", "%252f", "\\", "%5c", ";", "%3b", "a", "ide", "raw", "%69de",
            "%25", "?", ".usher",
        ];
        let tail = prop::collection::vec(prop::sample::select(pieces), 0..10);
        (prop::sample::select(vec!["/ide", "/raw", "/team", "/%69de", ""]), tail)
            .prop_map(|(start, tail)| format!("{start}/{}", tail.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

        /// A path that was read once, or once more by the upstream, still lies on the route that was decided on.
        #[test]
        fn no_path_leaves_its_route_under_two_rounds_of_decoding(target in hostile_target()) {
            let request = http::Request::builder().uri(&target).header("host", HOST).body(());
            let Ok(request) = request else { return Ok(()) };
            let limits = Limits { target: 8192, headers: 8192 };
            let Ok(admitted) = admit(&request.into_parts().0, &limits, &ConnectionFacts::default()) else { return Ok(()) };
            let table = table();
            let Some(found) = table.find("dev.example.com", admitted.path()) else { return Ok(()) };
            let mut path = admitted.path().to_owned();
            for _ in 0..2 {
                path = percent_decode(path.as_bytes()).decode_utf8_lossy().into_owned();
                prop_assert!(!path.split('/').any(|segment| segment == ".." || segment.starts_with("..;")));
                let again = table.find("dev.example.com", &path).map(|found| found.route.label.clone());
                prop_assert_eq!(again, Some(found.route.label.clone()));
            }
        }
    }
}
