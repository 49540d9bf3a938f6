//! Adds organizations to a certificate's subject and signs it anew. The library that makes our certificates keeps
//! only the last of several; here they are put in by hand. Knows just enough DER for that.

use rcgen::SigningKey;

use super::Error;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const BIT_STRING: u8 = 0x03;
/// organizationName, 2.5.4.10, with its tag and length.
const ORGANIZATION: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x0a];
/// Where a certificate's body, of version 3, has its subject.
const SUBJECT_FIELD: usize = 5;
/// X.520's bound for this attribute.
const ORGANIZATION_LEN_MAX: usize = 64;

/// `certificate` with `organizations` at the end of its subject, signed by `key`.
pub(super) fn add(certificate: &[u8], organizations: &[String], key: &impl SigningKey) -> Result<Vec<u8>, Error> {
    if organizations.is_empty() {
        return Ok(certificate.to_vec());
    }
    if let Some(name) = organizations.iter().find(|name| name.is_empty() || name.len() > ORGANIZATION_LEN_MAX) {
        let problem = format!("an organization has 1 to {ORGANIZATION_LEN_MAX} bytes");
        return Err(Error::Name { name: name.clone(), problem });
    }
    let body = rebuild(certificate, organizations).ok_or(Error::Make(rcgen::Error::CouldNotParseCertificate))?;
    let signature = key.sign(&body.signed).map_err(Error::Make)?;
    let bits = [&[0][..], &signature].concat();
    Ok(element(SEQUENCE, &[&body.signed[..], &body.algorithm, &element(BIT_STRING, &bits)].concat()))
}

struct Body {
    signed: Vec<u8>,
    algorithm: Vec<u8>,
}

fn rebuild(certificate: &[u8], organizations: &[String]) -> Option<Body> {
    let parts = elements(contents(certificate)?)?;
    let (body, algorithm) = (parts.first()?, parts.get(1)?);
    let mut fields = elements(contents(body)?)?;
    let subject = fields.get_mut(SUBJECT_FIELD)?;
    let mut names = contents(subject)?.to_vec();
    names.extend(organizations.iter().flat_map(|name| relative_name(name)));
    let subject_with_names = element(SEQUENCE, &names);
    *subject = &subject_with_names;
    Some(Body { signed: element(SEQUENCE, &fields.concat()), algorithm: algorithm.to_vec() })
}

fn relative_name(organization: &str) -> Vec<u8> {
    let text = element(UTF8_STRING, organization.as_bytes());
    element(SET, &element(SEQUENCE, &[&ORGANIZATION[..], &text].concat()))
}

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(short @ 0..=0x7f) => bytes.push(short),
        _ => {
            let length = contents.len().to_be_bytes();
            let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            // At most eight digits: the length of a slice fits into 64 bits.
            bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            bytes.extend(digits);
        }
    }
    bytes.extend(contents);
    bytes
}

/// Header length and contents length of the element at the start.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.get(1)? {
        short @ 0..=0x7f => Some((2, usize::from(short))),
        long => {
            let digits = usize::from(long & 0x7f);
            let length = bytes
                .get(2..2 + digits)?
                .iter()
                .try_fold(0_usize, |length, byte| Some(length.checked_mul(0x100)? | usize::from(*byte)))?;
            Some((2 + digits, length))
        }
    }
}

fn contents(bytes: &[u8]) -> Option<&[u8]> {
    let (header, length) = measure(bytes)?;
    bytes.get(header..header.checked_add(length)?)
}

fn elements(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (header, length) = measure(bytes)?;
        let (element, rest) = bytes.split_at_checked(header.checked_add(length)?)?;
        found.push(element);
        bytes = rest;
    }
    Some(found)
}
