//! Whom servers and nodes believe, and what certificates they show: the list is changed on the leader, and asked for
//! anywhere.

use std::collections::BTreeSet;

use boss_base::pki;
use boss_proto::{
    ids::{NodeName, ServerId},
    kind::Kind,
    peer::v1::DescribeRequest,
    raft::v1::Caller,
    v1::{
        self, AuthorityStatus, CertificateOnUse, CertificateStatus, CertificatesStatusResponse, ServerStatus,
        SetTrustRequest, TrustResponse,
    },
};
use boss_raft::{
    Member,
    state::{View, credentials::Target},
};
use futures_util::future::join_all;
use pbjson_types::Timestamp;

use super::{
    Members, check_quorum,
    nodes::{node_record, node_records},
    plane,
};
use crate::{
    api::Error,
    auth::{Identity, Role},
    certificates::{record, trust},
};

/// A server that has not said by then what it shows is one that cannot be reached.
const ASK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
/// Certificates that end sooner are worth an alarm: they should have been renewed long before.
const SOON_SECONDS: i64 = 24 * 3_600;

impl Members {
    /// Replaces the list of authorities.
    pub(super) async fn set_trust(&self, caller: &Caller, request: SetTrustRequest) -> Result<TrustResponse, Error> {
        let before = pki::read_bundle(&self.authorities_pem())
            .map_err(|error| Error::Unavailable(format!("this server's own list cannot be read: {error}")))?;
        let in_use = self.authorities_in_use().await?;
        let members = self.0.raft.members();
        self.edit(caller, |spec| {
            plane::note_ids(spec, &members);
            trust::set(spec, &request, &before, &in_use)
        })
        .await?;
        tracing::info!(
            issuing = request.issuing_authority,
            count = request.authorities.len(),
            "authorities have changed"
        );
        Ok(trust::told(&self.spec(), true))
    }

    /// Of every server that answers and every node: who does not answer could be left behind, so all servers must.
    async fn authorities_in_use(&self) -> Result<BTreeSet<String>, Error> {
        let mut ids = BTreeSet::new();
        for (member, answer) in self.describe_all().await {
            let certificate = answer.map_err(|problem| {
                Error::Unavailable(format!("server {} cannot say what certificate it shows: {problem}", member.id))
            })?;
            ids.extend(certificate.certificate.map(|certificate| certificate.authority));
        }
        let now_s = self.0.clock.unix_seconds();
        let view = self.0.raft.view();
        // A node renews early when its certificate is of another authority: the latest one is what it shows.
        let latest = node_records(&view).filter_map(|(_, stored)| record::latest(stored, now_s).cloned());
        ids.extend(latest.map(|issued| issued.authority));
        Ok(ids)
    }

    /// Whom to believe, for a caller that shows this certificate.
    pub(crate) fn trust_of(&self, identity: &Identity) -> TrustResponse {
        let view = self.0.raft.view();
        let known = match &identity.role {
            Role::Node(node) => record::knows(node_record(&view, node), &identity.certificate_serial),
            Role::User | Role::Server(_) => true,
        };
        trust::told(&self.spec(), known)
    }

    /// When the first of the nodes' latest certificates ends, in seconds since the epoch.
    #[must_use]
    pub fn first_node_certificate_end(view: &View) -> Option<i64> {
        let latest = node_records(view).filter_map(|(_, stored)| record::latest(stored, view.time_ms() / 1_000));
        latest.filter(|issued| !issued.revoked).filter_map(|issued| Some(issued.not_after.as_ref()?.seconds)).min()
    }

    /// Whether the open session of a node's agent may go on.
    #[must_use]
    pub fn may_session_go_on(view: &View, agent: &Identity, now_s: u64) -> bool {
        let stored = agent.node().and_then(|node| node_record(view, node));
        record::may_go_on(stored, &agent.certificate_serial, agent.expires_at, now_s)
    }

