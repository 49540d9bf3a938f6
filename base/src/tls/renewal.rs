//! When a certificate is to be renewed, and how it takes its place on disk: certificate and key change together, so a
//! crash leaves a pair that fits. Asks nobody for one.

use std::{fs, io, path::Path, path::PathBuf};

use super::{Files, PeerCertificate};
use crate::{files, pki::CLOCK_SKEW};

/// When half of the time that it was issued for is over, in seconds since the Unix epoch.
#[must_use]
pub fn renew_at(certificate: &PeerCertificate) -> u64 {
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    let (begin, end) = (seconds(certificate.not_before) + CLOCK_SKEW.as_secs(), seconds(certificate.not_after));
    end.saturating_sub(end.saturating_sub(begin) / 2)
}

/// Puts a fresh pair in the place of the old one. Once the certificate lies beside its place, [`recover`] ends what a
/// crash has cut off.
pub fn install(files: &Files, certificate_pem: &str, key_pem: &str) -> io::Result<()> {
    files::write_atomic(&next(&files.key), key_pem.as_bytes(), files::PRIVATE)?;
    files::write_atomic(&next(&files.certificate), certificate_pem.as_bytes(), files::PUBLIC)?;
    recover(files)
}

/// Ends an exchange that was cut off, or takes it back if its certificate had not come.
pub fn recover(files: &Files) -> io::Result<()> {
    let (key, certificate) = (next(&files.key), next(&files.certificate));
    if !certificate.try_exists()? {
        // A key without its certificate is of no use.
        return if key.try_exists()? { fs::remove_file(key) } else { Ok(()) };
    }
    if key.try_exists()? {
        fs::rename(key, &files.key)?;
        sync_folder(&files.key)?;
    }
    fs::rename(certificate, &files.certificate)?;
    sync_folder(&files.certificate)
}

fn next(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".next");
    path.with_file_name(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => files::sync_directory(folder),
        None => files::sync_directory(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pki::{CertificateAuthority, IssuedCert, Subject},
        tls::Identity,
    };

    struct Folder {
        _folder: tempfile::TempDir,
        files: Files,
        authority: CertificateAuthority,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            let files = Files { certificate: path("x.crt"), key: path("x.key"), ca: path("ca.crt") };
            let authority = CertificateAuthority::generate("a").unwrap();
            fs::write(&files.ca, authority.cert_pem()).unwrap();
            let this = Self { _folder: folder, files, authority };
            let first = this.issue("first");
            install(&this.files, &first.cert_pem, &first.key_pem).unwrap();
            this
        }

        fn issue(&self, name: &str) -> IssuedCert {
            let lifetime = std::time::Duration::from_secs(1_000);
            let subject = Subject {
                common_name: name.into(),
                client_auth: true,
                server_auth: true,
                lifetime,
                ..Subject::default()
            };
            self.authority.issue_at(&subject, 10_000).unwrap()
        }

        fn name(&self) -> String {
            let identity = Identity::load(&self.files).expect("certificate and key fit");
            identity.certificate().unwrap().common_name.clone()
        }
    }

    #[test]
    fn half_of_the_issued_time_is_when_to_renew() {
        let folder = Folder::new();
        let certificate = Identity::load(&folder.files).unwrap().certificate().unwrap();
        assert_eq!((certificate.not_after, renew_at(&certificate)), (11_000, 10_500));
    }

    #[test]
    fn a_pair_changes_together_whenever_it_is_cut_off() {
        let folder = Folder::new();
        let second = folder.issue("second");
        // Before the certificate came: the old pair stays, and the key goes.
        files::write_atomic(&next(&folder.files.key), second.key_pem.as_bytes(), files::PRIVATE).unwrap();
        recover(&folder.files).unwrap();
        assert_eq!(folder.name(), "first");
        assert!(!next(&folder.files.key).exists());
        // After that, and between the two renames: the new one.
        files::write_atomic(&next(&folder.files.certificate), second.cert_pem.as_bytes(), files::PUBLIC).unwrap();
        fs::write(&folder.files.key, &second.key_pem).unwrap();
        recover(&folder.files).unwrap();
        assert_eq!(folder.name(), "second");
        recover(&folder.files).unwrap();
        let third = folder.issue("third");
        install(&folder.files, &third.cert_pem, &third.key_pem).unwrap();
        assert_eq!(folder.name(), "third");
        assert!(!files::is_open_to_others(&folder.files.key).unwrap(), "the key is its owner's alone");
    }
}
