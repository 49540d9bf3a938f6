//! Config maps in tables: how much they hold, never what.

use boss_proto::v1;

use super::namespace::name_and_age;

pub(super) const HEADERS: (&[&str], &[&str]) = (&["NAME", "DATA", "AGE"], &[]);

pub(super) fn cells(map: &v1::ConfigMap, now: u64) -> Vec<String> {
    let [name, age] = name_and_age(map.metadata.as_ref(), now);
    vec![name, (map.data.len() + map.binary_data.len()).to_string(), age]
}
