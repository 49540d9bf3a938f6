//! The tree does what an ordered map does, its clones never change, and its nodes keep their bounds.

use std::collections::BTreeMap;

use boss_proto::{
    kind::Kind,
    v1::{self, ObjectMeta, object::Body},
};
use proptest::prelude::*;

use super::*;

fn key(number: u16) -> Key {
    Key::new(Kind::ConfigMap, format!("n{}", number % 3), format!("{:05}", number / 3))
}

fn record(number: u16, revision: u64) -> Arc<Record> {
    let Key { namespace, name, .. } = key(number);
    let metadata = ObjectMeta { namespace, name, resource_version: revision, ..ObjectMeta::default() };
    let map = v1::ConfigMap { metadata: Some(metadata), ..v1::ConfigMap::default() };
    Arc::new(Record::new(v1::Object { body: Some(Body::ConfigMap(map.into())) }).expect("it is whole"))
}

/// Checks the bounds of every node, and that all leaves are equally deep; returns how deep.
fn check(node: &Node, from: Option<&Key>, to: Option<&Key>, is_root: bool) -> usize {
    match node {
        Node::Leaf(records) => {
            assert!(records.len() <= LEAF_MAX && (is_root || !records.is_empty()));
            assert!(records.windows(2).all(|pair| pair[0].key < pair[1].key));
            assert!(records.iter().all(|record| from.is_none_or(|from| *from <= record.key)));
            assert!(records.iter().all(|record| to.is_none_or(|to| record.key < *to)));
            0
        }
        Node::Inner(children) => {
            assert!(children.len() <= INNER_MAX && children.len() > 1);
            let depths = children.iter().enumerate().map(|(at, child)| {
                let from = if at == 0 { from } else { Some(&*child.from) };
                let to = children.get(at + 1).map(|next| &*next.from).or(to);
                check(&child.node, from, to, false)
            });
            let depths: Vec<usize> = depths.collect();
            assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "{depths:?}");
            depths[0] + 1
        }
    }
}

fn same(tree: &Objects, model: &BTreeMap<Key, Arc<Record>>) {
    assert_eq!((tree.len(), tree.is_empty()), (model.len(), model.is_empty()));
    assert!(tree.iter().eq(model.values()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn it_is_an_ordered_map_and_its_clones_never_change(
        // Rising, falling, and anywhere; more is put than taken, then more is taken.
        first in 0_u16..5_000,
        steps in proptest::collection::vec((any::<bool>(), 0_u16..2_000), 0..1_500),
        bounds in (0_u16..6_000, 0_u16..6_000),
    ) {
        let (mut tree, mut model) = (Objects::default(), BTreeMap::new());
        let mut clones = Vec::new();
        let rising = (0..first).map(|number| (true, number));
        let falling = (0..first / 2).rev().map(|number| (false, number * 2));
        for (step, (put, number)) in rising.chain(steps).chain(falling).enumerate() {
            if put {
                let record = record(number, step as u64);
                prop_assert_eq!(tree.insert(record.clone()), model.insert(key(number), record));
            } else {
                prop_assert_eq!(tree.remove(&key(number)), model.remove(&key(number)));
            }
            prop_assert_eq!(tree.get(&key(number)), model.get(&key(number)));
            if step % 700 == 0 {
                check(&tree.root, None, None, true);
                clones.push((tree.clone(), model.clone()));
            }
        }
        check(&tree.root, None, None, true);
        let bounds = [key(bounds.0), key(bounds.1)];
        prop_assume!(bounds[0] != bounds[1]);
        let [low, high] = if bounds[0] < bounds[1] { bounds } else { let [high, low] = bounds; [low, high] };
        for range in [
            (Bound::Included(low.clone()), Bound::Excluded(high.clone())),
            (Bound::Excluded(low.clone()), Bound::Included(high)),
            (Bound::Excluded(low), Bound::Unbounded),
        ] {
            prop_assert!(tree.range(range.clone()).eq(model.range(range).map(|(_, record)| record)));
        }
        clones.push((tree, model));
        clones.iter().for_each(|(tree, model)| same(tree, model));
    }
}

#[test]
fn what_comes_in_order_fills_its_leaves() {
    let mut tree = Objects::default();
    (0..1_000).map(|number| record(number * 3, 1)).for_each(|record| drop(tree.insert(record)));
    fn leaves(node: &Node) -> usize {
        match node {
            Node::Leaf(_) => 1,
            Node::Inner(children) => children.iter().map(|child| leaves(&child.node)).sum(),
        }
    }
    assert_eq!(leaves(&tree.root), 1_000_usize.div_ceil(LEAF_MAX));
}

#[test]
fn taking_away_what_is_not_there_copies_nothing() {
    let mut tree = Objects::default();
    tree.insert(record(1, 1));
    let clone = tree.clone();
    assert_eq!(tree.remove(&key(2)), None);
    assert!(Arc::ptr_eq(&tree.root, &clone.root));
}
