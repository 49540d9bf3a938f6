//! Keeps this server's own certificate and the list of whom it believes as they should be: on disk first, then in use,
//! without a restart. Decides nothing about who may have a certificate.

use std::{io, sync::Arc, time::Duration};

use boss_base::{
    clock::Clock,
    files,
    pki::CertificateRequest,
    tasks::{OnExit, Tasks},
    tls::{self, Files, PeerCertificate, renewal},
};
use boss_proto::{peer::v1::RenewServerRequest, v1::ControlPlaneSpec};

use super::{standing::Standing, trust};
use crate::members::{Members, ToSign};

/// Between two looks: how long the others may go by an old list.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// The same of a certificate that lives so short that this would be late.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// What it looks after.
pub(crate) struct Keeper {
    pub(crate) identity: tls::Identity,
    pub(crate) members: Members,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) standing: Standing,
    /// File work is done here.
    pub(crate) tasks: Tasks,
}

/// What could not be done; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Refused(#[from] crate::api::Error),
    #[error("no key can be made: {0}")]
    Key(#[from] boss_base::pki::Error),
    #[error("it cannot be written down: {0}")]
    Disk(#[from] io::Error),
    #[error("it cannot be used: {0}")]
    Use(#[from] tls::Error),
    #[error("the server stops")]
    Stopping,
}

impl Keeper {
    /// Looks again and again, for as long as its tasks live.
    pub(crate) fn start(self) {
        let (tasks, token) = (self.tasks.clone(), self.tasks.token());
        tasks.spawn("certificate-keeper", OnExit::Log, async move {
            token.run_until_cancelled(self.run()).await;
        });
    }

    async fn run(self) {
        let Some(files) = self.identity.files().cloned() else { return };
        loop {
            tokio::time::sleep(self.until_next_look()).await;
            if let Err(error) = self.follow_trust(&files).await {
                tracing::warn!(%error, "the list of authorities is not up to date");
            }
            if let Err(error) = self.renew_if_due(&files).await {
                tracing::warn!(%error, "this server's certificate is not renewed yet");
            }
        }
    }

    fn until_next_look(&self) -> Duration {
        let lifetime = self.identity.certificate().map_or(0, |own| own.not_after.saturating_sub(own.not_before));
        let tenth = Duration::from_secs(u64::try_from(lifetime).unwrap_or(0)) / 20;
        tenth.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL)
    }

    /// Writes down whom the registry says to believe, if that is news.
    async fn follow_trust(&self, files: &Files) -> Result<(), Error> {
        let wanted = trust::told(&self.members.control_plane(), true).authorities_pem;
        if wanted.is_empty() || wanted == self.identity.authorities_pem() {
            return Ok(());
        }
        let path = files.ca.clone();
        self.on_disk(move || files::write_atomic(&path, wanted.as_bytes(), files::PUBLIC)).await?;
        self.identity.reload()?;
        tracing::info!("believes another list of authorities from now on");
        Ok(())
    }

    async fn renew_if_due(&self, files: &Files) -> Result<(), Error> {
        let Some(own) = self.identity.certificate() else { return Ok(()) };
        // Whoever took it back decides whether this server gets another one.
        if self.standing.lost().is_some() || !is_due(&own, &self.members.control_plane(), self.clock.unix_seconds()) {
            return Ok(());
        }
        let request = CertificateRequest::generate(&own.common_name, &[])?;
        let asked = RenewServerRequest { certificate_request: request.der.into() };
        let pem = self.members.signed(&ToSign::Own(asked)).await?;
        let (files, key) = (files.clone(), request.key_pem);
        self.on_disk(move || renewal::install(&files, &pem, &key)).await?;
        self.identity.reload()?;
        let until = self.identity.certificate().map_or(0, |own| own.not_after);
        tracing::info!(until, "renewed this server's certificate");
        Ok(())
    }

    async fn on_disk(&self, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), Error> {
        match self.tasks.run_blocking("certificate-files", work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(Error::Stopping),
        }
    }
}

/// At half of its life, or at once when another authority is to sign and its certificate is not of that one.
fn is_due(own: &PeerCertificate, spec: &ControlPlaneSpec, now_s: u64) -> bool {
    let moved = !spec.issuing_authority.is_empty() && spec.issuing_authority != own.authority;
    moved || renewal::renew_at(own) <= now_s
}

#[cfg(test)]
mod tests {
    use boss_base::tls::testing;

    use super::*;

    #[test]
    fn half_of_a_life_and_another_authority_are_reasons_to_renew() {
        let own = testing::certificate("a", 1_000 - 300, 2_000);
        let with = |issuing: &str| ControlPlaneSpec { issuing_authority: issuing.to_owned(), ..Default::default() };
        assert!(!is_due(&own, &with(""), 1_499) && is_due(&own, &with(""), 1_500));
        assert!(!is_due(&own, &with("a"), 1_001) && is_due(&own, &with("b"), 1_001));
    }
}
