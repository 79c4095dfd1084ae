//! What a record costs the server, by either record layer: `cargo bench --bench records`. Each record comes and goes
//! by itself, so that the slim one makes its cipher anew, as it does for an idle connection that wakes.

#[path = "setup/pair.rs"]
mod pair;

use divan::{Bencher, black_box, counter::BytesCount};
use pair::Pair;

/// A small message, one of a hundred bytes, and a packet that is full.
const SIZES: [usize; 3] = [16, 100, 1_400];
/// So many records wait at once to be opened.
const RECORDS: usize = 256;
/// So many come in one read, where they come together.
const TOGETHER: usize = 64;

fn main() {
    divan::main();
}

fn seal_by(slim: bool, bencher: Bencher, bytes: usize) {
    let (mut pair, plaintext, mut out) = (Pair::new(slim), vec![7; bytes], Vec::with_capacity(2_000));
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        out.clear();
        pair.server.write(black_box(&plaintext), &mut out).expect("open");
    });
}

/// `records` come at once, and are counted as one.
fn open_by(slim: bool, bencher: Bencher, bytes: usize, records: usize) {
    let mut pair = Pair::new(slim);
    let record_bytes = pair.device_says(1, bytes);
    pair.server.read(&mut record_bytes.clone(), &mut Vec::new(), &mut Vec::new()).expect("intact");
    let (read_bytes, mut waiting, mut at) = (record_bytes.len() * records, Vec::new(), 0);
    let (mut plaintext, mut out) = (Vec::with_capacity(bytes * records), Vec::new());
    // The next batch is sealed outside of what is measured.
    let pair = std::cell::RefCell::new(pair);
    bencher
        .counter(BytesCount::new(bytes * records))
        .with_inputs(|| {
            if at == waiting.len() {
                (waiting, at) = (pair.borrow_mut().device_says(RECORDS.max(records), bytes), 0);
            }
            at += read_bytes;
            waiting[at - read_bytes..at].to_vec()
        })
        .bench_local_refs(|sealed| {
            plaintext.clear();
            pair.borrow_mut().server.read(sealed, &mut plaintext, &mut out).expect("intact");
        });
}

#[divan::bench(args = SIZES)]
fn seal_slim(bencher: Bencher, bytes: usize) {
    seal_by(true, bencher, bytes);
}

#[divan::bench(args = SIZES)]
fn seal_rustls(bencher: Bencher, bytes: usize) {
    seal_by(false, bencher, bytes);
}

#[divan::bench(args = SIZES)]
fn open_slim(bencher: Bencher, bytes: usize) {
    open_by(true, bencher, bytes, 1);
}

#[divan::bench(args = SIZES)]
fn open_rustls(bencher: Bencher, bytes: usize) {
    open_by(false, bencher, bytes, 1);
}

/// Without what waking costs, but for a small part.
#[divan::bench(args = SIZES)]
fn open_together_slim(bencher: Bencher, bytes: usize) {
    open_by(true, bencher, bytes, TOGETHER);
}

#[divan::bench(args = SIZES)]
fn open_together_rustls(bencher: Bencher, bytes: usize) {
    open_by(false, bencher, bytes, TOGETHER);
}

/// Waking alone: the cipher is made, and nothing is sealed.
#[divan::bench]
fn wake_slim(bencher: Bencher) {
    let mut pair = Pair::new(true);
    let mut out = Vec::new();
    bencher.bench_local(|| pair.server.write(black_box(&[]), &mut out).expect("open"));
}
