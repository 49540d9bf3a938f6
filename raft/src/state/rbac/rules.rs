//! One rule of a role, taken apart once. Knows no subject.

use std::sync::Arc;

use boss_proto::v1::PolicyRule;

use super::Attributes;

/// A list of words in which `*` stands for all.
#[derive(Debug)]
enum Words {
    All,
    Some(Box<[String]>),
}

impl Words {
    fn new(words: &[String]) -> Self {
        if words.iter().any(|word| word == "*") { Self::All } else { Self::Some(words.into()) }
    }

    fn contain(&self, matches: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => words.iter().any(|word| matches(word)),
        }
    }
}

#[derive(Debug)]
pub(super) struct Rule {
    source: Arc<PolicyRule>,
    verbs: Words,
    resources: Words,
    paths: Words,
}

impl Rule {
    pub(super) fn new(rule: &PolicyRule) -> Self {
        Self {
            verbs: Words::new(&rule.verbs),
            resources: Words::new(&rule.resources),
            paths: Words::new(&rule.non_resource_paths),
            source: Arc::new(rule.clone()),
        }
    }

    /// A rule of a Role: paths outside the registry are not a namespace's to give.
    pub(super) fn namespaced(rule: &PolicyRule) -> Self {
        Self::new(&PolicyRule { non_resource_paths: Vec::new(), ..rule.clone() })
    }

    /// The rule as it counts.
    pub(super) fn source(&self) -> &Arc<PolicyRule> {
        &self.source
    }

    pub(super) fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !self.verbs.contain(|verb| verb == attributes.verb) {
            return false;
        }
        if !attributes.path.is_empty() {
            return self.paths.contain(|path| path_matches(path, attributes.path));
        }
        !attributes.resource.is_empty()
            && self.resources.contain(|word| resource_matches(word, attributes))
            && self.allows_name(attributes.name)
    }

    fn allows_name(&self, name: &str) -> bool {
        let names = &self.source.resource_names;
        names.is_empty() || names.iter().any(|allowed| allowed == name)
    }
}

/// `pods` is the object alone, `pods/status` one part of it, `pods/*` all its parts, `*/status` that
/// part of all.
fn resource_matches(word: &str, attributes: &Attributes<'_>) -> bool {
    let Some((resource, part)) = word.split_once('/') else {
        return word == attributes.resource && attributes.subresource.is_empty();
    };
    let part_matches = !attributes.subresource.is_empty() && (part == "*" || part == attributes.subresource);
    part_matches && (resource == "*" || resource == attributes.resource)
}

/// A path, or with a `*` at its end everything that starts so.
pub(super) fn path_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}
