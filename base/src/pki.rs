//! A small certificate authority: makes itself, issues certificates. Decides nothing about who may have one.

mod asked;
mod authorities;
mod organizations;
mod request;

use std::{net::IpAddr, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

pub use asked::{Asked, KeyKind};
pub use authorities::{Authority, bundle_pem, read_bundle};
pub use request::CertificateRequest;

use crate::clock::{Clock, SystemClock};

/// An authority lives long: replacing it touches every machine.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// Certificates begin a little in the past, for machines whose clocks are behind.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority's certificate or key cannot be used.
    #[error("the authority is not usable: {0}")]
    Authority(String),
    /// The bytes are no certificate request, or not one that its key has signed.
    #[error("the certificate request cannot be read: {0}")]
    Request(String),
    /// A name cannot stand in a certificate.
    #[error("{name:?} cannot stand in a certificate: {problem}")]
    Name {
        /// Which.
        name: String,
        /// Why not.
        problem: String,
    },
    /// The lifetime reaches beyond what a certificate can say.
    #[error("the lifetime is out of range")]
    Lifetime,
    /// Making or signing failed.
    #[error("the certificate cannot be made")]
    Make(#[source] rcgen::Error),
}

/// Whom a certificate is for, and what it is good for.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// CN.
    pub common_name: String,
    /// O, one per group.
    pub organizations: Vec<String>,
    /// Subject alternative names of type URI.
    pub uris: Vec<String>,
    /// Subject alternative names of type DNS.
    pub dns_names: Vec<String>,
    /// Subject alternative names of type IP.
    pub ip_addresses: Vec<IpAddr>,
    /// Good for answering TLS connections.
    pub server_auth: bool,
    /// Good for opening TLS connections.
    pub client_auth: bool,
    /// From now on.
    pub lifetime: Duration,
}

/// A certificate with its fresh key.
#[derive(Clone)]
pub struct IssuedCert {
    /// The certificate alone; the authority's is not in it.
    pub cert_pem: String,
    /// PKCS#8.
    pub key_pem: String,
}

/// Makes certificates.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    cert_pem: String,
}

impl CertificateAuthority {
    /// A new authority with a new key, named after what it is the authority of.
    pub fn generate(name: &str) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Make)?;
        let mut params = base_params(SystemClock.unix_seconds(), AUTHORITY_LIFETIME)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert_pem = params.self_signed(&key).map_err(Error::Make)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), cert_pem })
    }

    /// An authority from its key and its own certificate, which may stand among those of others.
    pub fn load(bundle_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let bad = |problem: &dyn ToString| Error::Authority(problem.to_string());
        let key = KeyPair::from_pem(key_pem).map_err(|error| bad(&error))?;
        let own = read_bundle(bundle_pem)?.into_iter().find(|authority| is_of(&authority.der, &key));
        let own = own.ok_or_else(|| bad(&"certificate and key do not belong together"))?;
        let issuer = Issuer::from_ca_cert_der(&own.der.clone().into(), key).map_err(|error| bad(&error))?;
        Ok(Self { issuer, cert_pem: certificate_pem(&own.der) })
    }

    /// The authority as others see it.
    pub fn authority(&self) -> Result<Authority, Error> {
        Authority::read(&certificate_der(&self.cert_pem)?)
    }

    /// The authority's certificate: what others trust.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The authority's key, PKCS#8: who has it is the authority.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate from now on, with a fresh key.
    pub fn issue(&self, subject: &Subject) -> Result<IssuedCert, Error> {
        self.issue_at(subject, SystemClock.unix_seconds())
    }

    /// A certificate from `now` on, in seconds since the Unix epoch.
    pub fn issue_at(&self, subject: &Subject, now: u64) -> Result<IssuedCert, Error> {
        let key = KeyPair::generate().map_err(Error::Make)?;
        let params = subject_params(subject, now)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(Error::Make)?;
        let der = organizations::add(certificate.der(), &subject.organizations, self.issuer.key())?;
        let cert_pem = pem::encode(&pem::Pem::new("CERTIFICATE", der));
        Ok(IssuedCert { cert_pem, key_pem: key.serialize_pem() })
    }
}

fn is_of(der: &[u8], key: &KeyPair) -> bool {
    let certificate = X509Certificate::from_der(der);
    certificate.is_ok_and(|(_, certificate)| certificate.public_key().raw == key.subject_public_key_info().as_slice())
}

fn subject_params(subject: &Subject, now: u64) -> Result<CertificateParams, Error> {
    let mut params = base_params(now, subject.lifetime)?;
    params.distinguished_name.push(DnType::CommonName, subject.common_name.as_str());
    params.subject_alt_names = alternative_names(subject)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usages = [
        (subject.server_auth, ExtendedKeyUsagePurpose::ServerAuth),
        (subject.client_auth, ExtendedKeyUsagePurpose::ClientAuth),
    ];
    params.extended_key_usages = usages.into_iter().filter_map(|(wanted, usage)| wanted.then_some(usage)).collect();
    Ok(params)
}

fn alternative_names(subject: &Subject) -> Result<Vec<SanType>, Error> {
    let bad = |name: &str, error: rcgen::Error| Error::Name { name: name.to_owned(), problem: error.to_string() };
    let mut names = Vec::new();
    for uri in &subject.uris {
        names.push(SanType::URI(uri.as_str().try_into().map_err(|error| bad(uri, error))?));
    }
    for name in &subject.dns_names {
        names.push(SanType::DnsName(name.as_str().try_into().map_err(|error| bad(name, error))?));
    }
    names.extend(subject.ip_addresses.iter().copied().map(SanType::IpAddress));
    Ok(names)
}

fn base_params(now: u64, lifetime: Duration) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = moment(now.saturating_sub(CLOCK_SKEW.as_secs()))?;
    params.not_after = moment(now.saturating_add(lifetime.as_secs()))?;
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()));
    Ok(params)
}

fn moment(unix_seconds: u64) -> Result<OffsetDateTime, Error> {
    let seconds = i64::try_from(unix_seconds).map_err(|_| Error::Lifetime)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Lifetime)
}

/// The DER of a certificate in PEM.
pub fn certificate_der(cert_pem: &str) -> Result<Vec<u8>, Error> {
    let der = CertificateDer::from_pem_slice(cert_pem.as_bytes());
    der.map(|der| der.to_vec()).map_err(|error| Error::Authority(error.to_string()))
}

/// The PEM of a certificate in DER.
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    let format = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der), format)
}

/// 127 random bits: a serial number is positive.
fn random_serial() -> [u8; 16] {
    let mut serial: [u8; 16] = rand::random();
    serial[0] = (serial[0] & 0x7f) | 0x40;
    serial
}

#[cfg(test)]
mod tests;
