//! Certificates for keys that never leave their machine: the request, and its signing. What the request wishes for
//! itself counts for nothing; a wish beyond what it gets is refused, so that nobody is misled.

use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, SanType};
use rustls_pki_types::CertificateSigningRequestDer;

use super::{CertificateAuthority, Error, Subject, organizations, subject_params};
use crate::clock::{Clock, SystemClock};

/// A fresh key and the request for its certificate.
pub struct CertificateRequest {
    /// DER, signed by the key.
    pub der: Vec<u8>,
    /// PKCS#8.
    pub key_pem: String,
}

impl CertificateRequest {
    /// With these wishes for names of type URI; usually none.
    pub fn generate(common_name: &str, uris: &[String]) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Make)?;
        let subject = Subject { common_name: common_name.to_owned(), uris: uris.to_vec(), ..Subject::default() };
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        params.subject_alt_names = super::alternative_names(&subject)?;
        let request = params.serialize_request(&key).map_err(Error::Make)?;
        Ok(Self { der: request.der().to_vec(), key_pem: key.serialize_pem() })
    }
}

impl CertificateAuthority {
    /// A certificate from now on for the key of a request, which must prove that it holds the key.
    pub fn sign(&self, request: &[u8], subject: &Subject) -> Result<String, Error> {
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request).map_err(Error::Make)?;
        let allowed = super::alternative_names(subject)?;
        if let Some(foreign) = request.params.subject_alt_names.iter().find(|name| !allowed.contains(name)) {
            let problem = "the request asks for a name that is not its own".to_owned();
            return Err(Error::Name { name: text(foreign), problem });
        }
        let params = subject_params(subject, SystemClock.unix_seconds())?;
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(Error::Make)?;
        let der = organizations::add(certificate.der(), &subject.organizations, self.issuer.key())?;
        Ok(pem::encode(&pem::Pem::new("CERTIFICATE", der)))
    }
}

fn text(name: &SanType) -> String {
    match name {
        SanType::DnsName(name) => name.to_string(),
        SanType::URI(uri) => uri.to_string(),
        other => format!("{other:?}"),
    }
}
