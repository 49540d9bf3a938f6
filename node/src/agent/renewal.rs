//! Keeps this node's certificate and the list of whom it believes as they should be, without a restart: the key is made
//! here and never leaves, the servers sign it for this node's own name. Sandboxes do not notice.

use std::{io, sync::Arc, time::Duration};

use boss_base::{
    clock::Clock,
    files,
    pki::{self, CertificateRequest},
    tasks::{OnExit, Tasks},
    tls::{Files, PeerCertificate, renewal},
};
use boss_client::{Client, Error as ClientError};
use boss_proto::{ids::NodeName, v1::TrustResponse};

/// Between two looks: how long the node may go by an old list of authorities.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);
/// The same of a certificate that lives so short that this would be late.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// What it looks after.
pub struct Renewal {
    /// Asks the servers, and shows what is in the files.
    pub client: Client,
    /// Certificate, key and authorities.
    pub files: Files,
    /// This node.
    pub node: NodeName,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// File work is done here.
    pub tasks: Tasks,
}

/// What could not be done; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("no key can be made: {0}")]
    Key(#[from] pki::Error),
    #[error("what the servers say cannot be written down: {0}")]
    Disk(#[from] io::Error),
    #[error("the agent stops")]
    Stopping,
}

impl Renewal {
    /// Looks again and again, for as long as its tasks live.
    pub fn start(self) {
        let (tasks, token) = (self.tasks.clone(), self.tasks.token());
        tasks.spawn("certificate renewal", OnExit::Log, async move {
            token.run_until_cancelled(self.run()).await;
        });
    }

    async fn run(self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "this node's certificate, or whom it believes, is not up to date");
            }
            tokio::time::sleep(self.until_next_look()).await;
        }
    }

    /// A little different each time: nodes that were started together must not ask together for ever.
    fn until_next_look(&self) -> Duration {
        let lifetime = self.client.certificate().map_or(0, |own| own.not_after.saturating_sub(own.not_before));
        let part = Duration::from_secs(u64::try_from(lifetime).unwrap_or(0)) / 20;
        let interval = part.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL);
        let spread = u32::try_from(self.clock.random_u64() % 256).unwrap_or(0);
        interval - interval / 4 * spread / 256
    }

    async fn look(&self) -> Result<(), Error> {
        let trust = self.client.trust().await?;
        if !trust.authorities_pem.is_empty() {
            self.follow(&trust.authorities_pem).await?;
        }
        let Some(own) = self.client.certificate() else { return Ok(()) };
        if is_due(&own, &trust, self.clock.unix_seconds()) {
            self.renew().await?;
        }
        Ok(())
    }

    /// Writes down whom to believe, if that is news.
    async fn follow(&self, authorities_pem: &str) -> Result<(), Error> {
        // What cannot be used must not take the place of what can.
        pki::read_bundle(authorities_pem)?;
        let (path, wanted) = (self.files.ca.clone(), authorities_pem.to_owned());
        let written = self.on_disk(move || {
            if std::fs::read(&path)? == wanted.as_bytes() {
                return Ok(false);
            }
            files::write_atomic(&path, wanted.as_bytes(), files::PUBLIC).map(|()| true)
        });
        if written.await? {
            self.client.reload_credentials()?;
            tracing::info!("believes another list of authorities from now on");
        }
        Ok(())
    }

    async fn renew(&self) -> Result<(), Error> {
        let request = CertificateRequest::generate(self.node.as_str(), &[])?;
        let pem = self.client.renew_certificate(request.der).await?;
        let (files, key) = (self.files.clone(), request.key_pem);
        self.on_disk(move || renewal::install(&files, &pem, &key)).await?;
        self.client.reload_credentials()?;
        let until = self.client.certificate().map_or(0, |own| own.not_after);
        tracing::info!(until, "renewed this node's certificate");
        Ok(())
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        match self.tasks.run_blocking("certificate files", work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(Error::Stopping),
        }
    }
}

/// At half of its life, or at once when the cluster does not know it, or another authority is to sign.
fn is_due(own: &PeerCertificate, trust: &TrustResponse, now_s: u64) -> bool {
    let moved = !trust.issuing_authority.is_empty() && trust.issuing_authority != own.authority;
    moved || !trust.known || renewal::renew_at(own) <= now_s
}

#[cfg(test)]
mod tests {
    use boss_base::tls::testing;

    use super::*;

    #[test]
    fn a_node_renews_at_half_of_its_life_and_when_the_cluster_wants_it() {
        let own = testing::certificate("a", 1_000 - 300, 2_000);
        let trust = |issuing: &str, known| TrustResponse {
            authorities_pem: String::new(),
            issuing_authority: issuing.to_owned(),
            known,
        };
        assert!(!is_due(&own, &trust("", true), 1_499) && is_due(&own, &trust("", true), 1_500));
        assert!(!is_due(&own, &trust("a", true), 1_001) && is_due(&own, &trust("b", true), 1_001));
        assert!(is_due(&own, &trust("", false), 1_001));
    }
}
