//! Another authority in the place of the present one: believed by all first, then signing, then alone. Nothing restarts.

use std::path::Path;

use boss_base::pki::{self, Authority};
use boss_proto::v1::{CertificatesStatusResponse, SetTrustRequest};

use crate::{
    failure::{Exit, Failure},
    provision::Cluster,
    session::Session,
    terminal,
};

const WHAT: &str = "cannot replace the authority";

/// What the cluster believes now.
struct Standing {
    status: CertificatesStatusResponse,
    authorities: Vec<Authority>,
}

impl Standing {
    async fn ask(cluster: &Cluster, session: &Session) -> Result<Self, Failure> {
        let failed = |error: &boss_client::Error| Failure::from_client(WHAT, error);
        let status = session.client.certificates().await.map_err(|error| failed(&error))?;
        let told = session.client.trust().await.map_err(|error| failed(&error))?.authorities_pem;
        // Nobody has changed the list yet: it is what the cluster was made with.
        let authorities = if told.is_empty() {
            cluster.believed()?
        } else {
            pki::read_bundle(&told).map_err(|error| Failure::bad_input(WHAT, error))?
        };
        Ok(Self { status, authorities })
    }

    fn issuing(&self) -> String {
        let issuing = self.status.authorities.iter().find(|authority| authority.issuing);
        issuing.map(|authority| authority.id.clone()).unwrap_or_default()
    }

    fn request(&self, authorities: &[Authority], issuing: &str) -> SetTrustRequest {
        SetTrustRequest {
            authorities: authorities.iter().map(|authority| authority.der.clone().into()).collect(),
            issuing_authority: issuing.to_owned(),
            seen: self.status.authorities.iter().map(|authority| authority.id.clone()).collect(),
            force: false,
        }
    }
}

async fn set(session: &Session, request: SetTrustRequest) -> Result<(), Failure> {
    let set = terminal::waiting("asking the leader", session.client.set_trust(request)).await;
    set.map(drop).map_err(|error| Failure::from_client(WHAT, &error))
}

pub(super) async fn begin(dir: &Path, session: &Session) -> Result<Exit, Failure> {
    let cluster = Cluster::open(dir)?;
    let standing = Standing::ask(&cluster, session).await?;
    let next = cluster.next_authority()?;
    let mut authorities = standing.authorities.clone();
    authorities.retain(|authority| authority.id != next.id);
    authorities.push(next.clone());
    set(session, standing.request(&authorities, &standing.issuing())).await?;
    cluster.believe(&authorities)?;
    terminal::print(&format!(
        "authority {} is believed beside the present one, and does not sign yet\n\n\
         Give pki/ca.crt of {} to users whose context has a copy of it.\n\
         Wait until no alarm says that somebody does not believe it, and every agent has asked:\n\
         \x20 bossctl certs status      (agents ask every 15 seconds)\n\
         Then put pki/ca-next.key in the place of ca.key on each server that signs (the next step does it for servers\n\
         whose folders are here), and go on:\n\
         \x20 bossctl certs rotate-ca switch --dir {}\n",
        next.id,
        dir.display(),
        dir.display()
    ));
    Ok(Exit::Ok)
}

pub(super) async fn switch(dir: &Path, session: &Session) -> Result<Exit, Failure> {
    let cluster = Cluster::open(dir)?;
    if !cluster.has_next_authority() {
        let why = "there is no next authority in the folder";
        return Err(Failure::bad_input(WHAT, why).or_next("bossctl certs rotate-ca begin --dir DIR"));
    }
    let next = cluster.next_authority()?;
    let standing = Standing::ask(&cluster, session).await?;
    let late: Vec<&String> = standing.status.alarms.iter().filter(|alarm| alarm.contains(&next.id)).collect();
    if let Some(alarm) = late.iter().find(|alarm| alarm.contains("does not believe")) {
        return Err(Failure::bad_input(WHAT, alarm).or_next("the same again in a moment"));
    }
    cluster.hand_out_next_key()?;
    let holders = Standing::ask(&cluster, session).await?;
    let signers = holders.status.authorities.iter().find(|authority| authority.id == next.id);
    if signers.is_none_or(|authority| authority.signers.is_empty()) {
        let why = "no server holds the key of the next authority";
        return Err(
            Failure::bad_input(WHAT, why).or_next("pki/ca-next.key in the place of ca.key on a server that signs")
        );
    }
    set(session, holders.request(&holders.authorities, &next.id)).await?;
    cluster.adopt_next_authority()?;
    terminal::print(&format!(
        "authority {} signs from now on; servers and nodes renew at once\n\n\
         Once bossctl certs status shows nobody with a certificate of the former one:\n\
         \x20 bossctl certs rotate-ca finish --dir {}\n",
        next.id,
        dir.display()
    ));
    Ok(Exit::Ok)
}

pub(super) async fn finish(dir: &Path, session: &Session) -> Result<Exit, Failure> {
    let cluster = Cluster::open(dir)?;
    let standing = Standing::ask(&cluster, session).await?;
    let issuing = standing.issuing();
    let kept: Vec<Authority> =
        standing.authorities.iter().filter(|authority| authority.id == issuing).cloned().collect();
    if kept.is_empty() {
        return Err(Failure::bad_input(WHAT, "nobody signs").or_next("bossctl certs status"));
    }
    set(session, standing.request(&kept, &issuing)).await?;
    cluster.believe(&kept)?;
    cluster.forget_former_authority()?;
    terminal::print(&format!("authority {issuing} is the only one that is believed\n"));
    Ok(Exit::Ok)
}
