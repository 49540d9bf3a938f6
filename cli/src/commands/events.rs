//! `bossctl events`: what happened lately.

use boss_proto::{kind::Kind, v1, v1::object::Body};

use super::{get, target, watch};
use crate::{
    args::{self, Selection},
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn run(args: &args::Events, session: &Session) -> Result<Exit, Failure> {
    let mut selection = Selection { all_namespaces: args.all_namespaces, ..Selection::default() };
    if let Some(about) = &args.about {
        let (kind, name) = target::parse_one(std::slice::from_ref(about))?;
        selection.fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
        // Events about what lives in no namespace are kept somewhere else than where we are.
        selection.all_namespaces |= !kind.is_namespaced();
    }
    let query = get::query_all(Kind::Event, &selection, session);
    if args.watch {
        return watch::follow(query, args.output, get::ManagedFields::Hidden, session).await;
    }
    let listed = terminal::waiting("asking", session.client.list(&query)).await;
    let mut events = listed.map_err(|error| Failure::from_client("cannot list the events", &error))?.objects;
    if events.is_empty() && args.output.is_table() {
        terminal::note("no events");
        return Ok(Exit::Ok);
    }
    events.sort_by_key(last_seen);
    terminal::print(&output::list(&events, args.output, get::scope(&query), session.now()));
    Ok(Exit::Ok)
}

fn last_seen(object: &v1::Object) -> Option<i64> {
    match &object.body {
        Some(Body::Event(event)) => output::last_seen(event),
        _ => None,
    }
}
