//! What a metric is: name, kind, labels and what it tells. Knows no metric.

/// What is counted and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Samples in buckets; times are in seconds, and the name ends in `_seconds`.
    Histogram,
}

impl Kind {
    /// As documents and collectors write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Unique in the whole product.
    pub name: &'static str,
    /// What is counted and how.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, in one sentence.
    pub help: &'static str,
}

/// A counter without labels.
#[must_use]
pub const fn counter(name: &'static str, help: &'static str) -> Definition {
    Definition { name, kind: Kind::Counter, labels: &[], help }
}

/// A gauge without labels.
#[must_use]
pub const fn gauge(name: &'static str, help: &'static str) -> Definition {
    Definition { name, kind: Kind::Gauge, labels: &[], help }
}

/// A histogram without labels.
#[must_use]
pub const fn histogram(name: &'static str, help: &'static str) -> Definition {
    Definition { name, kind: Kind::Histogram, labels: &[], help }
}

impl Definition {
    /// The same with labels.
    #[must_use]
    pub const fn labelled(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// Tells collectors what it is. One without labels is there from now on, with the value 0: an alert on a metric
    /// that is missing until something goes wrong would never fire.
    pub fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram => metrics::describe_histogram!(self.name, self.help),
        }
        if self.labels.is_empty() {
            self.register();
        }
    }

    fn register(&self) {
        match self.kind {
            Kind::Counter => metrics::counter!(self.name).increment(0),
            Kind::Gauge => metrics::gauge!(self.name).increment(0.0),
            // A histogram without a sample is not shown; nobody can alarm on one either.
            Kind::Histogram => drop(metrics::histogram!(self.name)),
        }
    }

    /// What is wrong with the name, if anything: collectors and people rely on its form.
    #[must_use]
    pub fn problem(&self, prefix: &str) -> Option<String> {
        let name = self.name;
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !plain || !name.starts_with(prefix) {
            return Some(format!("{name} is not of the form {prefix}lower_case"));
        }
        if (self.kind == Kind::Counter) != name.ends_with("_total") {
            return Some(format!("{name}: exactly the counters end in _total"));
        }
        if !self.help.ends_with('.') {
            return Some(format!("{name}: its help is no sentence"));
        }
        None
    }
}

/// The handle of a metric without labels, looked up once for each place in the code: `cached!(counter NAME)`. What is
/// counted before [`init_metrics`](crate::telemetry::init_metrics) is lost, and so is all that such a place counts later.
#[macro_export]
macro_rules! cached {
    (counter $name:expr) => {{
        static HANDLE: ::std::sync::LazyLock<::metrics::Counter> =
            ::std::sync::LazyLock::new(|| ::metrics::counter!($name));
        &*HANDLE
    }};
    (gauge $name:expr) => {{
        static HANDLE: ::std::sync::LazyLock<::metrics::Gauge> =
            ::std::sync::LazyLock::new(|| ::metrics::gauge!($name));
        &*HANDLE
    }};
    (histogram $name:expr) => {{
        static HANDLE: ::std::sync::LazyLock<::metrics::Histogram> =
            ::std::sync::LazyLock::new(|| ::metrics::histogram!($name));
        &*HANDLE
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_agreed_form_are_good() {
        assert_eq!(counter("boss_x_things_total", "Things.").problem("boss_x_"), None);
        assert_eq!(histogram("boss_x_wait_seconds", "Waits.").problem("boss_x_"), None);
        for (definition, why) in [
            (counter("boss_x_things", "Things."), "a counter without _total"),
            (gauge("boss_x_things_total", "Things."), "a gauge with _total"),
            (gauge("boss_y_things", "Things."), "a foreign prefix"),
            (gauge("boss_x_Things", "Things."), "a capital"),
            (gauge("boss_x_things", "things"), "no sentence"),
        ] {
            assert!(definition.problem("boss_x_").is_some(), "{why}");
        }
    }
}
