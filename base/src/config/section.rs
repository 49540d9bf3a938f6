//! Reads a TOML table key by key and notes every problem instead of stopping at the first. Knows no key's meaning.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
};

use toml::{Table, Value};

use super::Problems;

/// One table of the file; keys are taken out as they are read, what stays is unknown.
pub struct Section {
    prefix: String,
    table: Table,
}

impl Section {
    /// The whole file.
    #[must_use]
    pub fn root(table: Table) -> Self {
        Self { prefix: String::new(), table }
    }

    /// How a problem names the key.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}.{key}", self.prefix) }
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A text that is not empty; `None` when it is absent.
    pub fn text(&mut self, key: &str, problems: &mut Problems) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::String(_) => problems.none(self.path(key), "is empty"),
            other => problems.none(self.path(key), format!("must be a text, not {}", article(&other))),
        }
    }

    /// A text that must be there.
    pub fn required_text(&mut self, key: &str, problems: &mut Problems) -> Option<String> {
        if self.table.contains_key(key) {
            self.text(key, problems)
        } else {
            problems.none(self.path(key), "is missing")
        }
    }

    /// A whole number from 0.
    pub fn number(&mut self, key: &str, problems: &mut Problems) -> Option<u64> {
        match self.table.remove(key)? {
            Value::Integer(number) if number >= 0 => u64::try_from(number).ok(),
            Value::Integer(_) => problems.none(self.path(key), "must not be negative"),
            other => problems.none(self.path(key), format!("must be a whole number, not {}", article(&other))),
        }
    }

    /// A list of texts; an absent one is empty.
    pub fn texts(&mut self, key: &str, problems: &mut Problems) -> Vec<String> {
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
    pub fn address(
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
    pub fn section(&mut self, key: &str, problems: &mut Problems) -> Section {
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
    pub fn sections(&mut self, key: &str, problems: &mut Problems) -> Vec<Section> {
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

    /// True or false.
    pub fn flag(&mut self, key: &str, problems: &mut Problems) -> Option<bool> {
        match self.table.remove(key)? {
            Value::Boolean(flag) => Some(flag),
            other => problems.none(self.path(key), format!("must be true or false, not {}", article(&other))),
        }
    }

    /// Every key with a text, for tables whose keys are the user's own.
    pub fn all_texts(mut self, problems: &mut Problems) -> BTreeMap<String, String> {
        let keys: Vec<String> = self.table.keys().cloned().collect();
        let mut texts = BTreeMap::new();
        for key in keys {
            match self.table.remove(&key) {
                Some(Value::String(text)) => drop(texts.insert(key, text)),
                Some(other) => problems.add(self.path(&key), format!("must be a text, not {}", article(&other))),
                None => {}
            }
        }
        texts
    }

    /// Everything that nobody asked for is a mistake of the writer.
    pub fn finish(self, problems: &mut Problems) {
        for key in self.table.keys() {
            problems.add(self.path(key), "is no key that this program knows");
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
