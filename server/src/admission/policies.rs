//! Asks policies and profiles about a write on its way through admission. What policies mean is `boss_proto::policy`;
//! here is which there are, and what follows for the write. Pure but for the cache of what was compiled.

use std::sync::{Arc, PoisonError, RwLock};

use boss_proto::{
    key::Key,
    kind::Kind,
    policy::{self, Caller, Finding, Outcome, Params, Policy, Review, profile},
    raft::v1::PolicyResult,
    v1::{ConfigMap, Namespace, Object, Pod, object::Body},
};
use boss_raft::state::View;

use super::{Case, Refusal, checks::Report, defaults, limits::Limits, metadata, secrets};
use crate::auth::{NODES_GROUP, SERVERS_GROUP};

/// The policies as they were last seen, compiled. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Policies(Arc<RwLock<Compiled>>);

#[derive(Debug, Clone, Default)]
struct Compiled {
    /// Of the whole cluster: it moves whenever a policy does.
    epoch: u64,
    /// In the order of their names.
    policies: Arc<[Entry]>,
}

#[derive(Debug, Clone)]
struct Entry {
    uid: String,
    resource_version: u64,
    policy: Arc<Policy>,
}

impl Policies {
    /// Those that stand in the view. Only what has changed is compiled.
    fn of(&self, view: &View) -> Arc<[Entry]> {
        let epoch = view.admission_epoch("");
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.epoch == epoch {
            return known.policies;
        }
        let policies: Arc<[Entry]> = view
            .list(Kind::AdmissionPolicy, None)
            .filter_map(|record| match &record.object.body {
                Some(Body::AdmissionPolicy(said)) => Some((record, said)),
                _ => None,
            })
            .map(|(record, said)| {
                let (uid, resource_version) = (&record.metadata().uid, record.revision.0);
                let same = |entry: &&Entry| entry.uid == *uid && entry.resource_version == resource_version;
                known.policies.iter().find(same).cloned().unwrap_or_else(|| Entry {
                    uid: uid.clone(),
                    resource_version,
                    policy: Arc::new(Policy::stored(said)),
                })
            })
            .collect();
        // A view that is older than what is known must not take its place.
        let mut compiled = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if compiled.epoch < epoch {
            *compiled = Compiled { epoch, policies: policies.clone() };
        }
        policies
    }
}

/// A write as its admission sees it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: policy::Operation,
    pub(super) key: &'a Key,
    pub(super) object: Option<&'a Object>,
    pub(super) old: Option<&'a Object>,
}

impl Case<'_> {
    /// The object as the policies want it, with what they left out filled in again.
    pub(super) fn mutate(
        &self,
        operation: policy::Operation,
        key: &Key,
        object: &mut Object,
        old: Option<&Object>,
        report: &mut Report,
    ) -> Result<(), Refusal> {
        let policies = self.stamp.policies.of(self.view);
        if policies.is_empty() {
            return Ok(());
        }
        // Policies judge that a secret has values, never which: what they find is shown to others.
        let values = secrets::take_values(object);
        let old = old.map(secrets::concealed);
        let old = old.as_deref();
        let params = |params: &Params| self.params(params);
        let asked = Asked { operation, key, object: Some(object), old };
        let review = policy::mutate(policies.iter().map(|entry| &*entry.policy), &self.write(asked), &params);
        self.note(&review)?;
        if let Some(mutated) = review.mutated {
            *object = mutated;
            defaults::fill(object);
            Limits::of(self.view, key).fill_changed(old, object);
            metadata::recheck(object, report);
        }
        secrets::put_values(object, values);
        Ok(())
    }

    /// What policies and profiles say about the write as it is to be proposed.
    pub(super) fn judge(&self, asked: Asked<'_>) -> Result<(), Refusal> {
        let policies = self.stamp.policies.of(self.view);
        if !policies.is_empty() {
            let params = |params: &Params| self.params(params);
            let (object, old) = (asked.object.map(secrets::concealed), asked.old.map(secrets::concealed));
            let asked = Asked { object: object.as_deref(), old: old.as_deref(), ..asked };
            let review = policy::validate(policies.iter().map(|entry| &*entry.policy), &self.write(asked), &params);
            self.note(&review)?;
        }
        match (asked.operation, asked.object.and_then(|object| object.body.as_ref())) {
            (policy::Operation::Create | policy::Operation::Update, Some(Body::Pod(pod))) => {
                self.note(&self.profiles(&asked.key.namespace, pod))
            }
            _ => Ok(()),
        }
    }

    /// What the profiles that the namespace's labels name say.
    fn profiles(&self, namespace: &str, pod: &Pod) -> Review {
        let mut review = Review::default();
        let Some(namespace) = self.namespace(namespace) else { return review };
        for (label, result) in [
            (profile::ENFORCE_LABEL, Outcome::Denied),
            (profile::WARN_LABEL, Outcome::Warned),
            (profile::AUDIT_LABEL, Outcome::Audited),
        ] {
            let Some(profile) = profile::Profile::of(namespace, label) else { continue };
            let violations = profile::check(profile, pod);
            if !violations.is_empty() {
                let message = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                review.findings.push(Finding { policy: format!("profile:{profile}"), result, message });
            }
        }
        review
    }

    fn write<'b>(&'b self, asked: Asked<'b>) -> policy::Write<'b> {
        let Asked { operation, key, object, old } = asked;
        let groups = &self.identity.groups;
        let is_system = groups.iter().any(|group| group == SERVERS_GROUP || group == NODES_GROUP);
        policy::Write {
            operation,
            kind: key.kind,
            namespace: &key.namespace,
            name: &key.name,
            object,
            old,
            namespace_object: self.namespace(&key.namespace),
            caller: Caller { username: &self.identity.username, groups, is_system },
            dry_run: self.dry_run,
        }
    }

    fn namespace(&self, name: &str) -> Option<&Namespace> {
        match &self.view.get(&Key::cluster(Kind::Namespace, name))?.object.body {
            Some(Body::Namespace(namespace)) => Some(namespace),
            _ => None,
        }
    }

    fn params(&self, params: &Params) -> Option<&ConfigMap> {
        match &self.view.get(&Key::new(Kind::ConfigMap, &*params.namespace, &*params.name))?.object.body {
            Some(Body::ConfigMap(map)) => Some(map),
            _ => None,
        }
    }

    /// Keeps what was found for the log, or refuses.
    fn note(&self, review: &Review) -> Result<(), Refusal> {
        let denials: Vec<Finding> = review.denials().cloned().collect();
        if !denials.is_empty() {
            return Err(Refusal::Policies(denials));
        }
        let mut notes = self.notes.borrow_mut();
        notes.asked_policies |= review.matched > 0;
        notes.findings.extend(review.findings.iter().map(|finding| PolicyResult {
            policy: finding.policy.clone(),
            result: finding.result.as_str().to_owned(),
            message: finding.message.clone(),
        }));
        Ok(())
    }
}
