//! Objects that credentials hang on: what may stand in them whatever admission thought, and who writes them.

use boss_proto::{
    kind::Kind,
    object::Resource,
    raft::v1::operation::Action,
    v1::{Object, Revocation, Secret},
};

use super::{Case, Refused, fields, forbidden, invalid};
use crate::state::credentials::Target;

/// What holds for every write of these kinds.
pub(super) fn check(case: &Case<'_>) -> Refused<()> {
    let object = match &case.operation.action {
        Some(Action::Create(create)) => create.object.as_ref(),
        Some(Action::Update(update)) => update.object.as_ref(),
        _ => None,
    };
    match case.key.kind {
        Kind::SigningKey | Kind::SealingKey => check_writer(case, object),
        Kind::Revocation => object.and_then(Revocation::from_object).map_or(Ok(()), |it| check_revocation(case, it)),
        Kind::Secret => object.and_then(Secret::from_object).map_or(Ok(()), check_sealed),
        _ => Ok(()),
    }
}

/// The leader writes them. Others may ask for something in an annotation, and may end a signing key.
fn check_writer(case: &Case<'_>, object: Option<&Object>) -> Refused<()> {
    if case.operation.leader_term.is_some() {
        return Ok(());
    }
    let allowed = match (&case.operation.action, object, case.stored) {
        (Some(Action::Update(_)), Some(object), Some(stored)) => {
            let mut object = object.clone();
            object.fill_type_meta();
            let metadata = object.metadata().cloned().unwrap_or_default();
            fields::same_spec(&mut object, &stored.object)
                && metadata.finalizers == stored.metadata().finalizers
                && metadata.owner_references == stored.metadata().owner_references
        }
        (Some(Action::Delete(_)), ..) => case.key.kind == Kind::SigningKey,
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    Err(forbidden(&format!(
        "{} are written by the servers only; annotations ask for a rotation",
        case.key.kind.plural()
    )))
}

/// One thing is revoked by one object, whose name follows from it: else the end of one would be the end of the other.
fn check_revocation(case: &Case<'_>, revocation: &Revocation) -> Refused<()> {
    let target = revocation.spec.as_ref().and_then(Target::of);
    let target = target.ok_or_else(|| invalid("spec", "names not exactly one token, certificate or subject", ""))?;
    let name = target.revocation_name();
    if case.key.name != name {
        return Err(invalid("metadata.name", &format!("must be {name} for what is revoked"), ""));
    }
    if case.stored.is_none() && case.registry.revocations_are_full_for(target) {
        return Err(invalid("spec", "is one revocation too many", "revoke all credentials of a subject instead"));
    }
    Ok(())
}

/// The last line of defence: clear text gets neither into the state nor into snapshots.
fn check_sealed(secret: &Secret) -> Refused<()> {
    if secret.data.is_empty() && secret.string_data.is_empty() && secret.sealed.is_some() {
        return Ok(());
    }
    Err(invalid("data", "is not sealed", "servers seal before they propose: are all of one version?"))
}
