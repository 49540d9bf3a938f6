//! What the registry keeps of a node's certificates: the latest request, its answer, and everything that was issued and
//! has not ended. A name is taken for as long as one of those is good. Pure.

use boss_base::tls::PeerCertificate;
use boss_proto::{
    ids::{NodeName, Uid},
    limits::ISSUED_CERTIFICATES_MAX,
    v1::{
        CertificateSigningRequest, CertificateSigningRequestSpec, CertificateSigningRequestStatus, Condition,
        IssuedCertificate, ObjectMeta,
    },
};
use bytes::Bytes;
use pbjson_types::Timestamp;

/// Why a node gets no other certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Taken {
    /// Another machine has the name.
    #[error(
        "node {node} has a certificate already, good until {until} (seconds since 1970): two agents cannot have one \
         name. If that machine is gone, revoke what it has: bossctl certs revoke --node {node}"
    )]
    Certified {
        /// The name.
        node: NodeName,
        /// When the last of its certificates ends.
        until: u64,
    },
    /// Another machine has the name, with a certificate from before certificates were written down.
    #[error(
        "node {node} is registered already: two agents cannot have one name. If that machine is gone, revoke what it \
         has: bossctl certs revoke --node {node}"
    )]
    Registered {
        /// The name.
        node: NodeName,
    },
    /// More than renewals ever need.
    #[error("node {node} has {ISSUED_CERTIFICATES_MAX} certificates that are good: it renews far too often")]
    TooMany {
        /// The name.
        node: NodeName,
    },
    /// The caller's own certificate was taken back.
    #[error("the certificate {serial} of node {node} was revoked")]
    Revoked {
        /// The name.
        node: NodeName,
        /// Of the certificate.
        serial: String,
    },
}

/// Whether a machine that nobody knows may take the name. `registered`: there is a Node object of that name.
pub(crate) fn check_free(
    stored: Option<&CertificateSigningRequest>,
    node: &NodeName,
    registered: bool,
    now_s: u64,
) -> Result<(), Taken> {
    match stored {
        None if registered => Err(Taken::Registered { node: node.clone() }),
        None => Ok(()),
        Some(stored) => match live(stored, now_s).map(end_of).max() {
            Some(until) => Err(Taken::Certified { node: node.clone(), until }),
            None => Ok(()),
        },
    }
}

/// Whether the holder of the certificate of this serial may have another one.
pub(crate) fn check_holder(
    stored: Option<&CertificateSigningRequest>,
    node: &NodeName,
    serial: &str,
    now_s: u64,
) -> Result<(), Taken> {
    let Some(stored) = stored else { return Ok(()) };
    if issued(stored).iter().any(|known| known.serial == serial && known.revoked) {
        return Err(Taken::Revoked { node: node.clone(), serial: serial.to_owned() });
    }
    if live(stored, now_s).count() >= ISSUED_CERTIFICATES_MAX {
        return Err(Taken::TooMany { node: node.clone() });
    }
    Ok(())
}

/// The record with a new request, not answered yet. What has ended is forgotten, unless it was revoked a moment ago:
/// a revoked certificate is remembered until it would have ended.
pub(crate) fn requested(
    stored: Option<&CertificateSigningRequest>,
    node: &NodeName,
    request: &Bytes,
    by: &str,
    now_s: u64,
) -> CertificateSigningRequest {
    let mut record = stored.cloned().unwrap_or_else(|| new_record(node));
    record.spec = Some(CertificateSigningRequestSpec { request: request.clone(), requested_by: by.to_owned() });
    let status = record.status.get_or_insert_default();
    status.issued.retain(|issued| end_of(issued) > now_s);
    status.conditions = vec![Condition {
        r#type: "Approved".to_owned(),
        status: "True".to_owned(),
        reason: "Policy".to_owned(),
        message: format!("{by} may have the name {node}, and asks for nothing else"),
        last_transition_time: Some(timestamp(now_s)),
        observed_generation: 0,
    }];
    record
}

