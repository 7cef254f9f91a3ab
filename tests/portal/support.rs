//! A portal over fake people and a fake runtime, driven request by request without a socket.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;
use usher::audit::Audit;
use usher::clock::{Clock as _, ManualClock};
use usher::config::Config;
use usher::identity::{AccountTrouble, Directory, Identity, LookUpError, Password, Person, SignInError};
use usher::metrics::Metrics;
use usher::model::{
    Endpoint, Failure, GroupName, InstanceId, KindName, Principal, ProfileName, Roles, TenantId, Timestamp, UserId,
    WorkspaceId,
};
use usher::portal::{self, LinkOffer, Offer, PortalState, ProfileOffer, TenantCard, WorkspaceOffer};
use usher::runtime::{Found, Observation, Runtime, Runtimes, Seen, StartOrder};
use usher::session::{Caller, LoginThrottle, Session, Sessions};
use usher::workspace::Workspaces;

/// 2026-05-06T10:02:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_778_061_720);
pub(crate) const REQUEST_ID: &str = "3f9a2c71d0e84b56";

/// A portal and what it works with.
pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sessions: Sessions,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) workspaces: Workspaces,
    observations: mpsc::Sender<Observation>,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("header is text"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("body is JSON")
    }

    /// The value of the first attribute `name="…"` after `after`.
    pub(crate) fn attribute(&self, after: &str, name: &str) -> String {
        let rest = self.body.split_once(after).unwrap_or_else(|| panic!("no {after} in {}", self.body)).1;
        let rest = rest.split_once(&format!("{name}=\"")).expect("has the attribute").1;
        rest.split_once('"').expect("attribute ends").0.to_owned()
    }
}

/// A request in the making: a top-level navigation of a browser that prefers English.
pub(crate) struct Ask {
    builder: http::request::Builder,
    body: String,
    session: Option<Arc<Session>>,
    page: Option<usher::model::PageRequest>,
    asked: Option<usher::model::Asked>,
}

