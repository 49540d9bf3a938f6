//! What a certificate request asks for, in full: whoever decides about it must see every wish, also those that this
//! program would never grant. Decides nothing.

use x509_parser::{
    asn1_rs::Oid,
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    extensions::{GeneralName, ParsedExtension, X509Extension},
    prelude::FromDer,
    x509::SubjectPublicKeyInfo,
};

use super::Error;

const COMMON_NAME: &str = "2.5.4.3";
const EC_KEY: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519: &str = "1.3.101.112";
/// The bit of a key usage that stands for signatures.
const DIGITAL_SIGNATURE: u16 = 1;

/// Everything that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// CN, each that is there.
    pub common_names: Vec<String>,
    /// OIDs of everything else in the subject.
    pub other_subject: Vec<String>,
    /// Subject alternative names with their type: `URI:boss://…`, `DNS:…`.
    pub names: Vec<String>,
    /// It wants to sign certificates itself.
    pub authority: bool,
    /// It wants its key to be good for more than signatures.
    pub beyond_signatures: bool,
    /// Extended key usages: `serverAuth`, `clientAuth`, else an OID.
    pub purposes: Vec<String>,
    /// OIDs of all other extensions and attributes.
    pub extensions: Vec<String>,
    /// What its key is.
    pub key: KeyKind,
}

/// What a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// Anything else, by its OID.
    Other(String),
}

impl Asked {
    /// Reads PKCS#10 in DER, to its last byte. It must be signed by its own key: whoever made it has that.
    pub fn read(request: &[u8]) -> Result<Self, Error> {
        let bad = |problem: &str| Error::Request(problem.to_owned());
        let (rest, request) = X509CertificationRequest::from_der(request).map_err(|error| bad(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(bad("there is more behind it"));
        }
        request.verify_signature().map_err(|_| bad("it is not signed by its own key"))?;
        let info = &request.certification_request_info;
        let mut asked = Self {
            common_names: Vec::new(),
            other_subject: Vec::new(),
            names: Vec::new(),
            authority: false,
            beyond_signatures: false,
            purposes: Vec::new(),
            extensions: Vec::new(),
            key: key_kind(&info.subject_pki),
        };
        for attribute in info.subject.iter_attributes() {
            match (attribute.attr_type().to_id_string(), attribute.as_str()) {
                (oid, Ok(text)) if oid == COMMON_NAME => asked.common_names.push(text.to_owned()),
                (oid, _) => asked.other_subject.push(oid),
            }
        }
        for attribute in info.iter_attributes() {
            match attribute.parsed_attribute() {
                ParsedCriAttribute::ExtensionRequest(wanted) => {
                    wanted.extensions.iter().for_each(|extension| asked.note(extension));
                }
                _ => asked.extensions.push(attribute.oid.to_id_string()),
            }
        }
        Ok(asked)
    }

    fn note(&mut self, extension: &X509Extension<'_>) {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.names.extend(names.general_names.iter().map(name_text));
            }
            ParsedExtension::BasicConstraints(constraints) => self.authority |= constraints.ca,
            ParsedExtension::KeyUsage(usage) => self.beyond_signatures |= usage.flags & !DIGITAL_SIGNATURE != 0,
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let known = [
                    (usage.server_auth, "serverAuth"),
                    (usage.client_auth, "clientAuth"),
                    (usage.any, "any"),
                    (usage.code_signing, "codeSigning"),
                    (usage.email_protection, "emailProtection"),
                    (usage.time_stamping, "timeStamping"),
                    (usage.ocsp_signing, "OCSPSigning"),
                ];
                let known = known.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name.to_owned());
                self.purposes.extend(known.chain(usage.other.iter().map(Oid::to_id_string)));
            }
            _ => self.extensions.push(extension.oid.to_id_string()),
        }
    }
}

fn name_text(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::URI(uri) => format!("URI:{uri}"),
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        other => format!("{other:?}"),
    }
}

fn key_kind(key: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let algorithm = key.algorithm.algorithm.to_id_string();
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| Oid::try_from(parameters.clone()).ok());
    match (algorithm.as_str(), curve.map(|curve| curve.to_id_string()).as_deref()) {
        (EC_KEY, Some(P256)) => KeyKind::P256,
        (EC_KEY, Some(P384)) => KeyKind::P384,
        (ED25519, None) => KeyKind::Ed25519,
        _ => KeyKind::Other(algorithm),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};

    use super::*;
    use crate::pki::CertificateRequest;

    fn asked(edit: impl FnOnce(&mut CertificateParams)) -> Asked {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        edit(&mut params);
        let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        Asked::read(request.der()).unwrap()
    }

    #[test]
    fn every_wish_of_a_request_is_seen() {
        let plain = asked(|_| {});
        assert_eq!((plain.names.len(), plain.key.clone()), (0, KeyKind::P256));
        assert!(asked(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)).authority);
        assert!(asked(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]).beyond_signatures);
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
        assert_eq!(asked(|params| params.extended_key_usages = usages).purposes, ["serverAuth", "any"]);
        let custom = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        assert_eq!(asked(|params| params.custom_extensions = vec![custom]).extensions, ["1.2.3.4"]);
        let organization = |params: &mut CertificateParams| {
            params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:admins");
        };
        assert_eq!(asked(organization).other_subject, ["2.5.4.10"]);
        let own = CertificateRequest::generate("n1", &["boss://c/node/n1".to_owned()]).unwrap();
        let own = Asked::read(&own.der).unwrap();
        assert_eq!((own.common_names, own.names), (vec!["n1".to_owned()], vec!["URI:boss://c/node/n1".to_owned()]));
    }

    #[test]
    fn a_request_that_is_damaged_or_longer_is_none() {
        let mut request = CertificateRequest::generate("n1", &[]).unwrap().der;
        Asked::read(&request).unwrap();
        request.push(0);
        assert!(Asked::read(&request).is_err(), "there is more behind it");
        request.pop();
        let last = request.len() - 1;
        request[last] ^= 1;
        assert!(Asked::read(&request).is_err(), "the signature is another one");
    }
}
