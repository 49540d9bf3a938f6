//! The loads that are compared, on either side. Knows no report.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use boss_base::tasks::Tasks;
use boss_client::{Config, Credentials, Endpoint, Source};
use boss_proto::v1;
use bossctl::bench::{self, Connections, KeySpace, Pace, Stop, Summary, drive, fan_out};

use super::{etcd::Etcd, etcd_api, machine};
use crate::cluster::{Cluster, Spec};

/// Of every load with more clients than this.
pub(super) const CONNECTIONS: usize = 16;
/// Where all objects of the load live.
const NAMESPACE: &str = "bench";
const FILLERS: usize = 256;

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Each replaces one object after the other.
    Put {
        /// How many.
        clients: usize,
    },
    /// Each replaces one object after the other, over one stream of writes for each connection. etcd has none.
    Stream {
        /// How many.
        clients: usize,
    },
    /// Each reads one object after the other, linearizable.
    Get {
        /// How many.
        clients: usize,
    },
    /// One reads all objects.
    List,
    /// One write goes to all of them.
    Watch {
        /// How many.
        watchers: usize,
    },
}

impl Load {
    /// All that are compared, in the order of the report.
    pub const ALL: [Load; 8] = [
        Load::Put { clients: 1 },
        Load::Put { clients: 256 },
        Load::Put { clients: 1_000 },
        Load::Stream { clients: 4_096 },
        Load::Get { clients: 256 },
        Load::Get { clients: 1_000 },
        Load::List,
        Load::Watch { watchers: 1_000 },
    ];

    /// As the report and the command line write it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Load::Put { clients } => format!("put-{clients}"),
            Load::Stream { .. } => "stream".to_owned(),
            Load::Get { clients } => format!("get-{clients}"),
            Load::List => "list".to_owned(),
            Load::Watch { watchers } => format!("watch-{watchers}"),
        }
    }
}

/// One measurement.
pub(super) struct Measured {
    pub(super) summary: Summary,
    /// Processor time of the servers.
    pub(super) cpu: Duration,
}

pub(super) async fn measured(pids: &[i32], work: impl Future<Output = Summary>) -> Measured {
    let before = machine::cpu(pids);
    let summary = work.await;
    Measured { summary, cpu: machine::cpu(pids).saturating_sub(before) }
}

/// Boss with the objects of the load.
pub(super) struct Boss {
    pub(super) cluster: Cluster,
    pub(super) target: bench::Target,
}

impl Boss {
    pub(super) async fn start(keys: u64, value_bytes: usize) -> Self {
        let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
        let metadata = v1::ObjectMeta { name: NAMESPACE.to_owned(), ..Default::default() };
        let namespace = v1::Namespace { metadata: Some(metadata), ..Default::default() };
        cluster.admin().create(namespace).await.unwrap_or_else(|status| panic!("no namespace: {status}"));
        let target = bench::Target { namespace: NAMESPACE.into(), keys: KeySpace { len: 0 }, value_bytes };
        let mut boss = Self { cluster, target };
        boss.grow(keys).await;
        boss
    }

    /// Adds objects until there are so many.
    pub(super) async fn grow(&mut self, keys: u64) {
        let first = std::mem::replace(&mut self.target.keys, KeySpace { len: keys }).len;
        let filled = bench::fill_from(&self.connect(CONNECTIONS).await, &self.target, first).await;
        assert_eq!(filled.failed(), 0, "not all objects were made: {}", filled.to_text());
    }

    pub(super) fn pids(&self) -> Vec<i32> {
        self.cluster.server_ids().filter_map(|id| Some(self.cluster.server(id)?.id().pid)).collect()
    }

    /// With the administrator's certificate, the leader first.
    pub(super) async fn connect(&self, count: usize) -> Connections {
        let leader = self.cluster.leader().await;
        let mut ids: Vec<u64> = self.cluster.server_ids().collect();
        ids.sort_by_key(|id| *id != leader);
        let addresses: Vec<String> = ids.into_iter().map(|id| self.cluster.addresses(id).api.clone()).collect();
        let connections = open(&self.cluster, &addresses, count);
        connections.look(NAMESPACE).await.unwrap_or_else(|failed| panic!("no revision: {failed:?}"));
        connections
    }

    pub(super) async fn measure(&self, load: Load, stop: Stop) -> Measured {
        Box::pin(measured(&self.pids(), self.run(load, stop))).await
    }