impl Ask {
    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", "none")
    }

    pub(crate) fn form(path: &str, body: &str) -> Self {
        let ask = Self::new(Method::POST, path)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        Self { body: body.to_owned(), ..ask }
    }

    /// A call by a script on a page of ours, without the token.
    pub(crate) fn fetch(method: Method, path: &str) -> Self {
        Self::new(method, path)
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty")
            .header("sec-fetch-site", "same-origin")
    }

    /// A call of the API with the token of the session.
    pub(crate) fn api(method: Method, path: &str, session: &Arc<Session>) -> Self {
        Self::fetch(method, path).header("x-usher-token", &session.form_token()).by(session)
    }

    fn new(method: Method, path: &str) -> Self {
        let builder = Request::builder().method(method).uri(path).header("accept-language", "en");
        Self { builder, body: String::new(), session: None, page: None, asked: None }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder.headers_mut().expect("request is valid so far").remove(name);
        Self { builder: self.builder.header(name, value), ..self }
    }

    pub(crate) fn by(self, session: &Arc<Session>) -> Self {
        Self { session: Some(session.clone()), ..self }
    }

    pub(crate) fn body(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    pub(crate) fn page(self, page: usher::model::PageRequest) -> Self {
        Self { page: Some(page), ..self }
    }

    /// What the browser asked for, where a page stands in place of it.
    pub(crate) fn asked(self, asked: usher::model::Asked) -> Self {
        Self { asked: Some(asked), ..self }
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::at(NOW).await
    }

    /// With this time on its clock.
    pub(crate) async fn at(now: Timestamp) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let config = config(&folder);
        let clock = ManualClock::at(now);
        let metrics = Metrics::new(prometheus::Registry::new(), 10);
        let identity = Identity::of(vec![Arc::new(People)], &config);
        let sessions = Sessions::open_store(&config, identity.clone(), clock.clone(), metrics.clone()).expect("opens");
        let (observations, received) = mpsc::channel(64);
        let runtime = Arc::new(Obedient(observations.clone()));
        let control = tokio::runtime::Handle::current();
        let runtimes = Runtimes::new(runtime, received);
        let workspaces = Workspaces::new(&config, runtimes, clock.clone(), metrics.clone(), control).await;
        let state = PortalState {
            throttle: LoginThrottle::new(&config.identity.throttle, clock.clone()),
            login_tokens: sessions.login_tokens(),
            sessions: sessions.clone(),
            workspaces: workspaces.clone(),
            clock: clock.clone(),
            offers: Arc::new(|_| offers()),
            leaving: CancellationToken::new(),
            tenants: Arc::new(|_| TenantCard {
                title: Some("Acme 软件".to_owned()),
                contact: Some("it-help@acme.example".to_owned()),
            }),
            identity,
            metrics: metrics.clone(),
            audit: Audit::off(),
        };
        Self { router: portal::router(state), clock, sessions, metrics, workspaces, observations, _folder: folder }
    }

    /// How many problems of this kind were counted.
    pub(crate) fn problems(&self, kind: &str) -> u64 {
        let text = String::from_utf8(self.metrics.encode().expect("is encoded")).expect("is text");
        let start = format!("usher_errors_total{{kind=\"{kind}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(0)
    }

    /// A session of this user of the tenant `acme`; `boss` administers it.
    pub(crate) fn session(&self, user: &str) -> Arc<Session> {
        self.sessions.start(principal(user)).0
    }

    /// Sends a request and reads the answer's head.
    pub(crate) async fn open(&self, ask: Ask) -> http::Response<Body> {
        let mut request = ask.builder.body(Body::from(ask.body)).expect("request is valid");
        let caller = Caller {
            session: ask.session,
            bearer: None,
            address: IpAddr::from([192, 0, 2, 7]),
            request_id: REQUEST_ID.to_owned(),
        };
        request.extensions_mut().insert(caller);
        if let Some(page) = ask.page {
            request.extensions_mut().insert(page);
        }
        if let Some(asked) = ask.asked {
            request.extensions_mut().insert(asked);
        }
        self.router.clone().call(request).await.expect("the router answers")
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        let (head, body) = self.open(ask).await.into_parts();
        let body = body.collect().await.expect("body ends").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("body is UTF-8");
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The runtime saw this of the user's workspace; waits until `done` holds of it.
    pub(crate) async fn see(&self, id: &WorkspaceId, seen: Seen, done: impl Fn(&usher::workspace::View) -> bool) {
        let observation = Observation { workspace: id.clone(), seen };
        self.observations.send(observation).await.expect("somebody observes");
        self.until(id, done).await;
    }

    /// Waits until `done` holds of a workspace.
    pub(crate) async fn until(&self, id: &WorkspaceId, done: impl Fn(&usher::workspace::View) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(5), async {
            while !done(&self.workspaces.view(id)) {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never came true of {:?}", self.workspaces.view(id)));
    }

    /// Starts a workspace up to readiness.
    pub(crate) async fn run(&self, id: &WorkspaceId) {
        self.workspaces.start(id, None).expect("starts");
        self.until(id, |view| view.phase.name().label() == "starting").await;
        self.see(id, Seen::Ready(endpoint()), |view| view.phase.endpoint().is_some()).await;
    }
}

pub(crate) fn endpoint() -> Endpoint {
    let instance = InstanceId::new("run-1").expect("valid");
    Endpoint { address: ([127, 0, 0, 1], 40_000).into(), tls: false, instance }
}

pub(crate) fn workspace(user: &str) -> WorkspaceId {
    principal(user).workspace(&kind("ide"))
}

fn kind(name: &str) -> KindName {
    KindName::new(name).expect("valid")
}

pub(crate) fn principal(user: &str) -> Principal {
    Principal {
        user: UserId::new(user).expect("valid"),
        tenant: TenantId::new("acme").expect("valid"),
        display_name: None,
        groups: Arc::from([GroupName::new("developers").expect("valid")]),
        roles: Roles { tenant_admin: user == "boss", operator: false },
        source: Arc::from("people"),
    }
}

fn person(user: &str) -> Person {
    let principal = principal(user);
    Person { tenant: Some(principal.tenant), groups: principal.groups, ..Person::new(principal.user, principal.source) }
}

/// Somebody whose tenant is left to rules.
fn in_groups(user: &str, groups: &[&str]) -> Person {
    let groups = groups.iter().map(|group| GroupName::new(group).expect("valid")).collect();
    Person { tenant: None, groups, ..person(user) }
}

fn offers() -> Vec<Offer> {
    let profile = |name: &str, title: &str, more: &str| ProfileOffer {
        name: ProfileName::new(name).expect("valid"),
        title: title.to_owned(),
        description: Some(more.to_owned()),
    };
    vec![
        Offer::Workspace(WorkspaceOffer {
            kind: kind("ide"),
            title: "IDE".to_owned(),
            href: "/ide/".to_owned(),
            profiles: vec![profile("large", "Large", "4 CPU, 8 GB"), profile("small", "Small", "1 CPU, 2 GB")],
            may_hold_for: Some(Duration::from_secs(4 * 3600)),
        }),
        Offer::Workspace(WorkspaceOffer {
            kind: kind("notebook"),
            title: "Notebook".to_owned(),
            href: "https://notebook.example/".to_owned(),
            profiles: Vec::new(),
            may_hold_for: None,
        }),
        Offer::Link(LinkOffer { title: "Documentation".to_owned(), href: "/docs/".to_owned() }),
    ]
}

fn config(folder: &tempfile::TempDir) -> Config {
    let key = folder.path().join("key");
    std::fs::write(&key, [7_u8; 32]).expect("key is written");
    let text = format!(
        "public_url: https://usher.example
state_dir: {folder}
listen: {{ public: {{ address: '127.0.0.1:0', tls: {{ certificate: c, key: k }} }} }}
session: {{ keys: [ {{ id: k1, file: {key} }} ] }}
identity:
  directories: [ {{ name: people, users_file: {{ path: users.yaml }} }} ]
  tenant: [ {{ group: 'tenant-(?<tenant>.+)' }} ]
  contact: access@usher.example
tenants: {{ acme: {{ max_running: 3 }}, gone: {{ disabled: true, contact: it@gone.example }} }}
workspaces:
  ide: {{ runtime: process, process: {{ command: [ide] }}, profiles: {{ large: {{}}, small: {{}} }} }}
  notebook: {{ runtime: process, process: {{ command: [notebook] }} }}
routes:
  - {{ path: /ide/, workspace: ide }}
",
        folder = folder.path().display(),
        key = key.display(),
    );
    serde_saphyr::from_str(&text).expect("configuration is valid")
}

/// People whose password is `right`, and some for whom signing in goes wrong.
struct People;

#[async_trait]
impl Directory for People {
    fn name(&self) -> &str {
        "people"
    }

    async fn verify(&self, user: &str, password: &Password) -> Result<Person, SignInError> {
        match user {
            "busy" => Err(SignInError::Busy),
            "disabled" => Err(SignInError::Disabled),
            "locked" if password.expose() == "right" => Err(SignInError::Locked),
            "locked" => Err(SignInError::Unproven(AccountTrouble::Locked)),
            "expired" => Err(SignInError::Expired),
            "old-password" => Err(SignInError::PasswordExpired),
            "new-password" => Err(SignInError::PasswordMustChange),
            "stranger" if password.expose() == "right" => Ok(in_groups(user, &[])),
            "both" if password.expose() == "right" => Ok(in_groups(user, &["tenant-acme", "tenant-gone"])),
            "late" if password.expose() == "right" => Ok(in_groups(user, &["tenant-gone"])),
            "ada" | "boss" if password.expose() == "right" => Ok(person(user)),
            _ => Err(SignInError::WrongCredentials),
        }
    }

    async fn look_up(&self, user: &UserId) -> Result<Option<Person>, LookUpError> {
        Ok(Some(person(user.as_str())))
    }
}

/// Accepts every start and says nothing; a stop has ended at once.
struct Obedient(mpsc::Sender<Observation>);

#[async_trait]
impl Runtime for Obedient {
    async fn start(&self, _: &StartOrder) -> Result<(), Failure> {
        Ok(())
    }

    async fn stop(&self, id: &WorkspaceId) -> Result<(), Failure> {
        let gone = Observation { workspace: id.clone(), seen: Seen::Exited(Ok(())) };
        self.0.send(gone).await.expect("somebody observes");
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Found>, Failure> {
        Ok(Vec::new())
    }

    async fn release(&self) {}
}

/// So that tests can ask for the time without naming the trait.
pub(crate) fn now(bench: &Bench) -> Timestamp {
    bench.clock.now()
}