/// The record with the certificate that answers its request.
pub(crate) fn answered(
    mut record: CertificateSigningRequest,
    request_sha256: &[u8],
    pem: &str,
    certificate: &PeerCertificate,
) -> CertificateSigningRequest {
    let seconds = |time: i64| Some(Timestamp { seconds: time, nanos: 0 });
    let status = record.status.get_or_insert_default();
    pem.clone_into(&mut status.certificate);
    status.request_sha256 = Bytes::copy_from_slice(request_sha256);
    status.issued.push(IssuedCertificate {
        serial: certificate.serial.clone(),
        not_before: seconds(certificate.not_before),
        not_after: seconds(certificate.not_after),
        authority: certificate.authority.clone(),
        revoked: false,
    });
    record
}

/// The certificate that answers this very request, if there is one.
pub(crate) fn answer_to<'a>(stored: &'a CertificateSigningRequest, request_sha256: &[u8]) -> Option<&'a str> {
    let status = stored.status.as_ref()?;
    (status.request_sha256 == request_sha256).then_some(&*status.certificate)
}

/// Takes back everything that is good; a record that nobody has is made, so that the name is known to be free. Gives the
/// serials.
pub(crate) fn revoked(
    stored: Option<&CertificateSigningRequest>,
    node: &NodeName,
    now_s: u64,
) -> (CertificateSigningRequest, Vec<String>) {
    let mut record = stored.cloned().unwrap_or_else(|| new_record(node));
    // A request that waits for its answer gets none any more.
    record.spec = None;
    let status = record.status.get_or_insert_default();
    for issued in status.issued.iter_mut().filter(|issued| end_of(issued) > now_s) {
        issued.revoked = true;
    }
    let serials = revoked_serials(&record);
    (record, serials)
}

/// Of the certificates that were taken back and would not have ended yet.
pub(crate) fn revoked_serials(record: &CertificateSigningRequest) -> Vec<String> {
    issued(record).iter().filter(|issued| issued.revoked).map(|issued| issued.serial.clone()).collect()
}

/// The same for one certificate; `None` when it is not this node's.
pub(crate) fn revoked_one(stored: &CertificateSigningRequest, serial: &str) -> Option<CertificateSigningRequest> {
    let mut record = stored.clone();
    let issued = record.status.as_mut()?.issued.iter_mut().find(|issued| issued.serial == serial)?;
    issued.revoked = true;
    Some(record)
}

/// Whether an open session may go on: its certificate was not taken back, and if it has ended there is another one.
pub(crate) fn may_go_on(
    stored: Option<&CertificateSigningRequest>,
    serial: &str,
    not_after_s: u64,
    now_s: u64,
) -> bool {
    let Some(stored) = stored else { return not_after_s > now_s };
    let own = issued(stored).iter().find(|issued| issued.serial == serial);
    !own.is_some_and(|own| own.revoked) && (not_after_s > now_s || live(stored, now_s).next().is_some())
}

/// What the node shows, if it has taken the latest one that it got and that has not ended.
pub(crate) fn latest(stored: &CertificateSigningRequest, now_s: u64) -> Option<&IssuedCertificate> {
    issued(stored).iter().rev().find(|issued| end_of(issued) > now_s)
}

/// Whether the certificate of this serial was issued here.
pub(crate) fn knows(stored: Option<&CertificateSigningRequest>, serial: &str) -> bool {
    stored.is_some_and(|stored| issued(stored).iter().any(|issued| issued.serial == serial))
}

fn issued(record: &CertificateSigningRequest) -> &[IssuedCertificate] {
    record.status.as_ref().map(|status: &CertificateSigningRequestStatus| &*status.issued).unwrap_or_default()
}

fn live(record: &CertificateSigningRequest, now_s: u64) -> impl Iterator<Item = &IssuedCertificate> {
    issued(record).iter().filter(move |issued| !issued.revoked && end_of(issued) > now_s)
}

fn end_of(issued: &IssuedCertificate) -> u64 {
    issued.not_after.as_ref().and_then(|time| u64::try_from(time.seconds).ok()).unwrap_or(0)
}

fn new_record(node: &NodeName) -> CertificateSigningRequest {
    let metadata = ObjectMeta { name: node.to_string(), uid: Uid::random().to_string(), ..ObjectMeta::default() };
    CertificateSigningRequest { metadata: Some(metadata), ..CertificateSigningRequest::default() }
}

