//! `bossctl get`: shows objects once, or goes on with every change.

use boss_client::{Query, Read};
use boss_proto::{ids::Revision, key::Key, kind::Kind, v1};

use super::{
    target::{self, Target},
    watch,
};
use crate::{
    args::{self, Selection},
    failure::{Exit, Failure},
    output::{self, Scope},
    session::Session,
    terminal,
};

pub(super) async fn run(args: &args::Get, session: &Session) -> Result<Exit, Failure> {
    let target = target::parse(&args.what)?;
    let fields = ManagedFields::shown_if(args.show_managed_fields);
    if args.watch {
        return watch::follow(watch::query(&target, &args.selection, session)?, args.output, fields, session).await;
    }
    match target {
        Target::All(kind) => list(kind, args, session).await,
        Target::Named(named) => {
            refuse_selection(&args.selection)?;
            show(&named, args, session).await
        }
    }
}

/// The query for all objects of a kind that are selected.
pub(super) fn query_all(kind: Kind, selection: &Selection, session: &Session) -> Query {
    let everywhere = selection.all_namespaces || !kind.is_namespaced();
    let namespace = if everywhere { "" } else { &*session.namespace };
    Query::all(kind).in_namespace(namespace).labels(&*selection.labels).fields(&*selection.fields)
}

/// Whether rows must say where objects live.
pub(super) fn scope(query: &Query) -> Scope {
    if query.namespace.is_empty() { Scope::AllNamespaces } else { Scope::OneNamespace }
}

pub(super) fn refuse_selection(selection: &Selection) -> Result<(), Failure> {
    let empty = selection.labels.is_empty() && selection.fields.is_empty() && !selection.all_namespaces;
    if empty {
        Ok(())
    } else {
        Err(Failure::bad_input("cannot select among named objects", "names and selectors exclude each other"))
    }
}

async fn list(kind: Kind, args: &args::Get, session: &Session) -> Result<Exit, Failure> {
    let (query, fields) =
        (query_all(kind, &args.selection, session), ManagedFields::shown_if(args.show_managed_fields));
    let listed = terminal::waiting("asking", session.client.list_at(&query, read(args.at))).await;
    let mut listed = listed.map_err(|error| Failure::from_client(format!("cannot list {}", kind.plural()), &error))?;
    listed.objects.iter_mut().for_each(|object| fields.keep(object));
    if listed.objects.is_empty() && args.output.is_table() {
        let place =
            if query.namespace.is_empty() { String::new() } else { format!(" in namespace {}", query.namespace) };
        terminal::note(&format!("no {}{place}", kind.plural()));
        return Ok(Exit::Ok);
    }
    terminal::print(&output::list(&listed.objects, args.output, scope(&query), session.now()));
    Ok(Exit::Ok)
}

/// Every object that is there is shown; what is not there is told, and is the exit code.
async fn show(named: &[(Kind, String)], args: &args::Get, session: &Session) -> Result<Exit, Failure> {
    let (format, at, fields) = (args.output, read(args.at), ManagedFields::shown_if(args.show_managed_fields));
    let (mut objects, mut first) = (Vec::new(), None);
    for (kind, name) in named {
        match terminal::waiting("asking", fetch_at(&target::key(session, *kind, name), at, session)).await {
            Ok(mut object) => {
                fields.keep(&mut object);
                objects.push(object);
            }
            Err(failure) => {
                terminal::note(&failure.to_string());
                first = first.or(Some(failure.exit));
            }
        }
    }
    match &objects[..] {
        [object] => terminal::print(&output::one(object, format, session.now())),
        several => {
            several.chunk_by(|one, next| one.kind() == next.kind() || !format.is_table()).for_each(|of_one_kind| {
                terminal::print(&output::list(of_one_kind, format, Scope::OneNamespace, session.now()));
            })
        }
    }
    Ok(first.unwrap_or(Exit::Ok))
}

/// One object.
pub(super) async fn fetch(key: &Key, session: &Session) -> Result<v1::Object, Failure> {
    fetch_at(key, Read::Linearizable, session).await
}

async fn fetch_at(key: &Key, at: Read, session: &Session) -> Result<v1::Object, Failure> {
    let got = session.client.get_at(key, at).await;
    got.map_err(|error| Failure::from_client(format!("cannot get {key}"), &error))
}

/// Whether to show who owns which fields: it is long, and seldom what somebody wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ManagedFields {
    Hidden,
    Shown,
}

impl ManagedFields {
    pub(super) fn shown_if(asked: bool) -> Self {
        if asked { Self::Shown } else { Self::Hidden }
    }

    pub(super) fn keep(self, object: &mut v1::Object) {
        if let Some(metadata) = object.metadata_mut().filter(|_| self == Self::Hidden) {
            metadata.managed_fields.clear();
        }
    }
}

/// How fresh, or from when.
fn read(at: Option<u64>) -> Read {
    at.map_or(Read::Linearizable, |revision| Read::At(Revision(revision)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_owns_which_fields_is_shown_only_when_asked_for() {
        let managed = vec![v1::ManagedFields { manager: "bossctl".to_owned(), ..Default::default() }];
        let mut object = v1::Object::empty(Kind::ConfigMap);
        object.metadata_mut().unwrap().managed_fields = managed;
        ManagedFields::shown_if(true).keep(&mut object);
        assert!(output::one(&object, output::Format::Yaml, 0).contains("managedFields"));
        ManagedFields::shown_if(false).keep(&mut object);
        assert!(!output::one(&object, output::Format::Yaml, 0).contains("managedFields"));
    }
}
