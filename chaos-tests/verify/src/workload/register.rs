//! Clients that treat objects as registers with compare-and-set, through any server, and record every step. Values are
//! unique; a client whose outcome is unknown is retired, and another takes its place.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use boss_client::Error;
use boss_proto::{ids::Revision, v1};
use tonic::Status;

use super::{
    Stop,
    asking::{Failed, PATIENCE, failed},
};
use crate::{
    api::{Api, error_info},
    checkers::generate::{Random, choose},
    history::{Action, Answer, Recorder, Version},
    records::record,
};

/// A client changes its server about so often, and whenever one does not answer: else a server that hangs would soon
/// have all clients.
const OPERATIONS_AT_ONE_SERVER: usize = 16;
/// Clients that go on until they are told to stop.
pub struct Registers {
    recorder: Arc<Recorder>,
    namespace: String,
    keys: usize,
    stop: Stop,
    answered: AtomicUsize,
}

/// The name of a register.
#[must_use]
pub fn name(key: usize) -> String {
    format!("register-{key}")
}

impl Registers {
    /// Registers of a namespace that nobody has touched.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, namespace: &str, keys: usize, stop: Stop) -> Self {
        Self { recorder, namespace: namespace.to_owned(), keys, stop, answered: AtomicUsize::new(0) }
    }

    /// How many operations were answered so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// One client at a time, over several servers; its choices come from the seed.
    pub async fn run(&self, seed: u64, servers: &[Api]) {
        let mut random = Random(seed);
        let mut process = self.recorder.process();
        let mut seen = vec![0; self.keys];
        let mut server = random.below(servers.len());
        while self.stop.turn().await {
            if random.below(OPERATIONS_AT_ONE_SERVER) == 0 {
                server = random.below(servers.len());
            }
            let (key, api) = (random.below(self.keys), &servers[server]);
            let action = choose(&mut random, seen[key], self.recorder.value());
            let invocation = self.recorder.invoke(process, &name(key), action.clone());
            let told = match tokio::time::timeout(PATIENCE, perform(api, (&self.namespace, &name(key)), &action)).await
            {
                Ok(result) => told(result, &action),
                Err(_) if action == Action::Read => Told::Nothing("no answer".to_owned()),
                Err(_) => Told::Unknown("no answer".to_owned()),
            };
            if !matches!(told, Told::Answer(_)) {
                server = (server + 1) % servers.len();
            }
            match told {
                Told::Answer(answer) => {
                    seen[key] = answer.known(seen[key]);
                    invocation.ok(answer);
                    self.answered.fetch_add(1, Ordering::SeqCst);
                }
                Told::Nothing(why) => {
                    invocation.fail(why);
                    tokio::task::yield_now().await;
                }
                Told::Refused(why) => {
                    invocation.refused(why);
                    tokio::task::yield_now().await;
                }
                Told::Unknown(why) => {
                    invocation.info(why);
                    process = self.recorder.process();
                }
            }
        }
    }
}

async fn perform(api: &Api, (namespace, name): (&str, &str), action: &Action) -> Result<Answer, Status> {
    let object = |value: u64| record(namespace, name, &value.to_string());
    match *action {
        Action::Read => {
            let (found, at) = api.look::<v1::ServiceAccount>(namespace, name).await?;
            Ok(Answer::Read { found: version(&found), at: at.0 })
        }
        Action::Create { value } => changed(api.create(object(value)).await?.revision),
        Action::Write { value } => changed(api.update(object(value)).await?.revision),
        Action::Cas { from, value } => {
            let mut object = object(value);
            object.metadata.get_or_insert_default().resource_version = from;
            changed(api.update(object).await?.revision)
        }
        Action::Delete => {
            let deleted = api.delete::<v1::ServiceAccount>(namespace, name).await?;
            changed(Revision(deleted.revision))
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it ends the calls above, which may fail")]
fn changed(revision: Revision) -> Result<Answer, Status> {
    Ok(Answer::Changed { revision: revision.0 })
}

/// The register of a name as a server has it now; none when there is none.
pub async fn read(api: &Api, namespace: &str, key: &str) -> Result<Option<Version>, Status> {
    match api.look::<v1::ServiceAccount>(namespace, key).await {
        Ok((found, _)) => Ok(version(&found)),
        Err(status) if matches!(Error::from_status(&status), Error::NotFound(_)) => Ok(None),
        Err(status) => Err(status),
    }
}

/// Value and revision of a register.
#[must_use]
pub fn version(object: &v1::ServiceAccount) -> Option<Version> {
    let metadata = object.metadata.as_ref()?;
    Some(Version { value: metadata.labels.get("value")?.parse().ok()?, revision: metadata.resource_version })
}

enum Told {
    Answer(Answer),
    /// It was certainly not done.
    Nothing(String),
    /// The same, for no good reason.
    Refused(String),
    /// It may have been done, or be done later.
    Unknown(String),
}

fn told(result: Result<Answer, Status>, action: &Action) -> Told {
    let status = match result {
        Ok(answer) => return Told::Answer(answer),
        Err(status) => status,
    };
    if *action == Action::Read {
        return match Error::from_status(&status) {
            Error::NotFound(_) => Told::Answer(Answer::Read { found: None, at: error_info(&status).current_revision }),
            error @ (Error::Forbidden(_) | Error::Unauthenticated(_)) => Told::Refused(error.to_string()),
            // A read that was not answered did nothing, whatever became of it.
            error => Told::Nothing(error.to_string()),
        };
    }
    match failed(&status) {
        Failed::Absent => Told::Answer(Answer::Absent),
        Failed::Exists { current } => Told::Answer(Answer::Exists { current }),
        Failed::Conflict { current } => Told::Answer(Answer::Conflict { current }),
        Failed::Nothing(why) => Told::Nothing(why),
        Failed::Refused(why) => Told::Refused(why),
        Failed::Unknown(why) => Told::Unknown(why),
    }
}
