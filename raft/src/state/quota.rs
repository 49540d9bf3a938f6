//! How much of what each namespace holds, and how much it may. The counts are derived from the objects, one change at
//! a time, so they are neither stored nor hashed: a restart counts anew and comes to the same. Knows who asks for
//! nothing and refuses nothing by itself: `decide` asks.

mod counted;
mod measure;

use std::{collections::BTreeMap, sync::Arc};

use boss_proto::{
    key::Key,
    kind::Kind,
    v1::{self, ResourceQuotaStatus, object::Body},
};
use rpds::HashTrieMapSync;

pub use self::counted::{BadCounted, Counted};
use self::measure::{measure, needs_a_word_about, same_measure};
use super::{outcome::Rejection, record::Record};

/// What one quota allows.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    name: String,
    /// In the order of the quota's own texts.
    hard: Vec<(Counted, u64)>,
}

/// The counts and quotas of all namespaces. Cloning costs two reference counts.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    used: HashTrieMapSync<String, BTreeMap<Counted, u128>>,
    /// In the order of their names.
    rules: HashTrieMapSync<String, Arc<BTreeMap<String, Rule>>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { used: HashTrieMapSync::new_sync(), rules: HashTrieMapSync::new_sync() }
    }
}

/// One object as it was and as it is to be.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) before: Option<&'a v1::Object>,
    pub(super) after: Option<&'a v1::Object>,
    /// Whether it may be refused; what is not asked for frees only.
    pub(super) asks: bool,
}

impl Ledger {
    /// The object under `key` was this and is that now.
    pub(super) fn change(&mut self, key: &Key, before: Option<&Record>, now: Option<&Record>) {
        if key.namespace.is_empty() {
            return;
        }
        if key.kind == Kind::ResourceQuota {
            self.change_rule(key, now);
        }
        let (before, now) = (before.map(|record| &record.object), now.map(|record| &record.object));
        if same_measure(before, now) {
            return;
        }
        let mut used = self.used.get(&key.namespace).cloned().unwrap_or_default();
        for (what, amount) in before.map(measure).unwrap_or_default() {
            let left = used.get(&what).copied().unwrap_or_default().saturating_sub(u128::from(amount));
            if left == 0 {
                used.remove(&what);
            } else {
                used.insert(what, left);
            }
        }
        for (what, amount) in now.map(measure).unwrap_or_default() {
            *used.entry(what).or_default() += u128::from(amount);
        }
        if used.is_empty() {
            self.used.remove_mut(&key.namespace);
        } else {
            self.used.insert_mut(key.namespace.clone(), used);
        }
    }

    fn change_rule(&mut self, key: &Key, now: Option<&Record>) {
        let mut rules = self.rules.get(&key.namespace).map(|rules| (**rules).clone()).unwrap_or_default();
        rules.remove(&key.name);
        if let Some(Body::ResourceQuota(quota)) = now.and_then(|record| record.object.body.as_ref()) {
            rules.insert(key.name.clone(), rule_of(&key.name, quota));
        }
        if rules.is_empty() {
            self.rules.remove_mut(&key.namespace);
        } else {
            self.rules.insert_mut(key.namespace.clone(), Arc::new(rules));
        }
    }

    /// How much of something the namespace holds.
    pub(super) fn used(&self, namespace: &str, what: Counted) -> u128 {
        self.used.get(namespace).and_then(|used| used.get(&what)).copied().unwrap_or_default()
    }

