//! Every voter shows that it holds a key before the key is used, without showing the key.

use std::{collections::BTreeSet, time::Duration};

use boss_base::sealing::random;
use boss_proto::{
    ids::ServerId,
    peer::v1::{ProveSealingKeyRequest, ProveSealingKeyResponse},
};
use futures_util::future::join_all;

use super::Vault;
use crate::writes::Peers;

/// A server that does not answer by then has shown nothing.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);
const CHALLENGE_BYTES: usize = 32;

impl Vault {
    /// This server's proof; empty when it does not hold the key.
    #[must_use]
    pub fn prove(&self, server: ServerId, request: &ProveSealingKeyRequest) -> ProveSealingKeyResponse {
        let statement = self.statement(server, &request.challenge);
        let proof = self.0.keys.load().prove(&request.key_id, &statement).unwrap_or_default();
        ProveSealingKeyResponse { proof: proof.into() }
    }

    /// Who of the voters has not shown that it holds the key, with the reason.
    pub async fn missing_at(
        &self,
        key_id: &str,
        own: ServerId,
        voters: &BTreeSet<ServerId>,
        peers: &Peers,
    ) -> Vec<(ServerId, String)> {
        let asked = voters.iter().map(|server| async {
            let held = if *server == own { self.own(key_id) } else { self.ask(key_id, *server, peers).await };
            held.err().map(|problem| (*server, problem))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    fn own(&self, key_id: &str) -> Result<(), String> {
        if self.0.keys.load().holds(key_id) { Ok(()) } else { Err("does not hold it".to_owned()) }
    }

    async fn ask(&self, key_id: &str, server: ServerId, peers: &Peers) -> Result<(), String> {
        let challenge = random::<CHALLENGE_BYTES>().map_err(|error| error.to_string())?;
        let request = ProveSealingKeyRequest { key_id: key_id.to_owned(), challenge: challenge.to_vec().into() };
        let mut client = peers.client(server).map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(PROOF_TIMEOUT, client.prove_sealing_key(request)).await;
        let answer = answer.map_err(|_| "does not answer".to_owned())?;
        let proof = answer.map_err(|status| status.message().to_owned())?.into_inner().proof;
        if proof.is_empty() {
            return Err("does not hold it".to_owned());
        }
        let statement = self.statement(server, &challenge);
        if self.0.keys.load().believes(key_id, &statement, &proof) {
            return Ok(());
        }
        Err("holds another key under its name".to_owned())
    }

    /// What a proof states: who proves, in which cluster, to whom who asked just now.
    fn statement(&self, server: ServerId, challenge: &[u8]) -> Vec<u8> {
        [format!("{}/{server}/", self.0.cluster_id).as_bytes(), challenge].concat()
    }
}
