//! Keeps the Node object: makes it, and writes its status when something about the machine has changed.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use boss_base::{backoff::Backoff, clock::Clock};
use boss_client::{Client, Error};
use boss_proto::{
    ids::{NodeName, Uid},
    object::Resource,
    v1,
};

use crate::{agent::providers::Providers, host};

/// Between two looks at the Node object and the machine.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Everything that the Node object is made from.
pub struct Registration {
    /// The registry.
    pub client: Client,
    /// This node.
    pub name: NodeName,
    /// From the configuration.
    pub labels: BTreeMap<String, String>,
    /// Where sandboxes live: their disk is the node's.
    pub state_dir: PathBuf,
    /// Its address.
    pub address: Option<IpAddr>,
    /// What it can run.
    pub providers: Providers,
    /// Randomness for delays.
    pub clock: Arc<dyn Clock>,
}

impl Registration {
    /// Makes the Node object if it is missing and brings it up to date, however long it takes to reach a server.
    /// Gives its uid.
    pub async fn register(&self) -> Uid {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            match self.write().await {
                Ok(uid) => return uid,
                Err(error) => tracing::warn!(%error, "this node is not registered yet"),
            }
            tokio::time::sleep(backoff.next_delay(&*self.clock)).await;
        }
    }

    /// Looks again and again; the object may be deleted by somebody, the machine may change.
    pub async fn keep(self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.providers.probe_sick().await;
            if let Err(error) = self.write().await {
                tracing::warn!(%error, "the Node object is not up to date");
            }
        }
    }

    async fn write(&self) -> Result<Uid, Error> {
        let api = self.client.api::<v1::Node>("");
        let standing = match api.get(self.name.as_str()).await {
            Err(Error::NotFound(_)) => match api.create(self.object()).await {
                Err(Error::AlreadyExists(_)) => api.get(self.name.as_str()).await?,
                Err(error) => return Err(error),
                Ok(created) => {
                    tracing::info!(node = %self.name, "registered this node");
                    created
                }
            },
            found => found?,
        };
        let standing = self.write_labels(standing).await?;
        let uid = Uid::from(standing.metadata().map(|metadata| metadata.uid.clone()).unwrap_or_default());
        let status = merge(self.status(), standing.status.as_ref());
        if standing.status.as_ref() != Some(&status) {
            let node = v1::Node { status: Some(status), ..standing };
            self.client.update_status(node.into_object()).await?;
        }
        Ok(uid)
    }

    /// Ours win; what others put there stays.
    async fn write_labels(&self, mut standing: v1::Node) -> Result<v1::Node, Error> {
        let metadata = standing.metadata.get_or_insert_default();
        let is_there = |(key, value): (&String, &String)| metadata.labels.get(key) == Some(value);
        if self.labels().iter().all(is_there) {
            return Ok(standing);
        }
        metadata.labels.extend(self.labels());
        match self.client.update(standing.clone().into_object()).await {
            Ok(object) => Ok(v1::Node::try_from_object(object).unwrap_or(standing)),
            Err(Error::Forbidden(detail)) => {
                tracing::warn!(%detail, "the labels in the configuration differ from the Node object's: an administrator must change them there");
                Ok(standing)
            }
            Err(error) => Err(error),
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let info = host::info();
        let own = [("node.boss.dev/arch", info.architecture), ("node.boss.dev/os", "linux".to_owned())];
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
        own.chain(self.labels.clone()).collect()
    }

    fn object(&self) -> v1::Node {
        let metadata = v1::ObjectMeta {
            name: self.name.to_string(),
            labels: self.labels().into_iter().collect(),
            ..v1::ObjectMeta::default()
        };
        v1::Node { metadata: Some(metadata), spec: Some(v1::NodeSpec::default()), ..v1::Node::default() }
    }

    fn status(&self) -> v1::NodeStatus {
        let capacity = host::capacity(&self.state_dir);
        v1::NodeStatus {
            allocatable: Some(capacity.clone()),
            capacity: Some(capacity),
            runtime_capabilities: Some(v1::RuntimeCapabilities { providers: self.providers.reports() }),
            conditions: Vec::new(),
            node_info: Some(host::info()),
            addresses: self.address.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Conditions are the server's. Another measurement of the same start latency is no change.
fn merge(mut ours: v1::NodeStatus, standing: Option<&v1::NodeStatus>) -> v1::NodeStatus {
    let Some(standing) = standing else { return ours };
    ours.conditions = standing.conditions.clone();
    let known = standing.runtime_capabilities.as_ref().map(|found| &*found.providers).unwrap_or_default();
    for provider in ours.runtime_capabilities.iter_mut().flat_map(|found| &mut found.providers) {
        let before = known.iter().find(|known| known.name == provider.name).map_or(0, |known| known.start_latency_us);
        let (low, high) = (before / 2, before.saturating_mul(2));
        if before > 0 && (low..=high).contains(&provider.start_latency_us) {
            provider.start_latency_us = before;
        }
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(latency: u32) -> v1::NodeStatus {
        let provider = v1::Provider { name: "p".into(), start_latency_us: latency, ..v1::Provider::default() };
        let providers = vec![provider];
        v1::NodeStatus {
            runtime_capabilities: Some(v1::RuntimeCapabilities { providers }),
            ..v1::NodeStatus::default()
        }
    }

    #[test]
    fn a_like_latency_is_no_change_and_another_one_is() {
        let standing = status(1_000);
        assert_eq!(merge(status(1_900), Some(&standing)), standing);
        assert_eq!(merge(status(501), Some(&standing)), standing);
        assert_eq!(merge(status(5_000), Some(&standing)), status(5_000));
    }

    #[test]
    fn conditions_are_left_to_the_server() {
        let ready = v1::Condition { r#type: "Ready".into(), status: "True".into(), ..v1::Condition::default() };
        let standing = v1::NodeStatus { conditions: vec![ready], ..status(1) };
        assert_eq!(merge(status(1), Some(&standing)), standing);
    }
}
