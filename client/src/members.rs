//! Keeps the list of servers as the cluster has it: who was given one server learns the others, and outlives the
//! removal of the one it was given. Dials nobody itself.

use std::time::Duration;

use boss_base::{
    backoff::Backoff,
    tasks::{OnExit, Tasks},
};
use boss_proto::v1::MembersResponse;
use tokio::sync::watch;

use crate::{Client, Endpoint, Error};

/// Members change rarely, but rarely alone: after news one looks again soon, then less and less, at last this rarely.
/// Who notices trouble asks at once, which is too late when all the servers that it knows are gone.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Trouble is noticed with every failed round of servers, which is no reason to ask as often.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    /// The servers that are asked now, the members of the cluster first.
    #[must_use]
    pub fn servers(&self) -> Vec<Endpoint> {
        self.shared().servers.addresses()
    }

    /// Asks the cluster who its servers are, and asks those from now on. The voters' addresses.
    pub async fn refresh_servers(&self) -> Result<Vec<Endpoint>, Error> {
        let voters = voters(&self.members().await?);
        if self.shared().servers.learn(&voters) {
            tracing::info!(servers = %list(&self.servers()), "the cluster's servers have changed");
        }
        Ok(voters)
    }

    /// Refreshes the servers now, soon after each change, every half minute when nothing changes, and whenever none of
    /// them answers, for as long as `tasks` live.
    /// Gives what the cluster said last: empty before it has said anything.
    pub fn keep_servers_fresh(&self, tasks: &Tasks) -> watch::Receiver<Vec<Endpoint>> {
        let (sender, told) = watch::channel(Vec::new());
        let (client, token) = (self.clone(), tasks.token());
        tasks.spawn("server list", OnExit::Log, async move {
            token.run_until_cancelled_owned(keep_fresh(client, sender)).await;
        });
        told
    }
}

async fn keep_fresh(client: Client, told: watch::Sender<Vec<Endpoint>>) {
    let mut backoff = Backoff::new(LOOK_PAUSE, LOOK_INTERVAL);
    let mut calm = LOOK_PAUSE;
    loop {
        match client.refresh_servers().await {
            Ok(voters) => {
                backoff.reset();
                let is_news = told.send_if_modified(|known| {
                    let is_news = *known != voters;
                    *known = voters;
                    is_news
                });
                calm = if is_news { LOOK_PAUSE } else { (calm * 2).min(LOOK_INTERVAL) };
                // What went wrong before the answer is over.
                let trouble = client.shared().trouble.notified();
                let _ = tokio::time::timeout(calm, trouble).await;
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot ask for the cluster's servers");
                tokio::time::sleep(backoff.next_delay(&**client.clock())).await;
            }
        }
    }
}

/// Who only learns yet is of no use to clients.
fn voters(told: &MembersResponse) -> Vec<Endpoint> {
    let voters = told.members.iter().filter(|member| member.voter);
    voters.filter_map(|member| member.api_address.parse().ok()).collect()
}

fn list(servers: &[Endpoint]) -> String {
    servers.iter().map(Endpoint::as_str).collect::<Vec<_>>().join(", ")
}
