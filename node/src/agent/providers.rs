//! The providers of this node and what they last said of themselves.

use std::sync::{Arc, RwLock};

use boss_proto::{intent::Reason, v1};

use crate::{
    agent::intent::{self, Refusal},
    runtime::{Runtime, absent},
};

/// All of them. Clones share the reports.
#[derive(Clone)]
pub struct Providers {
    runtimes: Vec<Arc<dyn Runtime>>,
    reports: Arc<RwLock<Vec<v1::Provider>>>,
}

impl Providers {
    /// Those that this build can drive; nothing is known of them before the first probe.
    #[must_use]
    pub fn new(runtimes: Vec<Arc<dyn Runtime>>) -> Self {
        Self { runtimes, reports: Arc::default() }
    }

    /// Those that this build can drive.
    #[must_use]
    pub fn runtimes(&self) -> &[Arc<dyn Runtime>] {
        &self.runtimes
    }

    /// Asks each, also for the classes that this build cannot run.
    pub async fn probe(&self) {
        let mut reports = Vec::new();
        for runtime in &self.runtimes {
            reports.push(runtime.probe().await);
        }
        reports.extend(absent::probe_all());
        for report in reports.iter().filter(|report| !report.healthy) {
            tracing::debug!(provider = report.name, reason = report.reason, "provider is not healthy");
        }
        *self.reports.write().expect("no holder panics") = reports;
    }

    /// Asks those again that were not healthy: what a machine lacks for a moment keeps it out of use for a moment.
    pub async fn probe_sick(&self) {
        for runtime in &self.runtimes {
            let is_sick = |report: &v1::Provider| report.name == runtime.name() && !report.healthy;
            if !self.reports().iter().any(is_sick) {
                continue;
            }
            let fresh = runtime.probe().await;
            if fresh.healthy {
                tracing::info!(provider = fresh.name, "provider is healthy again");
            }
            let mut reports = self.reports.write().expect("no holder panics");
            if let Some(report) = reports.iter_mut().find(|report| report.name == fresh.name) {
                *report = fresh;
            }
        }
    }

    /// What they last said.
    #[must_use]
    pub fn reports(&self) -> Vec<v1::Provider> {
        self.reports.read().expect("no holder panics").clone()
    }

    /// The one to run this pod. Asked again just before each start: what was true at binding may not be any more.
    pub fn choose(&self, spec: &v1::PodSpec) -> Result<Arc<dyn Runtime>, Refusal> {
        let class = intent::class(spec)?;
        let reports = self.reports();
        let has_class = |report: &&v1::Provider| report.classes.iter().any(|found| found == class.as_str());
        let mut refusal = Refusal {
            reason: Reason::ProviderUnavailable,
            message: format!("this node has no provider for class {class}"),
        };
        for report in reports.iter().filter(has_class) {
            match (intent::check_provider(spec, report), self.runtime(&report.name)) {
                (Ok(()), Some(runtime)) => return Ok(runtime),
                (Ok(()), None) => {}
                (Err(problem), _) => refusal = problem,
            }
        }
        Err(refusal)
    }

    fn runtime(&self, name: &str) -> Option<Arc<dyn Runtime>> {
        self.runtimes.iter().find(|runtime| runtime.name() == name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::fake::FakeRuntime;

    #[tokio::test]
    async fn a_provider_that_was_sick_for_a_moment_is_used_once_it_is_well() {
        let fake = Arc::new(FakeRuntime::default());
        fake.fail_next_probe();
        let providers = Providers::new(vec![fake]);
        providers.probe().await;
        let healthy = || providers.reports().iter().find(|report| report.name == "fake").map(|report| report.healthy);
        assert_eq!(healthy(), Some(false));
        providers.probe_sick().await;
        assert_eq!(healthy(), Some(true));
    }
}
