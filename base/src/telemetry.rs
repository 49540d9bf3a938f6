//! Sets up logs and metrics for a process, once. Knows no metric and no message.

mod definition;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

pub use definition::{Definition, Kind, counter, gauge, histogram};

/// Bounds of the buckets of times: from a sync of a fast disk to a call that gives up.
const SECONDS_BUCKETS: [f64; 15] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Bounds of the buckets of everything that is counted: powers of four.
const COUNT_BUCKETS: [f64; 9] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0];
/// Histograms of times end so.
const SECONDS_SUFFIX: &str = "_seconds";

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown log format {other:?}: text or json is possible")),
        }
    }
}

/// Telemetry cannot be set up; the process should say so and end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not of the form `info,crate=debug`.
    #[error("the log filter is not valid")]
    Filter(#[source] ParseError),
    /// Somebody set up logs before.
    #[error("logs are already set up")]
    Logs(#[source] TryInitError),
    /// Somebody set up metrics before.
    #[error("metrics are already set up")]
    Metrics(#[source] BuildError),
}

/// Sends logs to standard error. `filter` is like `info,h2=warn`; the variable `BOSS_LOG` overrides it.
pub fn init(format: Format, filter: &str) -> Result<(), Error> {
    let chosen = std::env::var("BOSS_LOG").unwrap_or_else(|_| filter.to_owned());
    let filter = EnvFilter::try_new(chosen).map_err(Error::Filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => try_init(builder.with_ansi(std::io::stderr().is_terminal())),
        Format::Json => try_init(builder.json().flatten_event(true)),
    }
}

fn try_init<S: tracing_subscriber::util::SubscriberInitExt>(subscriber: S) -> Result<(), Error> {
    subscriber.try_init().map_err(Error::Logs)
}

/// Collects metrics from now on; [`Metrics::render`] gives them in Prometheus' text format. Histograms have fixed
/// buckets: quantiles of several servers cannot be added up, buckets can, and they cost no memory for each sample.
pub fn init_metrics() -> Result<Metrics, Error> {
    let builder = PrometheusBuilder::new().set_buckets(&COUNT_BUCKETS);
    let builder = builder
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix(SECONDS_SUFFIX.to_owned()), &SECONDS_BUCKETS)
        })
        .map_err(Error::Metrics)?;
    builder.install_recorder().map(Metrics).map_err(Error::Metrics)
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// All metrics as text for Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds collected samples together; call it every few seconds so that histograms stay bounded.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}
