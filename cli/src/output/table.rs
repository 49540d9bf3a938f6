//! Columns that line up, also when rows come one by one. Knows no kind's cells.

use boss_proto::{kind::Kind, v1};

use super::{
    Format, cells, certificate, clean, config_map, control_plane, credentials, event, namespace, node, pod, policy,
    quota, rbac,
};

const GAP: &str = "   ";

/// The longest word of a column before all others: MODIFIED.
const FIRST_WIDTH: usize = 8;

/// Whether rows need to say where an object lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All rows are of one namespace, or the kind has none.
    OneNamespace,
    /// Rows are of several namespaces.
    AllNamespaces,
}

/// The columns of one kind's table. Remembers the widths, so that rows that come later line up with the first ones.
#[derive(Debug, Clone)]
pub struct Columns {
    format: Format,
    namespaced: bool,
    first: Option<&'static str>,
    headers: Vec<&'static str>,
    widths: Vec<usize>,
}

impl Columns {
    /// `first` is the header of a column before all others.
    #[must_use]
    pub fn new(kind: Kind, format: Format, scope: Scope, first: Option<&'static str>) -> Self {
        let namespaced = scope == Scope::AllNamespaces && kind.is_namespaced();
        let mut headers: Vec<&'static str> = first.into_iter().collect();
        headers.extend(namespaced.then_some("NAMESPACE"));
        headers.extend(kind_headers(kind, format == Format::Wide));
        let mut widths: Vec<usize> = headers.iter().map(|header| header.len()).collect();
        if first.is_some() {
            widths[0] = FIRST_WIDTH;
        }
        Self { format, namespaced, first, headers, widths }
    }

    /// The cells of an object; `first` fills the first column, if there is one.
    #[must_use]
    pub fn row(&self, object: &v1::Object, first: Option<&str>, now: u64) -> Vec<String> {
        let mut row: Vec<String> = self.first.map(|_| first.unwrap_or("-").to_owned()).into_iter().collect();
        if self.namespaced {
            row.push(object.metadata().map_or_else(String::new, |metadata| metadata.namespace.clone()));
        }
        row.extend(cells(object, self.format, now));
        row.into_iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { clean(&cell) }).collect()
    }

    /// The header and these rows.
    #[must_use]
    pub fn render(&mut self, rows: &[Vec<String>]) -> String {
        for row in rows {
            self.widen(row);
        }
        let headers: Vec<String> = self.headers.iter().map(|&header| header.to_owned()).collect();
        std::iter::once(&headers).chain(rows).map(|row| self.line(row)).collect()
    }

    /// One more row.
    #[must_use]
    pub fn render_row(&mut self, row: &[String]) -> String {
        self.widen(row);
        self.line(row)
    }

    fn widen(&mut self, row: &[String]) {
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }

    fn line(&self, row: &[String]) -> String {
        let padded: Vec<String> = row.iter().zip(&self.widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join(GAP).trim_end())
    }
}

/// A table of texts, for what is no object.
#[must_use]
pub fn plain(headers: &[&str], rows: &[Vec<String>]) -> String {
    let shown = |cell: &String| if cell.is_empty() { "-".to_owned() } else { clean(cell) };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headers[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let header = headers.iter().map(|&header| header.to_owned()).collect();
    let line = |row: &Vec<String>| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join(GAP).trim_end())
    };
    std::iter::once(&header).chain(&rows).map(line).collect()
}

fn kind_headers(kind: Kind, wide: bool) -> Vec<&'static str> {
    let (always, more) = match kind {
        Kind::Pod => pod::HEADERS,
        Kind::Node => node::HEADERS,
        Kind::Namespace => namespace::HEADERS,
        Kind::ServiceAccount => namespace::ACCOUNT_HEADERS,
        Kind::CertificateSigningRequest => certificate::HEADERS,
        Kind::Secret => credentials::SECRET_HEADERS,
        Kind::SigningKey => credentials::SIGNING_KEY_HEADERS,
        Kind::SealingKey => credentials::SEALING_KEY_HEADERS,
        Kind::Revocation => credentials::REVOCATION_HEADERS,
        Kind::ControlPlane => control_plane::HEADERS,
        Kind::Event => event::HEADERS,
        Kind::ConfigMap => config_map::HEADERS,
        Kind::ResourceQuota => quota::HEADERS,
        Kind::LimitRange => quota::LIMIT_HEADERS,
        Kind::AdmissionPolicy => policy::HEADERS,
        Kind::AuditHead => policy::HEAD_HEADERS,
        Kind::Role | Kind::ClusterRole => rbac::ROLE_HEADERS,
        Kind::RoleBinding | Kind::ClusterRoleBinding => rbac::BINDING_HEADERS,
    };
    always.iter().chain(if wide { more } else { &[] }).copied().collect()
}