    /// Whether those servers that show another certificate are enough to decide anything, if a server shows this one: it
    /// serves nobody once it is revoked, and nobody could take that back.
    pub(super) async fn check_servers_can_spare(&self, serial: &str) -> Result<(), Error> {
        let (view, servers) = (self.0.raft.view(), self.describe_all().await);
        let shown = servers.iter().filter_map(|(member, answer)| {
            let shown = answer.as_ref().ok()?.certificate.as_ref()?;
            Some((member.id, &*shown.serial))
        });
        let shown: Vec<(ServerId, &str)> = shown.collect();
        let voters: BTreeSet<ServerId> = self.0.raft.status().voters.into_iter().collect();
        if !shown.iter().any(|(id, shown)| *shown == serial && voters.contains(id)) {
            return Ok(());
        }
        let is_revoked = |serial: &str| view.get(&Target::Certificate(serial).revocation_key()).is_some();
        let rest = shown.iter().filter(|(_, shown)| *shown != serial && !is_revoked(shown));
        check_quorum(&voters, &rest.map(|(id, _)| *id).collect()).map_err(|lost| {
            Error::Precondition(format!(
                "a server shows that certificate, and {lost}: give the server another one first, then revoke this one"
            ))
        })
    }

    /// The certificate that this server shows, as others are told.
    pub(crate) fn describe_certificate(&self, status: &mut ServerStatus) {
        status.certificate = self.own_certificate().map(|own| CertificateOnUse {
            serial: own.serial.clone(),
            not_before: own.not_before,
            not_after: own.not_after,
            authority: own.authority.clone(),
        });
        let bundle = pki::read_bundle(&self.0.identity.authorities_pem()).unwrap_or_default();
        status.authorities = bundle.into_iter().map(|authority| authority.id).collect();
        status.signs_for = self.signs_for().unwrap_or_default();
    }

    pub(super) async fn describe_all(&self) -> Vec<(Member, Result<ServerStatus, String>)> {
        let own = self.0.raft.server_id();
        let ask = async |member: Member| {
            if member.id == own {
                let mut status = ServerStatus::default();
                self.describe_certificate(&mut status);
                self.describe_audit(&mut status);
                return (member, Ok(status));
            }
            let answer = match self.0.peers.client(member.id) {
                Err(error) => Err(error.to_string()),
                Ok(mut client) => match tokio::time::timeout(ASK_TIMEOUT, client.describe(DescribeRequest {})).await {
                    Ok(Ok(answer)) => Ok(answer.into_inner()),
                    Ok(Err(status)) => Err(status.message().to_owned()),
                    Err(_) => Err(format!("no answer within {ASK_TIMEOUT:?}")),
                },
            };
            (member, answer)
        };
        join_all(self.0.raft.members().into_iter().map(ask)).await
    }

    /// Every server's and node's certificate, and the authorities.
    pub(crate) async fn certificates(&self, view: &View) -> Result<CertificatesStatusResponse, Error> {
        let (servers, now_s) = (self.describe_all().await, self.0.clock.unix_seconds());
        let mut certificates: Vec<CertificateStatus> =
            servers.iter().map(|(member, answer)| of_server(view, member, answer)).collect();
        for node in view.list(Kind::Node, None) {
            let node = NodeName::from(node.key.name.clone());
            if node_record(view, &node).is_none() {
                certificates.push(CertificateStatus {
                    problem: "made at the desk: known once it renews".to_owned(),
                    ..of_node(&node, None)
                });
            }
        }
        for (node, stored) in node_records(view) {
            certificates.push(of_node(&node, record::latest(stored, now_s)));
        }
        let bundle = pki::read_bundle(&self.authorities_pem())
            .map_err(|error| Error::Unavailable(format!("this server's own list cannot be read: {error}")))?;
        let issuing = self.spec().issuing_authority;
        let authorities = bundle.iter().map(|authority| AuthorityStatus {
            id: authority.id.clone(),
            name: authority.name.clone(),
            not_after: Some(seconds(authority.not_after)),
            issuing: if issuing.is_empty() { bundle.len() == 1 } else { authority.id == issuing },
            signers: signers_of(&authority.id, &servers),
        });
        let authorities: Vec<AuthorityStatus> = authorities.collect();
        let alarms = alarms(&certificates, &authorities, &servers, i64::try_from(now_s).unwrap_or(i64::MAX));
        Ok(CertificatesStatusResponse { certificates, authorities, alarms })
    }
}

