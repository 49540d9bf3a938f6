//! Names that the leader makes: a prefix of the caller's and a suffix that nobody can foresee, and that is the same
//! for the same request id and attempt, so that a request sent again finds what it did.

use boss_proto::{
    key::Key,
    labels,
    limits::NAME_LEN_MAX,
    v1::{Object, RequestId},
};
use boss_raft::state::{
    Digest,
    requests::{Memory, RequestKey},
};

use super::{Case, DEFAULT_NAMESPACE, Refusal};

const SUFFIX_LEN: usize = 5;
/// Without vowels and look-alikes: no words, no mistakes.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Gives the object a name if it asks for one.
pub(super) fn generate(case: &Case<'_>, object: &mut Object) -> Result<(), Refusal> {
    let kind = object.kind();
    let Some(metadata) = object.metadata_mut() else { return Ok(()) };
    if metadata.generate_name.is_empty() || !metadata.name.is_empty() {
        return Ok(());
    }
    let prefix = metadata.generate_name.clone();
    let field = "metadata.generateName";
    if prefix.len() + SUFFIX_LEN > NAME_LEN_MAX {
        let problem = format!("has {} characters, the limit is {}", prefix.len(), NAME_LEN_MAX - SUFFIX_LEN);
        return Err(Refusal::invalid(field, problem, ""));
    }
    labels::check_name(&format!("{prefix}x")).map_err(|problem| Refusal::invalid(field, problem.to_string(), ""))?;
    let namespace = match kind {
        Some(kind) if kind.is_namespaced() && metadata.namespace.is_empty() => DEFAULT_NAMESPACE,
        _ => &metadata.namespace,
    };
    metadata.name = match case.done() {
        Some(key) if Some(key.kind) == kind && key.namespace == namespace && key.name.starts_with(&prefix) => key.name,
        _ => format!("{prefix}{}", suffix(case)),
    };
    Ok(())
}

fn suffix(case: &Case<'_>) -> String {
    let seed = match &case.request_id {
        Some(RequestId { nonce, .. }) => nonce.to_vec(),
        None => (case.stamp.uid)().as_str().as_bytes().to_vec(),
    };
    let digest = Digest::of(&[b"name", case.caller.uid.as_bytes(), &seed, &case.stamp.attempt.to_le_bytes()]);
    digest.to_bytes()[..SUFFIX_LEN]
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

impl Case<'_> {
    /// The object that this very request has written before, if it has. Only for callers that have the right to the
    /// request.
    pub(super) fn done(&self) -> Option<Key> {
        let id = self.request_id.as_ref()?;
        let seen = boss_proto::ids::Revision(id.seen_revision);
        match self.view.requests().recall(RequestKey::new(self.caller, id), seen) {
            Memory::Done(effect) => Some(effect.key.clone()),
            Memory::New | Memory::Expired => None,
        }
    }
}
