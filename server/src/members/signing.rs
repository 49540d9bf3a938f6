//! The key of the cluster's authority, on a server that holds it, and the names in servers' certificates. Believes what
//! it is told about who somebody is; nothing of a request counts but its key.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use boss_base::{
    files,
    pki::{CertificateAuthority, Subject},
};
use boss_proto::{
    SERVER_DNS_NAME,
    ids::{ClusterId, ServerId},
    limits::{NODE_CERTIFICATE_LIFETIME, SERVER_CERTIFICATE_LIFETIME},
    v1::JoinToken,
};
use boss_raft::{Member, server_uri};

/// Many times a bundle of certificates or a key.
const FILE_BYTES_MAX: usize = 64 << 10;

/// How long certificates are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of nodes.
    pub node: Duration,
    /// Of servers.
    pub server: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { node: NODE_CERTIFICATE_LIFETIME, server: SERVER_CERTIFICATE_LIFETIME }
    }
}

/// Holds the cluster's authority. It is read for each signature: an operator may have put another one in its place.
#[derive(Clone)]
pub struct Signer(Arc<Files>);

struct Files {
    bundle: PathBuf,
    key: PathBuf,
    lifetimes: Lifetimes,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// From the authority's key and the certificates among which its own is.
    pub fn load(bundle: &Path, key: &Path, lifetimes: Lifetimes) -> Result<Self, String> {
        let signer = Self(Arc::new(Files { bundle: bundle.to_owned(), key: key.to_owned(), lifetimes }));
        signer.authority().map(|_| signer)
    }

    fn authority(&self) -> Result<CertificateAuthority, String> {
        let read = |path: &Path| {
            let bytes = files::read_bounded(path, FILE_BYTES_MAX);
            let bytes = bytes.map_err(|error| format!("{}: {error}", path.display()))?;
            String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
        };
        let authority = CertificateAuthority::load(&read(&self.0.bundle)?, &read(&self.0.key)?);
        authority.map_err(|error| format!("{}: {error}", self.0.key.display()))
    }

    /// Id of the authority whose key this is now.
    pub(crate) fn authority_id(&self) -> Result<String, String> {
        let authority = self.authority()?.authority().map_err(|error| error.to_string())?;
        Ok(authority.id)
    }

    pub(super) fn lifetimes(&self) -> Lifetimes {
        self.0.lifetimes
    }

    /// The certificate that says exactly what `subject` does, for the key of the request.
    pub(super) fn sign(&self, request: &[u8], subject: &Subject) -> Result<String, String> {
        self.authority()?.sign(request, subject).map_err(|error| super::chain(&error))
    }
}

/// The server that used the token, as the token remembers it.
pub(super) fn joined(token: &JoinToken) -> Member {
    let (name, peer, api) =
        (token.server_name.clone(), token.server_peer_address.clone(), token.server_api_address.clone());
    Member { id: ServerId(token.server_id), name, peer, api }
}

/// Exactly these names: its role, the name that all servers have, its own name and the hosts that it is reached by.
pub(super) fn server_subject(cluster_id: &ClusterId, server: &Member, lifetime: Duration) -> Subject {
    let mut subject = Subject {
        common_name: server.name.clone(),
        uris: vec![server_uri(cluster_id, server.id)],
        dns_names: vec![SERVER_DNS_NAME.to_owned(), server.name.clone()],
        server_auth: true,
        client_auth: true,
        lifetime,
        ..Subject::default()
    };
    for address in [&server.peer, &server.api] {
        let Some((host, _)) = address.rsplit_once(':') else { continue };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(ip) => {
                push_new(&mut subject.ip_addresses, ip);
                if ip.is_loopback() {
                    push_new(&mut subject.dns_names, "localhost".to_owned());
                }
            }
            Err(_) => push_new(&mut subject.dns_names, bare.to_owned()),
        }
    }
    subject
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use boss_base::{
        pki::{self, CertificateRequest},
        tls::PeerCertificate,
    };

    use super::*;

    struct Bench {
        _folder: tempfile::TempDir,
        signer: Signer,
    }

    fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::generate("test").unwrap();
        let (bundle, key) = (folder.path().join("ca.crt"), folder.path().join("ca.key"));
        std::fs::write(&bundle, authority.cert_pem()).unwrap();
        std::fs::write(&key, authority.key_pem()).unwrap();
        let signer = Signer::load(&bundle, &key, Lifetimes::default()).unwrap();
        Bench { _folder: folder, signer }
    }

    fn subject() -> Subject {
        let token = JoinToken {
            server_id: 4,
            server_name: "new".to_owned(),
            server_peer_address: "10.0.0.4:7401".to_owned(),
            server_api_address: "new.example:7400".to_owned(),
            ..JoinToken::default()
        };
        server_subject(&"c1".into(), &joined(&token), SERVER_CERTIFICATE_LIFETIME)
    }

    #[test]
    fn a_certificate_names_its_server_and_nothing_that_the_request_wishes() {
        let request = CertificateRequest::generate("new", &[]).unwrap();
        let certificate = bench().signer.sign(&request.der, &subject()).unwrap();
        let der = pki::certificate_der(&certificate).unwrap();
        let found = PeerCertificate::from_der(&der.into()).unwrap();
        assert_eq!(found.uris, ["boss://c1/server/4"]);
        assert_eq!(found.dns_names, [SERVER_DNS_NAME, "new", "new.example"]);
    }

    #[test]
    fn a_request_for_foreign_names_is_refused() {
        let request = CertificateRequest::generate("new", &["boss://c1/server/1".to_owned()]).unwrap();
        let refused = bench().signer.sign(&request.der, &subject()).unwrap_err();
        assert!(refused.contains("boss://c1/server/1"), "{refused}");
    }

    #[test]
    fn bytes_that_are_no_request_are_refused() {
        assert!(bench().signer.sign(b"nonsense", &subject()).is_err());
    }

    #[test]
    fn an_authority_that_is_put_in_place_signs_from_then_on() {
        let bench = bench();
        let before = bench.signer.authority_id().unwrap();
        let next = CertificateAuthority::generate("next").unwrap();
        let old = std::fs::read_to_string(&bench.signer.0.bundle).unwrap();
        std::fs::write(&bench.signer.0.bundle, format!("{old}{}", next.cert_pem())).unwrap();
        assert_eq!(bench.signer.authority_id().unwrap(), before);
        std::fs::write(&bench.signer.0.key, next.key_pem()).unwrap();
        assert_eq!(bench.signer.authority_id().unwrap(), next.authority().unwrap().id);
    }
}
