//! Which objects a command line means: `pods`, `pod web db`, `pods/web nodes/n1`. Asks nobody.

use boss_proto::{key::Key, kind::Kind, labels};

use crate::{failure::Failure, session::Session};

/// What a command line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// All objects of a kind.
    All(Kind),
    /// These objects, in this order.
    Named(Vec<(Kind, String)>),
}

/// `KIND`, `KIND NAME...` or `KIND/NAME...`
pub(super) fn parse(words: &[String]) -> Result<Target, Failure> {
    if words.iter().any(|word| word.contains('/')) {
        let named = words.iter().map(|word| match word.split_once('/') {
            Some((kind, name)) => Ok((kind_of(kind)?, name_of(name)?)),
            None => {
                Err(Failure::bad_input(format!("cannot read {word:?}"), "either all words are KIND/NAME, or none is"))
            }
        });
        return Ok(Target::Named(named.collect::<Result<_, _>>()?));
    }
    let Some((kind, names)) = words.split_first() else {
        return Err(Failure::bad_input("cannot tell what is meant", "no kind was given"));
    };
    let kind = kind_of(kind)?;
    if names.is_empty() {
        return Ok(Target::All(kind));
    }
    Ok(Target::Named(names.iter().map(|name| Ok((kind, name_of(name)?))).collect::<Result<_, Failure>>()?))
}

/// Exactly one object.
pub(super) fn parse_one(words: &[String]) -> Result<(Kind, String), Failure> {
    match parse(words)? {
        Target::Named(mut named) if named.len() == 1 => Ok(named.remove(0)),
        _ => Err(Failure::bad_input(
            "cannot tell which object is meant",
            "exactly one is needed: KIND NAME, or KIND/NAME",
        )),
    }
}

/// The key of an object of that name where the command looks for it.
pub(super) fn key(session: &Session, kind: Kind, name: &str) -> Key {
    if kind.is_namespaced() { Key::new(kind, &*session.namespace, name) } else { Key::cluster(kind, name) }
}

fn kind_of(text: &str) -> Result<Kind, Failure> {
    let possible = || Kind::ALL.map(Kind::plural).join(", ");
    Kind::from_user(text).ok_or_else(|| {
        Failure::bad_input(format!("unknown kind {text:?}"), "there is no such kind")
            .or_next(format!("one of {}", possible()))
    })
}

fn name_of(text: &str) -> Result<String, Failure> {
    match labels::check_name(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(problem) => Err(Failure::bad_input(format!("bad name {text:?}"), format!("it {problem}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn kinds_and_names_can_be_written_in_two_ways() {
        let named = |list: &[(Kind, &str)]| {
            Target::Named(list.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect())
        };
        for (line, expected) in [
            ("pods", Target::All(Kind::Pod)),
            ("no", Target::All(Kind::Node)),
            ("po web", named(&[(Kind::Pod, "web")])),
            ("Pod web db", named(&[(Kind::Pod, "web"), (Kind::Pod, "db")])),
            ("pods/web node/n1", named(&[(Kind::Pod, "web"), (Kind::Node, "n1")])),
        ] {
            assert_eq!(parse(&words(line)).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_means_nothing_is_bad_input() {
        for line in ["", "pots", "pods/web db", "pods/", "pod Web", "pods/a/b", "../pods x"] {
            assert_eq!(parse(&words(line)).unwrap_err().exit, Exit::BadInput, "{line}");
        }
        assert!(parse_one(&words("pods")).is_err());
        assert!(parse_one(&words("pods a b")).is_err());
        assert!(parse_one(&words("pods/a")).is_ok());
    }
}
