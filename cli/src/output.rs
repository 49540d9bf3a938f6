//! Objects as people read them: tables, wide tables, JSON, YAML, names. Pure: the time comes in, text goes out.

use boss_proto::{
    manifest,
    v1::{self, object::Body, watch_event},
};
use clap::ValueEnum;

mod certificate;
mod config_map;
mod control_plane;
mod credentials;
mod describe;
mod event;
mod namespace;
mod node;
mod pod;
mod policy;
mod quota;
mod rbac;
mod table;
mod text;

pub use describe::{APPLIED_FIELDS, describe};
pub use event::last_seen;
pub use node::node_is_ready;
pub use rbac::{rights, role};
pub use table::{Columns, Scope, plain};
pub use text::{age, clean, rfc3339};

/// How objects are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line per object.
    #[default]
    Table,
    /// One line per object, with more columns.
    Wide,
    /// JSON: one object, or a list in `items`.
    Json,
    /// YAML: one document per object.
    Yaml,
    /// `pods/web`
    Name,
}

impl Format {
    /// Whether it is made of columns.
    #[must_use]
    pub fn is_table(self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }
}

/// Several objects of one kind. `now` in milliseconds since the Unix epoch.
#[must_use]
pub fn list(objects: &[v1::Object], format: Format, scope: Scope, now: u64) -> String {
    match format {
        Format::Table | Format::Wide => {
            let Some(kind) = objects.first().and_then(v1::Object::kind) else { return String::new() };
            let mut columns = Columns::new(kind, format, scope, None);
            let rows: Vec<_> = objects.iter().map(|object| columns.row(object, None, now)).collect();
            columns.render(&rows)
        }
        Format::Json => {
            let items: Vec<_> = objects.iter().map(manifest::to_value).collect();
            format!("{:#}\n", serde_json::json!({ "items": items }))
        }
        Format::Yaml => manifest::to_yaml_documents(objects),
        Format::Name => objects.iter().map(name_line).collect(),
    }
}

/// One object.
#[must_use]
pub fn one(object: &v1::Object, format: Format, now: u64) -> String {
    match format {
        Format::Table | Format::Wide => list(std::slice::from_ref(object), format, Scope::OneNamespace, now),
        Format::Json => manifest::to_json(object),
        Format::Yaml => manifest::to_yaml(object),
        Format::Name => name_line(object),
    }
}

/// One change, for formats without columns.
#[must_use]
pub fn change(kind: watch_event::Type, object: &v1::Object, format: Format) -> String {
    let word = change_word(kind);
    match format {
        Format::Yaml => format!("# {word}\n{}---\n", manifest::to_yaml(object)),
        Format::Json => format!("{}\n", serde_json::json!({ "type": word, "object": manifest::to_value(object) })),
        Format::Name | Format::Table | Format::Wide => format!("{word} {}", name_line(object)),
    }
}

/// A change in one word.
#[must_use]
pub fn change_word(kind: watch_event::Type) -> &'static str {
    match kind {
        watch_event::Type::Added => "ADDED",
        watch_event::Type::Modified => "MODIFIED",
        watch_event::Type::Deleted => "DELETED",
        watch_event::Type::Unspecified => "UNKNOWN",
    }
}

fn name_line(object: &v1::Object) -> String {
    object.key().map_or_else(String::new, |key| format!("{}/{}\n", key.kind.plural(), clean(&key.name)))
}

/// The cells of an object, without its namespace.
fn cells(object: &v1::Object, format: Format, now: u64) -> Vec<String> {
    let wide = format == Format::Wide;
    match &object.body {
        Some(Body::Pod(pod)) => pod::cells(pod, wide, now),
        Some(Body::Node(node)) => node::cells(node, wide, now),
        Some(Body::Namespace(namespace)) => namespace::cells(namespace, now),
        Some(Body::CertificateSigningRequest(request)) => certificate::cells(request, now),
        Some(Body::ControlPlane(plane)) => control_plane::cells(plane, now),
        Some(Body::Event(event)) => event::cells(event, wide, now),
        Some(Body::ConfigMap(map)) => config_map::cells(map, now),
        Some(Body::ResourceQuota(quota)) => quota::cells(quota, now),
        Some(Body::LimitRange(range)) => quota::limit_cells(range, now),
        Some(Body::AdmissionPolicy(policy)) => policy::cells(policy, wide, now),
        Some(Body::AuditHead(head)) => policy::head_cells(head, wide, now),
        Some(Body::Secret(secret)) => credentials::secret_cells(secret, now),
        Some(Body::SigningKey(key)) => credentials::signing_key_cells(key, now),
        Some(Body::SealingKey(key)) => credentials::sealing_key_cells(key, now),
        Some(Body::Revocation(revocation)) => credentials::revocation_cells(revocation, wide, now),
        Some(Body::ServiceAccount(account)) => namespace::account_cells(account, now),
        Some(Body::Role(role)) => rbac::role_cells(role.metadata.as_ref(), &role.rules, now),
        Some(Body::ClusterRole(role)) => rbac::role_cells(role.metadata.as_ref(), &role.rules, now),
        Some(Body::RoleBinding(binding)) => {
            rbac::binding_cells(binding.metadata.as_ref(), binding.role_ref.as_ref(), &binding.subjects, wide, now)
        }
        Some(Body::ClusterRoleBinding(binding)) => {
            rbac::binding_cells(binding.metadata.as_ref(), binding.role_ref.as_ref(), &binding.subjects, wide, now)
        }
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
