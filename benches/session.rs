//! What finding out who sent a request costs: with 8,000 sessions in memory, in each way that it can go.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use usher::clock::SystemClock;
use usher::config::Config;
use usher::identity::Identity;
use usher::metrics::Metrics;
use usher::model::{GroupName, Principal, Roles, TenantId, UserId};
use usher::session::{Authentication, Sessions};

const PEOPLE: usize = 8000;
const CONFIG: &str = r#"
public_url: https://dev.example.com
state_dir: FOLDER/state
listen: { public: { address: "127.0.0.1:0", tls: { certificate: c, key: k } } }
session: { keys: [ { id: k1, file: FOLDER/k1 } ] }
identity: { directories: [] }
"#;

fn principal(number: usize) -> Principal {
    let group = GroupName::new("desktop-users").expect("a group");
    Principal {
        user: UserId::new(&format!("developer{number}")).expect("a user"),
        tenant: TenantId::new(&format!("tenant-{}", number % 800)).expect("a tenant"),
        display_name: None,
        groups: Arc::from([group]),
        roles: Roles::default(),
        source: Arc::from("corp"),
    }
}

fn open(folder: &tempfile::TempDir) -> Sessions {
    std::fs::write(folder.path().join("k1"), "k1 stands for 32 random bytes or more").expect("written");
    let text = CONFIG.replace("FOLDER", &folder.path().display().to_string());
    let config: Config = serde_saphyr::from_str(&text).expect("a configuration");
    let identity = Identity::build(&config).expect("builds");
    let metrics = Metrics::new(prometheus::Registry::new(), 1000);
    Sessions::open_store(&config, identity, SystemClock::shared(), metrics).expect("opens")
}

fn sign_in(sessions: &Sessions, number: usize) -> String {
    let (_, line) = sessions.start(principal(number));
    let value = line.strip_prefix("__Host-usher=").and_then(|rest| rest.split(';').next());
    value.expect("our cookie").to_owned()
}

fn authenticate(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let sessions = open(&folder);
    let cookies: Vec<_> = (0..PEOPLE).map(|number| sign_in(&sessions, number)).collect();
    // Another process with the same keys: every cookie is genuine there, and no session is known.
    let restarted = open(&folder);
    let forged = format!("{}AAAA", &cookies[0][..cookies[0].len() - 4]);

    let mut group = criterion.benchmark_group("authenticate");
    let mut next = cookies.iter().cycle();
    group.bench_function("known cookie", |bencher| {
        bencher.iter(|| {
            let cookie = next.next().expect("cycles");
            assert!(matches!(sessions.authenticate(black_box(cookie)), Authentication::Valid { .. }));
        });
    });
    group.bench_function("one cookie again and again", |bencher| {
        bencher.iter(|| sessions.authenticate(black_box(&cookies[0])));
    });
    group.bench_function("genuine cookie of an unknown session", |bencher| {
        bencher.iter(|| {
            let answer = restarted.authenticate(black_box(&cookies[0]));
            assert!(matches!(answer, Authentication::Revivable(_)));
        });
    });
    group.bench_function("forged cookie of a known session", |bencher| {
        bencher.iter(|| assert!(matches!(sessions.authenticate(black_box(&forged)), Authentication::Invalid(_))));
    });
    group.bench_function("garbage", |bencher| {
        bencher.iter(|| sessions.authenticate(black_box("garbage")));
    });
    group.finish();
}

fn form_token(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let (session, _) = open(&folder).start(principal(0));
    let token = session.form_token();
    criterion.bench_function("verify_form_token", |bencher| {
        bencher.iter(|| assert!(session.verify_form_token(black_box(&token))));
    });
}

criterion_group!(benches, authenticate, form_token);
criterion_main!(benches);
