//! Which objects have a value in one of the fields that lists ask for, and which have a label. Holds keys, not objects,
//! so that a write that changes none of these touches nothing here. Derived from the objects, so not stored.

use std::{collections::BTreeMap, sync::Arc};

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
    by: By,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum By {
    Field(Field),
    /// The label has the value.
    Label(String),
    /// The label is there; the value here is empty.
    LabelKey(String),
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
        self.0.get(&Place { kind, by: By::Field(field), value: value.to_owned() })
    }

    /// Objects of a kind with a label of this value; `None` when there are none.
    pub(super) fn with_label(&self, kind: Kind, label: &str, value: &str) -> Option<&Keys> {
        self.0.get(&Place { kind, by: By::Label(label.to_owned()), value: value.to_owned() })
    }

    /// Objects of a kind with a label, whatever its value; `None` when there are none.
    pub(super) fn with_label_key(&self, kind: Kind, label: &str) -> Option<&Keys> {
        self.0.get(&Place { kind, by: By::LabelKey(label.to_owned()), value: String::new() })
    }

    /// The object under `key` was this and is that now.
    pub(super) fn change(&mut self, key: &Key, before: Option<&Record>, now: Option<&Record>) {
        for (field, value) in values(before).filter(|value| !values(now).any(|other| other == *value)) {
            self.remove(Place { kind: key.kind, by: By::Field(field), value: value.to_owned() }, key);
        }
        for (field, value) in values(now).filter(|value| !values(before).any(|other| other == *value)) {
            self.add(Place { kind: key.kind, by: By::Field(field), value: value.to_owned() }, key);
        }
        self.change_labels(key, labels(before), labels(now));
    }

    fn change_labels(&mut self, key: &Key, before: &Labels, now: &Labels) {
        if before == now {
            return;
        }
        let at = |by: fn(String) -> By, label: &str, value: &str| Place {
            kind: key.kind,
            by: by(label.to_owned()),
            value: value.to_owned(),
        };
        for (label, value) in before.iter().filter(|(label, value)| now.get(*label) != Some(value)) {
            self.remove(at(By::Label, label, value), key);
            if !now.contains_key(label) {
                self.remove(at(By::LabelKey, label, ""), key);
            }
        }
        for (label, value) in now.iter().filter(|(label, value)| before.get(*label) != Some(value)) {
            self.add(at(By::Label, label, value), key);
            if !before.contains_key(label) {
                self.add(at(By::LabelKey, label, ""), key);
            }
        }
    }

    fn add(&mut self, place: Place, key: &Key) {
        let key = Arc::new(key.clone());
        if let Some(keys) = self.0.get_mut(&place) {
            keys.insert_mut(key);
        } else {
            let mut keys = Keys::new_sync();
            keys.insert_mut(key);
            self.0.insert_mut(place, keys);
        }
    }

    fn remove(&mut self, place: Place, key: &Key) {
        let Some(keys) = self.0.get_mut(&place) else { return };
        keys.remove_mut(key);
        if keys.is_empty() {
            self.0.remove_mut(&place);
        }
    }
}

type Labels = BTreeMap<String, String>;

fn labels(record: Option<&Record>) -> &Labels {
    const NONE: &Labels = &Labels::new();
    record.and_then(|record| record.object.metadata()).map_or(NONE, |metadata| &metadata.labels)
}

/// What the object is found by.
fn values(record: Option<&Record>) -> impl Iterator<Item = (Field, &str)> {
    record.into_iter().flat_map(|record| {
        let fields = INDEXED.into_iter().filter(|field| field.is_of(record.key.kind));
        let all = fields.flat_map(|field| field.values(&record.object).map(move |value| (field, value)));
        all.filter(|(field, value)| Indexes::has(*field, value))
    })
}
