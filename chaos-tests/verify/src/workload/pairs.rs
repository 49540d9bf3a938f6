//! Clients that change both objects of a pair in one transaction, and look at all pairs at once.

use std::sync::Arc;

use boss_proto::{kind::Kind, object::Resource, v1};
use tokio::time::timeout;
use tonic::Status;

use super::{
    Stop,
    asking::{Failed, PATIENCE, failed},
};
use crate::{
    api::Api,
    checkers::generate::Random,
    history::{Call, Recorder, Reply},
    records::{name_of, record},
};

/// Few, so that clients meet.
pub const PAIRS: u64 = 3;

/// Both halves as they were seen together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Half {
    value: u64,
    revision: u64,
}

/// Clients of all pairs.
pub struct Pairs {
    recorder: Arc<Recorder>,
    namespace: String,
    stop: Stop,
}

/// Makes all pairs, each with the value 0. Their namespace must be there, and nothing else in it.
pub async fn prepare(api: &Api, namespace: &str) -> Result<(), Status> {
    for pair in 0..PAIRS {
        for side in SIDES {
            api.create(object(namespace, pair, side, 0)).await?;
        }
    }
    Ok(())
}

const SIDES: [&str; 2] = ["left", "right"];

fn name(pair: u64, side: &str) -> String {
    format!("pair-{pair}-{side}")
}

fn object(namespace: &str, pair: u64, side: &str, value: u64) -> v1::ServiceAccount {
    record(namespace, &name(pair, side), &value.to_string())
}

impl Pairs {
    /// Pairs that were prepared and that nobody has touched since.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, namespace: &str, stop: Stop) -> Self {
        Self { recorder, namespace: namespace.to_owned(), stop }
    }

    /// One client at a time; its choices come from the seed.
    pub async fn run(&self, seed: u64, servers: &[Api]) {
        let mut random = Random(seed);
        let mut process = self.recorder.process();
        while self.stop.turn().await {
            let api = &servers[random.below(servers.len())];
            let Some(halves) = self.look(process, api).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let pair = random.draw() % PAIRS;
            let api = &servers[random.below(servers.len())];
            if !self.set(process, api, pair, halves.get(2 * pair as usize..2 * pair as usize + 2)).await {
                process = self.recorder.process();
            }
        }
    }

    async fn look(&self, process: u64, api: &Api) -> Option<Vec<Half>> {
        let invocation = self.recorder.call(process, Call::Look);
        match timeout(PATIENCE, api.list::<v1::ServiceAccount>(&self.namespace)).await {
            Ok(Ok((objects, revision))) => {
                let halves = halves(&objects);
                let values = halves.chunks(2).map(|pair| (pair[0].value, pair[1].value)).collect();
                invocation.reply(Reply::Pairs { revision: revision.0, values });
                Some(halves)
            }
            Ok(Err(status)) => {
                invocation.fail(status.to_string());
                None
            }
            Err(_) => {
                invocation.fail("no answer");
                None
            }
        }
    }

    /// Whether the outcome is known.
    async fn set(&self, process: u64, api: &Api, pair: u64, seen: Option<&[Half]>) -> bool {
        let Some([left, right]) = seen else { return true };
        let value = self.recorder.value();
        let (compare, success) = transaction(&self.namespace, pair, [left.revision, right.revision], value);
        let invocation = self.recorder.call(process, Call::Set { pair, from: left.value, value });
        match timeout(PATIENCE, api.txn(compare, success)).await {
            Ok(Ok(answer)) if answer.succeeded => invocation.reply(Reply::Done { revision: answer.revision }),
            Ok(Ok(_)) => invocation.reply(Reply::Changed),
            Ok(Err(status)) => match failed(&status) {
                Failed::Nothing(why) => invocation.fail(why),
                Failed::Unknown(why) => {
                    invocation.info(why);
                    return false;
                }
                Failed::Refused(why) => invocation.refused(why),
                Failed::Conflict { .. } => invocation.reply(Reply::Changed),
                // Nobody removes or makes pairs: the judge will say so.
                Failed::Absent => invocation.reply(Reply::Absent),
                Failed::Exists { .. } => invocation.reply(Reply::Exists),
            },
            Err(_) => {
                invocation.info("no answer");
                return false;
            }
        }
        true
    }
}

/// Both values of each pair, as [`Reply::Pairs`] has them, and the revision of the list.
pub async fn values(api: &Api, namespace: &str) -> Result<(Vec<(u64, u64)>, u64), Status> {
    let (objects, revision) = api.list::<v1::ServiceAccount>(namespace).await?;
    Ok((halves(&objects).chunks(2).map(|pair| (pair[0].value, pair[1].value)).collect(), revision.0))
}

/// By pair, left before right: a list is in the order of names.
fn halves(objects: &[v1::ServiceAccount]) -> Vec<Half> {
    let mut found = vec![Half::default(); 2 * PAIRS as usize];
    for object in objects {
        let metadata = object.metadata.as_ref();
        let place = (0..PAIRS).flat_map(|pair| SIDES.map(|side| name(pair, side)));
        let Some(place) = place.into_iter().position(|place| place == name_of(metadata)) else { continue };
        let value = metadata.and_then(|metadata| metadata.labels.get("value")?.parse().ok()).unwrap_or_default();
        found[place] = Half { value, revision: metadata.map_or(0, |metadata| metadata.resource_version) };
    }
    found
}

fn transaction(
    namespace: &str,
    pair: u64,
    revisions: [u64; 2],
    value: u64,
) -> (Vec<v1::Compare>, Vec<v1::TxnOperation>) {
    let key = |side: &str| v1::ObjectKey {
        kind: Kind::ServiceAccount.to_string(),
        namespace: namespace.to_owned(),
        name: name(pair, side),
    };
    let compare = SIDES.iter().zip(revisions).map(|(side, revision)| v1::Compare {
        key: Some(key(side)),
        condition: Some(v1::compare::Condition::ResourceVersion(revision)),
    });
    let update = SIDES.iter().map(|side| {
        let object = Some(object(namespace, pair, side, value).into_object());
        let update = v1::UpdateRequest { object, ..v1::UpdateRequest::default() };
        v1::TxnOperation { operation: Some(v1::txn_operation::Operation::Update(update)) }
    });
    (compare.collect(), update.collect())
}
