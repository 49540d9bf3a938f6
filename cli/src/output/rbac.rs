//! Roles and bindings in tables.

use boss_proto::v1;

use super::namespace::name_and_age;

pub(super) const ROLE_HEADERS: (&[&str], &[&str]) = (&["NAME", "RULES", "AGE"], &[]);
pub(super) const BINDING_HEADERS: (&[&str], &[&str]) = (&["NAME", "ROLE", "AGE"], &["SUBJECTS"]);

pub(super) fn role_cells(metadata: Option<&v1::ObjectMeta>, rules: &[v1::PolicyRule], now: u64) -> Vec<String> {
    let [name, age] = name_and_age(metadata, now);
    vec![name, rules.len().to_string(), age]
}

pub(super) fn binding_cells(
    metadata: Option<&v1::ObjectMeta>,
    role: Option<&v1::RoleRef>,
    subjects: &[v1::Subject],
    wide: bool,
    now: u64,
) -> Vec<String> {
    let [name, age] = name_and_age(metadata, now);
    let role = role.map_or_else(String::new, |role| format!("{}/{}", role.kind, role.name));
    let mut cells = vec![name, role, age];
    if wide {
        let subject = |subject: &v1::Subject| format!("{}:{}", subject.kind, subject.name);
        cells.push(subjects.iter().map(subject).collect::<Vec<_>>().join(","));
    }
    cells
}
