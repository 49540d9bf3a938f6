//! Certificates of nodes, on the leader: a join token or the node's own certificate lets a request in, policy approves
//! it, a server that holds the authority's key signs it, and the registry keeps all of it under the node's name.

use boss_base::{
    constant_time,
    pki::{self, Asked},
    tls::PeerCertificate,
};
use boss_proto::{
    ids::{NodeName, Uid},
    key::Key,
    kind::Kind,
    limits::{CERTIFICATE_LIFETIME, CERTIFICATE_REQUEST_BYTES_MAX, REVOCATION_REASON_BYTES_MAX},
    object::Resource,
    peer::v1::SignNodeRequest,
    raft::v1::{Caller, Create, Operation, Txn, Update, operation::Action},
    v1::{
        CertificateSigningRequest, ControlPlane, JoinNodeRequest, JoinNodeResponse, Object, ObjectMeta, Preconditions,
        RenewCertificateRequest, RenewCertificateResponse, Revocation, RevocationSpec, RevokeCertificatesRequest,
        RevokeCertificatesResponse,
    },
};
use boss_raft::state::{Record, View, credentials::Target};
use bytes::Bytes;
use pbjson_types::Timestamp;

use super::{
    Members,
    signers::ToSign,
    store::{EDITS_MAX, own_caller},
    tokens,
};
use crate::{
    api::Error,
    auth::Identity,
    certificates::{
        approver::{self, node_subject},
        record,
    },
    writes,
};

impl Members {
    /// A machine that nobody knows becomes a node, by a token. The same request again finds what the first one did.
    pub(super) async fn join_node(&self, request: JoinNodeRequest) -> Result<JoinNodeResponse, Error> {
        self.check_cluster(&request.cluster_id)?;
        let asked = read_request(&request.certificate_request)?;
        let node = self.use_node_token(&request, &asked).await?;
        let certificate_pem = self.certificate_of_node(&node, &request.certificate_request).await?;
        Ok(JoinNodeResponse {
            name: node.to_string(),
            certificate_pem,
            authorities_pem: self.authorities_pem(),
            members: self.wire_members(),
        })
    }

    async fn use_node_token(&self, request: &JoinNodeRequest, asked: &Asked) -> Result<NodeName, Error> {
        let secret_sha256 = constant_time::sha256(&request.secret);
        let by = format!("join token {}", request.token_id);
        for _ in 0..EDITS_MAX {
            let (term, view, now_ms) = (self.leading_term()?, self.0.raft.view(), self.0.clock.unix_millis());
            let Some(plane_record) = view.get(&Key::control_plane()).cloned() else {
                return Err(tokens::refused("it is unknown here"));
            };
            let mut plane = ControlPlane::from_object(&plane_record.object).cloned().unwrap_or_default();
            let spec = plane.spec.get_or_insert_default();
            let (index, node) = tokens::find_for_node(spec, request, &secret_sha256)?;
            let stored_record = view.get(&key_of(&node)).cloned();
            let stored = stored_record.as_ref().and_then(|record| of(record));
            let is_same = |spec: &boss_proto::v1::CertificateSigningRequestSpec| {
                spec.requested_by == by && spec.request == request.certificate_request
            };
            if stored.and_then(|stored| stored.spec.as_ref()).is_some_and(is_same) {
                return Ok(node);
            }
            tokens::use_for_node(spec, index, &node, now_ms)?;
            let not_let_in =
                |why: &dyn std::fmt::Display| Error::Forbidden(format!("node {node} is not let in: {why}"));
            approver::approve(asked, &node_subject(&self.0.cluster_id, &node, self.node_lifetime()))
                .map_err(|denied| not_let_in(&denied))?;
            let registered = view.get(&Key::cluster(Kind::Node, node.as_str())).is_some();
            record::check_free(stored, &node, registered, now_ms / 1_000).map_err(|taken| not_let_in(&taken))?;
            let request = copied(&request.certificate_request);
            let fresh = record::requested(stored, &node, &request, &by, now_ms / 1_000);
            let operations = vec![update(&plane_record, plane), put(stored_record.as_deref(), fresh)];
            let txn = Txn { compare: Vec::new(), success: operations, failure: Vec::new() };
            if self.propose(term, &own_caller("node-join"), Action::Txn(txn), None).await? {
                tracing::info!(%node, by, "a node joins");
                return Ok(node);
            }
        }
        Err(writes::Error::Unsettled.into())
    }

