//! Whether this server may still speak for the cluster: its own certificate can be revoked like any other. It looks at
//! the registry as it has it, and listens to the other servers, which tell it nothing else any more. While its certificate
//! is revoked it serves nobody and leads nothing; with another one it begins again. Decides nothing about who is revoked.

use std::{sync::Arc, time::Duration};

use boss_base::tls::{self, OpenConnections};
use boss_raft::{Handle, Revoked};
use tokio::sync::watch;

use crate::{
    api::Error,
    auth::{Authenticator, Ends},
    metric_definitions::CERTIFICATE_REVOKED,
};

/// Between two questions whether the others take this server's certificate again.
const ASK_INTERVAL: Duration = Duration::from_secs(5);

/// Why this server serves nobody, if that is so. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing(watch::Sender<Option<Arc<str>>>);

impl Standing {
    /// The refusal of whoever asks something of this server; none while it may answer.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &*self.0.borrow() {
            None => Ok(()),
            Some(reason) => Err(Error::Unavailable(format!("{reason}: ask another server"))),
        }
    }

    /// Why this server serves nobody.
    pub(crate) fn lost(&self) -> Option<Arc<str>> {
        self.0.borrow().clone()
    }

    /// Resolves with the refusal of those who are being served.
    pub(crate) async fn until_lost(&self) -> Error {
        let mut standing = self.0.subscribe();
        loop {
            if let Err(refusal) = self.check() {
                return refusal;
            }
            if standing.changed().await.is_err() {
                // The sender is in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether it is news.
    fn set(&self, reason: Option<Arc<str>>) -> bool {
        self.0.send_if_modified(|known| {
            let news = *known != reason;
            *known = reason;
            news
        })
    }
}

/// What keeps a [`Standing`] as it is.
pub(crate) struct Follower {
    pub(crate) standing: Standing,
    pub(crate) identity: tls::Identity,
    pub(crate) authenticator: Authenticator,
    pub(crate) ends: Ends,
    pub(crate) raft: Handle,
    /// Connections with other servers: those that they opened, and those that this one did.
    pub(crate) accepted: OpenConnections,
    pub(crate) dialled: OpenConnections,
}

impl Follower {
    /// Lets the registry say from now on whose connections count.
    pub(crate) fn judge_connections(&self) {
        for connections in [&self.accepted, &self.dialled] {
            let authenticator = self.authenticator.clone();
            connections.judged_by(move |shown| authenticator.check_server(shown).map_err(|error| error.to_string()));
        }
    }

    /// Looks whenever something was revoked, another server says so, or this server has another certificate.
    pub(crate) async fn run(self) {
        let (mut revocations, mut told) = (self.ends.revocations(), self.raft.revoked());
        let mut identities = self.identity.changes();
        loop {
            let said = told.borrow_and_update().clone();
            self.look(said.as_ref()).await;
            tokio::select! {
                _ = revocations.changed() => {}
                _ = told.changed() => {}
                _ = identities.changed() => {}
                () = self.ask_again(said.is_some()) => {}
            }
        }
    }

    /// What others said may hold no more, for a revocation can be taken back: a leader that answers takes the certificate.
    async fn ask_again(&self, said: bool) {
        if !said {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(ASK_INTERVAL).await;
        if self.raft.linearizable().await.is_ok() {
            self.raft.forget_revoked();
        }
    }

    async fn look(&self, said: Option<&Revoked>) {
        let closed = self.accepted.close_refused() + self.dialled.close_refused();
        if closed > 0 {
            tracing::warn!(closed, "connections with servers whose certificates were revoked are closed");
        }
        let reason = self.why_lost(said);
        if !self.standing.set(reason.clone()) {
            return;
        }
        metrics::gauge!(CERTIFICATE_REVOKED).set(if reason.is_some() { 1.0 } else { 0.0 });
        match reason {
            Some(reason) => {
                tracing::error!("{reason}; it serves nobody until it has another one");
                self.raft.step_down().await;
            }
            None => {
                tracing::info!("this server has another certificate, and serves again");
                // The others refuse what comes over connections that were opened with the former one.
                self.dialled.close_all();
            }
        }
    }

    fn why_lost(&self, said: Option<&Revoked>) -> Option<Arc<str>> {
        let own = self.identity.certificate()?;
        let known = self.authenticator.check_server(&own).err().map(|error| error.to_string());
        // What others say of an earlier certificate says nothing of this one.
        let said = said.filter(|said| said.serial == own.serial).map(|said| format!("server {} says so", said.by));
        let why = known.or(said)?;
        Some(format!("the certificate of this server ({}) was revoked ({why})", own.serial).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_served_hears_when_the_server_may_serve_no_more() {
        let standing = Standing::default();
        let waiting = standing.clone();
        let mut lost = Box::pin(waiting.until_lost());
        assert!(standing.check().is_ok() && futures_util::poll!(&mut lost).is_pending());
        assert!(standing.set(Some("the certificate was revoked".into())));
        assert!(!standing.set(Some("the certificate was revoked".into())), "that is no news");
        let expected = Error::Unavailable("the certificate was revoked: ask another server".to_owned());
        assert_eq!((standing.check(), lost.await), (Err(expected.clone()), expected));
        assert!(standing.set(None) && standing.check().is_ok());
    }
}
