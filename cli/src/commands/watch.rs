//! `bossctl watch`: every change as it happens.

use boss_client::{
    Query,
    watch::{EventKind, Item},
};
use boss_proto::v1::{self, watch_event};

use super::{
    get::{self, ManagedFields},
    target::{self, Target},
};
use crate::{
    args::{self, Selection},
    failure::{Exit, Failure},
    output::{self, Columns, Format},
    session::Session,
    terminal,
};

pub(super) async fn run(args: &args::Watch, session: &Session) -> Result<Exit, Failure> {
    let target = target::parse(&args.what)?;
    let fields = ManagedFields::shown_if(args.show_managed_fields);
    follow(query(&target, &args.selection, session)?, args.output, fields, session).await
}

/// What to watch.
pub(super) fn query(target: &Target, selection: &Selection, session: &Session) -> Result<Query, Failure> {
    match target {
        Target::All(kind) => Ok(get::query_all(*kind, selection, session)),
        Target::Named(named) => {
            get::refuse_selection(selection)?;
            let [(kind, name)] = &named[..] else {
                return Err(Failure::bad_input(
                    "cannot watch",
                    "one object, or all of a kind, can be watched at a time",
                ));
            };
            Ok(get::query_all(*kind, selection, session).named(&**name))
        }
    }
}

/// Prints what is there, then every change, until Ctrl-C.
pub(super) async fn follow(
    query: Query,
    format: Format,
    fields: ManagedFields,
    session: &Session,
) -> Result<Exit, Failure> {
    let kind = query.kind;
    let mut printer =
        Printer { columns: Columns::new(kind, format, get::scope(&query), Some("EVENT")), format, header: false };
    let _following = session.follow_servers();
    let mut watch = session.client.watch(query);
    loop {
        let item = watch.next().await;
        match item.map_err(|error| Failure::from_client(format!("cannot watch {}", kind.plural()), &error))? {
            Item::Restarted { mut objects, .. } => {
                objects.iter_mut().for_each(|object| fields.keep(object));
                printer.start(&objects, session.now());
            }
            Item::Event { kind, mut object, .. } => {
                fields.keep(&mut object);
                printer.change(event_type(kind), &object, session.now());
            }
            Item::Bookmark(_) => {}
            Item::Interrupted(error) => terminal::note(&format!("interrupted: {error}; trying again")),
        }
    }
}

struct Printer {
    columns: Columns,
    format: Format,
    header: bool,
}

impl Printer {
    fn start(&mut self, objects: &[v1::Object], now: u64) {
        if self.header {
            terminal::note("the history does not reach back to where we were; this is the whole list again:");
        }
        if !self.format.is_table() {
            self.header = true;
            return objects.iter().for_each(|object| self.change(watch_event::Type::Added, object, now));
        }
        let rows: Vec<_> = objects.iter().map(|object| self.row(watch_event::Type::Added, object, now)).collect();
        let text = self.columns.render(&rows);
        terminal::print(if self.header { text.split_once('\n').map_or("", |(_, rows)| rows) } else { &text });
        self.header = true;
    }

    fn change(&mut self, kind: watch_event::Type, object: &v1::Object, now: u64) {
        if self.format.is_table() {
            let row = self.row(kind, object, now);
            terminal::print(&self.columns.render_row(&row));
        } else {
            terminal::print(&output::change(kind, object, self.format));
        }
    }

    fn row(&self, kind: watch_event::Type, object: &v1::Object, now: u64) -> Vec<String> {
        self.columns.row(object, Some(output::change_word(kind)), now)
    }
}

fn event_type(kind: EventKind) -> watch_event::Type {
    match kind {
        EventKind::Added => watch_event::Type::Added,
        EventKind::Modified => watch_event::Type::Modified,
        EventKind::Deleted => watch_event::Type::Deleted,
    }
}
