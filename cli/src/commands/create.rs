//! `bossctl create` and `bossctl replace`: whole objects, as the manifests say and not merged with anything.

use boss_client::{Error, WriteOptions};
use boss_proto::v1;

use super::{apply, manifests};
use crate::{
    args,
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

/// What is done with each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It must be new.
    Create,
    /// It must be there.
    Replace,
}

impl How {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            How::Create => ("create", "created"),
            How::Replace => ("replace", "replaced"),
        }
    }
}

pub(super) async fn run(args: &args::Whole, session: &Session, how: How) -> Result<Exit, Failure> {
    let mut first = None;
    for object in manifests::read(&args.files) {
        let written = match object {
            Ok(object) => terminal::waiting("writing", Box::pin(write(args, session, how, object))).await,
            Err(failure) => Err(failure),
        };
        match written {
            Ok(line) => terminal::print(&line),
            Err(failure) => {
                terminal::note(&failure.to_string());
                first = first.or(Some(failure.exit));
            }
        }
    }
    Ok(first.unwrap_or(Exit::Ok))
}

async fn write(args: &args::Whole, session: &Session, how: How, mut object: v1::Object) -> Result<String, Failure> {
    let (verb, done) = how.words();
    let named = name(&mut object, session)?;
    let options = WriteOptions { dry_run: args.dry_run.is_dry(), field_manager: "bossctl".to_owned() };
    let result = match how {
        How::Create => session.client.create_with(object, &options).await,
        How::Replace => session.client.update_with(object, &options).await,
    };
    let object = result.map_err(|error: Error| Failure::from_client(format!("cannot {verb} {named}"), &error))?;
    let kind = object.kind().map_or("", boss_proto::kind::Kind::plural);
    let name = object.metadata().map_or("", |metadata| &metadata.name);
    Ok(format!("{kind}/{name} {done}{}\n", args.dry_run.suffix()))
}

/// What messages call the object. One that asks for a generated name has none yet.
fn name(object: &mut v1::Object, session: &Session) -> Result<String, Failure> {
    let prefix = object.metadata().map(|metadata| metadata.generate_name.clone()).unwrap_or_default();
    let unnamed = object.metadata().is_some_and(|metadata| metadata.name.is_empty());
    if prefix.is_empty() || !unnamed {
        return apply::place(object, session).map(|key| key.to_string());
    }
    let named = format!("an object named {prefix}…");
    let kind = object.kind().ok_or_else(|| Failure::bad_input(&*named, "it is empty"))?;
    let metadata = object.metadata_mut().ok_or_else(|| Failure::bad_input(&*named, "it is empty"))?;
    apply::place_namespace(kind, metadata, session, &named)?;
    Ok(named)
}
