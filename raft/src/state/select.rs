//! Which objects a list has to look at: those of the narrowest index that its selector names, else all of the kind. Every
//! one is still to be asked whether it is selected.

use std::{ops::Bound, sync::Arc};

use boss_proto::{
    ids::NodeName,
    key::Key,
    kind::Kind,
    selector::{Field, Selector},
};

use super::{indexes::Indexes, record::Record, registry::Registry};

/// Objects in key order, among them all that are selected.
pub type Candidates<'a> = Box<dyn Iterator<Item = &'a Arc<Record>> + Send + 'a>;

/// Where the candidates come from, from narrow to wide.
enum Source<'a> {
    /// There can be only this one.
    One(Option<&'a Arc<Record>>),
    /// Pods of a node.
    Node(NodeName),
    /// Objects with a value.
    Keys(&'a super::indexes::Keys),
    /// No object has the value.
    Nothing,
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
            Source::Nothing => Box::new(std::iter::empty()),
            Source::One(record) => {
                let begins_before = move |record: &&Arc<Record>| std::ops::RangeBounds::contains(&range, &record.key);
                Box::new(record.into_iter().filter(begins_before).filter(move |record| inside(&record.key)))
            }
            Source::Node(node) => Box::new(
                self.pods_on_node_in(&node, range).take_while(move |(key, _)| inside(key)).map(|(_, record)| record),
            ),
            Source::Keys(keys) => {
                Box::new(keys.range(range).take_while(move |key| inside(key)).filter_map(|key| self.get(key)))
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
        let mut narrowest = None;
        for (field, value) in indexed {
            let Some(keys) = self.indexes().get(kind, field, value) else { return Source::Nothing };
            if narrowest.is_none_or(|narrowest: &super::indexes::Keys| keys.size() < narrowest.size()) {
                narrowest = Some(keys);
            }
        }
        narrowest.map_or(Source::Scan, Source::Keys)
    }
}

#[cfg(test)]
mod tests;
