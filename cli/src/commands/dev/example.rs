//! The example that `dev up` runs: applies it, waits until its pods run, says what to try next. Starts no process.

use std::{path::Path, time::Duration};

use boss_base::clock::{Clock, SystemClock};
use boss_client::{DeleteOptions, Error, Query, watch::Item};
use boss_proto::{
    intent::PodPhase,
    key::Key,
    kind::Kind,
    v1::{self, object::Body},
};
use tokio::time::timeout;

use crate::{
    args,
    commands::{apply, delete, manifests},
    dev::Local,
    failure::{Exit, Failure},
    output::{self, Format, Scope},
    session::Session,
    terminal,
};

/// A pod of an example that needs longer than this is no example.
const RUNNING_TIMEOUT: Duration = Duration::from_secs(30);
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(file: &Path, local: &mut Local, session: &Session, started: Duration) -> Result<(), Failure> {
    tokio::select! {
        died = local.died() => Err(died.into()),
        done = show(file, session, started) => done,
    }
}

async fn show(file: &Path, session: &Session, started: Duration) -> Result<(), Failure> {
    let what = || format!("cannot run the example {}", file.display());
    let files = [file.to_owned()];
    remove_finished(&files, session).await?;
    let (keys, failed) = apply::apply_files(&args::Apply::plain(files.to_vec()), session).await;
    if let Some(exit) = failed {
        return Err(Failure::new(exit, what(), "see above"));
    }
    let mut pods = Vec::new();
    for key in keys.iter().filter(|key| key.kind == Kind::Pod) {
        let running = terminal::waiting(
            &format!("waiting until {key} runs"),
            timeout(RUNNING_TIMEOUT, until_running(key, session)),
        )
        .await;
        let late = |_| {
            let why = format!("{key} does not run after {} s", RUNNING_TIMEOUT.as_secs());
            Failure::new(Exit::Unavailable, what(), why).or_next(format!("bossctl describe pod {}", key.name))
        };
        pods.push(running.map_err(late)??);
    }
    let took = SystemClock.monotonic().saturating_sub(started);
    terminal::note(&format!("example running {:.1} s after the first process was started\n", took.as_secs_f64()));
    terminal::print(&output::list(&pods, Format::Wide, Scope::OneNamespace, session.now()));
    if let Some(key) = keys.iter().find(|key| key.kind == Kind::Pod) {
        terminal::note(&what_next(key, file));
    }
    Ok(())
}

/// A pod of an earlier run that has ended would never run again by itself.
async fn remove_finished(files: &[std::path::PathBuf], session: &Session) -> Result<(), Failure> {
    for object in manifests::read(files) {
        let Ok(mut object) = object else { continue };
        let key = apply::place(&mut object, session)?;
        if key.kind != Kind::Pod {
            continue;
        }
        let failed = |error: Error| Failure::from_client(format!("cannot replace {key}"), &error);
        let found = match session.client.get(&key).await {
            Err(Error::NotFound(_)) => continue,
            found => found.map_err(failed)?,
        };
        let uid = found.metadata().map(|metadata| metadata.uid.clone()).unwrap_or_default();
        if !phase(&found).is_some_and(PodPhase::is_terminal) {
            continue;
        }
        match session.client.delete(&key, &DeleteOptions::default()).await {
            Err(Error::NotFound(_)) => continue,
            deleted => deleted.map_err(failed)?,
        };
        let gone = delete::gone(&session.client, &key, &uid, REMOVAL_TIMEOUT);
        terminal::waiting(&format!("waiting until the old {key} is gone"), gone).await.map_err(failed)?;
    }
    Ok(())
}

async fn until_running(key: &Key, session: &Session) -> Result<v1::Object, Failure> {
    let mut watch = session.client.watch(Query::all(key.kind).in_namespace(&*key.namespace).named(&*key.name));
    loop {
        let item = watch.next().await.map_err(|error| Failure::from_client(format!("cannot watch {key}"), &error))?;
        let object = match item {
            Item::Restarted { mut objects, .. } if !objects.is_empty() => objects.remove(0),
            Item::Event { object, .. } => object,
            _ => continue,
        };
        match phase(&object) {
            Some(PodPhase::Running | PodPhase::Succeeded) => return Ok(object),
            Some(PodPhase::Failed) => {
                let failed = Failure::new(Exit::Failed, format!("cannot run {key}"), "it has failed");
                return Err(failed.or_next(format!("bossctl describe pod {0}; bossctl logs {0}", key.name)));
            }
            _ => {}
        }
    }
}

fn phase(object: &v1::Object) -> Option<PodPhase> {
    match &object.body {
        Some(Body::Pod(pod)) => Some(PodPhase::of(pod)),
        _ => None,
    }
}

fn what_next(key: &Key, file: &Path) -> String {
    let name = &key.name;
    format!(
        "\nTry, in another terminal:\n  \
           bossctl get pods -A -w\n  \
           bossctl describe pod {name}\n  \
           bossctl logs {name}\n  \
           bossctl cluster status          # then kill -9 the leader's process and look again\n  \
           bossctl delete pod {name}\n  \
           bossctl apply -f {}\n",
        file.display()
    )
}
