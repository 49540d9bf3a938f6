//! Clients who create and delete in a namespace whose quota has room for few, and count what is there.

use std::{cell::Cell, collections::BTreeMap, sync::Arc};

use boss_proto::v1;
use tokio::time::timeout;
use tonic::Status;

use super::{
    Stop,
    asking::{Failed, PATIENCE, failed, insist},
};
use crate::{
    api::{Api, error_info},
    checkers::{generate::Random, quotas::HARD},
    history::{Call, Recorder, Reply},
    records::name_of,
};

const WHAT: &str = "count/configmaps";

/// Clients of one namespace.
pub struct Bank {
    recorder: Arc<Recorder>,
    namespace: String,
    stop: Stop,
}

/// Makes the quota. The namespace must be there, and nothing else in it.
pub async fn prepare(api: &Api, namespace: &str) -> Result<(), Status> {
    let hard = BTreeMap::from([(WHAT.to_owned(), HARD.to_string())]);
    let (metadata, spec) = (metadata(namespace, "few"), Some(v1::ResourceQuotaSpec { hard }));
    api.create(v1::ResourceQuota { metadata, spec, ..v1::ResourceQuota::default() }).await.map(drop)
}

fn metadata(namespace: &str, name: &str) -> Option<v1::ObjectMeta> {
    let (name, namespace) = (name.to_owned(), namespace.to_owned());
    Some(v1::ObjectMeta { name, namespace, ..v1::ObjectMeta::default() })
}

impl Bank {
    /// In a namespace that was prepared.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, namespace: &str, stop: Stop) -> Self {
        Self { recorder, namespace: namespace.to_owned(), stop }
    }

    /// One client at a time; its choices come from the seed.
    pub async fn run(&self, seed: u64, servers: &[Api]) {
        let mut random = Random(seed);
        let mut process = self.recorder.process();
        // What it has, or may have: that is freed as well, or there would be less and less room.
        let mut own: Vec<String> = Vec::new();
        while self.stop.turn().await {
            let known = match random.below(10) {
                0..5 if own.len() < HARD => {
                    let name = format!("q-{}", self.recorder.value());
                    let taken = self.take(process, &name, &mut random, servers).await;
                    if taken != Some(false) {
                        own.push(name);
                    }
                    taken.is_some()
                }
                0..8 if !own.is_empty() => {
                    let name = own.swap_remove(random.below(own.len()));
                    let freed = self.free(process, &name, &mut random, servers).await;
                    if freed != Some(true) {
                        own.push(name);
                    }
                    freed.is_some()
                }
                _ => self.count(process, &servers[random.below(servers.len())]).await,
            };
            if !known {
                process = self.recorder.process();
            }
        }
    }

    /// Whether it has the object now; none when nobody knows.
    async fn take(&self, process: u64, name: &str, random: &mut Random, servers: &[Api]) -> Option<bool> {
        let id = servers[0].seen().request_id();
        let invocation = self.recorder.call(process, Call::Take { name: name.to_owned() });
        // Attempts that may still be done.
        let open = Cell::new(0_u32);
        let ask = async |api: &Api| {
            open.set(open.get() + 1);
            let map = v1::ConfigMap { metadata: metadata(&self.namespace, name), ..v1::ConfigMap::default() };
            let told = api.create_as(map, id.clone()).await;
            let is_known = told.as_ref().err().is_none_or(|status| !matches!(failed(status), Failed::Unknown(_)));
            open.set(open.get() - u32::from(is_known));
            match told {
                Ok(written) => Ok(Some(written.revision.0)),
                Err(status) if error_info(&status).reason == "QUOTA_EXCEEDED" => Ok(None),
                Err(status) => Err(status),
            }
        };
        match insist(random, servers, ask).await {
            Ok(Some(revision)) => {
                invocation.reply(Reply::Done { revision });
                Some(true)
            }
            Ok(None) if open.get() == 0 => {
                invocation.reply(Reply::Full);
                Some(false)
            }
            // This attempt was refused; one before it may find room yet.
            Ok(None) => {
                invocation.info("an earlier attempt was not answered");
                None
            }
            Err(Failed::Nothing(why)) => {
                invocation.fail(why);
                Some(false)
            }
            Err(Failed::Unknown(why)) => {
                invocation.info(why);
                None
            }
            Err(Failed::Refused(why)) => {
                invocation.refused(why);
                Some(false)
            }
            Err(Failed::Absent | Failed::Exists { .. } | Failed::Conflict { .. }) => {
                invocation.reply(Reply::Exists);
                Some(true)
            }
        }
    }

    /// Whether the object is gone; none when nobody knows.
    async fn free(&self, process: u64, name: &str, random: &mut Random, servers: &[Api]) -> Option<bool> {
        let id = servers[0].seen().request_id();
        let invocation = self.recorder.call(process, Call::Free { name: name.to_owned() });
        let ask =
            async |api: &Api| Ok(api.delete_as::<v1::ConfigMap>(&self.namespace, name, id.clone()).await?.revision);
        match insist(random, servers, ask).await {
            Ok(revision) => {
                invocation.reply(Reply::Done { revision });
                Some(true)
            }
            Err(Failed::Nothing(why)) => {
                invocation.fail(why);
                Some(false)
            }
            Err(Failed::Unknown(why)) => {
                invocation.info(why);
                None
            }
            Err(Failed::Refused(why)) => {
                invocation.refused(why);
                Some(false)
            }
            Err(Failed::Absent | Failed::Exists { .. } | Failed::Conflict { .. }) => {
                invocation.reply(Reply::Absent);
                Some(true)
            }
        }
    }

    /// A list that was not answered did nothing.
    async fn count(&self, process: u64, api: &Api) -> bool {
        let invocation = self.recorder.call(process, Call::Count);
        match timeout(PATIENCE, api.list::<v1::ConfigMap>(&self.namespace)).await {
            Ok(Ok((found, revision))) => {
                let names = found.iter().map(|map| name_of(map.metadata.as_ref()).to_owned()).collect();
                invocation.reply(Reply::Members { revision: revision.0, names });
            }
            Ok(Err(status)) => invocation.fail(status.to_string()),
            Err(_) => invocation.fail("no answer"),
        }
        true
    }
}
