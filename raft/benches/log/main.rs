//! Our log beside raft-log and a bare fdatasync loop, with 1 to 1,000 writers of 256-byte records, in interleaved
//! rounds. `make bench-log` runs it twice, the second time with 4 ms more per sync.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement says with a panic what went wrong")]

mod candidates;

use std::{path::PathBuf, sync::Arc, time::Duration};

use boss_base::clock::{Clock, SystemClock};
use candidates::{Candidate, Ours, RaftLogStore};
use tokio::sync::{mpsc, oneshot};

const WRITERS: [usize; 4] = [1, 64, 256, 1_000];
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_000);

/// What one round measured.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// One append that waits for its turn, as openraft's core takes them: in order, without waiting for the disk.
type Request = oneshot::Sender<()>;

/// `writers` tasks append one record each, wait until it is durable, and begin again.
async fn round(mut log: impl Candidate, writers: usize) -> Figures {
    let (requests, mut queue) = mpsc::channel::<Request>(writers.max(1));
    let core = async move {
        let mut index = 0;
        while let Some(done) = queue.recv().await {
            index += 1;
            log.append(index, done).await;
        }
        log.close().await;
    };
    let load = async move {
        let begin = SystemClock.monotonic();
        let writing = (0..writers).map(|_| write(requests.clone(), begin + ROUND));
        let times: Vec<Duration> = futures_util::future::join_all(writing).await.into_iter().flatten().collect();
        (times, SystemClock.monotonic() - begin)
    };
    let ((), (mut times, took)) = tokio::join!(core, load);
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100];
    Figures { per_second: times.len() as f64 / took.as_secs_f64(), p50: at(50), p99: at(99) }
}

async fn write(requests: mpsc::Sender<Request>, end: Duration) -> Vec<Duration> {
    let mut times = Vec::new();
    loop {
        let before = SystemClock.monotonic();
        if before >= end {
            return times;
        }
        let (done, durable) = oneshot::channel();
        requests.send(done).await.unwrap();
        durable.await.unwrap();
        times.push(SystemClock.monotonic() - before);
    }
}

/// One thread, one record, one fdatasync, again and again, into a preallocated file.
fn bare_loop(dir: PathBuf) -> Figures {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(dir.join("bare")).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 16 << 20).unwrap();
    file.sync_all().unwrap();
    let (begin, mut times, mut offset) = (SystemClock.monotonic(), Vec::new(), 0);
    while SystemClock.monotonic() - begin < ROUND {
        let before = SystemClock.monotonic();
        file.write_all_at(&[0x5a; 296], offset).unwrap();
        file.sync_data().unwrap();
        offset += 296;
        times.push(SystemClock.monotonic() - before);
    }
    let took = SystemClock.monotonic() - begin;
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100];
    Figures { per_second: times.len() as f64 / took.as_secs_f64(), p50: at(50), p99: at(99) }
}

fn median(rounds: &[Figures]) -> Figures {
    let middle = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let of = |figure: fn(&Figures) -> f64| middle(rounds.iter().map(figure).collect());
    Figures {
        per_second: of(|figures| figures.per_second),
        p50: Duration::from_secs_f64(of(|figures| figures.p50.as_secs_f64())),
        p99: Duration::from_secs_f64(of(|figures| figures.p99.as_secs_f64())),
    }
}

fn print(writers: usize, name: &str, rounds: &[Figures]) {
    let Figures { per_second, p50, p99 } = median(rounds);
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!("| {writers} | {name} | {per_second:.0} | {:.2} | {:.2} |", ms(p50), ms(p99));
}

fn main() {
    // Cargo's own arguments, like --bench, mean nothing here.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average before: {}", load.trim());
    println!("| writers | log | records/s | p50 ms | p99 ms |\n|---|---|---|---|---|");
    for writers in WRITERS {
        let mut results: [Vec<Figures>; 4] = Default::default();
        for _ in 0..ROUNDS {
            let dir = || Arc::new(tempfile::TempDir::new_in(".").unwrap());
            let (a, b, c, d) = (dir(), dir(), dir(), dir());
            results[0].push(runtime.block_on(round(Ours::open(a.path()), writers)));
            results[1].push(runtime.block_on(round(RaftLogStore::open(b.path(), None), writers)));
            results[2].push(runtime.block_on(round(RaftLogStore::open(c.path(), Some(Duration::ZERO)), writers)));
            if writers == 1 {
                results[3].push(bare_loop(d.path().to_owned()));
            }
        }
        let names = ["ours", "raft-log 0.4.6", "raft-log 0.4.6, flush_batch_wait 0", "bare fdatasync loop"];
        for (name, rounds) in names.iter().zip(&results).filter(|(_, rounds)| !rounds.is_empty()) {
            print(writers, name, rounds);
        }
    }
}
