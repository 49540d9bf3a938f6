//! `bossctl apply`: makes objects as manifests say, and leaves alone what manifests do not speak of.

use std::path::PathBuf;

use boss_client::Error;
use boss_proto::{key::Key, manifest, v1};

use super::manifests;
use crate::{
    args,
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

mod merge;

/// Somebody who always changes the object between our read and our write is no reason to go on for ever.
const ATTEMPTS_MAX: usize = 5;

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
    let (_, first) = apply_files(&args.files, session).await;
    match first {
        None => Ok(Exit::Ok),
        // It was told already, beside the object that it belongs to.
        Some(exit) => Ok(exit),
    }
}

/// Applies every object, tells what became of each, and goes on after a failure. Gives the keys of the objects that
/// are now as wanted, and the exit code of the first failure.
pub(super) async fn apply_files(files: &[PathBuf], session: &Session) -> (Vec<Key>, Option<Exit>) {
    let (mut keys, mut first) = (Vec::new(), None);
    for object in manifests::read(files) {
        let applied = match object {
            Ok(object) => terminal::waiting("applying", Box::pin(apply(session, object))).await,
            Err(failure) => Err(failure),
        };
        match applied {
            Ok((key, effect)) => {
                terminal::print(&format!("{}/{} {}\n", key.kind.plural(), key.name, effect.word()));
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

async fn apply(session: &Session, mut object: v1::Object) -> Result<(Key, Effect), Failure> {
    let key = place(&mut object, session)?;
    let failed = |error: Error| Failure::from_client(format!("cannot apply {key}"), &error);
    let wanted = merge::remember(manifest::to_value(&object));
    let pinned = object.metadata().is_some_and(|metadata| metadata.resource_version != 0);
    for attempt in 1.. {
        let last = pinned || attempt == ATTEMPTS_MAX;
        let live = match session.client.get(&key).await {
            Ok(live) => live,
            Err(Error::NotFound(_)) => match session.client.create(read_back(&key, wanted.clone())?).await {
                Ok(_) => return Ok((key, Effect::Created)),
                Err(Error::AlreadyExists(_)) if !last => continue,
                Err(error) => return Err(failed(error)),
            },
            Err(error) => return Err(failed(error)),
        };
        let before = manifest::to_value(&live);
        let merged = merge::merge(&before, &wanted);
        if merged == before {
            return Ok((key, Effect::Unchanged));
        }
        match session.client.update(read_back(&key, merged)?).await {
            Ok(after) if revision(&after) == revision(&live) => return Ok((key, Effect::Unchanged)),
            Ok(_) => return Ok((key, Effect::Configured)),
            Err(Error::Conflict { .. } | Error::NotFound(_)) if !last => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(Failure::new(Exit::Conflict, format!("cannot apply {key}"), "it changes faster than it can be read"))
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
    Ok(Key::new(kind, &*metadata.namespace, &*metadata.name))
}

fn read_back(key: &Key, value: serde_json::Value) -> Result<v1::Object, Failure> {
    manifest::from_value(value).map_err(|problem| Failure::bad_input(format!("cannot apply {key}"), problem))
}

fn revision(object: &v1::Object) -> u64 {
    object.metadata().map_or(0, |metadata| metadata.resource_version)
}
