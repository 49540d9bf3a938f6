//! Owner references: the owner must stand where the object can see it. The collector would take an owner that does
//! not for one that is gone, and delete the object.

use boss_proto::{
    key::Key,
    kind::Kind,
    v1::{Object, OwnerReference},
};
use boss_raft::state::rbac::Attributes;

use super::{Case, Refusal, checks::Report};

/// Checks the references that are new; those that the stored object has already stay as they are.
pub(super) fn check(
    case: &Case<'_>,
    stored: Option<&Object>,
    object: &Object,
    report: &mut Report,
) -> Result<(), Refusal> {
    let (Some(key), Some(metadata)) = (object.key(), object.metadata()) else { return Ok(()) };
    let before = stored.and_then(Object::metadata).map_or(&[][..], |metadata| &metadata.owner_references);
    for (index, owner) in metadata.owner_references.iter().enumerate().filter(|(_, owner)| !before.contains(owner)) {
        let field = format!("metadata.ownerReferences[{index}]");
        let Some(owner_key) = place(&key, owner) else {
            let problem = format!("a {} lives in no namespace and cannot be owned by one that does", key.kind);
            report.add(format!("{field}.kind"), problem, "name a cluster-scoped owner");
            continue;
        };
        let known = before.iter().any(|other| other.uid == owner.uid);
        let found = case.view.get(&owner_key).filter(|record| record.metadata().uid == owner.uid);
        if found.is_none() && !known {
            let problem = format!("{owner_key} with this uid does not exist");
            report.add(format!("{field}.uid"), problem, "owners live in the same namespace, or in none");
        }
        if owner.block_owner_deletion {
            // Who blocks a deletion decides about the owner.
            case.authorize(&Attributes::on("update", &owner_key).part("finalizers"))?;
        }
    }
    Ok(())
}

/// Where the owner of an object stands: in its namespace, or in none. `None` when there is no such place.
fn place(object: &Key, owner: &OwnerReference) -> Option<Key> {
    // Validation has named unknown kinds; anything that is nowhere does for the rest.
    let kind: Kind = owner.kind.parse().unwrap_or(Kind::Namespace);
    match (kind.is_namespaced(), object.namespace.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Key::new(kind, &*object.namespace, &*owner.name)),
        (false, _) => Some(Key::cluster(kind, &*owner.name)),
    }
}
