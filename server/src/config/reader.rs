//! Reads a TOML table key by key and notes every problem instead of stopping at the first. Knows no key's meaning.

use std::net::{SocketAddr, ToSocketAddrs};

use toml::{Table, Value};

use super::Problem;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, at: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Problem { at: at.into(), reason: reason.into() });
    }

    /// Notes a problem and stands for the value that could not be had.
    pub(super) fn none<T>(&mut self, at: impl Into<String>, reason: impl Into<String>) -> Option<T> {
        self.add(at, reason);
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

/// One table of the file; keys are taken out as they are read, what stays is unknown.
pub(super) struct Section {
    prefix: String,
    table: Table,
}

impl Section {
    pub(super) fn root(table: Table) -> Self {
        Self { prefix: String::new(), table }
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}.{key}", self.prefix) }
    }

    pub(super) fn text(&mut self, key: &str, problems: &mut Problems) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::String(_) => problems.none(self.path(key), "is empty"),
            other => problems.none(self.path(key), format!("must be a text, not {}", article(&other))),
        }
    }

    pub(super) fn required_text(&mut self, key: &str, problems: &mut Problems) -> Option<String> {
        if self.table.contains_key(key) {
            self.text(key, problems)
        } else {
            problems.none(self.path(key), "is missing")
        }
    }

    pub(super) fn number(&mut self, key: &str, problems: &mut Problems) -> Option<u64> {
        match self.table.remove(key)? {
            Value::Integer(number) if number >= 0 => u64::try_from(number).ok(),
            Value::Integer(_) => problems.none(self.path(key), "must not be negative"),
            other => problems.none(self.path(key), format!("must be a whole number, not {}", article(&other))),
        }
    }

    pub(super) fn texts(&mut self, key: &str, problems: &mut Problems) -> Vec<String> {
        let at = self.path(key);
        let values = match self.table.remove(key) {
            None => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(other) => {
                problems.add(at, format!("must be a list of texts, not {}", article(&other)));
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            match value {
                Value::String(text) => texts.push(text),
                other => problems.add(format!("{at}[{index}]"), format!("must be a text, not {}", article(&other))),
            }
        }
        texts
    }

    /// An address to listen on; a flag wins over the file.
    pub(super) fn address(
        &mut self,
        key: &str,
        flag: Option<&str>,
        flag_name: &str,
        problems: &mut Problems,
    ) -> Option<SocketAddr> {
        let at = self.path(key);
        let from_file = self.text(key, problems);
        let (at, text) = match (flag, from_file) {
            (Some(flag), _) => (flag_name.to_owned(), flag.to_owned()),
            (None, Some(text)) => (at, text),
            (None, None) => return problems.none(at, format!("is missing: set it in the file or with {flag_name}")),
        };
        match text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()) {
            Some(address) => Some(address),
            None => problems.none(at, format!("{text:?} is no address of this form: 127.0.0.1:7400")),
        }
    }

    /// A table below this one; an absent one is empty.
    pub(super) fn section(&mut self, key: &str, problems: &mut Problems) -> Section {
        let prefix = self.path(key);
        let table = match self.table.remove(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                problems.add(&*prefix, format!("must be a table, not {}", article(&other)));
                Table::new()
            }
        };
        Section { prefix, table }
    }

    /// A list of tables below this one.
    pub(super) fn sections(&mut self, key: &str, problems: &mut Problems) -> Vec<Section> {
        let prefix = self.path(key);
        let values = match self.table.remove(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(other) => {
                problems.add(&*prefix, format!("must be a list of tables, not {}", article(&other)));
                Vec::new()
            }
        };
        let mut sections = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let prefix = format!("{prefix}[{index}]");
            match value {
                Value::Table(table) => sections.push(Section { prefix, table }),
                other => problems.add(prefix, format!("must be a table, not {}", article(&other))),
            }
        }
        sections
    }

    /// Everything that nobody asked for is a mistake of the writer.
    pub(super) fn finish(self, problems: &mut Problems) {
        for key in self.table.keys() {
            problems.add(self.path(key), "is no key that this server knows");
        }
    }
}

fn article(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