    /// Another certificate for a node that has one: for its own name, and nothing else.
    pub(super) async fn renew_node(
        &self,
        identity: &Identity,
        request: RenewCertificateRequest,
    ) -> Result<RenewCertificateResponse, Error> {
        let Some(node) = identity.node().filter(|_| !identity.certificate_serial.is_empty()) else {
            return Err(Error::Forbidden("only the agent of a node renews a node's certificate".to_owned()));
        };
        let asked = read_request(&request.certificate_request)?;
        approver::approve(&asked, &node_subject(&self.0.cluster_id, node, self.node_lifetime()))
            .map_err(|denied| Error::Forbidden(format!("node {node} gets no certificate: {denied}")))?;
        let (serial, by) = (&identity.certificate_serial, format!("certificate {}", identity.certificate_serial));
        let request = copied(&request.certificate_request);
        self.edit_node(node, |stored| {
            let now_s = self.0.clock.unix_seconds();
            record::check_holder(stored, node, serial, now_s).map_err(|taken| Error::Forbidden(taken.to_string()))?;
            let asked_before = stored.and_then(|stored| stored.spec.as_ref());
            if asked_before.is_some_and(|before| before.request == request) {
                return Ok(None);
            }
            Ok(Some(record::requested(stored, node, &request, &by, now_s)))
        })
        .await?;
        Ok(RenewCertificateResponse { certificate_pem: self.certificate_of_node(node, &request).await? })
    }

    /// The certificate that answers the node's request: the one that stands there, or one that is signed now.
    async fn certificate_of_node(&self, node: &NodeName, request: &Bytes) -> Result<String, Error> {
        let sha256 = constant_time::sha256(request);
        let view = self.0.raft.view();
        let standing = node_record(&view, node).and_then(|stored| record::answer_to(stored, &sha256));
        if let Some(pem) = standing {
            return Ok(pem.to_owned());
        }
        let asked = SignNodeRequest { node_name: node.to_string(), request_sha256: sha256.clone().into() };
        let pem = self.signed(&ToSign::Node(asked)).await?;
        let certificate = read_certificate(&pem)?;
        self.edit_node(node, |stored| {
            let stored = stored.filter(|stored| is_request(stored, request));
            let stored =
                stored.ok_or_else(|| Error::Aborted(format!("node {node} has asked for another one since")))?;
            Ok(Some(record::answered(stored.clone(), &sha256, &pem, &certificate)))
        })
        .await?;
        Ok(pem)
    }

    /// Signs what the registry says that the node asks for, and nothing else.
    pub(crate) async fn sign_node(&self, asked: &SignNodeRequest) -> Result<String, Error> {
        let signer = self.signer()?;
        let node = NodeName::from(asked.node_name.clone());
        let view = self.0.raft.linearizable().await?;
        let request = node_record(&view, &node).and_then(|stored| Some(stored.spec.as_ref()?.request.clone()));
        let request = request.ok_or_else(|| Error::NotFound(format!("node {node} has asked for no certificate")))?;
        if !constant_time::equal(&constant_time::sha256(&request), &asked.request_sha256) {
            return Err(Error::Aborted(format!("node {node} has asked for another certificate since")));
        }
        let subject = node_subject(&self.0.cluster_id, &node, signer.lifetimes().node);
        approver::approve(&read_request(&request)?, &subject)
            .map_err(|denied| Error::Forbidden(format!("node {node} gets no certificate: {denied}")))?;
        signer.sign(&request, &subject).map_err(Error::Unavailable)
    }

