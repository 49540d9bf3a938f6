//! Tenants who read and write while their one right is given and taken away, by somebody who writes down when.

use std::{sync::Arc, time::Duration};

use boss_proto::v1;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::{
    Stop,
    asking::{Failed, PATIENCE, failed, insist, is_a_matter_of_time},
};
use crate::{
    api::Api,
    checkers::generate::Random,
    history::{Call, Recorder, Reply},
};

/// The role that a tenant gets and loses.
const ROLE: &str = "tenant";
/// How often a tenant's right changes before another tenant comes.
const CHANGES: usize = 6;
/// What a tenant does while it changes, and again after it.
const ACTS: usize = 4;
/// Between two things that a tenant does: else all of them come before the change is ordered.
const PAUSE: Duration = Duration::from_millis(5);

/// Tenants of one namespace.
pub struct Tenants {
    recorder: Arc<Recorder>,
    namespace: String,
    stop: Stop,
}

/// Makes what tenants may be given. The namespace must be there.
pub async fn prepare(api: &Api, namespace: &str) -> Result<(), Status> {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let rule = v1::PolicyRule {
        verbs: words(&["list", "create"]),
        resources: words(&["configmaps"]),
        ..v1::PolicyRule::default()
    };
    let role = v1::Role { metadata: metadata(namespace, ROLE), rules: vec![rule], ..v1::Role::default() };
    api.create(role).await.map(drop)
}

fn metadata(namespace: &str, name: &str) -> Option<v1::ObjectMeta> {
    let (name, namespace) = (name.to_owned(), namespace.to_owned());
    Some(v1::ObjectMeta { name, namespace, ..v1::ObjectMeta::default() })
}

fn user(tenant: u64) -> String {
    format!("tenant-{tenant}")
}

impl Tenants {
    /// In a namespace that was prepared.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, namespace: &str, stop: Stop) -> Self {
        Self { recorder, namespace: namespace.to_owned(), stop }
    }

    /// One tenant after the other; all choices come from the seed.
    pub async fn run(&self, seed: u64, servers: &[Api]) {
        let mut random = Random(seed);
        while self.stop.turn().await {
            let tenant = self.recorder.value();
            let ask = async |api: &Api| api.create_token(&user(tenant), &[]).await;
            let Ok(made) = insist(&mut random, servers, ask).await else { continue };
            let theirs: Vec<Api> = servers.iter().map(|api| api.bearing(&*made.token)).collect();
            self.live(tenant, &mut random, (servers, &theirs)).await;
        }
    }

    /// Until nobody knows what right the tenant has.
    async fn live(&self, tenant: u64, random: &mut Random, (admins, theirs): (&[Api], &[Api])) {
        let mut has_right = false;
        for _ in 0..CHANGES {
            if !self.stop.turn().await {
                return;
            }
            let (changing, acting) = (random.draw(), random.draw());
            let change = self.change(tenant, !has_right, changing, admins);
            let (known, ()) = tokio::join!(change, self.act_often(tenant, acting, theirs));
            if !known {
                return;
            }
            has_right = !has_right;
            self.act_often(tenant, random.draw(), theirs).await;
        }
    }

    /// Whether it is known what came of it.
    async fn change(&self, tenant: u64, gives: bool, seed: u64, admins: &[Api]) -> bool {
        let (mut random, id) = (Random(seed), admins[0].seen().request_id());
        let call = if gives { Call::Grant { tenant } } else { Call::Withdraw { tenant } };
        let invocation = self.recorder.call(self.recorder.process(), call);
        let ask = async |api: &Api| {
            if gives {
                return Ok(api.create_as(self.binding(tenant), id.clone()).await?.revision.0);
            }
            Ok(api.delete_as::<v1::RoleBinding>(&self.namespace, &user(tenant), id.clone()).await?.revision)
        };
        match insist(&mut random, admins, ask).await {
            Ok(revision) => {
                invocation.reply(Reply::Done { revision });
                return true;
            }
            Err(Failed::Nothing(why)) => invocation.fail(why),
            Err(Failed::Unknown(why)) => invocation.info(why),
            Err(Failed::Absent) => invocation.reply(Reply::Absent),
            Err(Failed::Exists { .. } | Failed::Conflict { .. }) => invocation.reply(Reply::Exists),
            Err(Failed::Refused(why)) => invocation.refused(why),
        }
        false
    }

    fn binding(&self, tenant: u64) -> v1::RoleBinding {
        v1::RoleBinding {
            metadata: metadata(&self.namespace, &user(tenant)),
            role_ref: Some(v1::RoleRef { kind: "Role".to_owned(), name: ROLE.to_owned() }),
            subjects: vec![v1::Subject { kind: "User".to_owned(), name: user(tenant), ..v1::Subject::default() }],
            ..v1::RoleBinding::default()
        }
    }

    async fn act_often(&self, tenant: u64, seed: u64, theirs: &[Api]) {
        let (mut random, mut process) = (Random(seed), self.recorder.process());
        for _ in 0..ACTS {
            let (api, writes) = (&theirs[random.below(theirs.len())], random.below(2) == 0);
            if !self.act(process, tenant, writes, api).await {
                process = self.recorder.process();
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether it is known what came of it.
    async fn act(&self, process: u64, tenant: u64, writes: bool, api: &Api) -> bool {
        let invocation = self.recorder.call(process, Call::Act { tenant, writes });
        let asked = async {
            if writes {
                let name = format!("a-{}", self.recorder.value());
                let map = v1::ConfigMap { metadata: metadata(&self.namespace, &name), ..v1::ConfigMap::default() };
                return api.create(map).await.map(|written| Reply::Done { revision: written.revision.0 });
            }
            let page = api.list_page::<v1::ConfigMap>(&self.namespace, 1, prost::bytes::Bytes::new()).await;
            page.map(|(_, _, revision)| Reply::Seen { revision: revision.0 })
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(reply)) => invocation.reply(reply),
            Ok(Err(status)) if status.code() == Code::PermissionDenied => invocation.reply(Reply::Denied),
            Ok(Err(status)) if is_a_matter_of_time(&status) => invocation.fail(status.to_string()),
            // A read that was not answered did nothing.
            Err(_) if !writes => invocation.fail("no answer"),
            Err(_) => {
                invocation.info("no answer");
                return false;
            }
            Ok(Err(status)) => match failed(&status) {
                Failed::Nothing(why) => invocation.fail(why),
                Failed::Unknown(why) if !writes => invocation.fail(why),
                Failed::Unknown(why) => {
                    invocation.info(why);
                    return false;
                }
                other => invocation.refused(format!("{other:?}")),
            },
        }
        true
    }
}
