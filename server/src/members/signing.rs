//! Certificates of joining servers. Believes the replicated state about who joins, and nothing that the joining server
//! says of itself but its key.

use std::{fmt, net::IpAddr, path::Path, sync::Arc};

use boss_base::{
    files,
    pki::{self, CertificateAuthority, Subject},
};
use boss_proto::{
    SERVER_DNS_NAME,
    ids::{ClusterId, ServerId},
    limits::CERTIFICATE_LIFETIME,
    v1::JoinToken,
};
use boss_raft::server_uri;

/// Many times a certificate or key.
const FILE_BYTES_MAX: usize = 64 << 10;

/// Holds the cluster's authority.
#[derive(Clone)]
pub struct Signer(Arc<CertificateAuthority>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// From the authority's certificate and key.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, String> {
        let read = |path: &Path| {
            let bytes = files::read_bounded(path, FILE_BYTES_MAX);
            let bytes = bytes.map_err(|error| format!("{}: {error}", path.display()))?;
            String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
        };
        let authority = CertificateAuthority::load(&read(certificate)?, &read(key)?);
        authority.map(|authority| Self(Arc::new(authority))).map_err(|error| format!("{}: {error}", key.display()))
    }

    /// The certificate of the server that used the token.
    pub(super) fn sign(&self, cluster_id: &ClusterId, token: &JoinToken, request: &[u8]) -> Result<String, pki::Error> {
        self.0.sign(request, &subject(cluster_id, token))
    }
}

/// Exactly these names: its role, the name that all servers have, its own name and the hosts that it is reached by.
fn subject(cluster_id: &ClusterId, token: &JoinToken) -> Subject {
    let mut subject = Subject {
        common_name: token.server_name.clone(),
        uris: vec![server_uri(cluster_id, ServerId(token.server_id))],
        dns_names: vec![SERVER_DNS_NAME.to_owned(), token.server_name.clone()],
        server_auth: true,
        client_auth: true,
        lifetime: CERTIFICATE_LIFETIME,
        ..Subject::default()
    };
    for address in [&token.server_peer_address, &token.server_api_address] {
        let Some((host, _)) = address.rsplit_once(':') else { continue };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(ip) if !subject.ip_addresses.contains(&ip) => subject.ip_addresses.push(ip),
            Ok(_) => {}
            Err(_) if !subject.dns_names.iter().any(|name| name == bare) => subject.dns_names.push(bare.to_owned()),
            Err(_) => {}
        }
    }
    subject
}

#[cfg(test)]
mod tests {
    use boss_base::pki::CertificateRequest;

    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            server_id: 4,
            server_name: "new".to_owned(),
            server_peer_address: "10.0.0.4:7401".to_owned(),
            server_api_address: "new.example:7400".to_owned(),
            ..JoinToken::default()
        }
    }

    #[test]
    fn a_certificate_names_its_server_and_nothing_that_the_request_wishes() {
        let signer = Signer(Arc::new(CertificateAuthority::generate("test").unwrap()));
        let request = CertificateRequest::generate("new", &[]).unwrap();
        let certificate = signer.sign(&"c1".into(), &token(), &request.der).unwrap();
        let der = pki::certificate_der(&certificate).unwrap();
        let found = boss_base::tls::PeerCertificate::from_der(&der.into()).unwrap();
        assert_eq!(found.uris, ["boss://c1/server/4"]);
        assert_eq!(found.dns_names, [SERVER_DNS_NAME, "new", "new.example"]);
    }

    #[test]
    fn a_request_for_foreign_names_is_refused() {
        let signer = Signer(Arc::new(CertificateAuthority::generate("test").unwrap()));
        let request = CertificateRequest::generate("new", &["boss://c1/server/1".to_owned()]).unwrap();
        let refused = signer.sign(&"c1".into(), &token(), &request.der).unwrap_err();
        assert!(refused.to_string().contains("boss://c1/server/1"), "{refused}");
    }

    #[test]
    fn bytes_that_are_no_request_are_refused() {
        let signer = Signer(Arc::new(CertificateAuthority::generate("test").unwrap()));
        assert!(signer.sign(&"c1".into(), &token(), b"nonsense").is_err());
    }
}
