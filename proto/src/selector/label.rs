//! Label selectors. Knows no fields.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::BadSelector;
use crate::{labels, limits::SELECTOR_LEN_MAX, v1};

/// What must hold of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is missing or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// The relation.
    pub operator: Operator,
    /// What it is compared with; empty for [`Operator::Exists`] and [`Operator::DoesNotExist`].
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether these labels fulfil it.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// Conditions that must all hold; none selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    /// The conditions.
    pub requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Whether these labels are selected.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether the object's labels are selected.
    #[must_use]
    pub fn matches_object(&self, object: &v1::Object) -> bool {
        const NONE: &BTreeMap<String, String> = &BTreeMap::new();
        self.requirements.is_empty() || self.matches(object.metadata().map_or(NONE, |metadata| &metadata.labels))
    }
}

impl fmt::Display for LabelSelector {
    /// In the form that is read back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, operator, values }) in self.requirements.iter().enumerate() {
            if index != 0 {
                f.write_str(",")?;
            }
            match (operator, &values[..]) {
                (Operator::In, [value]) => write!(f, "{key}={value}")?,
                (Operator::NotIn, [value]) => write!(f, "{key}!={value}")?,
                (Operator::In, _) => write!(f, "{key} in ({})", values.join(","))?,
                (Operator::NotIn, _) => write!(f, "{key} notin ({})", values.join(","))?,
                (Operator::Exists, _) => f.write_str(key)?,
                (Operator::DoesNotExist, _) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for LabelSelector {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        if text.len() > SELECTOR_LEN_MAX {
            return Err(BadSelector::TooLong { len: text.len(), max: SELECTOR_LEN_MAX });
        }
        let mut reader = Reader { text, at: 0 };
        let mut requirements = Vec::new();
        reader.skip_spaces();
        while !reader.rest().is_empty() {
            requirements.push(reader.requirement()?);
            reader.skip_spaces();
            if reader.rest().is_empty() {
                break;
            }
            reader.expect(",", "a comma or the end")?;
            reader.skip_spaces();
            if reader.rest().is_empty() {
                return Err(reader.unexpected("a label key after the comma"));
            }
        }
        Ok(Self { requirements })
    }
}

/// Walks over the text; all it knows is how far it got.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn position(&self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches(' ').len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str, expected: &'static str) -> Result<(), BadSelector> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &'static str) -> BadSelector {
        let found = self.rest().chars().next().map_or_else(|| "the end".to_owned(), |c| format!("{c:?}"));
        BadSelector::Syntax { position: self.position(self.at), expected, found }
    }

    /// Everything up to a character with a meaning.
    fn word(&mut self) -> (usize, &'a str) {
        let start = self.at;
        let rest = self.rest();
        let end = rest.find([' ', ',', '=', '!', '(', ')']).unwrap_or(rest.len());
        self.at += end;
        (start, &rest[..end])
    }

    fn key(&mut self) -> Result<String, BadSelector> {
        let (start, word) = self.word();
        if word.is_empty() {
            return Err(self.unexpected("a label key"));
        }
        self.checked(start, "label key", word, labels::check_key)
    }

    fn value(&mut self) -> Result<String, BadSelector> {
        let (start, word) = self.word();
        self.checked(start, "label value", word, labels::check_value)
    }

    fn checked(
        &self,
        start: usize,
        what: &'static str,
        text: &str,
        check: fn(&str) -> Result<(), labels::BadText>,
    ) -> Result<String, BadSelector> {
        let bad =
            |source| BadSelector::BadLabel { position: self.position(start), what, text: text.to_owned(), source };
        check(text).map_err(bad).map(|()| text.to_owned())
    }

    fn requirement(&mut self) -> Result<Requirement, BadSelector> {
        if self.take("!") {
            self.skip_spaces();
            return Ok(Requirement { key: self.key()?, operator: Operator::DoesNotExist, values: Vec::new() });
        }
        let key = self.key()?;
        self.skip_spaces();
        let (operator, values) = if self.take("!=") {
            (Operator::NotIn, vec![self.spaced_value()?])
        } else if self.take("==") || self.take("=") {
            (Operator::In, vec![self.spaced_value()?])
        } else if self.rest().is_empty() || self.rest().starts_with(',') {
            (Operator::Exists, Vec::new())
        } else {
            self.set()?
        };
        Ok(Requirement { key, operator, values })
    }

    fn spaced_value(&mut self) -> Result<String, BadSelector> {
        self.skip_spaces();
        self.value()
    }

    fn set(&mut self) -> Result<(Operator, Vec<String>), BadSelector> {
        let before = self.at;
        let operator = match self.word().1 {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            _ => {
                self.at = before;
                return Err(self.unexpected("one of = == != in notin, a comma or the end"));
            }
        };
        self.skip_spaces();
        self.expect("(", "an opening parenthesis")?;
        let mut values = Vec::new();
        loop {
            values.push(self.spaced_value()?);
            self.skip_spaces();
            if self.take(")") {
                return Ok((operator, values));
            }
            self.expect(",", "a comma or a closing parenthesis")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn check(selector: &str, labels: &str, selected: bool) {
        let labels =
            labels.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into()));
        let parsed: LabelSelector = selector.parse().unwrap();
        assert_eq!(parsed.matches(&labels.collect()), selected, "{selector}");
    }

    #[test]
    fn every_condition_must_hold() {
        check("", "", true);
        check("app=web", "app=web", true);
        check("app==web", "app=db", false);
        check("app=web", "", false);
        check("app!=web", "", true);
        check("app != web", "app=web", false);
        check("app in (web, db)", "app=db", true);
        check("app in (web,db)", "app=x", false);
        check("app notin (web,db)", "app=x", true);
        check("app notin (web)", "", true);
        check("app", "app=", true);
        check("app=", "app=", true);
        check("!app", "app=x", false);
        check("! app", "", true);
        check("app=web,tier!=db,env in (a,b),!legacy", "app=web env=b", true);
        check("app=web,tier!=db,env in (a,b),!legacy", "app=web env=b legacy=1", false);
        check("boss.dev/app=web", "boss.dev/app=web", true);
        check("in in (in)", "in=in", true);
    }

    #[test]
    fn a_bad_selector_says_where() {
        for (text, position) in [
            ("=x", 1),
            ("a=b,", 5),
            ("a=b,,c", 5),
            ("a b", 3),
            ("a in b", 6),
            ("a in (b", 8),
            ("a in (b c)", 9),
            ("a=b=c", 4),
            ("a!b", 2),
            ("a=b c", 5),
        ] {
            let found = text.parse::<LabelSelector>();
            assert!(
                matches!(found, Err(BadSelector::Syntax { position: at, .. }) if at == position),
                "{text}: {found:?}"
            );
        }
        for (text, position) in [("a/b/c=d", 1), ("a=ö", 3), ("a in (x,-y)", 9), ("ä", 1)] {
            let found = text.parse::<LabelSelector>();
            assert!(
                matches!(found, Err(BadSelector::BadLabel { position: at, .. }) if at == position),
                "{text}: {found:?}"
            );
        }
        let long = "a".repeat(SELECTOR_LEN_MAX + 1);
        assert!(matches!(long.parse::<LabelSelector>(), Err(BadSelector::TooLong { .. })));
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        let value = "([a-zA-Z0-9]([-_.a-zA-Z0-9]{0,5}[a-zA-Z0-9])?)?";
        let key = "([a-z]{1,3}\\.[a-z]{1,3}/)?[a-zA-Z]([-_.a-zA-Z0-9]{0,5}[a-zA-Z0-9])?";
        (key, vec(value, 1..4), 0..4).prop_map(|(key, values, operator)| match operator {
            0 => Requirement { key, operator: Operator::In, values },
            1 => Requirement { key, operator: Operator::NotIn, values },
            2 => Requirement { key, operator: Operator::Exists, values: Vec::new() },
            _ => Requirement { key, operator: Operator::DoesNotExist, values: Vec::new() },
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(requirements in vec(requirement(), 0..5)) {
            let selector = LabelSelector { requirements };
            prop_assert_eq!(selector.to_string().parse(), Ok(selector));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[ab,=!() in/ö-]{0,24}") {
            let _ = text.parse::<LabelSelector>();
        }
    }
}