fn timestamp(now_s: u64) -> Timestamp {
    Timestamp { seconds: i64::try_from(now_s).unwrap_or(i64::MAX), nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "n1";

    fn node() -> NodeName {
        NodeName::from(NODE)
    }

    fn certificate(serial: &str, not_after: i64) -> PeerCertificate {
        PeerCertificate {
            common_name: NODE.to_owned(),
            organizations: Vec::new(),
            uris: Vec::new(),
            dns_names: Vec::new(),
            serial: serial.to_owned(),
            authority: "a".to_owned(),
            not_before: 0,
            not_after,
            der: Vec::new(),
        }
    }

    fn with(serials: &[(&str, i64)]) -> CertificateSigningRequest {
        let record = requested(None, &node(), &Bytes::from_static(b"r"), "test", 1);
        serials.iter().fold(record, |record, (serial, end)| answered(record, b"h", "pem", &certificate(serial, *end)))
    }

    #[test]
    fn a_name_is_taken_until_its_last_certificate_ends_or_is_revoked() {
        let check = |stored: Option<&CertificateSigningRequest>, registered, now| {
            check_free(stored, &node(), registered, now).map_err(|taken| taken.to_string())
        };
        assert_eq!(check(None, false, 10), Ok(()));
        assert!(check(None, true, 10).unwrap_err().contains("is registered already"));
        let stored = with(&[("01", 100), ("02", 200)]);
        assert!(check(Some(&stored), true, 150).unwrap_err().contains("good until 200"));
        assert_eq!(check(Some(&stored), true, 200), Ok(()));
        let (stored, serials) = revoked(Some(&stored), &node(), 150);
        assert_eq!(serials, ["02"]);
        assert_eq!(check(Some(&stored), true, 150), Ok(()));
        // A node from before there were records.
        assert_eq!(check(Some(&revoked(None, &node(), 1).0), true, 10), Ok(()));
    }

    #[test]
    fn a_revoked_holder_and_one_that_renews_all_the_time_get_nothing() {
        let stored = with(&[("01", 100)]);
        assert_eq!(check_holder(Some(&stored), &node(), "01", 10), Ok(()));
        assert_eq!(check_holder(Some(&stored), &node(), "desk", 10), Ok(()), "it is not known yet");
        let (gone, _) = revoked(Some(&stored), &node(), 10);
        assert!(matches!(check_holder(Some(&gone), &node(), "01", 10), Err(Taken::Revoked { .. })));
        let serials: Vec<String> = (0..ISSUED_CERTIFICATES_MAX).map(|number| number.to_string()).collect();
        let many: Vec<(&str, i64)> = serials.iter().map(|serial| (&**serial, 100)).collect();
        assert_eq!(check_holder(Some(&with(&many[1..])), &node(), "1", 10), Ok(()));
        assert!(matches!(check_holder(Some(&with(&many)), &node(), "1", 10), Err(Taken::TooMany { .. })));
        assert_eq!(check_holder(Some(&with(&many)), &node(), "1", 100), Ok(()));
    }

    #[test]
    fn what_has_ended_is_forgotten_and_what_is_revoked_is_not() {
        let (stored, _) = revoked(Some(&with(&[("01", 100), ("02", 200)])), &node(), 10);
        let again = requested(Some(&stored), &node(), &Bytes::from_static(b"n"), "test", 150);
        assert_eq!(issued(&again).iter().map(|issued| &*issued.serial).collect::<Vec<_>>(), ["02"]);
        assert!(issued(&again)[0].revoked);
        assert_eq!(answer_to(&again, b"h"), Some("pem"));
        assert_eq!(answer_to(&again, b"other"), None);
    }

    #[test]
    fn a_session_lives_as_long_as_its_node_has_a_certificate() {
        let stored = with(&[("01", 100), ("02", 200)]);
        assert!(may_go_on(Some(&stored), "01", 100, 150), "it has renewed");
        assert!(!may_go_on(Some(&stored), "01", 100, 250));
        assert!(!may_go_on(None, "desk", 100, 150));
        assert!(may_go_on(None, "desk", 200, 150));
        let one = revoked_one(&stored, "01").unwrap();
        assert!(!may_go_on(Some(&one), "01", 100, 50) && may_go_on(Some(&one), "02", 200, 50));
        assert!(revoked_one(&stored, "03").is_none());
    }
}
