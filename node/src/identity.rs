//! Who this node is, from its certificate: `boss://<cluster>/node/<name>`. Knows no file and no connection.

use boss_base::tls::PeerCertificate;
use boss_proto::ids::{ClusterId, NodeName};

/// The certificate is not this node's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("tls.certificate: holds no certificate of our own")]
    Missing,
    /// It is for something else than a node.
    #[error("tls.certificate: is not a node's certificate: none of its URIs is of the form boss://CLUSTER/node/NAME")]
    NotANode,
    /// It is for another node.
    #[error("name: is {configured}, but the certificate in tls.certificate is for node {certified}")]
    OtherName {
        /// From the configuration.
        configured: String,
        /// From the certificate.
        certified: String,
    },
}

/// The cluster that the certificate is for, if it is the one of node `name`.
pub fn check(certificate: Option<&PeerCertificate>, name: &NodeName) -> Result<ClusterId, Error> {
    let certificate = certificate.ok_or(Error::Missing)?;
    let (cluster, certified) = certificate.uris.iter().find_map(|uri| parse(uri)).ok_or(Error::NotANode)?;
    if certified != name.as_str() {
        return Err(Error::OtherName { configured: name.to_string(), certified: certified.to_owned() });
    }
    Ok(ClusterId::from(cluster))
}

fn parse(uri: &str) -> Option<(&str, &str)> {
    let (cluster, rest) = uri.strip_prefix("boss://")?.split_once('/')?;
    let name = rest.strip_prefix("node/")?;
    (!cluster.is_empty() && !name.is_empty() && !name.contains('/')).then_some((cluster, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(uris: &[&str]) -> PeerCertificate {
        PeerCertificate {
            common_name: String::new(),
            organizations: Vec::new(),
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            dns_names: Vec::new(),
            serial: String::new(),
            authority: String::new(),
            not_before: 0,
            not_after: 0,
            der: Vec::new(),
        }
    }

    #[test]
    fn only_this_node_s_certificate_will_do() {
        let check = |uris: &[&str]| check(Some(&certificate(uris)), &NodeName::from("n1"));
        assert_eq!(check(&["other:x", "boss://c1/node/n1"]), Ok(ClusterId::from("c1")));
        assert!(matches!(check(&["boss://c1/node/n2"]), Err(Error::OtherName { .. })));
        for wrong in ["boss://c1/server/1", "boss://c1/user/n1", "boss:///node/n1", "boss://c1/node/n1/x", ""] {
            assert_eq!(check(&[wrong]), Err(Error::NotANode), "{wrong}");
        }
        assert_eq!(super::check(None, &NodeName::from("n1")), Err(Error::Missing));
    }
}
