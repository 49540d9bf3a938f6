//! What one subject may do in one place, arranged so that a question costs a few look-ups however many roles it is
//! bound to. Says the same as asking each rule. Knows no subject.

use std::{collections::BTreeMap, sync::Arc};

use boss_proto::v1::PolicyRule;

use super::{
    Attributes,
    grants::Grant,
    roles::{Roles, Version},
    rules::path_matches,
};

/// A word of a rule that stands for all.
const ALL: &str = "*";

type ByWord<T> = BTreeMap<Box<str>, T>;

/// A pattern, and what gives it.
type Path = (Box<str>, Arc<str>);

/// All rules of some grants.
#[derive(Debug)]
pub(super) struct Table {
    version: Version,
    /// By verb, resource and part of it, as rules name them.
    cells: ByWord<ByWord<ByWord<Cell>>>,
    /// By verb: patterns with what gives them.
    paths: ByWord<Vec<Path>>,
}

/// What gives a verb on a resource: the first grant that does.
#[derive(Debug, Default)]
struct Cell {
    every_name: Option<Arc<str>>,
    names: BTreeMap<Box<str>, Arc<str>>,
}

impl Cell {
    fn add(&mut self, names: &[String], reason: &Arc<str>) {
        if names.is_empty() {
            self.every_name.get_or_insert_with(|| reason.clone());
        }
        for name in names {
            self.names.entry(name.as_str().into()).or_insert_with(|| reason.clone());
        }
    }

    fn allowing(&self, name: &str) -> Option<&Arc<str>> {
        self.every_name.as_ref().or_else(|| self.names.get(name))
    }
}

impl Table {
    pub(super) fn new<'a>(roles: &Roles, grants: impl Iterator<Item = &'a Grant>) -> Self {
        let mut table = Self { version: roles.version().clone(), cells: BTreeMap::new(), paths: BTreeMap::new() };
        for grant in grants {
            for (_, rule) in roles.rules_of(&grant.role) {
                table.add(rule.source(), &grant.reason);
            }
        }
        table
    }

    fn add(&mut self, source: &PolicyRule, reason: &Arc<str>) {
        for verb in &source.verbs {
            let resources = self.cells.entry(verb.as_str().into()).or_default();
            for resource in &source.resources {
                let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
                let parts = resources.entry(resource.into()).or_default();
                parts.entry(part.into()).or_default().add(&source.resource_names, reason);
            }
            for path in &source.non_resource_paths {
                self.paths.entry(verb.as_str().into()).or_default().push((path.as_str().into(), reason.clone()));
            }
        }
    }

    /// Whether it was made from these very roles.
    pub(super) fn is_of(&self, roles: &Roles) -> bool {
        self.version == *roles.version()
    }

    pub(super) fn allowing(&self, attributes: &Attributes<'_>) -> Option<&Arc<str>> {
        let verbs = [attributes.verb, ALL];
        if !attributes.path.is_empty() {
            let patterns = verbs.into_iter().filter_map(|verb| self.paths.get(verb)).flatten();
            return patterns
                .filter(|(pattern, _)| path_matches(pattern, attributes.path))
                .map(|(_, reason)| reason)
                .next();
        }
        if attributes.resource.is_empty() {
            return None;
        }
        verbs.into_iter().filter_map(|verb| self.cells.get(verb)).find_map(|resources| {
            let cell = |resource: &str, part: &str| resources.get(resource)?.get(part)?.allowing(attributes.name);
            let Attributes { resource, subresource: part, .. } = *attributes;
            // A `*` alone is everything, parts too.
            let found = cell(ALL, "").or_else(|| cell(resource, part));
            if part.is_empty() {
                return found;
            }
            found.or_else(|| cell(resource, ALL)).or_else(|| cell(ALL, part)).or_else(|| cell(ALL, ALL))
        })
    }
}
