//! `bossctl apply`: makes objects as manifests say. The servers merge field by field and remember who owns what.

use boss_client::{Error, WriteOptions};
use boss_proto::{key::Key, manifest, v1};

use super::manifests;
use crate::{
    args,
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

/// What applying a manifest led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Created,
    Configured,
    Unchanged,
}

impl Effect {
    fn word(self) -> &'static str {
        match self {
            Effect::Created => "created",
            Effect::Configured => "configured",
            Effect::Unchanged => "unchanged",
        }
    }
}

pub(super) async fn run(args: &args::Apply, session: &Session) -> Result<Exit, Failure> {
    // What failed was told already, beside the object that it belongs to.
    Ok(apply_files(args, session).await.1.unwrap_or(Exit::Ok))
}

/// Applies every object, tells what became of each, and goes on after a failure. Gives the keys of the objects that
/// are now as wanted, and the exit code of the first failure.
pub(super) async fn apply_files(args: &args::Apply, session: &Session) -> (Vec<Key>, Option<Exit>) {
    let (mut keys, mut first) = (Vec::new(), None);
    for object in manifests::read(&args.files) {
        let applied = match object {
            Ok(object) => terminal::waiting("applying", Box::pin(apply(args, session, object))).await,
            Err(failure) => Err(failure),
        };
        match applied {
            Ok((key, effect)) => {
                let dry = args.dry_run.suffix();
                terminal::print(&format!("{}/{} {}{dry}\n", key.kind.plural(), key.name, effect.word()));
                keys.push(key);
            }
            Err(failure) => {
                terminal::note(&failure.to_string());
                first = first.or(Some(failure.exit));
            }
        }
    }
    (keys, first)
}

async fn apply(args: &args::Apply, session: &Session, mut object: v1::Object) -> Result<(Key, Effect), Failure> {
    let key = place(&mut object, session)?;
    let failed = |error: Error| Failure::from_client(format!("cannot apply {key}"), &error);
    let before = match session.client.get(&key).await {
        Ok(live) => Some(revision(&live)),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(failed(error)),
    };
    let mut manifest = manifest::to_value(&object);
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove("status");
    }
    let options = WriteOptions { dry_run: args.dry_run.is_dry(), field_manager: args.field_manager.clone() };
    let after = session.client.apply(&manifest, args.force_conflicts, &options).await.map_err(failed)?;
    let effect = match before {
        None => Effect::Created,
        Some(before) if before == revision(&after) => Effect::Unchanged,
        Some(_) => Effect::Configured,
    };
    Ok((key, effect))
}

/// Where the object belongs; fills in its namespace.
pub(super) fn place(object: &mut v1::Object, session: &Session) -> Result<Key, Failure> {
    let what = "cannot use a manifest";
    let kind = object.kind().ok_or_else(|| Failure::bad_input(what, "it is empty"))?;
    let metadata = object.metadata_mut().ok_or_else(|| Failure::bad_input(what, "it is empty"))?;
    let named = format!("cannot use the manifest of {}/{}", kind.plural(), metadata.name);
    if metadata.name.is_empty() {
        return Err(Failure::bad_input(named, "metadata.name is missing"));
    }
    place_namespace(kind, metadata, session, &named)?;
    Ok(Key::new(kind, &*metadata.namespace, &*metadata.name))
}

/// Fills in the namespace of an object that may have no name yet.
pub(super) fn place_namespace(
    kind: boss_proto::kind::Kind,
    metadata: &mut v1::ObjectMeta,
    session: &Session,
    named: &str,
) -> Result<(), Failure> {
    match (kind.is_namespaced(), metadata.namespace.is_empty()) {
        (true, true) => metadata.namespace.clone_from(&session.namespace),
        (true, false) if session.namespace_given && metadata.namespace != session.namespace => {
            let why = format!(
                "metadata.namespace is {:?}, the command line says {:?}",
                metadata.namespace, session.namespace
            );
            return Err(
                Failure::bad_input(named, why).or_next("leave out --namespace, or the namespace in the manifest")
            );
        }
        (false, false) => return Err(Failure::bad_input(named, "metadata.namespace: this kind lives in no namespace")),
        _ => {}
    }
    Ok(())
}

fn revision(object: &v1::Object) -> u64 {
    object.metadata().map_or(0, |metadata| metadata.resource_version)
}
