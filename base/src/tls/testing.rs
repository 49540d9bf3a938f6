//! Certificates as connections show them, without a connection. For tests; nobody has signed them.

use super::PeerCertificate;

/// Of nobody, signed by an authority of that id, good from one second to another.
#[must_use]
pub fn certificate(authority: &str, not_before: i64, not_after: i64) -> PeerCertificate {
    PeerCertificate {
        common_name: String::new(),
        organizations: Vec::new(),
        uris: Vec::new(),
        dns_names: Vec::new(),
        serial: String::new(),
        authority: authority.to_owned(),
        not_before,
        not_after,
        der: Vec::new(),
    }
}
