//! A cluster whose machines have networks and disks of their own.

use std::fs;

use bossctl::provision::Server;

use super::{Apart, Cluster, Newcomer, Where, restoring::RESTORED};
use crate::{
    clock::WallClock,
    disk::Disk,
    net::{Host, Network, Place},
};

/// For api, peer and http; every host has all ports for itself.
const PORTS: [u16; 3] = [7400, 7401, 7402];

/// Hosts for servers that may join later.
const SPARE_HOSTS: u64 = 3;

/// A server on a host of its own.
pub(super) fn server(id: u64) -> Server {
    let [api, peer, http] = PORTS.map(|port| format!("{}:{port}", Host::server(id).address()));
    Server { api, peer, http, ..Server::local(id, PORTS) }
}

impl Cluster {
    /// Gives every machine its host; all must be down.
    pub(super) async fn move_apart(&mut self, place: Where) {
        let Where::Apart(Apart { clients, disk_bytes, wrong_clocks, wires }) = place else { return };
        let servers = (1..=self.servers.len() as u64 + SPARE_HOSTS).chain([RESTORED]).map(Host::server);
        let wired: Vec<Host> = if wires { self.server_ids().map(Host::server).collect() } else { Vec::new() };
        let hosts: Vec<Host> =
            servers.chain((0..self.nodes.len()).map(Host::node)).chain((0..clients).map(Host::client)).collect();
        let network = Network::create(self.folder(), &hosts, &wired).await;
        let network = network.unwrap_or_else(|error| panic!("no network: {error}"));
        for (machine, id) in self.servers.iter_mut().zip(1..) {
            machine.move_to(network.place(Host::server(id)));
        }
        for (index, machine) in self.nodes.iter_mut().enumerate() {
            machine.move_to(network.place(Host::node(index)));
        }
        self.network = Some(network);
        if wrong_clocks {
            for machine in &mut self.servers {
                let clock = WallClock::create(self.folder.path(), machine.name());
                machine.wear(clock.unwrap_or_else(|error| panic!("no clock for {}: {error}", machine.name())));
            }
        }
        if let Some(bytes) = disk_bytes {
            for id in self.server_ids() {
                let disk = self.mount_disk(id, bytes).await;
                self.disks.insert(id, disk);
            }
        }
    }

    /// The wall clock of a server; none when it has that of this machine.
    #[must_use]
    pub fn clock(&self, id: u64) -> Option<&WallClock> {
        let position = usize::try_from(id).ok()?.checked_sub(1)?;
        self.servers.get(position)?.clock()
    }

    async fn mount_disk(&self, id: u64, bytes: u64) -> Disk {
        let folder = self.data_of(id);
        fs::create_dir_all(&folder).expect("the folder of a cluster is ours");
        let disk = Disk::mount(self.folder(), &folder, bytes).await;
        disk.unwrap_or_else(|error| panic!("no disk for server-{id}: {error}"))
    }

    /// The disk of a server; none when its data lies on one of this machine.
    #[must_use]
    pub fn disk(&self, id: u64) -> Option<&Disk> {
        self.disks.get(&id)
    }

    /// Its network; none when all are on the loopback address.
    #[must_use]
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Where the data of a server lies.
    #[must_use]
    pub fn data_of(&self, id: u64) -> std::path::PathBuf {
        self.layout.server_directory(self.addresses(id)).join("data")
    }

    pub(super) fn newcomer_apart(&self, name: &str) -> Option<Newcomer> {
        self.network.as_ref()?;
        let server = Server { name: name.to_owned(), id: 0, ..server(self.servers.len() as u64 + 1) };
        Some(Newcomer { server, dir: self.folder().join(name) })
    }

    /// The host that has a server's address.
    pub(super) fn place_of(&self, server: &Server) -> Option<Place> {
        let network = self.network.as_ref()?;
        let has = |host: &Host| server.api.starts_with(&format!("{}:", host.address()));
        network.place((1..Host::SERVERS).map(Host::server).find(has)?)
    }
}
