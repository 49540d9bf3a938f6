//! Which objects a list has to look at: those of the narrowest index that its selector names, else all of the kind. Every
//! one is still to be asked whether it is selected.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use boss_proto::{
    ids::NodeName,
    key::Key,
    kind::Kind,
    selector::{Field, Operator, Requirement, Selector},
};

use super::{
    indexes::{Indexes, Keys},
    record::Record,
    registry::Registry,
};

/// A label with more values than these is looked for by its name alone: their sets would have to be merged.
const MERGED_SETS_MAX: usize = 16;

/// Objects in key order, among them all that are selected.
pub type Candidates<'a> = Box<dyn Iterator<Item = &'a Arc<Record>> + Send + 'a>;

/// Where the candidates come from, from narrow to wide.
enum Source<'a> {
    /// There can be only this one.
    One(Option<&'a Arc<Record>>),
    /// Pods of a node.
    Node(NodeName),
    /// Objects with a value in one field, or with one of some values of a label: sets without a common object.
    Keys(Vec<&'a Keys>),
    /// All of the kind.
    Scan,
}

impl Registry {
    /// Objects of a kind, of one namespace or of all, that a selector can select, after a key.
    #[must_use]
    pub fn candidates(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selector: &Selector,
        after: Option<&Key>,
    ) -> Candidates<'_> {
        let first = Key::new(kind, namespace.unwrap_or(""), "");
        let start = match after.filter(|after| **after >= first) {
            Some(after) => Bound::Excluded(after.clone()),
            None => Bound::Included(first),
        };
        let namespace = namespace.map(str::to_owned);
        let inside =
            move |key: &Key| key.kind == kind && namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
        let range = (start, Bound::Unbounded);
        match self.source(kind, selector) {
            Source::One(record) => {
                let begins_before = move |record: &&Arc<Record>| std::ops::RangeBounds::contains(&range, &record.key);
                Box::new(record.into_iter().filter(begins_before).filter(move |record| inside(&record.key)))
            }
            Source::Node(node) => Box::new(
                self.pods_on_node_in(&node, range).take_while(move |(key, _)| inside(key)).map(|(_, record)| record),
            ),
            Source::Keys(sets) => {
                let keys = merged(sets.into_iter().map(|keys| keys.range(range.clone())).collect());
                Box::new(keys.take_while(move |key| inside(key)).filter_map(|key| self.get(key)))
            }
            Source::Scan => {
                Box::new(self.objects_in(range).take_while(move |(key, _)| inside(key)).map(|(_, record)| record))
            }
        }
    }

    fn source(&self, kind: Kind, selector: &Selector) -> Source<'_> {
        let exact = |field| selector.fields.exact(field).filter(|_| field.is_of(kind));
        if let (Some(name), Some(namespace)) = (exact(Field::Name), exact(Field::Namespace)) {
            return Source::One(self.get(&Key::new(kind, namespace, name)));
        }
        if let Some(name) = exact(Field::Name).filter(|_| !kind.is_namespaced()) {
            return Source::One(self.get(&Key::cluster(kind, name)));
        }
        if let Some(node) = exact(Field::NodeName).filter(|node| !node.is_empty()) {
            return Source::Node(NodeName::from(node));
        }
        let indexed = Indexes::fields().filter_map(|field| Some((field, exact(field)?)));
        let indexed = indexed.filter(|(field, value)| Indexes::has(*field, value));
        let by_field = indexed.map(|(field, value)| self.indexes().get(kind, field, value).into_iter().collect());
        let by_label = selector.labels.requirements.iter().filter_map(|requirement| self.labelled(kind, requirement));
        let narrowest = by_field.chain(by_label).min_by_key(|sets: &Vec<&Keys>| size(sets));
        narrowest.map_or(Source::Scan, Source::Keys)
    }

    /// The objects among which all are that fulfil a requirement; `None` when these are not fewer than all, because it
    /// asks for what is not there.
    fn labelled(&self, kind: Kind, requirement: &Requirement) -> Option<Vec<&Keys>> {
        let Requirement { key, operator, values } = requirement;
        let (by_value, by_key) = (self.indexes(), self.indexes().with_label_key(kind, key));
        match operator {
            Operator::In if values.len() <= MERGED_SETS_MAX => {
                // A value that is named twice is still one set.
                let values: BTreeSet<&String> = values.iter().collect();
                Some(values.into_iter().filter_map(|value| by_value.with_label(kind, key, value)).collect())
            }
            Operator::In | Operator::Exists => Some(by_key.into_iter().collect()),
            Operator::NotIn | Operator::DoesNotExist => None,
        }
    }
}

fn size(sets: &[&Keys]) -> usize {
    sets.iter().map(|keys| keys.size()).sum()
}

/// Several ascending sequences as one.
fn merged<'a, I>(sequences: Vec<I>) -> impl Iterator<Item = &'a Arc<Key>>
where
    I: Iterator<Item = &'a Arc<Key>>,
{
    let mut sequences: Vec<_> = sequences.into_iter().map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let firsts = sequences.iter_mut().enumerate().filter_map(|(at, keys)| Some((*keys.peek()?, at)));
        let (_, next) = firsts.min()?;
        sequences[next].next()
    })
}

#[cfg(test)]
mod tests;
