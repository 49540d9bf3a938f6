//! `bossctl patch`: changes what a JSON merge patch names, and nothing else.

use boss_client::{PatchOptions, WriteOptions};
use serde_json::Value;

use super::target;
use crate::{
    args,
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

pub(super) async fn run(args: &args::Patch, session: &Session) -> Result<Exit, Failure> {
    let (kind, name) = target::parse_one(&args.what)?;
    let key = target::key(session, kind, &name);
    let what = || format!("cannot patch {key}");
    let patch: Value = serde_json::from_str(&args.patch)
        .map_err(|error| Failure::bad_input(what(), format!("--patch is not JSON: {error}")))?;
    let options = PatchOptions {
        status: args.status,
        preconditions: None,
        write: WriteOptions { dry_run: args.dry_run.is_dry(), field_manager: args.field_manager.clone() },
    };
    let patched = terminal::waiting("patching", session.client.patch(&key, &patch, &options)).await;
    patched.map_err(|error| Failure::from_client(what(), &error))?;
    terminal::print(&format!("{}/{} patched{}\n", key.kind.plural(), key.name, args.dry_run.suffix()));
    Ok(Exit::Ok)
}
