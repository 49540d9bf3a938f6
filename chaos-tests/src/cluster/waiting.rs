//! Conditions of a cluster that tests wait for: each fails the test when it does not come true. Starts nothing.

use boss_proto::{object::Resource, v1};

use super::{Cluster, PATIENCE, or_fail};
use crate::{http::get_status, process::Process, wait};

impl Cluster {
    /// Waits for a condition, or fails the test.
    pub async fn wait<T, E: std::fmt::Display>(
        &self,
        what: impl Into<String>,
        condition: impl AsyncFnMut() -> Result<T, E>,
    ) -> T {
        or_fail(wait::until(what, PATIENCE, condition).await)
    }

    /// Waits until a server says that it is ready and answers a linearizable read.
    pub async fn wait_for_server(&self, id: u64) {
        let (http, api) = (self.addresses(id).http.clone(), self.admin_at(id));
        self.wait(format!("server {id} is ready"), async || {
            let Some(process) = self.server(id) else { return Err("it is down".to_owned()) };
            if let Some(exit) = process.exit() {
                panic!("server {id} ended with {exit:?} instead of becoming ready");
            }
            match get_status(&http, "/readyz").await {
                Ok(200) => {}
                other => return Err(format!("/readyz: {other:?}")),
            }
            api.get::<v1::Namespace>("", "default").await.map(drop).map_err(|status| status.to_string())
        })
        .await;
    }

    /// Waits until the leader calls a node Ready.
    pub async fn wait_for_node(&self, index: usize) {
        let (name, api) = (self.node_name(index).to_owned(), self.admin());
        self.wait(format!("{name} is Ready"), async || {
            if let Some(exit) = self.node(index).and_then(Process::exit) {
                panic!("{name} ended with {exit:?} instead of becoming Ready");
            }
            let node = api.get::<v1::Node>("", &name).await.map_err(|status| status.to_string())?;
            let conditions = node.status.unwrap_or_default().conditions;
            let ready = conditions.iter().find(|condition| condition.r#type == "Ready");
            wait::holds(ready.is_some_and(|ready| ready.status == "True"), format!("Ready is {ready:?}"))
        })
        .await;
    }

    /// The id of the leader that a majority follows now.
    pub async fn leader(&self) -> u64 {
        self.wait("there is a leader", async || {
            for id in self.running_servers() {
                match self.admin_at(id).status().await {
                    Ok(status) if self.server(status.leader_id.max(1)).is_some() && status.leader_id != 0 => {
                        return Ok(status.leader_id);
                    }
                    _ => {}
                }
            }
            Err("no running server names a running leader")
        })
        .await
    }

    /// Waits until the pod in the default namespace is as `look` wants it; its error says how it differs.
    pub async fn wait_for_pod<T>(
        &self,
        name: &str,
        what: &str,
        mut look: impl FnMut(&v1::Pod) -> Result<T, String>,
    ) -> T {
        let api = self.admin();
        self.wait(format!("pod {name}: {what}"), async || {
            let pod = api.get::<v1::Pod>("default", name).await.map_err(|status| status.to_string())?;
            look(&pod).map_err(|why| format!("{why}; its status is {:?}", pod.status))
        })
        .await
    }

    /// Waits until the pod's phase is this, and gives the pod.
    pub async fn wait_for_phase(&self, name: &str, phase: &str) -> v1::Pod {
        self.wait_for_pod(name, phase, |pod| {
            let now = pod.status.as_ref().map_or("", |status| status.phase.as_str());
            wait::holds(now == phase, format!("it is {now:?}")).map(|()| pod.clone())
        })
        .await
    }

    /// Waits until the object is not there any more.
    pub async fn wait_until_gone<T: Resource>(&self, namespace: &str, name: &str) {
        let api = self.admin();
        self.wait(format!("{} {name} is gone", T::KIND), async || match api.get::<T>(namespace, name).await {
            Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
            Err(status) => Err(status.to_string()),
            Ok(_) => Err("it is there".to_owned()),
        })
        .await;
    }

    /// Waits until all running servers have applied the same, and fails unless their states have the same hash.
    pub async fn assert_states_are_equal(&self) {
        let servers = self
            .wait("all servers have applied the same index", async || {
                let status = self.admin().status().await.map_err(|status| status.to_string())?;
                let indexes: Vec<u64> = status.servers.iter().map(|server| server.applied_index).collect();
                let equal = indexes.iter().all(|index| *index == indexes[0] && *index > 0);
                let answered = status.servers.iter().filter(|server| server.error.is_empty()).count();
                wait::holds(equal && answered == self.running_servers().len(), format!("{:?}", status.servers))?;
                Ok::<_, String>(status.servers)
            })
            .await;
        let hashes: Vec<&str> = servers.iter().map(|server| server.state_hash.as_str()).collect();
        assert!(!hashes[0].is_empty(), "servers report a hash");
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "equal applied index, but hashes {hashes:?}");
    }
}
