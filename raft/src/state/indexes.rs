//! Which objects have a value in one of the fields that lists ask for. Holds keys, not objects, so that a write that
//! changes none of these fields touches nothing here. Derived from the objects, so not stored.

use std::sync::Arc;

use boss_proto::{key::Key, kind::Kind, selector::Field};
use rpds::{HashTrieMapSync, RedBlackTreeSetSync};

use super::record::Record;

/// Fields with an index. `spec.nodeName` is not among them: pods of a node have an index of their own, see `nodes`;
/// what is here is the pods without one.
const INDEXED: [Field; 6] =
    [Field::Phase, Field::Class, Field::OwnerUid, Field::InvolvedUid, Field::InvolvedName, Field::NodeName];

/// Keys of the objects that have one value; in order.
pub(super) type Keys = RedBlackTreeSetSync<Arc<Key>>;

/// The indexes of all kinds.
#[derive(Debug, Clone)]
pub(super) struct Indexes(HashTrieMapSync<Place, Keys>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    kind: Kind,
    field: Field,
    value: String,
}

impl Default for Indexes {
    fn default() -> Self {
        Self(HashTrieMapSync::new_sync())
    }
}

impl Indexes {
    /// Whether objects can be found by this value.
    pub(super) fn has(field: Field, value: &str) -> bool {
        INDEXED.contains(&field) && (field != Field::NodeName || value.is_empty())
    }

    /// The fields to look for in a selector.
    pub(super) fn fields() -> impl Iterator<Item = Field> {
        INDEXED.into_iter()
    }

    /// Objects of a kind with a value; `None` when there are none.
    pub(super) fn get(&self, kind: Kind, field: Field, value: &str) -> Option<&Keys> {
        self.0.get(&Place { kind, field, value: value.to_owned() })
    }

    /// The object under `key` was this and is that now.
    pub(super) fn change(&mut self, key: &Arc<Key>, before: Option<&Record>, now: Option<&Record>) {
        for (field, value) in values(before).filter(|value| !values(now).any(|other| other == *value)) {
            self.remove(Place { kind: key.kind, field, value: value.to_owned() }, key);
        }
        for (field, value) in values(now).filter(|value| !values(before).any(|other| other == *value)) {
            self.add(Place { kind: key.kind, field, value: value.to_owned() }, key);
        }
    }

    fn add(&mut self, place: Place, key: &Arc<Key>) {
        if let Some(keys) = self.0.get_mut(&place) {
            keys.insert_mut(key.clone());
        } else {
            let mut keys = Keys::new_sync();
            keys.insert_mut(key.clone());
            self.0.insert_mut(place, keys);
        }
    }

    fn remove(&mut self, place: Place, key: &Arc<Key>) {
        let Some(keys) = self.0.get_mut(&place) else { return };
        keys.remove_mut(key);
        if keys.is_empty() {
            self.0.remove_mut(&place);
        }
    }
}

/// What the object is found by.
fn values(record: Option<&Record>) -> impl Iterator<Item = (Field, &str)> {
    record.into_iter().flat_map(|record| {
        let fields = INDEXED.into_iter().filter(|field| field.is_of(record.key.kind));
        let all = fields.flat_map(|field| field.values(&record.object).map(move |value| (field, value)));
        all.filter(|(field, value)| Indexes::has(*field, value))
    })
}
