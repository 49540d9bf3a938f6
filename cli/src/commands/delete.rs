//! `bossctl delete`: deletes objects and waits until they are really gone.

use std::time::Duration;

use boss_client::{
    Client, CollectionOptions, DeleteOptions, Error, Query,
    watch::{EventKind, Item},
};
use boss_proto::key::Key;

use super::{
    apply, manifests,
    target::{self, Target},
};
use crate::{
    args,
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

pub(super) async fn run(args: &args::Delete, session: &Session) -> Result<Exit, Failure> {
    if args.selects() {
        return delete_selected(args, session).await;
    }
    let mut first = None;
    for key in keys(args, session)? {
        let deleted = match key {
            Ok(key) => {
                delete(&key, args, session).await.map(|word| format!("{}/{} {word}\n", key.kind.plural(), key.name))
            }
            Err(failure) => Err(failure),
        };
        match deleted {
            Ok(line) => terminal::print(&line),
            Err(failure) => {
                terminal::note(&failure.to_string());
                first = first.or(Some(failure.exit));
            }
        }
    }
    Ok(first.unwrap_or(Exit::Ok))
}

/// Everything that a selection finds: the servers delete it, page by page.
async fn delete_selected(args: &args::Delete, session: &Session) -> Result<Exit, Failure> {
    let Target::All(kind) = target::parse(&args.what)? else {
        return Err(Failure::bad_input("cannot delete", "names and a selection do not go together"));
    };
    let what = || format!("cannot delete {}", kind.plural());
    let namespace = if kind.is_namespaced() { &*session.namespace } else { "" };
    let text = |option: &Option<String>| option.clone().unwrap_or_default();
    let query = Query::all(kind).in_namespace(namespace).labels(text(&args.labels)).fields(text(&args.fields));
    let options = CollectionOptions {
        propagation: args.cascade.into(),
        grace_period_seconds: args.grace_period,
        dry_run: args.dry_run.is_dry(),
    };
    let found = terminal::waiting("deleting", session.client.delete_collection(&query, &options)).await;
    let mut first = None;
    for item in found.map_err(|error| Failure::from_client(what(), &error))? {
        let Some(key) = item.key.as_ref().and_then(|key| Key::try_from(key).ok()) else { continue };
        match wait_until_gone(&key, &item.uid, item.gone, args, session).await {
            Ok(word) => terminal::print(&format!("{}/{} {word}\n", key.kind.plural(), key.name)),
            Err(failure) => {
                terminal::note(&failure.to_string());
                first = first.or(Some(failure.exit));
            }
        }
    }
    Ok(first.unwrap_or(Exit::Ok))
}

/// From manifests backwards: what stands first there is often what the others need.
fn keys(args: &args::Delete, session: &Session) -> Result<Vec<Result<Key, Failure>>, Failure> {
    if !args.files.is_empty() {
        let placed = |object: Result<_, _>| object.and_then(|mut object| apply::place(&mut object, session));
        return Ok(manifests::read(&args.files).into_iter().rev().map(placed).collect());
    }
    match target::parse(&args.what)? {
        Target::Named(named) => Ok(named.iter().map(|(kind, name)| Ok(target::key(session, *kind, name))).collect()),
        Target::All(kind) => Err(Failure::bad_input(
            format!("cannot delete {}", kind.plural()),
            "no name was given: KIND NAME..., or KIND/NAME...",
        )),
    }
}

/// What became of it, in one word.
async fn delete(key: &Key, args: &args::Delete, session: &Session) -> Result<&'static str, Failure> {
    let what = || format!("cannot delete {key}");
    let options = DeleteOptions {
        grace_period_seconds: args.grace_period,
        propagation: args.cascade.into(),
        dry_run: args.dry_run.is_dry(),
        ..DeleteOptions::default()
    };
    let deleted = match terminal::waiting("deleting", session.client.delete(key, &options)).await {
        Err(Error::NotFound(_)) if args.ignore_not_found => return Ok("not found"),
        deleted => deleted.map_err(|error| Failure::from_client(what(), &error))?,
    };
    let uid = deleted.object.metadata().map(|metadata| metadata.uid.clone()).unwrap_or_default();
    wait_until_gone(key, &uid, deleted.gone, args, session).await
}

/// Waits if something must still happen, and if that is wanted; what became of it, in words.
async fn wait_until_gone(
    key: &Key,
    uid: &str,
    gone_already: bool,
    args: &args::Delete,
    session: &Session,
) -> Result<&'static str, Failure> {
    let what = || format!("cannot delete {key}");
    match (args.dry_run.is_dry(), gone_already, args.no_wait) {
        (true, true, _) => return Ok("deleted (dry run)"),
        (true, false, _) => return Ok("is being deleted (dry run)"),
        (false, true, _) => return Ok("deleted"),
        (false, false, true) => return Ok("is being deleted"),
        (false, false, false) => {}
    }
    let gone = gone(&session.client, key, uid, args.wait_timeout);
    let gone = terminal::waiting(&format!("waiting until {}/{} is gone", key.kind.plural(), key.name), gone).await;
    match gone.map_err(|error| Failure::from_client(what(), &error))? {
        true => Ok("deleted"),
        false => {
            let why = format!("still there after {}", humantime::format_duration(args.wait_timeout));
            let next = format!("bossctl describe {} {} shows what it waits for", key.kind.plural(), key.name);
            Err(Failure::new(Exit::Unavailable, what(), why).or_next(next))
        }
    }
}

/// Whether the object of that uid went away in time. A new object of the same name does not count as the old one.
pub(super) async fn gone(client: &Client, key: &Key, uid: &str, patience: Duration) -> Result<bool, Error> {
    match tokio::time::timeout(patience, until_gone(client, key, uid)).await {
        Ok(result) => result.map(|()| true),
        Err(_) => Ok(false),
    }
}

async fn until_gone(client: &Client, key: &Key, uid: &str) -> Result<(), Error> {
    let is_it = |object: &boss_proto::v1::Object| object.metadata().is_some_and(|metadata| metadata.uid == uid);
    let mut watch = client.watch(Query::all(key.kind).in_namespace(&*key.namespace).named(&*key.name));
    loop {
        match watch.next().await? {
            Item::Restarted { objects, .. } if !objects.iter().any(is_it) => return Ok(()),
            Item::Event { kind: EventKind::Deleted, object, .. } if is_it(&object) => return Ok(()),
            Item::Event { object, .. } if !is_it(&object) => return Ok(()),
            _ => {}
        }
    }
}
