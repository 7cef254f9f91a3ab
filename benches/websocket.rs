//! How many bytes a second the frame parser reads: a client's frames of several sizes in reads of 16 KiB, with
//! nothing kept of their payload and with the beginning of each unmasked.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use usher::websocket::FrameParser;

fn stream_of(payload: u16, frames: usize) -> Vec<u8> {
    let mut frame = vec![0x82];
    if payload < 126 {
        frame.push(0x80 | u8::try_from(payload).expect("below 126"));
    } else {
        frame.push(0x80 | 126);
        frame.extend(payload.to_be_bytes());
    }
    frame.extend([1, 2, 3, 4]);
    frame.resize(frame.len() + usize::from(payload), 0x5a);
    frame.repeat(frames)
}

fn parser(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("websocket_frames");
    for (payload, frames) in [(125, 4096), (4096, 256), (65_535, 32)] {
        let stream = stream_of(payload, frames);
        group.throughput(Throughput::Bytes(stream.len() as u64));
        for kept in [0, 256] {
            let id = BenchmarkId::new(format!("payload_{payload}"), format!("kept_{kept}"));
            group.bench_with_input(id, &stream, |bencher, stream| {
                bencher.iter(|| {
                    let mut parser = FrameParser::from_client(kept);
                    for read in stream.chunks(16 * 1024) {
                        parser.feed(read, |frame| {
                            black_box(frame.start);
                        });
                    }
                    assert!(parser.at_boundary());
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, parser);
criterion_main!(benches);