    /// Takes certificates back: they are of no use on any server once this is acknowledged.
    pub(super) async fn revoke_certificates(
        &self,
        caller: &Caller,
        request: &RevokeCertificatesRequest,
    ) -> Result<RevokeCertificatesResponse, Error> {
        let node = self.node_to_revoke(request)?;
        if node.is_none() {
            self.check_servers_can_spare(&request.serial).await?;
        }
        for _ in 0..EDITS_MAX {
            let (term, view, now_s) = (self.leading_term()?, self.0.raft.view(), self.0.clock.unix_seconds());
            let stored_record = node.as_ref().and_then(|node| view.get(&key_of(node)).cloned());
            let stored = stored_record.as_ref().and_then(|stored| of(stored));
            let change = match (&node, &*request.serial) {
                (Some(node), "") => Some(record::revoked(stored, node, now_s).0),
                (Some(_), serial) => stored.and_then(|stored| record::revoked_one(stored, serial)),
                (None, _) => None,
            };
            let serials = match (&*request.serial, &change) {
                ("", Some(change)) => record::revoked_serials(change),
                ("", None) => Vec::new(),
                (serial, _) => vec![serial.to_owned()],
            };
            let made = Made { view: &view, by: &caller.username, reason: &request.reason, now_s };
            let mut operations: Vec<Operation> =
                change.into_iter().map(|change| put(stored_record.as_deref(), change)).collect();
            operations.extend(serials.iter().filter_map(|serial| made.certificate(serial)));
            if let (Some(node), "") = (&node, &*request.serial) {
                operations.push(made.node(node));
            }
            if operations.is_empty() {
                return Ok(RevokeCertificatesResponse { serials });
            }
            let txn = Txn { compare: Vec::new(), success: operations, failure: Vec::new() };
            if self.propose(term, &own_caller("certificates"), Action::Txn(txn), None).await? {
                tracing::info!(?node, ?serials, by = caller.username, "certificates are revoked");
                return Ok(RevokeCertificatesResponse { serials });
            }
        }
        Err(writes::Error::Unsettled.into())
    }

    fn node_to_revoke(&self, request: &RevokeCertificatesRequest) -> Result<Option<NodeName>, Error> {
        let view = self.0.raft.view();
        if request.reason.len() > REVOCATION_REASON_BYTES_MAX {
            return Err(Error::invalid("reason", format!("is longer than {REVOCATION_REASON_BYTES_MAX} bytes"), ""));
        }
        match (&*request.serial, &*request.node_name) {
            ("", "") => Err(Error::invalid("serial", "is missing", "name a serial or a node")),
            ("", node) => {
                let node = NodeName::from(node.to_owned());
                let is_known =
                    view.get(&key_of(&node)).is_some() || view.get(&Key::cluster(Kind::Node, node.as_str())).is_some();
                if is_known { Ok(Some(node)) } else { Err(Error::NotFound(format!("there is no node {node}"))) }
            }
            (serial, "") => {
                if serial.len() > SERIAL_LEN_MAX
                    || !serial.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
                {
                    return Err(Error::invalid("serial", "is no serial in lower-case hexadecimal", ""));
                }
                let holder = node_records(&view).find(|(_, stored)| record::knows(Some(stored), serial));
                Ok(holder.map(|(node, _)| node))
            }
            (_, _) => Err(Error::invalid("serial", "stands beside a node", "name one of them")),
        }
    }

    /// Changes what the registry keeps of a node's certificates. `None` from `edit` leaves it. Gives what stands then.
    async fn edit_node(
        &self,
        node: &NodeName,
        edit: impl Fn(Option<&CertificateSigningRequest>) -> Result<Option<CertificateSigningRequest>, Error>,
    ) -> Result<Option<CertificateSigningRequest>, Error> {
        for _ in 0..EDITS_MAX {
            let (term, view) = (self.leading_term()?, self.0.raft.view());
            let stored = view.get(&key_of(node)).cloned();
            let before = stored.as_ref().and_then(|stored| of(stored));
            let Some(changed) = edit(before)? else { return Ok(before.cloned()) };
            if before == Some(&changed) {
                return Ok(Some(changed));
            }
            let operation = put(stored.as_deref(), changed.clone());
            let (action, preconditions) = (operation.action, operation.preconditions);
            let Some(action) = action else { return Err(writes::Error::Unsettled.into()) };
            if self.propose(term, &own_caller("certificates"), action, preconditions).await? {
                return Ok(Some(changed));
            }
        }
        Err(writes::Error::Unsettled.into())
    }
}

/// Revocations as one call makes them.
struct Made<'a> {
    view: &'a View,
    by: &'a str,
    reason: &'a str,
    now_s: u64,
}

