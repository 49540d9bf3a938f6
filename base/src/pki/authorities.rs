//! Authorities as others see them, and bundles of several: while one takes the place of another, both are believed.
//! Holds no key.

use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer};

use super::Error;
use crate::tls::hex;

/// An authority's certificate and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Lower-case hexadecimal of its key's id: what the certificates it signs name it by.
    pub id: String,
    /// CN.
    pub name: String,
    /// Seconds since the Unix epoch.
    pub not_after: i64,
    /// The certificate.
    pub der: Vec<u8>,
}

impl Authority {
    /// Reads a certificate that must be one of an authority.
    pub fn read(der: &[u8]) -> Result<Self, Error> {
        let bad = |problem: String| Error::Authority(problem);
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| bad(error.to_string()))?;
        if !rest.is_empty() {
            return Err(bad("there is more behind the certificate".to_owned()));
        }
        if !certificate.is_ca() {
            return Err(bad("the certificate is not one of an authority".to_owned()));
        }
        let id = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(hex(id.0)),
            _ => None,
        });
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        Ok(Self {
            id: id.ok_or_else(|| bad("the certificate has no key identifier".to_owned()))?,
            name: name.unwrap_or_default().to_owned(),
            not_after: certificate.validity().not_after.timestamp(),
            der: der.to_vec(),
        })
    }
}

/// All authorities of a bundle in PEM; there is at least one.
pub fn read_bundle(pem: &str) -> Result<Vec<Authority>, Error> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    let read = |der: Result<CertificateDer<'static>, _>| match der {
        Ok(der) => Authority::read(&der),
        Err(error) => Err(Error::Authority(format!("{error}"))),
    };
    let found = certificates.map(read).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(Error::Authority("it holds no certificate in PEM".to_owned())) } else { Ok(found) }
}

/// The PEM of a bundle, always the same for the same authorities in the same order.
#[must_use]
pub fn bundle_pem<'a>(authorities: impl IntoIterator<Item = &'a [u8]>) -> String {
    authorities.into_iter().map(super::certificate_pem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{CertificateAuthority, Subject};

    #[test]
    fn a_bundle_is_read_whole_and_a_key_finds_its_own_certificate_in_it() {
        let (old, new) =
            (CertificateAuthority::generate("old").unwrap(), CertificateAuthority::generate("new").unwrap());
        let pem = format!("{}{}", old.cert_pem(), new.cert_pem());
        let bundle = read_bundle(&pem).unwrap();
        assert_eq!(bundle.iter().map(|authority| &*authority.name).collect::<Vec<_>>(), ["old", "new"]);
        assert_ne!(bundle[0].id, bundle[1].id);
        assert_eq!(read_bundle(&bundle_pem(bundle.iter().map(|authority| &*authority.der))).unwrap(), bundle);
        let signer = CertificateAuthority::load(&pem, &new.key_pem()).unwrap();
        let subject = Subject { common_name: "x".into(), client_auth: true, ..Subject::default() };
        let issued = signer.issue(&subject).unwrap();
        let der = crate::pki::certificate_der(&issued.cert_pem).unwrap();
        let issued = crate::tls::PeerCertificate::from_der(&der.into()).unwrap();
        assert_eq!(issued.authority, bundle[1].id, "a certificate names who signed it");
    }

    #[test]
    fn only_authorities_can_be_in_a_bundle() {
        let authority = CertificateAuthority::generate("a").unwrap();
        let leaf = authority.issue(&Subject { common_name: "x".into(), ..Subject::default() }).unwrap();
        assert!(read_bundle(&leaf.cert_pem).is_err());
        assert!(read_bundle("").is_err());
    }
}
