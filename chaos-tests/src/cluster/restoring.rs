//! A cluster of one fresh server, made from a snapshot of this one, on a host that nobody had before.

use std::{path::Path, time::Duration};

use boss_proto::v1;
use bossctl::provision::Server;

use super::{Cluster, apart};
use crate::{
    api::{Api, Credential},
    bossctl_run::Bossctl,
    http,
    machine::Machine,
    net::Host,
    wait,
};

/// Higher than that of any server that a test lets join, and a host of its own.
pub(super) const RESTORED: u64 = Host::SERVERS - 1;

/// A server that is a cluster for itself. Dropped, it is killed.
pub struct Restored {
    api: Api,
    _machine: Machine,
}

impl Restored {
    /// The administrator at it.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }
}

impl Cluster {
    /// Restores a snapshot and waits until the server answers. The machines of this cluster must be apart; once.
    pub async fn restore(&mut self, file: &Path, patience: Duration) -> Result<Restored, String> {
        let server = apart::server(RESTORED);
        let host = self.network().and_then(|network| network.place(Host::server(RESTORED)));
        let host = host.ok_or("there is no host for it")?;
        // The only member: those of the life before are none of the new one.
        self.layout.add_server(server.clone(), &[]).map_err(|error| error.to_string())?;
        let folder = self.layout.server_directory(&server);
        let (file, data, id) =
            (file.display().to_string(), folder.join("data").display().to_string(), RESTORED.to_string());
        let words = ["cluster", "snapshot", "restore", &file, "--data-dir", &data, "--id", &id];
        let of = ["--name", &server.name, "--peer", &server.peer, "--api", &server.api];
        let output = Bossctl::of(self).run(&[&words[..], &of].concat()).await;
        if output.code != 0 {
            return Err(format!("the snapshot was not restored: {output:?}"));
        }
        let mut machine = Machine::new(&server.name, "boss-server", folder.join("server.toml"));
        machine.move_to(Some(host));
        machine.start(&self.folder, &[]);
        let token = self.token("admin", &["system:admins"]);
        let api = Api::new(&server.api, &self.ca_pem(), Credential::Token(token)).map_err(|error| error.to_string())?;
        answers(&server, &api, patience).await?;
        Ok(Restored { api, _machine: machine })
    }
}

async fn answers(server: &Server, api: &Api, patience: Duration) -> Result<(), String> {
    let ready = wait::until("the restored server answers", patience, async || {
        let status = http::get_status(&server.http, "/readyz").await;
        wait::holds(status.as_ref().is_ok_and(|status| *status == 200), format!("/readyz: {status:?}"))?;
        api.get::<v1::Namespace>("", "default").await.map(drop).map_err(|status| status.to_string())
    });
    ready.await.map_err(|timed_out| timed_out.to_string())
}
