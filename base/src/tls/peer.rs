//! What a peer's certificate says. Whether it may be believed was decided in the handshake.

use rustls_pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

/// The names in a verified certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Subject CN; empty when there is none.
    pub common_name: String,
    /// Subject O, in their order.
    pub organizations: Vec<String>,
    /// Subject alternative names of type URI.
    pub uris: Vec<String>,
    /// Subject alternative names of type DNS.
    pub dns_names: Vec<String>,
    /// Lower-case hexadecimal, without separators.
    pub serial: String,
    /// Id of the authority that signed it, in the same form; empty when it names none.
    pub authority: String,
    /// Seconds since the Unix epoch.
    pub not_before: i64,
    /// Seconds since the Unix epoch.
    pub not_after: i64,
    /// The certificate itself; intermediates that came with it are not kept.
    pub der: Vec<u8>,
}

/// The bytes are no certificate that we understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be read: {0}")]
pub struct BadCertificate(pub(super) String);

impl PeerCertificate {
    /// Reads a DER certificate.
    pub fn from_der(der: &CertificateDer<'_>) -> Result<Self, BadCertificate> {
        let bad = |error: &dyn std::fmt::Display| BadCertificate(error.to_string());
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| bad(&error))?;
        if !rest.is_empty() {
            return Err(BadCertificate("there is more behind it".to_owned()));
        }
        let names = certificate.subject_alternative_name().map_err(|error| bad(&error))?;
        let names = names.map_or(&[][..], |extension| &extension.value.general_names);
        Ok(Self {
            common_name: texts(certificate.subject().iter_common_name())?.pop().unwrap_or_default(),
            organizations: texts(X509Name::iter_organization(certificate.subject()))?,
            uris: names.iter().filter_map(uri).collect(),
            dns_names: names.iter().filter_map(dns_name).collect(),
            serial: hex(certificate.raw_serial()),
            authority: authority(&certificate),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            der: der.to_vec(),
        })
    }
}

/// A part that is no text must not silently vanish: who could then tell it from one that never was there?
fn texts<'a>(parts: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Result<Vec<String>, BadCertificate> {
    parts.map(|part| part.as_str().map(str::to_owned).map_err(|error| BadCertificate(error.to_string()))).collect()
}

fn uri(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}

fn authority(certificate: &X509Certificate<'_>) -> String {
    let id = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
        _ => None,
    });
    id.map(|id| hex(id.0)).unwrap_or_default()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
