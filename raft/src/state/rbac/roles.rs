//! Roles as they stand, and which rules each one gives. Knows no subject.

use std::{collections::BTreeMap, sync::Arc};

use boss_proto::{key::Key, kind::Kind, selector::LabelSelector, v1};
use rpds::RedBlackTreeMapSync;

use super::rules::Rule;
use crate::state::record::Record;

/// All roles.
#[derive(Debug, Clone, Default)]
pub(super) struct Roles {
    all: RedBlackTreeMapSync<Key, Arc<Role>>,
    version: Version,
}

/// Another one after each change: what was made from the roles is told by it whether it still holds. It is compared by
/// place and not by a number, since two clones that part ways would count to the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Version(Arc<u8>);

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Debug)]
struct Role {
    labels: BTreeMap<String, String>,
    rules: Box<[Rule]>,
    /// Of the cluster roles whose rules it takes in.
    selectors: Box<[LabelSelector]>,
}

impl Role {
    fn of(record: &Record) -> Option<Self> {
        let (rules, selectors) = match record.object.body.as_ref()? {
            v1::object::Body::Role(role) => (role.rules.iter().map(Rule::namespaced).collect(), Box::default()),
            v1::object::Body::ClusterRole(role) => {
                let selectors = role.aggregation_rule.as_ref().map(selectors).unwrap_or_default();
                (role.rules.iter().map(Rule::new).collect(), selectors.into())
            }
            _ => return None,
        };
        Some(Self { labels: record.metadata().labels.clone(), rules, selectors })
    }
}

/// The selectors of an aggregation. What does not parse finds nothing: validation has refused it already.
pub(super) fn selectors(aggregation: &v1::AggregationRule) -> Vec<LabelSelector> {
    aggregation.cluster_role_selectors.iter().filter_map(|text| text.parse().ok()).collect()
}

impl Roles {
    pub(super) fn version(&self) -> &Version {
        &self.version
    }

    /// Every rule that a role gives, with the role that it stands in.
    pub(super) fn rules_of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (&'a Key, &'a Rule)> + 'a {
        let role = self.all.get(key);
        let own = role.into_iter().flat_map(move |role| role.rules.iter().map(move |rule| (key, rule)));
        let taken_in = role
            .filter(|role| !role.selectors.is_empty())
            .into_iter()
            .flat_map(move |role| self.selected(key, move |labels| matches_any(&role.selectors, labels)));
        own.chain(taken_in)
    }

    /// Every rule of other cluster roles that one of the selectors finds.
    pub(super) fn aggregated<'a>(
        &'a self,
        key: &'a Key,
        selectors: Vec<LabelSelector>,
    ) -> impl Iterator<Item = (&'a Key, &'a Rule)> + 'a {
        self.selected(key, move |labels| matches_any(&selectors, labels))
    }

    /// The own rules of the cluster roles whose labels are wanted, without `but`.
    fn selected<'a>(
        &'a self,
        but: &'a Key,
        wanted: impl Fn(&BTreeMap<String, String>) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a Key, &'a Rule)> + 'a {
        let of_cluster = self.all.iter().filter(move |(key, _)| key.kind == Kind::ClusterRole && *key != but);
        let wanted = of_cluster.filter(move |(_, role)| wanted(&role.labels));
        wanted.flat_map(|(key, role)| role.rules.iter().map(move |rule| (key, rule)))
    }

    /// The roles that can be bound in a namespace; without one, those that can be bound everywhere.
    pub(super) fn within<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Key> + 'a {
        self.all.keys().filter(move |key| key.kind == Kind::ClusterRole || key.namespace == namespace)
    }

    pub(super) fn change(&mut self, before: Option<&Record>, now: Option<&Record>) {
        let is_role = |record: &&Record| matches!(record.key.kind, Kind::Role | Kind::ClusterRole);
        if let Some(record) = before.filter(is_role) {
            self.all.remove_mut(&record.key);
            self.version = Version::default();
        }
        if let Some((record, role)) = now.and_then(|record| Some((record, Role::of(record)?))) {
            self.all.insert_mut(record.key.clone(), Arc::new(role));
            self.version = Version::default();
        }
    }
}

fn matches_any(selectors: &[LabelSelector], labels: &BTreeMap<String, String>) -> bool {
    selectors.iter().any(|selector| selector.matches(labels))
}
