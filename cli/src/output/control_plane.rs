//! The control plane's own object in columns.

use boss_proto::v1;

use super::namespace::name_and_age;

/// Always, and with more room.
pub(super) const HEADERS: (&[&str], &[&str]) = (&["NAME", "HIGHEST-ID", "CHANGE", "AGE"], &[]);

pub(super) fn cells(plane: &v1::ControlPlane, now: u64) -> Vec<String> {
    let [name, age] = name_and_age(plane.metadata.as_ref(), now);
    let spec = plane.spec.clone().unwrap_or_default();
    let change = spec.change.map_or_else(String::new, |change| change.phase);
    vec![name, spec.highest_server_id.to_string(), change, age]
}
