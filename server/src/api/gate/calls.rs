//! Counts calls by method and code, with handles that are looked up once.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::{Counter, Histogram};
use tonic::Code;

use crate::{api::doors, metric_definitions as metric};

/// gRPC's codes are 0 to 16.
const CODES: usize = 17;

type OfMethod = [OnceLock<OfCode>; CODES];

struct OfCode {
    calls: Counter,
    seconds: Histogram,
}

/// The meters of all methods. Clones share them.
#[derive(Clone)]
pub(super) struct Calls(Arc<HashMap<&'static str, OfMethod>>);

impl Calls {
    pub(super) fn new() -> Self {
        Self(Arc::new(doors::methods().map(|method| (method, OfMethod::default())).collect()))
    }

    /// Counts one call.
    pub(super) fn count(&self, method: &'static str, code: Code, took: Duration) {
        let Some(meter) = self.0.get(method).and_then(|codes| codes.get(code as usize)) else { return };
        let meter = meter.get_or_init(|| OfCode::new(method, code));
        meter.calls.increment(1);
        meter.seconds.record(took.as_secs_f64());
    }
}

impl OfCode {
    fn new(method: &'static str, code: Code) -> Self {
        let code = format!("{code:?}");
        Self {
            calls: metrics::counter!(metric::CALLS, "method" => method, "code" => code.clone()),
            seconds: metrics::histogram!(metric::CALL_SECONDS, "method" => method, "code" => code),
        }
    }
}
