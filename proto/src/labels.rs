//! The syntax of names, label keys and label values. Knows no object and no selector.

use crate::limits::{LABEL_VALUE_LEN_MAX, NAME_LEN_MAX};

/// Longest prefix of a label key: a DNS name.
const KEY_PREFIX_LEN_MAX: usize = 253;

/// Why a text is no name, label key or label value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More than the limit.
    #[error("has {len} characters, at most {max} are allowed")]
    TooLong {
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A character that may not stand where it stands.
    #[error("has {character:?} as character {position}: {allowed}")]
    BadCharacter {
        /// The character.
        character: char,
        /// Counted from 1.
        position: usize,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// Checks the name of an object: a DNS label (lower case letters, digits, hyphens inside).
pub fn check_name(text: &str) -> Result<(), BadText> {
    let allowed = "names are lower case letters and digits, with hyphens between them";
    check(text, 0, NAME_LEN_MAX, allowed, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| c == '-')
}

/// Checks the key of a label or annotation: `name` or `prefix.example/name`.
pub fn check_key(text: &str) -> Result<(), BadText> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let offset = match prefix {
        Some(prefix) => {
            check_prefix(prefix)?;
            prefix.chars().count() + 1
        }
        None => 0,
    };
    let allowed = "label keys are letters and digits, with - _ . between them, after an optional DNS name and a slash";
    check(name, offset, NAME_LEN_MAX, allowed, |c| c.is_ascii_alphanumeric(), |c| matches!(c, '-' | '_' | '.'))
}

/// Checks the value of a label; it may be empty.
pub fn check_value(text: &str) -> Result<(), BadText> {
    if text.is_empty() {
        return Ok(());
    }
    let allowed = "label values are letters and digits, with - _ . between them";
    check(text, 0, LABEL_VALUE_LEN_MAX, allowed, |c| c.is_ascii_alphanumeric(), |c| matches!(c, '-' | '_' | '.'))
}

fn check_prefix(prefix: &str) -> Result<(), BadText> {
    let len = prefix.chars().count();
    if len > KEY_PREFIX_LEN_MAX {
        return Err(BadText::TooLong { len, max: KEY_PREFIX_LEN_MAX });
    }
    let allowed = "the part before the slash is a DNS name in lower case";
    let mut offset = 0;
    for label in prefix.split('.') {
        check(label, offset, NAME_LEN_MAX, allowed, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| c == '-')?;
        offset += label.chars().count() + 1;
    }
    Ok(())
}

/// Every character is `plain` or, away from both ends, `joint`. Positions count from `offset`.
fn check(
    text: &str,
    offset: usize,
    max: usize,
    allowed: &'static str,
    plain: fn(char) -> bool,
    joint: fn(char) -> bool,
) -> Result<(), BadText> {
    let len = text.chars().count();
    if len == 0 {
        return Err(BadText::Empty);
    }
    if len > max {
        return Err(BadText::TooLong { len, max });
    }
    let bad = text.chars().enumerate().find(|&(index, c)| !(plain(c) || joint(c) && index != 0 && index + 1 != len));
    match bad {
        Some((index, character)) => Err(BadText::BadCharacter { character, position: offset + index + 1, allowed }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "web-1", "0", &"a".repeat(63)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        assert_eq!(check_name(""), Err(BadText::Empty));
        assert_eq!(check_name(&"a".repeat(64)), Err(BadText::TooLong { len: 64, max: 63 }));
        for (bad, position) in
            [("Web", 1), ("-a", 1), ("a-", 2), ("a_b", 2), ("a.b", 2), ("a/b", 2), ("grün", 3), ("a\n", 2)]
        {
            let found = check_name(bad);
            assert!(
                matches!(found, Err(BadText::BadCharacter { position: at, .. }) if at == position),
                "{bad}: {found:?}"
            );
        }
    }

    #[test]
    fn label_keys_may_have_a_dns_prefix() {
        for good in ["app", "App_1.x", "boss.dev/app", "topology.boss.dev/region", "a/b"] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for (bad, position) in [("boss.dev/-x", 10), ("Boss.dev/x", 1), ("a/b/c", 4), ("a b", 2)] {
            let found = check_key(bad);
            assert!(
                matches!(found, Err(BadText::BadCharacter { position: at, .. }) if at == position),
                "{bad}: {found:?}"
            );
        }
        for bad in ["", "/x", "x/", "a..b/x"] {
            assert_eq!(check_key(bad), Err(BadText::Empty), "{bad}");
        }
        assert_eq!(check_key(&format!("{}/x", "a".repeat(254))), Err(BadText::TooLong { len: 254, max: 253 }));
    }

    #[test]
    fn label_values_may_be_empty_and_have_at_most_63_characters() {
        for good in ["", "x", "V1.2_3-x", &"a".repeat(63)] {
            assert_eq!(check_value(good), Ok(()), "{good}");
        }
        for bad in ["a b", "-x", "x,", &*"a".repeat(64)] {
            assert!(check_value(bad).is_err(), "{bad}");
        }
    }
}