    async fn run(&self, load: Load, stop: Stop) -> Summary {
        let (target, pace) = (|| self.target.clone(), Pace { stop, rate: None });
        match load {
            Load::Put { clients } => {
                let connections = self.connect(CONNECTIONS.min(clients)).await;
                drive(connections.callers(clients).map(|it| bench::Put::new(it, target())).collect(), pace).await
            }
            Load::Stream { clients } => {
                let (connections, tasks) = (self.connect(CONNECTIONS).await, Tasks::new());
                let summary = drive(connections.streams(clients, &self.target, &tasks), pace).await;
                tasks.cancel();
                summary
            }
            Load::Get { clients } => get(&self.connect(CONNECTIONS.min(clients)).await, clients, target(), pace).await,
            Load::List => {
                let connections = self.connect(1).await;
                drive(connections.callers(1).map(|it| bench::List::new(it, target())).collect(), pace).await
            }
            Load::Watch { watchers } => {
                let connections = self.connect(CONNECTIONS).await;
                let mut writer =
                    bench::Put::new(connections.callers(1).next().expect("there are connections"), target());
                // Its answer tells from which revision on to watch.
                bench::Worker::once(&mut writer).await.unwrap_or_else(|failed| panic!("no write: {failed:?}"));
                let mut feeds = Vec::new();
                for caller in connections.callers(watchers) {
                    let feed = bench::Feed::open(caller, &self.target).await;
                    feeds.push(feed.unwrap_or_else(|failed| panic!("no watch: {failed:?}")));
                }
                fan_out(feeds, writer, stop).await
            }
        }
    }
}

/// Connections to these servers with the certificate of the cluster's administrator.
pub(super) fn open(cluster: &Cluster, addresses: &[String], count: usize) -> Connections {
    let folder = cluster.layout().directory();
    let (certificate, key) = (folder.join("pki/admin.crt"), folder.join("pki/admin.key"));
    let servers: Result<Vec<Endpoint>, _> = addresses.iter().map(|address| address.parse()).collect();
    let config = servers.map(|servers| {
        let ca = Source::File(cluster.layout().ca_path());
        Config::new(servers, ca, Credentials::Certificate { certificate, key })
    });
    let opened = config.and_then(|config| Connections::open(&config, count));
    opened.unwrap_or_else(|error| panic!("no client: {error}"))
}

/// Reads over these connections, whoever answers them.
pub(super) async fn get(connections: &Connections, clients: usize, target: bench::Target, pace: Pace) -> Summary {
    let reader = |caller| bench::Get::new(caller, target.clone(), v1::Consistency::Linearizable);
    drive(connections.callers(clients).map(reader).collect(), pace).await
}

/// etcd with the keys of the load.
pub(super) struct EtcdSide {
    pub(super) etcd: Etcd,
    pub(super) target: etcd_api::Target,
}

impl EtcdSide {
    pub(super) async fn start(keys: u64, value_bytes: usize) -> Self {
        let etcd = Etcd::start().await;
        // As long as the path of an object is in Boss.
        let prefix = format!("/registry/ConfigMap/{NAMESPACE}/").into();
        let mut side = Self { etcd, target: etcd_api::Target { prefix, keys: KeySpace { len: 0 }, value_bytes } };
        side.grow(keys).await;
        side
    }

    /// Adds keys until there are so many.
    pub(super) async fn grow(&mut self, keys: u64) {
        let first = std::mem::replace(&mut self.target.keys, KeySpace { len: keys }).len;
        let next = Arc::new(AtomicU64::new(first));
        let callers = self.etcd.callers(FILLERS, CONNECTIONS).await.into_iter();
        let fillers = callers
            .map(|caller| etcd_api::Fill { caller, target: self.target.clone(), next: Arc::clone(&next) })
            .collect();
        let pace = Pace { stop: Stop::Total(keys.saturating_sub(first)), rate: None };
        let filled = drive::<etcd_api::Fill>(fillers, pace).await;
        assert_eq!(filled.failed(), 0, "not all keys were made: {}", filled.to_text());
    }

    pub(super) async fn measure(&self, load: Load, stop: Stop) -> Measured {
        measured(&self.etcd.pids(), self.run(load, stop)).await
    }

    async fn run(&self, load: Load, stop: Stop) -> Summary {
        let (target, pace) = (|| self.target.clone(), Pace { stop, rate: None });
        match load {
            // The nearest that it has.
            Load::Put { clients } | Load::Stream { clients } => {
                let callers = self.etcd.callers(clients, CONNECTIONS.min(clients)).await.into_iter();
                drive(callers.map(|it| etcd_api::Put::new(it, target())).collect(), pace).await
            }
            Load::Get { clients } => {
                let callers = self.etcd.callers(clients, CONNECTIONS.min(clients)).await.into_iter();
                drive(callers.map(|caller| etcd_api::Get { caller, target: target() }).collect(), pace).await
            }
            Load::List => {
                let callers = self.etcd.callers(1, 1).await.into_iter();
                drive(callers.map(|caller| etcd_api::List { caller, target: target() }).collect(), pace).await
            }
            Load::Watch { watchers } => {
                let mut callers = self.etcd.callers(watchers + 1, CONNECTIONS).await;
                let writer = callers.pop().expect("one more than watchers");
                let mut feeds = Vec::new();
                for caller in callers {
                    let feed = etcd_api::Feed::open(caller, &self.target).await;
                    feeds.push(feed.unwrap_or_else(|failed| panic!("no watch: {failed:?}")));
                }
                fan_out(feeds, etcd_api::Put::new(writer, target()), stop).await
            }
        }
    }
}
