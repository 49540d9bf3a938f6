//! One run after the other at a low rate, with metrics of all of them.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use boss_base::{
    clock::{Clock, SystemClock},
    telemetry::{self, Metrics},
};
use boss_verify::{
    checkers::Verdict,
    history::Recorder,
    run::{Plan, Report, Target},
    workload::Stop,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{CANARY_RATE, show, verify};
use crate::{
    args,
    failure::{Exit, Failure},
    metric_definitions::{ALL, LAST_END, LAST_VALID, LATENCY_SECONDS, OPERATIONS, RUNS},
    session::Session,
    terminal,
};

/// A collector sends its request at once.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// And it is short.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Between two attempts where no run can even begin.
const RETRY: Duration = Duration::from_secs(5);

/// Until `stop` is set. The exit code is that of the worst run.
pub(super) async fn run(
    args: &args::Verify,
    session: &Session,
    target: &Target,
    address: SocketAddr,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let unusable = |error: &dyn std::fmt::Display| Failure::bad_input(format!("cannot listen at {address}"), error);
    let listener = TcpListener::bind(address).await.map_err(|error| unusable(&error))?;
    let metrics = telemetry::init_metrics().map_err(|error| unusable(&error))?;
    ALL.iter().for_each(telemetry::Definition::describe);
    terminal::note(&format!("metrics are at http://{address}/metrics"));
    tokio::select! {
        exit = go_on(args, session, target, stop) => Ok(exit),
        () = serve(&listener, &metrics) => Ok(Exit::Failed),
    }
}

async fn go_on(args: &args::Verify, session: &Session, target: &Target, stop: &Stop) -> Exit {
    let mut worst = Exit::Ok;
    while !stop.is_set() {
        let (seed, rate) = (SystemClock.random_u64(), args.rate.unwrap_or(CANARY_RATE));
        let plan = Plan { seed, duration: args.duration, clients: args.clients, rate: Some(rate), faults: 0 };
        let recorder = Arc::new(Recorder::in_memory());
        // Each run sets its own stop at its end; a signal sets all of them.
        let own = stop.child(rate);
        match verify(session, target, &plan, (&recorder, &own), None).await {
            // A run that was cut short says nothing.
            Ok(_) if stop.is_set() => {}
            Ok(report) => {
                count(&report);
                if let verdict @ (Verdict::Invalid(_) | Verdict::Unknown(_)) = report.verdict() {
                    terminal::note(&show::report(&report, &plan, args::Answer::Table));
                    worst = if matches!(verdict, Verdict::Invalid(_)) { Exit::Failed } else { worst };
                }
            }
            Err(failure) => {
                metrics::counter!(RUNS, "verdict" => "unknown").increment(1);
                metrics::gauge!(LAST_VALID).set(0.0);
                terminal::note(&format!("{}: {}", failure.what, failure.why));
                sleep(RETRY).await;
            }
        }
    }
    worst
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn count(report: &Report) {
    let verdict = report.verdict();
    metrics::counter!(RUNS, "verdict" => show::word(&verdict)).increment(1);
    metrics::gauge!(LAST_VALID).set(f64::from(u8::from(verdict.is_valid())));
    metrics::gauge!(LAST_END).set(SystemClock.unix_seconds() as f64);
    let seen = &report.coverage;
    for (end, number) in [("answered", seen.answered()), ("failed", seen.failed), ("unknown", seen.unknown)] {
        metrics::counter!(OPERATIONS, "end" => end).increment(number as u64);
    }
    for (name, [median, slow]) in report.latencies().named() {
        metrics::gauge!(LATENCY_SECONDS, "operation" => name, "quantile" => "0.5").set(median / 1_000.0);
        metrics::gauge!(LATENCY_SECONDS, "operation" => name, "quantile" => "0.99").set(slow / 1_000.0);
    }
}

/// One collector after the other: there are few, and they ask seldom.
async fn serve(listener: &TcpListener, metrics: &Metrics) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(REQUEST_MAX).await;
            continue;
        };
        metrics.run_upkeep();
        // Whoever does not go on asking has gone.
        let _ = timeout(REQUEST_MAX, answer(stream, metrics)).await;
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 1_024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            read => request.extend_from_slice(&part[..read]),
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", metrics.render())
    } else {
        ("404 Not Found", "ask for /metrics\n".to_owned())
    };
    let mut response = Vec::new();
    let length = body.len();
    write!(
        response,
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    stream.write_all(&response).await?;
    stream.shutdown().await
}
