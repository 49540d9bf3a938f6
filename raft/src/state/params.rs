//! Which config maps policies take their parameters from: a change of one decides about other objects, as a change of
//! the policy itself does. Derived from the policies; knows no expression.

use boss_proto::{key::Key, kind::Kind, v1::object::Body};
use rpds::RedBlackTreeMapSync;

use super::record::Record;

/// Name of a config map, and its namespace; an empty one is that of the object that is judged.
type Place = (String, String);

/// How many policies name each place.
#[derive(Debug, Clone)]
pub(super) struct Params(RedBlackTreeMapSync<Place, usize>);

impl Default for Params {
    fn default() -> Self {
        Self(RedBlackTreeMapSync::new_sync())
    }
}

impl Params {
    /// Takes the change of one object in; other kinds change nothing.
    pub(super) fn change(&mut self, before: Option<&Record>, now: Option<&Record>) {
        if let Some(place) = before.and_then(place) {
            match self.0.get(&place).copied() {
                Some(count) if count > 1 => self.0.insert_mut(place, count - 1),
                _ => drop(self.0.remove_mut(&place)),
            }
        }
        if let Some(place) = now.and_then(place) {
            let count = self.0.get(&place).copied().unwrap_or_default();
            self.0.insert_mut(place, count + 1);
        }
    }

    /// The namespace in which a config map decides about other objects, empty for all; `None` when no policy names it.
    pub(super) fn reach<'k>(&self, key: &'k Key) -> Option<&'k str> {
        if key.kind != Kind::ConfigMap || self.0.is_empty() {
            return None;
        }
        let named = |namespace: &str| self.0.contains_key(&(key.name.clone(), namespace.to_owned()));
        // A policy that names the namespace may judge objects of any.
        if named(&key.namespace) { Some("") } else { named("").then_some(&*key.namespace) }
    }
}

fn place(record: &Record) -> Option<Place> {
    match &record.object.body {
        Some(Body::AdmissionPolicy(policy)) => {
            let params = policy.spec.as_ref()?.params.as_ref()?;
            Some((params.name.clone(), params.namespace.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use boss_proto::v1::{AdmissionPolicy, AdmissionPolicySpec, ObjectMeta, PolicyParams};

    use super::*;

    fn policy(name: &str, namespace: &str, map: &str) -> Record {
        let metadata = Some(ObjectMeta { name: name.into(), ..ObjectMeta::default() });
        let params = Some(PolicyParams { namespace: namespace.into(), name: map.into() });
        let spec = Some(AdmissionPolicySpec { params, ..AdmissionPolicySpec::default() });
        Record::new(AdmissionPolicy { metadata, spec, ..AdmissionPolicy::default() }.into()).unwrap()
    }

    #[test]
    fn a_config_map_reaches_as_far_as_the_policies_that_name_it() {
        let mut params = Params::default();
        let reach = |params: &Params, namespace, name| {
            params.reach(&Key::new(Kind::ConfigMap, namespace, name)).map(str::to_owned)
        };
        assert_eq!(reach(&params, "a", "m"), None);
        let (own, fixed) = (policy("p1", "", "m"), policy("p2", "a", "m"));
        params.change(None, Some(&own));
        assert_eq!(reach(&params, "a", "m").as_deref(), Some("a"));
        assert_eq!(reach(&params, "b", "m").as_deref(), Some("b"));
        assert_eq!(reach(&params, "a", "other"), None);
        params.change(None, Some(&fixed));
        assert_eq!(reach(&params, "a", "m").as_deref(), Some(""));
        params.change(None, Some(&policy("p3", "a", "m")));
        params.change(Some(&fixed), None);
        assert_eq!(reach(&params, "a", "m").as_deref(), Some(""), "another policy names it still");
        params.change(Some(&own), Some(&policy("p1", "", "n")));
        assert_eq!((reach(&params, "b", "m"), reach(&params, "b", "n").as_deref()), (None, Some("b")));
        assert_eq!(params.reach(&Key::new(Kind::Secret, "b", "n")), None);
    }
}
