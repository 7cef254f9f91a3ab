//! Writes every page in both languages to `target/pages/`, to be looked at in a browser.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use usher::clock::{Clock as _, SystemClock};
use usher::model::{ActivitySource, ErrorKind, Failure, FailureClass, PageRequest, Problem, StartStep, StopReason};
use usher::runtime::Seen;

use crate::support::{Ask, Bench, REQUEST_ID, workspace};

struct Gallery {
    bench: Bench,
    folder: PathBuf,
}

impl Gallery {
    /// Writes a page in both languages, with its assets beside it.
    async fn keep(&self, name: &str, ask: impl Fn() -> Ask) {
        for language in ["en", "zh"] {
            let answer = self.bench.send(ask().header("accept-language", language)).await;
            let mut page = answer.body;
            while let Some(at) = page.find("/.usher/assets/") {
                let end = at + page[at..].find('"').expect("attribute ends");
                let path = page[at..end].to_owned();
                let file = path.rsplit('/').next().expect("has a name").to_owned();
                let asset = self.bench.send(Ask::fetch(Method::GET, &path)).await;
                std::fs::write(self.folder.join(&file), asset.body).expect("asset is written");
                page.replace_range(at..end, &file);
            }
            // Without the gateway there is nothing to follow.
            for script in ["home.js", "start.js"] {
                page = page.replace(&format!("<script src=\"{script}\" defer></script>"), "");
            }
            std::fs::write(self.folder.join(format!("{name}.{language}.html")), page).expect("page is written");
        }
    }
}

fn problem(kind: ErrorKind, status: u16) -> PageRequest {
    let retry_after = (status == 503).then_some(3);
    PageRequest::Problem(Problem { kind, status, request_id: REQUEST_ID.to_owned(), retry_after, detail: None })
}

#[tokio::test]
async fn every_page_can_be_looked_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&folder).expect("folder is made");
    let gallery = Gallery { bench: Bench::at(SystemClock.now()).await, folder };
    let bench = &gallery.bench;
    let boss = bench.session("boss");
    let ada = bench.session("ada");
    let (of_boss, of_ada) = (workspace("boss"), workspace("ada"));
    let start = |id: &usher::model::WorkspaceId| PageRequest::Start { workspace: id.clone(), target: "/ide/".into() };

    gallery.keep("login", || Ask::get("/.usher/login?return_to=/ide/&note=signed-out")).await;
    gallery.keep("login-wrong", || Ask::form("/.usher/login", "user=ada&password=wrong&return_to=/ide/")).await;
    gallery.keep("home-stopped", || Ask::get("/").by(&ada)).await;

    gallery.keep("start-first", || Ask::get("/.usher/page").page(start(&of_ada)).by(&ada)).await;
    for (step, seconds) in [(StartStep::Created, 1), (StartStep::Waiting, 2)] {
        bench.clock.advance(Duration::from_millis(seconds * 700));
        let seen = |view: &usher::workspace::View| view.steps.iter().any(|(seen, _)| *seen == step);
        bench.see(&of_ada, Seen::Step(step), seen).await;
    }
    bench.clock.advance(Duration::from_secs(3));
    gallery.keep("start-waiting", || Ask::get("/.usher/page").page(start(&of_ada)).by(&ada)).await;
    gallery.keep("home-starting", || Ask::get("/").by(&ada)).await;
    bench.see(&of_ada, Seen::Ready(crate::support::endpoint()), |view| view.phase.endpoint().is_some()).await;
    let tracked = bench.workspaces.tracked(&of_ada).expect("is tracked");
    bench.clock.advance(Duration::from_secs(240));
    tracked.activity().human(ActivitySource::WebSocket, bench.clock.now() - Duration::from_secs(190));
    gallery.keep("home-running", || Ask::get("/").by(&ada)).await;

    bench.run(&of_boss).await;
    gallery.keep("prove", || Ask::get("/.usher/prove?return_to=/.usher/tenant").by(&boss)).await;
    gallery.keep("tenant", || Ask::get("/.usher/tenant").by(&boss)).await;
    bench.workspaces.stop(&of_ada, StopReason::HumanIdle { after_secs: 1800 });
    bench.until(&of_ada, |view| view.phase.name().label() == "stopped").await;
    bench.clock.advance(Duration::from_secs(1800));
    gallery.keep("home-after-stop", || Ask::get("/").by(&ada)).await;
    gallery.keep("start-again", || Ask::get("/.usher/page").page(start(&of_ada)).by(&ada)).await;

    let seen = |view: &usher::workspace::View| view.steps.iter().any(|(seen, _)| *seen == StartStep::Created);
    bench.see(&of_ada, Seen::Step(StartStep::Created), seen).await;
    let failure = Failure {
        class: FailureClass::CrashedAtStart,
        detail: "process 4711 ended with exit status 1 after 2.1 s".to_owned(),
        log_tail: [
            "$ node /opt/theia/src-gen/backend/main.js --port 41233",
            "Error: listen EADDRINUSE: address already in use 127.0.0.1:41233",
            "    at Server.setupListenHandle [as _listen2] (node:net:1817:16)",
            "    at listenInCluster (node:net:1865:12)",
            "<script>alert(1)</script>",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    bench.see(&of_ada, Seen::Exited(Err(failure)), |view| view.phase.name().label() == "failed").await;
    gallery.keep("start-failed", || Ask::get("/.usher/page").page(start(&of_ada)).by(&ada)).await;
    gallery.keep("home-failed", || Ask::get("/").by(&ada)).await;

    gallery
        .keep("problem-forbidden", || Ask::get("/.usher/page").page(problem(ErrorKind::Forbidden, 403)).by(&ada))
        .await;
    gallery.keep("problem-not-found", || Ask::get("/.usher/nothing").by(&ada)).await;
    gallery.keep("problem-unavailable", || Ask::get("/.usher/page").page(problem(ErrorKind::Unavailable, 503))).await;

    let mut index = String::from("<!doctype html><meta charset=utf-8><title>Pages</title><ul>");
    let mut names: Vec<_> = std::fs::read_dir(&gallery.folder)
        .expect("folder is there")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".html") && name != "index.html")
        .collect();
    names.sort();
    for name in names {
        write!(index, "<li><a href=\"{name}\">{name}</a>").expect("writes to a string");
    }
    std::fs::write(gallery.folder.join("index.html"), index).expect("index is written");
}