    /// Whether changes that happen at once stay within the namespace's quotas, or let it grow nowhere above them.
    pub(super) fn check<'a>(&self, namespace: &str, steps: impl Iterator<Item = Step<'a>>) -> Result<(), Rejection> {
        let Some(rules) = self.rules.get(namespace) else { return Ok(()) };
        let mut growth: BTreeMap<Counted, i128> = BTreeMap::new();
        for step in steps {
            self.check_says(rules, step)?;
            for (what, amount) in growth_of(step) {
                *growth.entry(what).or_default() += amount;
            }
        }
        for rule in rules.values() {
            for (what, hard) in &rule.hard {
                let asked = growth.get(what).copied().unwrap_or_default();
                self.check_one(namespace, rule, *what, u128::from(*hard), asked)?;
            }
        }
        Ok(())
    }

    fn check_one(&self, namespace: &str, rule: &Rule, what: Counted, hard: u128, asked: i128) -> Result<(), Rejection> {
        let Ok(asked) = u128::try_from(asked) else { return Ok(()) };
        let used = self.used(namespace, what);
        if asked == 0 || used.saturating_add(asked) <= hard {
            return Ok(());
        }
        Err(Rejection::QuotaExceeded {
            quota: rule.name.clone(),
            resource: what.to_string(),
            used: what.show(used),
            asked: what.show(asked),
            hard: what.show(hard),
        })
    }

    /// A pod that says nothing of what a quota counts could take any amount of it.
    fn check_says(&self, rules: &BTreeMap<String, Rule>, step: Step<'_>) -> Result<(), Rejection> {
        let Some(object) = step.after.filter(|_| step.asks) else { return Ok(()) };
        for rule in rules.values() {
            for (what, _) in &rule.hard {
                let Some(field) = needs_a_word_about(*what, object) else { continue };
                let problem = format!("is missing, but quota {:?} of the namespace counts {what}", rule.name);
                let hint = "say how much, or have a LimitRange say it for pods that do not";
                return Err(Rejection::invalid(field, problem, hint));
            }
        }
        Ok(())
    }

    /// What a quota's status says.
    fn status(&self, namespace: &str, name: &str) -> Option<ResourceQuotaStatus> {
        let rule = self.rules.get(namespace)?.get(name)?;
        let hard = rule.hard.iter().map(|(what, hard)| (what.to_string(), what.show(u128::from(*hard)))).collect();
        let used = rule.hard.iter().map(|(what, _)| (what.to_string(), what.show(self.used(namespace, *what))));
        Some(ResourceQuotaStatus { hard, used: used.collect() })
    }

    /// The quota as readers see it: with what of it is used.
    pub(super) fn shown(&self, record: &Record) -> Option<Record> {
        let mut object = record.object.clone();
        let Some(Body::ResourceQuota(quota)) = object.body.as_mut() else { return None };
        quota.status = self.status(&record.key.namespace, &record.key.name);
        Record::new(object)
    }
}

fn growth_of(step: Step<'_>) -> BTreeMap<Counted, i128> {
    let mut growth: BTreeMap<Counted, i128> = BTreeMap::new();
    for (what, amount) in step.after.map(measure).unwrap_or_default() {
        *growth.entry(what).or_default() += i128::from(amount);
    }
    for (what, amount) in step.before.map(measure).unwrap_or_default() {
        *growth.entry(what).or_default() -= i128::from(amount);
    }
    growth.retain(|_, amount| step.asks || *amount < 0);
    growth
}

/// What admission let through can be read; of what cannot be, nothing may be had.
fn rule_of(name: &str, quota: &v1::ResourceQuota) -> Rule {
    let hard = quota.spec.iter().flat_map(|spec| &spec.hard);
    let hard = hard.filter_map(|(what, amount)| {
        let what: Counted = what.parse().ok()?;
        Some((what, what.amount(amount).unwrap_or_default()))
    });
    Rule { name: name.to_owned(), hard: hard.collect() }
}

/// Counts anew, for tests.
#[cfg(test)]
fn recount<'a>(objects: impl Iterator<Item = &'a v1::Object>) -> BTreeMap<Counted, u128> {
    let mut used = BTreeMap::new();
    for (what, amount) in objects.flat_map(measure) {
        *used.entry(what).or_default() += u128::from(amount);
    }
    used
}

#[cfg(test)]
mod tests;
