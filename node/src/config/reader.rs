//! Reads a TOML table key by key and notes every problem instead of stopping at the first. Knows no key's meaning.

use std::collections::BTreeMap;

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

    pub(super) fn flag(&mut self, key: &str, problems: &mut Problems) -> Option<bool> {
        match self.table.remove(key)? {
            Value::Boolean(flag) => Some(flag),
            other => problems.none(self.path(key), format!("must be true or false, not {}", article(&other))),
        }
    }

    /// Every key with a text, for tables whose keys are the user's own.
    pub(super) fn all_texts(mut self, problems: &mut Problems) -> BTreeMap<String, String> {
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
    pub(super) fn finish(self, problems: &mut Problems) {
        for key in self.table.keys() {
            problems.add(self.path(key), "is no key that this agent knows");
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