impl Made<'_> {
    /// `None` when the certificate is revoked already.
    fn certificate(&self, serial: &str) -> Option<Operation> {
        let spec = RevocationSpec { certificate_serial: serial.to_owned(), ..self.spec() };
        let key = Target::Certificate(serial).revocation_key();
        self.view.get(&key).is_none().then(|| put(None, revocation(&key, spec)))
    }

    /// Everything that the node has got so far, also what was made at the desk and is written down nowhere.
    fn node(&self, node: &NodeName) -> Operation {
        let subject = format!("node:{node}");
        let key = Target::Subject(&subject).revocation_key();
        let spec = RevocationSpec { subject, generation: self.now_s, ..self.spec() };
        put(self.view.get(&key).map(|stored| &**stored), revocation(&key, spec))
    }

    fn spec(&self) -> RevocationSpec {
        let end = self.now_s.saturating_add(CERTIFICATE_LIFETIME.as_secs());
        RevocationSpec {
            // No certificate lives longer.
            expires_at: Some(Timestamp { seconds: i64::try_from(end).unwrap_or(i64::MAX), nanos: 0 }),
            reason: self.reason.to_owned(),
            revoked_by: self.by.to_owned(),
            ..RevocationSpec::default()
        }
    }
}

fn revocation(key: &Key, spec: RevocationSpec) -> Object {
    let metadata = ObjectMeta { name: key.name.clone(), uid: Uid::random().to_string(), ..ObjectMeta::default() };
    Revocation { metadata: Some(metadata), spec: Some(spec), ..Revocation::default() }.into_object()
}

/// 20 bytes, and a leading zero.
const SERIAL_LEN_MAX: usize = 42;

/// Where the registry keeps what a node asked for.
pub(crate) fn key_of(node: &NodeName) -> Key {
    Key::cluster(Kind::CertificateSigningRequest, node.as_str())
}

/// What the registry keeps of a node's certificates.
pub(crate) fn node_record<'a>(view: &'a View, node: &NodeName) -> Option<&'a CertificateSigningRequest> {
    view.get(&key_of(node)).and_then(|stored| of(stored))
}

/// The same of all nodes.
pub(crate) fn node_records(view: &View) -> impl Iterator<Item = (NodeName, &CertificateSigningRequest)> {
    let all = view.list(Kind::CertificateSigningRequest, None);
    all.filter_map(|stored| Some((NodeName::from(stored.key.name.clone()), of(stored)?)))
}

fn of(record: &Record) -> Option<&CertificateSigningRequest> {
    CertificateSigningRequest::from_object(&record.object)
}

fn is_request(stored: &CertificateSigningRequest, request: &Bytes) -> bool {
    stored.spec.as_ref().is_some_and(|spec| spec.request == *request)
}

fn update(seen: &Record, object: impl Into<Object>) -> Operation {
    let action = Some(Action::Update(Update { object: Some(object.into()) }));
    let preconditions = Some(Preconditions { resource_version: Some(seen.revision.0), uid: None });
    Operation { action, preconditions, ..Operation::default() }
}

fn put(seen: Option<&Record>, object: impl Into<Object>) -> Operation {
    match seen {
        Some(seen) => update(seen, object),
        None => {
            let action = Some(Action::Create(Create { object: Some(object.into()) }));
            Operation { action, ..Operation::default() }
        }
    }
}

/// What is in a log or a cache must not pin the buffer of a connection.
fn copied(request: &Bytes) -> Bytes {
    Bytes::copy_from_slice(request)
}

/// A request that was signed by its own key.
pub(super) fn read_request(request: &[u8]) -> Result<Asked, Error> {
    let bad = |problem: String| Error::invalid("certificateRequest", problem, "send PKCS#10 in DER");
    if request.len() > CERTIFICATE_REQUEST_BYTES_MAX {
        let problem = format!("has {} bytes, the limit is {CERTIFICATE_REQUEST_BYTES_MAX}", request.len());
        return Err(bad(problem));
    }
    Asked::read(request).map_err(|error| bad(error.to_string()))
}

fn read_certificate(pem: &str) -> Result<PeerCertificate, Error> {
    let unusable = |problem: String| Error::Unavailable(format!("the signer's answer is not usable: {problem}"));
    let der = pki::certificate_der(pem).map_err(|error| unusable(error.to_string()))?;
    PeerCertificate::from_der(&der.into()).map_err(|error| unusable(error.to_string()))
}
