//! A cluster whose machines have networks and disks of their own.

use std::fs;

use bossctl::provision::Server;

use super::{Cluster, Newcomer, Where};
use crate::net::{Host, Network, Place, apart};

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
        let Where::Apart { clients, disk_bytes } = place else { return };
        let servers = (1..=self.servers.len() as u64 + SPARE_HOSTS).map(Host::server);
        let hosts: Vec<Host> =
            servers.chain((0..self.nodes.len()).map(Host::node)).chain((0..clients).map(Host::client)).collect();
        let network = Network::create(self.folder(), &hosts).await;
        let network = network.unwrap_or_else(|error| panic!("no network: {error}"));
        for (machine, id) in self.servers.iter_mut().zip(1..) {
            machine.move_to(network.place(Host::server(id)));
        }
        for (index, machine) in self.nodes.iter_mut().enumerate() {
            machine.move_to(network.place(Host::node(index)));
        }
        self.network = Some(network);
        if let Some(bytes) = disk_bytes {
            self.known.iter().for_each(|server| self.put_data_in_memory(server, bytes));
        }
    }

    fn put_data_in_memory(&self, server: &Server, bytes: u64) {
        let folder = self.layout.server_directory(server).join("data");
        let made = fs::create_dir_all(&folder).and_then(|()| apart::mount_memory(&folder, bytes));
        made.unwrap_or_else(|error| panic!("no disk for {}: {error}", server.name));
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
