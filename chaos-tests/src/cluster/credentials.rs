//! What servers show and hold, put into their folders as an operator with the cluster's own folder would. Starts nothing.

use std::{fs, net::Ipv4Addr, path::PathBuf, time::Duration};

use boss_base::{
    files,
    pki::{self, CertificateAuthority, Subject},
    sealing,
    tls::PeerCertificate,
};

use super::Cluster;

impl Cluster {
    /// Gives a server another certificate that is good for so long, in place of the one that it has.
    pub fn certify(&self, id: u64, lifetime: Duration) {
        let pki = self.layout().directory().join("pki");
        let authority = CertificateAuthority::load(&read(pki.join("ca.crt")), &read(pki.join("ca.key")));
        let tls = self.tls_of(id);
        let der = pki::certificate_der(&read(tls.join("server.crt"))).expect("it is one");
        let old = PeerCertificate::from_der(&der.into()).expect("it is one");
        let subject = Subject {
            common_name: old.common_name,
            uris: old.uris,
            dns_names: old.dns_names,
            ip_addresses: vec![Ipv4Addr::LOCALHOST.into()],
            server_auth: true,
            client_auth: true,
            lifetime,
            ..Subject::default()
        };
        let new = authority.expect("it was made").issue(&subject).expect("it signs");
        fs::write(tls.join("server.crt"), new.cert_pem).expect("the folder is ours");
        files::write_atomic(&tls.join("server.key"), new.key_pem.as_bytes(), files::PRIVATE)
            .expect("the folder is ours");
    }

    /// Puts a fresh key on top of the sealing keys of every server.
    pub fn add_sealing_key(&self) {
        let line = sealing::new_key_line().expect("the system has randomness");
        for id in self.server_ids() {
            let path = self.tls_of(id).join("sealing.keys");
            let keys = line.clone() + &read(path.clone());
            files::write_atomic(&path, keys.as_bytes(), files::PRIVATE).expect("the folder is ours");
        }
    }

    fn tls_of(&self, id: u64) -> PathBuf {
        self.layout().server_directory(self.addresses(id)).join("tls")
    }
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
