//! The objects in the order of their keys: a persistent B+ tree. A clone costs one reference count and never changes; a
//! change copies one small node of each level that a clone still holds. Knows nothing of what objects mean.
//!
//! A tree of two children for each node would look at some twenty keys in as many places of memory where this one looks
//! at the same number in four.

use std::{
    ops::{Bound, RangeBounds},
    slice,
    sync::Arc,
};

use boss_proto::key::Key;

use super::record::Record;

/// Objects of one leaf: a change counts a reference to each of them when a clone holds the leaf.
const LEAF_MAX: usize = 16;
/// Children of one inner node.
const INNER_MAX: usize = 32;

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    root: Arc<Node>,
    len: usize,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Vec<Arc<Record>>),
    Inner(Vec<Child>),
}

/// A node below another.
#[derive(Debug, Clone)]
struct Child {
    /// No key in the node is smaller; of the first child of a node nobody asks for it.
    from: Arc<Key>,
    node: Arc<Node>,
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

impl Objects {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Record>> {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(records) => return find(records, key).ok().map(|at| &records[at]),
                Node::Inner(children) => node = &children[child_of(children, key)].node,
            }
        }
    }

    /// Puts an object at its key; returns what stood there.
    pub(super) fn insert(&mut self, record: Arc<Record>) -> Option<Arc<Record>> {
        let (stood, split) = insert(&mut self.root, record);
        if let Some(right) = split {
            let left = std::mem::take(&mut self.root);
            let from = right.from.clone();
            self.root = Arc::new(Node::Inner(vec![Child { from, node: left }, right]));
        }
        self.len += usize::from(stood.is_none());
        stood
    }

    /// Takes the object at a key away.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Record>> {
        // What is not there must not cost a copy.
        self.get(key)?;
        let stood = remove(&mut self.root, key)?;
        self.len -= 1;
        if let Node::Inner(children) = &*self.root
            && let [only] = &children[..]
        {
            self.root = only.node.clone();
        }
        Some(stood)
    }

    /// All, in order.
    pub(super) fn iter(&self) -> Iter<'_> {
        self.from(Bound::Unbounded)
    }

    /// Those of a range of keys, in order.
    pub(super) fn range<'a>(
        &'a self,
        range: (Bound<Key>, Bound<Key>),
    ) -> impl Iterator<Item = &'a Arc<Record>> + use<'a> {
        let rest = self.from(range.start_bound());
        let end = range.1;
        rest.take_while(move |record| (Bound::Unbounded, end.as_ref()).contains(&record.key))
    }

    fn from(&self, start: Bound<&Key>) -> Iter<'_> {
        let mut iter = Iter { above: Vec::new(), leaf: [].iter() };
        iter.descend(&self.root, start);
        iter
    }
}

/// Goes over the rest of the objects.
pub(super) struct Iter<'a> {
    /// What is left of each node above the leaf.
    above: Vec<slice::Iter<'a, Child>>,
    leaf: slice::Iter<'a, Arc<Record>>,
}

impl<'a> Iter<'a> {
    fn descend(&mut self, mut node: &'a Node, start: Bound<&Key>) {
        loop {
            match node {
                Node::Leaf(records) => {
                    let before = records.partition_point(|record| !(start, Bound::Unbounded).contains(&record.key));
                    self.leaf = records[before..].iter();
                    return;
                }
                Node::Inner(children) => {
                    let at = match start {
                        Bound::Included(key) | Bound::Excluded(key) => child_of(children, key),
                        Bound::Unbounded => 0,
                    };
                    self.above.push(children[at + 1..].iter());
                    node = &children[at].node;
                }
            }
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Arc<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.leaf.next() {
                return Some(record);
            }
            match self.above.last_mut()?.next() {
                Some(child) => self.descend(&child.node, Bound::Unbounded),
                None => drop(self.above.pop()),
            }
        }
    }
}

fn find(records: &[Arc<Record>], key: &Key) -> Result<usize, usize> {
    records.binary_search_by(|record| record.key.cmp(key))
}

/// The child in which a key stands, if it stands anywhere.
fn child_of(children: &[Child], key: &Key) -> usize {
    children.partition_point(|child| *child.from <= *key).saturating_sub(1)
}

/// What stood there, and the upper part of the node if it had to be split.
fn insert(node: &mut Arc<Node>, record: Arc<Record>) -> (Option<Arc<Record>>, Option<Child>) {
    match Arc::make_mut(node) {
        Node::Leaf(records) => match find(records, &record.key) {
            Ok(at) => (Some(std::mem::replace(&mut records[at], record)), None),
            Err(at) => {
                records.insert(at, record);
                (None, split_leaf(records, at))
            }
        },
        Node::Inner(children) => {
            let at = child_of(children, &record.key);
            let (stood, split) = insert(&mut children[at].node, record);
            let split = split.and_then(|right| {
                children.insert(at + 1, right);
                split_inner(children, at + 1)
            });
            (stood, split)
        }
    }
}

/// What comes in order fills its leaves, as it does when a server starts.
fn split_leaf(records: &mut Vec<Arc<Record>>, inserted: usize) -> Option<Child> {
    let at = if inserted == LEAF_MAX { LEAF_MAX } else { records.len() / 2 };
    (records.len() > LEAF_MAX).then(|| leaf(records.split_off(at)))
}

/// Each part has several children, so that a leaf that loses its last object always has another beside it.
fn split_inner(children: &mut Vec<Child>, inserted: usize) -> Option<Child> {
    let at = if inserted == INNER_MAX { INNER_MAX - INNER_MAX / 4 } else { children.len() / 2 };
    (children.len() > INNER_MAX).then(|| inner(children.split_off(at)))
}

fn leaf(records: Vec<Arc<Record>>) -> Child {
    Child { from: Arc::new(records[0].key.clone()), node: Arc::new(Node::Leaf(records)) }
}

fn inner(children: Vec<Child>) -> Child {
    Child { from: children[0].from.clone(), node: Arc::new(Node::Inner(children)) }
}

fn remove(node: &mut Arc<Node>, key: &Key) -> Option<Arc<Record>> {
    match Arc::make_mut(node) {
        Node::Leaf(records) => find(records, key).ok().map(|at| records.remove(at)),
        Node::Inner(children) => {
            let at = child_of(children, key);
            let stood = remove(&mut children[at].node, key);
            if children[at].node.is_small() && children.len() > 1 {
                let right = children.remove(at.max(1));
                let at = at.max(1) - 1;
                if let Some(right) = join(&mut children[at].node, &right.node) {
                    children.insert(at + 1, right);
                }
            }
            stood
        }
    }
}

impl Node {
    fn is_small(&self) -> bool {
        match self {
            Self::Leaf(records) => records.len() < LEAF_MAX / 4,
            Self::Inner(children) => children.len() < INNER_MAX / 4,
        }
    }
}

/// Adds what is in the right node to the left one; returns a right one again when that is too much for one.
fn join(left: &mut Arc<Node>, right: &Node) -> Option<Child> {
    match (Arc::make_mut(left), right) {
        (Node::Leaf(records), Node::Leaf(more)) => {
            records.extend(more.iter().cloned());
            split_leaf(records, 0)
        }
        (Node::Inner(children), Node::Inner(more)) => {
            children.extend(more.iter().cloned());
            split_inner(children, 0)
        }
        // Every leaf is as deep as every other.
        (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => unreachable!("nodes beside each other"),
    }
}

#[cfg(test)]
mod tests;
