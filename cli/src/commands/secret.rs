//! `bossctl secret`: secrets from files, and new keys for all of them. Shows keys and sizes, never values.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    time::Duration,
};

use boss_base::files;
use boss_client::PatchOptions;
use boss_proto::{
    key::Key,
    kind::Kind,
    limits::SECRET_BYTES_MAX,
    object::Resource,
    v1::{ObjectMeta, SealingKey, Secret},
};

use crate::{
    args::{self, Secrets},
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

/// The annotation that asks the leader for the next key.
const ROTATE: &str = "boss.dev/rotate";
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn run(args: Secrets, session: &Session) -> Result<Exit, Failure> {
    match args {
        Secrets::Create(args) => create(&args, session).await,
        Secrets::RotateKey { wait } => rotate(wait, session).await,
    }
}

async fn create(args: &args::CreateSecret, session: &Session) -> Result<Exit, Failure> {
    let data = values(args)?.into_iter().map(|(key, value)| (key, value.into())).collect();
    let metadata =
        ObjectMeta { name: args.name.clone(), namespace: session.namespace.clone(), ..ObjectMeta::default() };
    let secret = Secret { metadata: Some(metadata), r#type: args.kind.clone(), data, ..Secret::default() };
    let written = terminal::waiting("writing", session.client.create(secret.into_object())).await;
    written.map_err(|error| Failure::from_client("cannot create the secret", &error))?;
    terminal::print(&format!("secrets/{} created\n", output::clean(&args.name)));
    Ok(Exit::Ok)
}

fn values(args: &args::CreateSecret) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let bad = |problem: String| Failure::bad_input("cannot read the values", problem);
    let mut values = BTreeMap::new();
    for (key, path) in args.files() {
        let value = files::read_bounded(&path, SECRET_BYTES_MAX);
        let value = value.map_err(|error| bad(format!("{}: {error}", path.display())))?;
        if values.insert(key.clone(), value).is_some() {
            return Err(bad(format!("the key {key:?} is there twice")));
        }
    }
    if let Some(key) = &args.from_stdin {
        let mut value = Vec::new();
        let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX) + 1;
        io::stdin().take(limit).read_to_end(&mut value).map_err(|error| bad(format!("standard input: {error}")))?;
        if value.last() == Some(&b'\n') {
            value.pop();
        }
        if values.insert(key.clone(), value).is_some() {
            return Err(bad(format!("the key {key:?} is there twice")));
        }
    }
    Ok(values)
}

/// Asks for the next key and shows how far the servers are.
async fn rotate(wait: Duration, session: &Session) -> Result<Exit, Failure> {
    let what = "cannot change the sealing key";
    let keys = session.client.api::<SealingKey>("");
    let all = keys.list().await.map_err(|error| Failure::from_client(what, &error))?.items;
    let phase = |key: &SealingKey| key.spec.as_ref().map(|spec| spec.phase.clone()).unwrap_or_default();
    let active = all.iter().find(|key| phase(key) == "Active").and_then(|key| key.metadata.clone());
    let Some(old) = active else {
        return Err(Failure::new(Exit::Failed, what, "no key is in use: see bossctl get sealingkeys"));
    };
    let asked = output::rfc3339(i64::try_from(session.now() / 1_000).unwrap_or(i64::MAX));
    let patch = serde_json::json!({ "metadata": { "annotations": { ROTATE: asked } } });
    let key = Key::cluster(Kind::SealingKey, &*old.name);
    let patched = session.client.patch(&key, &patch, &PatchOptions::default()).await;
    patched.map_err(|error| Failure::from_client(what, &error))?;
    let watched = tokio::time::timeout(wait, follow(session, &old.name)).await;
    match watched {
        Ok(Ok(resealed)) => {
            terminal::print(&format!(
                "{resealed} objects were sealed anew; nothing needs the key {} any more but older backups\n",
                old.name
            ));
            Ok(Exit::Ok)
        }
        Ok(Err(failure)) => Err(failure),
        Err(_elapsed) => {
            terminal::note("it goes on: see bossctl get sealingkeys");
            Ok(Exit::Failed)
        }
    }
}

/// Waits until the key is retired; how many objects were sealed anew.
async fn follow(session: &Session, name: &str) -> Result<u64, Failure> {
    let keys = session.client.api::<SealingKey>("");
    let mut said = String::new();
    loop {
        let key = keys.get(name).await.map_err(|error| Failure::from_client("cannot follow the change", &error))?;
        let spec = key.spec.unwrap_or_default();
        if spec.phase == "Retired" {
            return Ok(spec.resealed);
        }
        let line = match (&*spec.phase, &*spec.message) {
            (_, message) if !message.is_empty() => format!("waits: {}", output::clean(message)),
            ("Retiring", _) => format!("{} sealed anew, {} to go", spec.resealed, spec.remaining),
            _ => String::new(),
        };
        if line != said {
            terminal::note(&line);
            said = line;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
