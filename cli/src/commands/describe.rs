//! `bossctl describe`: one object in full, with its events.

use boss_client::Query;
use boss_proto::{kind::Kind, object::Resource, v1};

use super::{get, target};
use crate::{
    args,
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn run(args: &args::Describe, session: &Session) -> Result<Exit, Failure> {
    let (kind, name) = target::parse_one(&args.what)?;
    let key = target::key(session, kind, &name);
    let mut object = terminal::waiting("asking", get::fetch(&key, session)).await?;
    get::ManagedFields::shown_if(args.show_managed_fields).keep(&mut object);
    let uid = object.metadata().map_or("", |metadata| &metadata.uid);
    let events = match terminal::waiting("asking", about(uid, session)).await {
        Ok(events) => events,
        // Who may see the object need not be allowed to see its events.
        Err(failure) => {
            terminal::note(&failure.to_string());
            Vec::new()
        }
    };
    terminal::print(&output::describe(&object, &events, session.now()));
    Ok(Exit::Ok)
}

/// The events about one object, wherever they are kept.
async fn about(uid: &str, session: &Session) -> Result<Vec<v1::Event>, Failure> {
    let query = Query::all(Kind::Event).fields(format!("involvedObject.uid={uid}"));
    let listed = session.client.list(&query).await;
    let listed = listed.map_err(|error| Failure::from_client("cannot list the events", &error))?;
    Ok(listed.objects.into_iter().filter_map(|object| v1::Event::try_from_object(object).ok()).collect())
}
