//! What only a look tells: sizes, ages, counts of what is open. Looked at when somebody reads the metrics, so that it
//! costs nothing else.

use boss_base::tls::{Identity, Slots};
use boss_raft::Handle;

use crate::{members::Members, metric_definitions as metric};

/// What is looked at. Cheap to clone.
#[derive(Clone)]
pub struct Gauges {
    raft: Handle,
    identity: Identity,
    listeners: [(&'static str, Slots); 2],
}

impl Gauges {
    /// Of one server with these listeners.
    #[must_use]
    pub fn new(raft: Handle, identity: Identity, listeners: [(&'static str, Slots); 2]) -> Self {
        Self { raft, identity, listeners }
    }

    /// Sets them all.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub fn report(&self) {
        self.raft.report_gauges();
        for (listener, slots) in &self.listeners {
            let (listener, counts) = (*listener, slots.counts());
            metrics::gauge!(metric::CONNECTIONS_OPEN, "listener" => listener).set(counts.open as f64);
            let refused = |bound: &'static str, count: u64| {
                metrics::counter!(metric::CONNECTIONS_REFUSED, "listener" => listener, "bound" => bound)
                    .absolute(count);
            };
            refused("all", counts.refused_in_all);
            refused("source", counts.refused_of_source);
        }
        if let Some(certificate) = self.identity.certificate() {
            metrics::gauge!(metric::CERTIFICATE_EXPIRY, "certificate" => "server").set(certificate.not_after as f64);
        }
        if let Some(end) = Members::first_node_certificate_end(&self.raft.view()) {
            metrics::gauge!(metric::NODE_CERTIFICATES_EXPIRY).set(end as f64);
        }
        if let Some(bytes) = resident_bytes() {
            metrics::gauge!(metric::RESIDENT_BYTES).set(bytes as f64);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            metrics::gauge!(metric::OPEN_FILES).set(files.count() as f64);
        }
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
