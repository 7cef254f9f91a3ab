//! What the rules of a workspace's life cost: they run for each event and each tick of 8,000 supervisors.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use usher::config::Autostop;
use usher::model::{ActivitySource, Endpoint, Evidence, InstanceId, Phase, Timestamp};
use usher::workspace::Activity;
use usher::workspace::autostop::{Facts, due};
use usher::workspace::phase::{Event, Policy, step};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn running() -> Phase {
    let instance = InstanceId::new("4711-98765-0123456789abcdef").expect("a valid instance");
    Phase::Running { since: NOW, endpoint: Endpoint { address: ([127, 0, 0, 1], 4711).into(), tls: false, instance } }
}

fn rules(criterion: &mut Criterion) {
    let policy = Policy { start_within: Duration::from_secs(90), stop_within: Duration::from_secs(20) };
    let phase = running();
    criterion.bench_function("phase_step", |bencher| {
        bencher.iter(|| step(black_box(phase.clone()), black_box(Event::Tick), NOW, &policy));
    });
    let human = Some(Evidence { at: NOW, source: ActivitySource::WebSocket });
    let facts = Facts { since: NOW, human, connected: false, hold_until: None };
    let autostop = Autostop::default();
    criterion.bench_function("autostop_due", |bencher| {
        bencher.iter(|| due(black_box(&facts), &autostop, NOW + Duration::from_secs(600)));
    });
}

fn evidence(criterion: &mut Criterion) {
    let activity = Activity::default();
    let mut now = NOW;
    criterion.bench_function("activity_human", |bencher| {
        bencher.iter(|| {
            now = now + Duration::from_millis(1);
            activity.human(black_box(ActivitySource::WebSocket), now);
        });
    });
}

criterion_group!(benches, rules, evidence);
criterion_main!(benches);
