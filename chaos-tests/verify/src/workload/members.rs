//! Clients that add members to a set, remove them, and list all in pages. They ask again under the same request id until
//! they are answered, and sometimes once more after that.

use std::sync::Arc;

use boss_proto::v1;
use tokio::time::timeout;
use tonic::Status;

use super::{
    Stop,
    asking::{Failed, PATIENCE, insist},
};
use crate::{
    api::Api,
    checkers::generate::Random,
    history::{Call, Recorder, Reply},
    records::{name_of, record},
};

/// Few, so that a list has many pages.
const PAGE: u32 = 10;
/// A client adds no more while it has so many: lists stay short.
const OWN_MAX: usize = 25;

/// Clients of one set.
pub struct Members {
    recorder: Arc<Recorder>,
    namespace: String,
    stop: Stop,
}

impl Members {
    /// A set that nobody has touched. Its namespace must be there, and nothing else in it.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, namespace: &str, stop: Stop) -> Self {
        Self { recorder, namespace: namespace.to_owned(), stop }
    }

    /// One client at a time; its choices come from the seed.
    pub async fn run(&self, seed: u64, servers: &[Api]) {
        let mut random = Random(seed);
        let mut process = self.recorder.process();
        let mut own: Vec<String> = Vec::new();
        while self.stop.turn().await {
            let known = match random.below(10) {
                0..5 if own.len() < OWN_MAX => {
                    let name = format!("m-{}", self.recorder.value());
                    let known = self.add(process, &name, &mut random, servers).await;
                    if known == Known::Done {
                        own.push(name);
                    }
                    known
                }
                5..8 if !own.is_empty() => {
                    let name = own.swap_remove(random.below(own.len()));
                    self.remove(process, &name, &mut random, servers).await
                }
                _ => self.list(process, &servers[random.below(servers.len())]).await,
            };
            if known == Known::Unknown {
                process = self.recorder.process();
            }
        }
    }

    async fn add(&self, process: u64, name: &str, random: &mut Random, servers: &[Api]) -> Known {
        let id = servers[0].seen().request_id();
        let ask = async |api: &Api| Ok(api.create_as(record(&self.namespace, name, "x"), id.clone()).await?.revision.0);
        self.insist(process, Call::Add { name: name.to_owned() }, random, servers, ask).await
    }

    async fn remove(&self, process: u64, name: &str, random: &mut Random, servers: &[Api]) -> Known {
        let id = servers[0].seen().request_id();
        let ask = async |api: &Api| {
            Ok(api.delete_as::<v1::ServiceAccount>(&self.namespace, name, id.clone()).await?.revision)
        };
        self.insist(process, Call::Remove { name: name.to_owned() }, random, servers, ask).await
    }

    async fn insist(
        &self,
        process: u64,
        call: Call,
        random: &mut Random,
        servers: &[Api],
        ask: impl AsyncFn(&Api) -> Result<u64, Status>,
    ) -> Known {
        let is_add = matches!(call, Call::Add { .. });
        let invocation = self.recorder.call(process, call);
        let mut told = insist(random, servers, &ask).await;
        // Once more: whoever has been told is told the same again.
        if told.is_ok() && random.below(8) == 0 {
            told = match insist(random, servers, &ask).await {
                Ok(again) if Ok(again) != told => Err(Failed::Exists { current: again }),
                Err(Failed::Nothing(_) | Failed::Unknown(_)) => told,
                again => again,
            };
        }
        match told {
            Ok(revision) => {
                invocation.reply(Reply::Done { revision });
                Known::Done
            }
            Err(Failed::Nothing(why)) => {
                invocation.fail(why);
                Known::Refused
            }
            Err(Failed::Refused(why)) => {
                invocation.refused(why);
                Known::Refused
            }
            Err(Failed::Unknown(why)) => {
                invocation.info(why);
                Known::Unknown
            }
            Err(Failed::Absent | Failed::Exists { .. } | Failed::Conflict { .. }) => {
                invocation.reply(if is_add { Reply::Exists } else { Reply::Absent });
                Known::Refused
            }
        }
    }

    async fn list(&self, process: u64, api: &Api) -> Known {
        let invocation = self.recorder.call(process, Call::List);
        match timeout(2 * PATIENCE, members(api, &self.namespace)).await {
            Ok(Ok((names, revision))) => invocation.reply(Reply::Members { revision, names }),
            Ok(Err(status)) => invocation.fail(status.to_string()),
            Err(_) => invocation.fail("no answer"),
        }
        // A list that was not answered did nothing.
        Known::Refused
    }
}

/// All members and the revision of the list.
pub async fn members(api: &Api, namespace: &str) -> Result<(Vec<String>, u64), Status> {
    let (mut names, mut token) = (Vec::new(), prost::bytes::Bytes::new());
    loop {
        let (page, next, revision) = api.list_page::<v1::ServiceAccount>(namespace, PAGE, token).await?;
        names.extend(page.iter().map(|account| name_of(account.metadata.as_ref()).to_owned()));
        if next.is_empty() {
            return Ok((names, revision.0));
        }
        token = next;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Done,
    Refused,
    Unknown,
}