fn of_server(view: &View, member: &Member, answer: &Result<ServerStatus, String>) -> CertificateStatus {
    let status =
        CertificateStatus { holder: "server".to_owned(), name: member.id.to_string(), ..CertificateStatus::default() };
    match answer {
        Err(problem) => CertificateStatus { problem: problem.clone(), ..status },
        Ok(answer) => {
            let own = answer.certificate.clone().unwrap_or_default();
            CertificateStatus {
                revoked: view.get(&Target::Certificate(&own.serial).revocation_key()).is_some(),
                serial: own.serial,
                not_before: Some(seconds(own.not_before)),
                not_after: Some(seconds(own.not_after)),
                authority: own.authority,
                ..status
            }
        }
    }
}

fn of_node(node: &NodeName, latest: Option<&v1::IssuedCertificate>) -> CertificateStatus {
    let status =
        CertificateStatus { holder: "node".to_owned(), name: node.to_string(), ..CertificateStatus::default() };
    match latest {
        None => CertificateStatus { problem: "it has none that is good".to_owned(), ..status },
        Some(latest) => CertificateStatus {
            serial: latest.serial.clone(),
            not_before: latest.not_before,
            not_after: latest.not_after,
            authority: latest.authority.clone(),
            revoked: latest.revoked,
            ..status
        },
    }
}

fn signers_of(authority: &str, servers: &[(Member, Result<ServerStatus, String>)]) -> Vec<u64> {
    let holds =
        |answer: &Result<ServerStatus, String>| answer.as_ref().is_ok_and(|status| status.signs_for == authority);
    servers.iter().filter(|(_, answer)| holds(answer)).map(|(member, _)| member.id.0).collect()
}

fn alarms(
    certificates: &[CertificateStatus],
    authorities: &[AuthorityStatus],
    servers: &[(Member, Result<ServerStatus, String>)],
    now_s: i64,
) -> Vec<String> {
    let left = |time: Option<&Timestamp>| time.map_or(i64::MAX, |time| time.seconds.saturating_sub(now_s));
    let mut alarms = Vec::new();
    for held in certificates.iter().filter(|held| !held.revoked) {
        // A short certificate is renewed at its half: what matters is that the last quarter is never reached.
        let lifetime = held.not_after.as_ref().zip(held.not_before.as_ref());
        let lifetime = lifetime.map_or(i64::MAX, |(end, begin)| end.seconds.saturating_sub(begin.seconds));
        let left = left(held.not_after.as_ref());
        if left < (lifetime / 4).min(SOON_SECONDS) {
            alarms.push(format!(
                "the certificate of {} {} ends in {} s and was not renewed",
                held.holder, held.name, left
            ));
        }
    }
    for authority in authorities {
        if authority.issuing && authority.signers.is_empty() {
            alarms.push(format!(
                "no server that answers holds the key of authority {}: nothing is renewed",
                authority.id
            ));
        }
        if left(authority.not_after.as_ref()) < 30 * SOON_SECONDS {
            alarms.push(format!("authority {} ends within a month: replace it", authority.id));
        }
        for (member, answer) in servers {
            if answer.as_ref().is_ok_and(|status| !status.authorities.contains(&authority.id)) {
                alarms.push(format!("server {} does not believe authority {} yet", member.id, authority.id));
            }
        }
    }
    alarms
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}
