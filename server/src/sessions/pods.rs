//! `boss.v1.Pods`: what people ask of running pods. Checks the right, finds the node, leaves the rest to the session.

use std::sync::Arc;

use boss_proto::{
    ids::NodeName,
    key::Key,
    kind::Kind,
    v1::{self, LogRecord, LogsRequest, pods_server::Pods},
};
use boss_raft::state::{View, rbac::Attributes};
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status};

use super::Sessions;
use crate::{admission::authorize, api::Error, auth::Identity, reads};

/// `boss.v1.Pods`.
#[derive(Clone)]
pub struct PodsService {
    sessions: Arc<Sessions>,
}

impl PodsService {
    pub(super) fn new(sessions: Arc<Sessions>) -> Self {
        Self { sessions }
    }
}

#[tonic::async_trait]
impl Pods for PodsService {
    type LogsStream = BoxStream<'static, Result<LogRecord, Status>>;

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let identity = Identity::of(&request).map_err(Error::from)?;
        let asked = request.into_inner();
        // Linearizable: a log must not be shown under a right that was revoked, nor the log of a pod before this one.
        let view = self.sessions.parts.handle.linearizable().await.map_err(reads::Error::from).map_err(Error::from)?;
        let key = Key::new(Kind::Pod, &*asked.namespace, &*asked.name);
        authorize(&view, &identity, &Attributes::on("get", &key).part("log")).map_err(Error::from)?;
        let (node, uid) = target(&view, &key, &asked.container)?;
        let records = self.sessions.logs(&node, uid, asked).await?;
        Ok(Response::new(records))
    }
}

/// Where the pod runs and which pod it is.
fn target(view: &View, key: &Key, container: &str) -> Result<(NodeName, String), Error> {
    let record = view.get(key).ok_or_else(|| Error::NotFound(format!("{key} does not exist")))?;
    let pod = record.pod().ok_or_else(|| Error::NotFound(format!("{key} is no pod")))?;
    check_container(pod, container)?;
    let node = record.bound_to().ok_or_else(|| not_bound(key, pod))?;
    Ok((node, record.metadata().uid.clone()))
}

fn check_container(pod: &v1::Pod, wanted: &str) -> Result<(), Error> {
    let names: Vec<_> = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| &*container.name).collect();
    if wanted.is_empty() || names.contains(&wanted) {
        return Ok(());
    }
    Err(Error::NotFound(format!("the pod has no container {wanted:?}; it has: {}", names.join(", "))))
}

fn not_bound(key: &Key, pod: &v1::Pod) -> Error {
    let why = pod.status.as_ref().map_or("", |status| &status.message);
    let why = if why.is_empty() { "it waits for the scheduler" } else { why };
    Error::Precondition(format!("{key} has no log yet, for it is bound to no node: {why}"))
}
