//! Workspaces on real child processes: starts, failures, stops, leftovers, autostop.
//!
//! The workspaces are small Python programs; `./dev setup` installs Python.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tempfile::TempDir;
use usher::clock::SystemClock;
use usher::config::{ActivityClassifier, Config, ProcessSettings, Span, Tenant, WorkspaceKind};
use usher::metrics::Metrics;
use usher::model::{
    ActivitySource, FailureClass, KindName, Phase, PhaseName, ProfileName, StartStep, StopReason, TenantId, UserId,
    WorkspaceId,
};
use usher::runtime::Runtimes;
use usher::workspace::{HoldRefused, QuotaScope, StartRefused, View, Workspaces};

/// Longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers every request with 200 and notes its start in its home.
const SERVER: &str = r#"
import http.server, os, sys
open("starts", "a").write("x")
open("pid", "w").write(str(os.getpid()))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

/// Put before the server: deaf to TERM, with a child that is deaf as well and in a session of its own,
/// as a terminal's shell is.
const DEAF_SERVER: &str = r#"
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    open("grandchild", "w").write(str(os.getpid()))
    time.sleep(600)
"#;

struct Gateway {
    workspaces: Workspaces,
    metrics: Arc<Metrics>,
    config: Config,
}

fn id(tenant: &str, user: &str) -> WorkspaceId {
    WorkspaceId {
        tenant: TenantId::new(tenant).expect("test tenant"),
        user: UserId::new(user).expect("test user"),
        kind: KindName::new("ide").expect("test kind"),
    }
}

fn ada() -> WorkspaceId {
    id("acme", "ada")
}

fn python(program: &str) -> Vec<String> {
    ["python3", "-c", program, "{port}"].map(str::to_owned).to_vec()
}

fn config(folder: &Path, command: &[String]) -> Config {
    let mut config: Config = serde_json::from_value(serde_json::json!({
        "public_url": "https://dev.example.com",
        "state_dir": folder.join("state"),
        "listen": { "public": { "address": "127.0.0.1:0", "tls": { "certificate": "c", "key": "k" } } },
        "session": { "keys": [ { "id": "k1", "file": "k1" } ] },
        "identity": { "directories": [ { "name": "users", "users_file": { "path": "users.yaml" } } ] },
        "workspaces": { "ide": {
            "runtime": "process",
            "process": { "command": command, "stop_grace": "10s", "readiness": { "http_path": "/", "interval": "20ms" } },
            "start_timeout": "20s",
        } },
    }))
    .expect("the configuration is well-formed");
    config.tenants.0.insert("defaults".to_owned(), Tenant::default());
    config
}

fn kind(config: &mut Config) -> &mut WorkspaceKind {
    config.workspaces.get_mut("ide").expect("the kind is there")
}

fn process(config: &mut Config) -> &mut ProcessSettings {
    kind(config).process.as_mut().expect("the settings are there")
}

impl Gateway {
    async fn open(config: Config) -> Self {
        Self::open_on(config, tokio::runtime::Handle::current()).await
    }

    async fn open_on(config: Config, control: tokio::runtime::Handle) -> Self {
        let gateway = Self::waiting(config, control);
        gateway.workspaces.take_over().await;
        gateway
    }

    fn waiting(config: Config, control: tokio::runtime::Handle) -> Self {
        let metrics = Metrics::new(Registry::new(), 10);
        let environment = ["PATH", "SECRET"].map(|name| (name.to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()));
        let clock = SystemClock::shared();
        let runtimes = Runtimes::build(&config, environment.into_iter().collect(), clock.clone(), control.clone());
        let workspaces = Workspaces::waiting(&config, runtimes, clock, metrics.clone(), control);
        Self { workspaces, metrics, config }
    }

    async fn serving(folder: &TempDir) -> Self {
        Self::open(config(folder.path(), &python(SERVER))).await
    }

    async fn phase(&self, id: &WorkspaceId, phase: PhaseName) -> Arc<View> {
        let what = || format!("{id} did not become {}: {:?}", phase.label(), self.workspaces.view(id));
        until(|| async { Some(self.workspaces.view(id)).filter(|view| view.phase.name() == phase) }, what).await
    }

    async fn up(&self, id: &WorkspaceId) -> Arc<View> {
        self.workspaces.start(id, None).expect("may start");
        self.phase(id, PhaseName::Running).await
    }

    async fn failed(&self, id: &WorkspaceId) -> usher::model::Failure {
        self.workspaces.start(id, None).expect("may start");
        match &self.phase(id, PhaseName::Failed).await.phase {
            Phase::Failed { failure, .. } => failure.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn home_file(&self, id: &WorkspaceId, name: &str) -> String {
        let path = Path::new(&self.config.state_dir).join("homes").join(id.label()).join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn exposition(&self) -> String {
        String::from_utf8(self.metrics.encode().expect("encodes")).expect("is UTF-8")
    }

    fn counts(&self, line: &str) {
        let text = self.exposition();
        assert!(text.lines().any(|have| have == line), "no line {line:?} in\n{text}");
    }
}

/// Asks until there is an answer, for as long as [`PATIENCE`].
async fn until<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F, what: impl Fn() -> String) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("{}", what()),
    }
}

/// Whether a process is there and not only waiting to be reaped.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_to_one_stopped_workspace_start_one_process() {
    let folder = folder();
    let gateway = Gateway::serving(&folder).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let workspaces = gateway.workspaces.clone();
        asking.spawn(async move {
            let tracked = workspaces.start(&ada(), None).expect("may start");
            let mut changes = tracked.subscribe();
            let over = |view: &Arc<View>| !matches!(view.phase, Phase::Starting { .. });
            tokio::time::timeout(PATIENCE, changes.wait_for(over)).await.expect("in time").expect("is supervised");
            tracked.endpoint().expect("is up").instance.clone()
        });
    }
    let instances: std::collections::BTreeSet<_> =
        asking.join_all().await.into_iter().map(|instance| instance.to_string()).collect();
    assert_eq!(instances.len(), 1);
    assert_eq!(gateway.home_file(&ada(), "starts"), "x");
    gateway.counts(r#"usher_workspace_starts_total{kind="ide",result="ready"} 1"#);
    gateway.counts(r#"usher_workspaces{phase="running",tenant="acme"} 1"#);
    gateway.workspaces.shutdown().await;
    gateway.counts(r#"usher_workspace_stops_total{kind="ide",reason="gateway-shutdown"} 1"#);
    assert!(!lives(&gateway.home_file(&ada(), "pid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_start_are_seen_in_order_and_with_times() {
    let folder = folder();
    let gateway = Gateway::serving(&folder).await;
    let view = gateway.up(&ada()).await;
    let steps: Vec<_> = view.steps.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [StartStep::Requested, StartStep::Created, StartStep::Waiting, StartStep::Ready]);
    assert!(view.steps.is_sorted_by_key(|(_, at)| *at));
    assert_eq!(view.human.expect("is known").source, ActivitySource::Start);
    assert!(view.stops_at.is_some() && view.expected_start.is_some());
    gateway.workspaces.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_gets_its_template_its_home_and_only_the_listed_environment() {
    let folder = folder();
    let mut config = config(
        folder.path(),
        &python(&format!(
            "import os,json\njson.dump(dict(os.environ), open('env','w'))\nopen('mode','w').write(oct(os.stat('.').st_mode))\n{SERVER}"
        )),
    );
    process(&mut config).environment = BTreeMap::from([("WHO".to_owned(), "{user}@{tenant}".to_owned())]);
    let profiles = serde_json::json!({ "large": { "environment": { "SIZE": "{profile}" } }, "small": {} });
    kind(&mut config).profiles = serde_json::from_value(profiles).expect("well-formed");
    let gateway = Gateway::open(config).await;
    let profile = ProfileName::new("large").expect("test profile");
    gateway.workspaces.start(&ada(), Some(profile.clone())).expect("may start");
    gateway.phase(&ada(), PhaseName::Running).await;
    let mut environment: BTreeMap<String, String> =
        serde_json::from_str(&gateway.home_file(&ada(), "env")).expect("is JSON");
    // Python's own.
    environment.remove("LC_CTYPE");
    assert_eq!(
        environment.keys().map(String::as_str).collect::<Vec<_>>(),
        ["HOME", "PATH", "SIZE", "USHER_RUN", "WHO"]
    );
    assert_eq!((environment["WHO"].as_str(), environment["SIZE"].as_str()), ("ada@acme", "large"));
    assert!(environment["HOME"].ends_with(&ada().label()));
    assert_eq!(gateway.home_file(&ada(), "mode"), "0o40700");
    let unknown = gateway.workspaces.start(&id("acme", "bob"), ProfileName::new("huge").ok());
    assert!(matches!(unknown, Err(StartRefused::UnknownProfile { .. })));
    gateway.workspaces.shutdown().await;
    assert_eq!(gateway.workspaces.view(&ada()).profile, Some(profile));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_the_start_is_classed_and_carries_the_last_lines() {
    let folder = folder();
    let crash = "import sys; print('out'); print('no licence', file=sys.stderr); sys.exit(3)";
    let gateway = Gateway::open(config(folder.path(), &python(crash))).await;
    let failure = gateway.failed(&ada()).await;
    assert_eq!(failure.class, FailureClass::CrashedAtStart);
    assert!(failure.detail.contains("python3") && failure.detail.contains('3'), "{}", failure.detail);
    assert!(failure.log_tail.contains(&"no licence".to_owned()), "{:?}", failure.log_tail);
    gateway.counts(r#"usher_workspace_starts_total{kind="ide",result="crashed-at-start"} 1"#);
    let again = gateway.workspaces.start(&ada(), None).expect("can be started again");
    assert_eq!(again.view().phase.name(), PhaseName::Starting, "the old failure is not shown to who waits anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_missing_or_may_not_run_is_said_to_be_so() {
    let folder = folder();
    let gateway = Gateway::open(config(folder.path(), &["no-such-program".to_owned()])).await;
    let failure = gateway.failed(&ada()).await;
    assert_eq!(failure.class, FailureClass::NotRunnable);
    assert!(failure.detail.contains("no-such-program"), "{}", failure.detail);

    let plain = folder.path().join("plain.txt");
    std::fs::write(&plain, "text").expect("writes");
    let gateway = Gateway::open(config(folder.path(), &[plain.display().to_string()])).await;
    let failure = gateway.failed(&ada()).await;
    assert_eq!(failure.class, FailureClass::NotRunnable);
    assert!(failure.detail.contains("may not be executed"), "{}", failure.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_answers_is_ended_and_said_to_be_not_ready() {
    let folder = folder();
    let silent =
        "import os,time; open('pid','w').write(str(os.getpid())); print('still loading', flush=True); time.sleep(600)";
    let mut config = config(folder.path(), &python(silent));
    kind(&mut config).start_timeout = Span::secs(2);
    let gateway = Gateway::open(config).await;
    let failure = gateway.failed(&ada()).await;
    assert_eq!(failure.class, FailureClass::NotReady);
    assert!(failure.detail.contains("GET /") && failure.detail.contains("2s"), "{}", failure.detail);
    assert_eq!(failure.log_tail, ["still loading"]);
    assert!(!lives(&gateway.home_file(&ada(), "pid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_running_is_seen() {
    let folder = folder();
    let gateway = Gateway::serving(&folder).await;
    gateway.up(&ada()).await;
    let tracked = gateway.workspaces.tracked(&ada()).expect("is tracked");
    kill(&gateway.home_file(&ada(), "pid"));
    let view = gateway.phase(&ada(), PhaseName::Failed).await;
    let Phase::Failed { failure, .. } = &view.phase else { panic!("{view:?}") };
    assert_eq!(failure.class, FailureClass::Crashed);
    assert!(failure.detail.contains("signal: 9"), "{}", failure.detail);
    assert!(tracked.endpoint().is_none());
    gateway.counts(r#"usher_workspace_stops_total{kind="ide",reason="crashed"} 1"#);
    assert!(!gateway.exposition().contains(r#"result="crashed""#), "it is no start that failed");
    assert!(gateway.up(&ada()).await.phase.endpoint().is_some(), "it can be started again");
    kill(&gateway.home_file(&ada(), "pid"));
    gateway.phase(&ada(), PhaseName::Failed).await;
    let config = gateway.config.clone();
    gateway.workspaces.shutdown().await;
    let view = Gateway::open(config).await.workspaces.view(&ada());
    assert!(matches!(&view.phase, Phase::Stopped { reason: Some(StopReason::Crashed), .. }), "{view:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_ends_by_itself_is_stopped_not_failed() {
    let folder = folder();
    let leaves = SERVER.replace("self.end_headers()", "self.end_headers(); self.path == '/bye' and os._exit(0)");
    let gateway = Gateway::open(config(folder.path(), &python(&leaves))).await;
    let view = gateway.up(&ada()).await;
    let address = view.phase.endpoint().expect("is up").address;
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /bye HTTP/1.0\r\n\r\n").await.expect("writes");
    let view = gateway.phase(&ada(), PhaseName::Stopped).await;
    assert_eq!(view.last_stop.as_ref().map(|(_, reason)| reason), Some(&StopReason::Exited));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ignores_term_is_killed_with_all_its_descendants() {
    let folder = folder();
    let mut config = config(folder.path(), &python(&format!("{DEAF_SERVER}\n{SERVER}")));
    process(&mut config).stop_grace = Span(Duration::from_millis(300));
    let gateway = Gateway::open(config).await;
    gateway.up(&ada()).await;
    let (own, grandchild) = (gateway.home_file(&ada(), "pid"), gateway.home_file(&ada(), "grandchild"));
    assert!(lives(&own) && lives(&grandchild));
    gateway.workspaces.stop(&ada(), StopReason::User);
    let view = gateway.phase(&ada(), PhaseName::Stopped).await;
    assert!(!lives(&own) && !lives(&grandchild));
    assert!(matches!(&view.phase, Phase::Stopped { reason: Some(StopReason::User), .. }), "{view:?}");
    assert!(gateway.workspaces.tracked(&ada()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_asked_for_while_stopping_goes_on_when_that_is_over() {
    let folder = folder();
    let mut config = config(folder.path(), &python(&format!("{DEAF_SERVER}\n{SERVER}")));
    process(&mut config).stop_grace = Span(Duration::from_millis(300));
    let gateway = Gateway::open(config).await;
    let first = gateway.up(&ada()).await;
    gateway.workspaces.stop(&ada(), StopReason::User);
    gateway.phase(&ada(), PhaseName::Stopping).await;
    let second = gateway.up(&ada()).await;
    assert_eq!(second.steps.first().map(|(step, _)| *step), Some(StartStep::Queued));
    let instance = |view: &View| view.phase.endpoint().expect("is up").instance.clone();
    assert_ne!(instance(&first), instance(&second));
    assert_eq!(gateway.home_file(&ada(), "starts"), "xx");
    gateway.workspaces.shutdown().await;
}

/// Opens a gateway on a tokio runtime of its own and drops that with everything in it, as a KILL would.
fn killed_gateway(config: Config) -> (Arc<View>, String) {
    let doomed = tokio::runtime::Runtime::new().expect("a runtime");
    let seen = doomed.block_on(async {
        let gateway = Gateway::open(config).await;
        (gateway.up(&ada()).await, gateway.home_file(&ada(), "pid"))
    });
    doomed.shutdown_background();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_left_healthy_is_adopted_as_the_same_instance() {
    let folder = folder();
    let config = config(folder.path(), &python(SERVER));
    let (before, pid) = std::thread::spawn({
        let config = config.clone();
        move || killed_gateway(config)
    })
    .join()
    .expect("the first gateway ran");
    assert!(lives(&pid));
    let gateway = Gateway::open(config).await;
    let view = gateway.workspaces.view(&ada());
    assert_eq!(view.phase.endpoint(), before.phase.endpoint());
    let human = until(|| async { gateway.workspaces.view(&ada()).human }, || "no evidence".to_owned()).await;
    assert_eq!(human.source, ActivitySource::Restart, "what is unknown counts as active now");
    gateway.workspaces.stop(&ada(), StopReason::User);
    gateway.phase(&ada(), PhaseName::Stopped).await;
    assert!(!lives(&pid));
    assert!(gateway.up(&ada()).await.phase.endpoint().is_some());
    gateway.workspaces.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_left_may_be_slow_to_answer_and_is_ended_only_after_the_time_of_a_start() {
    let folder = folder();
    let mut config = config(folder.path(), &python(SERVER));
    process(&mut config).readiness.timeout = Span(Duration::from_millis(300));
    kind(&mut config).start_timeout = Span::secs(3);
    let (before, pid) = std::thread::spawn({
        let config = config.clone();
        move || killed_gateway(config)
    })
    .join()
    .expect("the first gateway ran");
    signal(&pid, rustix::process::Signal::STOP);
    let gateway = Gateway::open(config.clone()).await;
    assert_eq!(gateway.workspaces.view(&ada()).phase.name(), PhaseName::Starting);
    signal(&pid, rustix::process::Signal::CONT);
    let view = gateway.phase(&ada(), PhaseName::Running).await;
    assert_eq!(view.phase.endpoint(), before.phase.endpoint());
    gateway.workspaces.let_go().await;

    signal(&pid, rustix::process::Signal::STOP);
    let gateway = Gateway::open(config).await;
    let view = gateway.phase(&ada(), PhaseName::Failed).await;
    let Phase::Failed { failure, .. } = &view.phase else { panic!("{view:?}") };
    assert_eq!(failure.class, FailureClass::NotReady);
    assert!(!lives(&pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_process_that_ended_is_ended_and_said_to_be_a_leftover() {
    let folder = folder();
    let mut config = config(folder.path(), &python(&format!("{DEAF_SERVER}\n{SERVER}")));
    process(&mut config).stop_grace = Span(Duration::from_millis(300));
    let first = Gateway::open(config.clone()).await;
    first.up(&ada()).await;
    let (own, grandchild) = (first.home_file(&ada(), "pid"), first.home_file(&ada(), "grandchild"));
    first.workspaces.let_go().await;
    kill(&own);
    until(|| async { (!lives(&own)).then_some(()) }, || "does not die".to_owned()).await;
    let second = Gateway::open(config).await;
    assert!(!lives(&grandchild));
    let view = second.workspaces.view(&ada());
    assert_eq!(view.last_stop.as_ref().map(|(_, reason)| reason), Some(&StopReason::Leftover));
    assert!(second.workspaces.tracked(&ada()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_handed_over_to_has_the_workspaces_and_the_old_one_does_not_touch_them() {
    let folder = folder();
    let config = config(folder.path(), &python(SERVER));
    let old = Gateway::open(config.clone()).await;
    let before = old.up(&ada()).await;
    let new = Gateway::waiting(config, tokio::runtime::Handle::current());
    let tracked = new.workspaces.start(&ada(), None).expect("waits");
    assert!(tracked.endpoint().is_none());
    old.workspaces.let_go().await;
    new.workspaces.take_over().await;
    let after = new.phase(&ada(), PhaseName::Running).await;
    assert_eq!(after.phase.endpoint(), before.phase.endpoint());
    old.workspaces.shutdown().await;
    let pid = new.home_file(&ada(), "pid");
    assert!(lives(&pid));
    new.workspaces.stop(&ada(), StopReason::User);
    new.phase(&ada(), PhaseName::Stopped).await;
    assert!(!lives(&pid));
    new.up(&ada()).await;
    assert_eq!(new.home_file(&ada(), "starts"), "xx");
    new.workspaces.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_stop_under_way_go_on_at_the_gateway_that_is_handed_over_to() {
    let folder = folder();
    let slow = format!("import os,time\nwhile not os.path.exists('go'): time.sleep(0.02)\n{DEAF_SERVER}\n{SERVER}");
    let mut config = config(folder.path(), &python(&slow));
    process(&mut config).stop_grace = Span::secs(2);
    let homes = folder.path().join("state/homes");
    let let_it_go = |id: &WorkspaceId| std::fs::write(homes.join(id.label()).join("go"), "").expect("writes");
    let (ada, bob) = (ada(), id("acme", "bob"));
    let old = Gateway::open(config.clone()).await;
    for id in [&ada, &bob] {
        old.workspaces.start(id, None).expect("may start");
        let waits =
            || async { old.workspaces.view(id).steps.last().filter(|(step, _)| *step == StartStep::Waiting).map(drop) };
        until(waits, || "does not wait".to_owned()).await;
    }
    let_it_go(&bob);
    old.phase(&bob, PhaseName::Running).await;
    old.workspaces.stop(&bob, StopReason::User);
    let noted = || async { record(&folder, &bob).filter(|text| text.contains(r#""stopping":true"#)).map(drop) };
    until(noted, || "is not on record".to_owned()).await;
    old.workspaces.let_go().await;

    let new = Gateway::open(config).await;
    assert_eq!(new.workspaces.view(&ada).phase.name(), PhaseName::Starting);
    assert_eq!(new.workspaces.view(&bob).phase.name(), PhaseName::Stopping);
    let_it_go(&ada);
    new.phase(&ada, PhaseName::Running).await;
    assert_eq!(new.home_file(&ada, "starts"), "x");
    let view = new.phase(&bob, PhaseName::Stopped).await;
    assert_eq!(view.last_stop.as_ref().map(|(_, reason)| reason), Some(&StopReason::User));
    assert!(!lives(&new.home_file(&bob, "pid")) && !lives(&new.home_file(&bob, "grandchild")));
    new.workspaces.shutdown().await;
}

/// The record of a run, if there is one.
fn record(folder: &TempDir, id: &WorkspaceId) -> Option<String> {
    std::fs::read_to_string(folder.path().join("state/processes").join(format!("{}.json", id.label()))).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_that_are_kept_outlive_the_gateway_and_a_crash_of_one_is_seen_by_the_next() {
    let folder = folder();
    let mut config = config(folder.path(), &python(SERVER));
    config.shutdown.keep_workspaces = true;
    let first = Gateway::open(config.clone()).await;
    let before = first.up(&ada()).await;
    first.workspaces.shutdown().await;
    assert!(matches!(first.workspaces.start(&id("acme", "bob"), None), Err(StartRefused::ShuttingDown)));
    let pid = first.home_file(&ada(), "pid");
    assert!(lives(&pid));
    let second = Gateway::open(config).await;
    assert_eq!(second.workspaces.view(&ada()).phase.endpoint(), before.phase.endpoint());
    kill(&pid);
    second.phase(&ada(), PhaseName::Failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_work_stops_it_and_the_reason_outlives_the_gateway() {
    let folder = folder();
    let mut config = config(folder.path(), &python(SERVER));
    kind(&mut config).autostop.human_idle = Span(Duration::from_millis(2500));
    kind(&mut config).autostop.idle_after = Span(Duration::from_millis(500));
    let gateway = Gateway::open(config.clone()).await;
    gateway.up(&ada()).await;
    gateway.phase(&ada(), PhaseName::Idle).await;
    let tracked = gateway.workspaces.tracked(&ada()).expect("is up");
    let mut changes = tracked.subscribe();
    tracked.activity().human(ActivitySource::WebSocket, SystemClock::shared().now());
    let runs = changes.wait_for(|view| view.phase.name() == PhaseName::Running);
    tokio::time::timeout(PATIENCE, runs).await.expect("in time").expect("is supervised");
    gateway.phase(&ada(), PhaseName::Stopped).await;
    gateway.counts(r#"usher_workspace_stops_total{kind="ide",reason="human-idle"} 1"#);
    let text = gateway.exposition();
    for family in ["usher_workspace_running_seconds_total", "usher_workspace_idle_waste_seconds_total"] {
        assert!(text.contains(&format!(r#"{family}{{kind="ide",tenant="acme"}}"#)), "{text}");
    }
    gateway.workspaces.shutdown().await;
    let next = Gateway::open(config).await;
    let view = next.workspaces.view(&ada());
    let Some((_, reason)) = &view.last_stop else { panic!("{view:?}") };
    assert_eq!(reason, &StopReason::HumanIdle { after_secs: 2 });
    assert_eq!(view.human.expect("is remembered").source, ActivitySource::WebSocket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_it_within_bounds() {
    let folder = folder();
    let mut config = config(folder.path(), &python(SERVER));
    kind(&mut config).autostop.human_idle = Span(Duration::from_millis(300));
    kind(&mut config).autostop.max_hold = Span::hours(1);
    let gateway = Gateway::open(config.clone()).await;
    let clock = SystemClock::shared();
    assert_eq!(gateway.workspaces.hold(&ada(), Some(clock.now())), Err(HoldRefused::NotRunning));
    gateway.workspaces.start(&ada(), None).expect("may start");
    let asked = clock.now() + Duration::from_secs(24 * 3600);
    let held = gateway.workspaces.hold(&ada(), Some(asked)).expect("may be held").expect("is held");
    assert!(held < clock.now() + Duration::from_secs(3601));
    let kept = || async { gateway.workspaces.view(&ada()).kept.clone() };
    assert_eq!(until(kept, || "was not kept".to_owned()).await, "hold");
    gateway.counts(r#"usher_autostop_kept_total{by="hold",kind="ide"} 1"#);
    assert_eq!(gateway.workspaces.view(&ada()).hold_until, Some(held));
    let past = clock.now() - Duration::from_secs(1);
    assert_eq!(gateway.workspaces.hold(&ada(), Some(past)), Err(HoldRefused::InThePast));
    assert_eq!(gateway.workspaces.hold(&ada(), None), Ok(None));
    gateway.phase(&ada(), PhaseName::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_connection_keeps_it_where_the_kind_counts_that() {
    let folder = folder();
    let mut config = config(folder.path(), &python(SERVER));
    kind(&mut config).autostop.human_idle = Span(Duration::from_millis(1000));
    kind(&mut config).activity = vec![ActivityClassifier::Connections];
    let gateway = Gateway::open(config).await;
    gateway.up(&ada()).await;
    let tunnel = gateway.workspaces.tracked(&ada()).expect("is up").activity().tunnel_opened();
    let kept = || async { gateway.workspaces.view(&ada()).kept.clone() };
    assert_eq!(until(kept, || "was not kept".to_owned()).await, "connection");
    drop(tunnel);
    gateway.phase(&ada(), PhaseName::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_lets_five_stop_and_keeps_the_others() {
    let folder = folder();
    let mut config = config(folder.path(), &python(SERVER));
    kind(&mut config).autostop.human_idle = Span::secs(0);
    kind(&mut config).autostop.brake_percent = 1;
    let gateway = Gateway::open(config.clone()).await;
    let all: Vec<_> = (0..7).map(|n| id("acme", &format!("user{n}"))).collect();
    for id in &all {
        gateway.up(id).await;
    }
    kind(&mut config).autostop.human_idle = Span(Duration::from_millis(1));
    gateway.workspaces.apply(&config);
    let kept = || gateway.workspaces.list().iter().filter(|view| view.kept.as_deref() == Some("brake")).count();
    until(
        || async { (gateway.workspaces.list().len() == 2 && kept() == 2).then_some(()) },
        || format!("{:?}", gateway.workspaces.list()),
    )
    .await;
    gateway.counts(r#"usher_autostop_kept_total{by="brake",kind="ide"} 2"#);
    gateway.workspaces.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_tenant_and_user_are_told_apart() {
    let folder = folder();
    let mut config = config(folder.path(), &python(SERVER));
    let desktop = config.workspaces["ide"].clone();
    config.workspaces.insert("desktop".to_owned(), desktop);
    let limits = Tenant { max_running: Some(2), max_running_per_user: Some(1), ..Tenant::default() };
    config.tenants.0.insert("defaults".to_owned(), limits);
    let gateway = Gateway::open(config).await;
    gateway.workspaces.start(&ada(), None).expect("is the first");
    let second_kind = WorkspaceId { kind: KindName::new("desktop").expect("test kind"), ..ada() };
    let refused = |scope, limit, running| Some(StartRefused::Quota { scope, limit, running });
    assert_eq!(gateway.workspaces.start(&second_kind, None).err(), refused(QuotaScope::User, 1, 1));
    gateway.workspaces.start(&id("acme", "bob"), None).expect("is the second");
    assert_eq!(gateway.workspaces.start(&id("acme", "cyd"), None).err(), refused(QuotaScope::Tenant, 2, 2));
    gateway.workspaces.start(&id("globex", "cyd"), None).expect("is another tenant's");
    assert!(gateway.workspaces.start(&ada(), None).is_ok(), "who is in may come again");
    gateway.workspaces.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_out_of_the_configuration_is_stopped_as_withdrawn() {
    let folder = folder();
    let mut config = config(folder.path(), &python(SERVER));
    let gateway = Gateway::open(config.clone()).await;
    let (ada, bob) = (ada(), id("globex", "bob"));
    gateway.up(&ada).await;
    gateway.up(&bob).await;
    config.tenants.0.insert("globex".to_owned(), Tenant { disabled: Some(true), ..Tenant::default() });
    gateway.workspaces.apply(&config);
    let withdrawn = |view: Arc<View>| view.last_stop.as_ref().map(|(_, reason)| reason.clone());
    assert_eq!(withdrawn(gateway.phase(&bob, PhaseName::Stopped).await), Some(StopReason::Withdrawn));
    assert_eq!(gateway.workspaces.view(&ada).phase.name(), PhaseName::Running);
    assert!(matches!(gateway.workspaces.start(&bob, None), Err(StartRefused::TenantDisabled(_))));
    config.workspaces.clear();
    gateway.workspaces.apply(&config);
    assert_eq!(withdrawn(gateway.phase(&ada, PhaseName::Stopped).await), Some(StopReason::Withdrawn));
    assert!(matches!(gateway.workspaces.start(&ada, None), Err(StartRefused::UnknownKind(_))));
}

fn kill(pid: &str) {
    signal(pid, rustix::process::Signal::KILL);
}

fn signal(pid: &str, signal: rustix::process::Signal) {
    let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("can be signalled");
}
