//! The files of a cluster's folder while its authority is replaced by another one. Asks nobody.

use std::fs;

use boss_base::{
    files,
    pki::{self, Authority, CertificateAuthority},
};

use super::{Cluster, Error, identity};

const NEXT_CERTIFICATE: &str = "pki/ca-next.crt";
const NEXT_KEY: &str = "pki/ca-next.key";
const FORMER_KEY: &str = "pki/ca-former.key";

impl Cluster {
    /// The authority that is to come, made if it is not there yet.
    pub fn next_authority(&self) -> Result<Authority, Error> {
        if !self.directory.join(NEXT_CERTIFICATE).exists() {
            let next = CertificateAuthority::generate(&format!("boss {}", self.plan.cluster_id))?;
            self.write(NEXT_KEY, next.key_pem().as_bytes(), files::PRIVATE)?;
            self.write(NEXT_CERTIFICATE, next.cert_pem().as_bytes(), files::PUBLIC)?;
        }
        let next = CertificateAuthority::load(&self.read(NEXT_CERTIFICATE)?, &self.read(NEXT_KEY)?)?;
        Ok(next.authority()?)
    }

    /// Whether a next authority has been made and does not sign yet.
    #[must_use]
    pub fn has_next_authority(&self) -> bool {
        self.directory.join(NEXT_KEY).exists()
    }

    /// The authorities that this folder's contexts believe.
    pub fn believed(&self) -> Result<Vec<Authority>, Error> {
        Ok(pki::read_bundle(&self.read(identity::CA_CERTIFICATE)?)?)
    }

    /// Lets this folder's contexts believe these from now on.
    pub fn believe(&self, authorities: &[Authority]) -> Result<(), Error> {
        let pem = pki::bundle_pem(authorities.iter().map(|authority| &*authority.der));
        self.write(identity::CA_CERTIFICATE, pem.as_bytes(), files::PUBLIC)
    }

    /// Gives the next authority's key to every server whose folder is here and holds the present one. How many.
    pub fn hand_out_next_key(&self) -> Result<usize, Error> {
        let key = self.read(NEXT_KEY)?;
        let mut count = 0;
        for server in &self.plan.servers {
            let name = format!("{}/{}", server.folder, identity::SERVER_CA_KEY);
            if self.directory.join(&name).exists() {
                self.write(&name, key.as_bytes(), files::PRIVATE)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// The next authority becomes the present one, in this folder too; the administrator's certificate is of it.
    pub fn adopt_next_authority(&self) -> Result<(), Error> {
        let (key, certificate) = (self.read(NEXT_KEY)?, self.read(NEXT_CERTIFICATE)?);
        let next = CertificateAuthority::load(&certificate, &key)?;
        identity::make_admin(self, &next)?;
        let present = self.read(identity::CA_KEY)?;
        self.write(FORMER_KEY, present.as_bytes(), files::PRIVATE)?;
        self.write(identity::CA_KEY, key.as_bytes(), files::PRIVATE)?;
        for name in [NEXT_KEY, NEXT_CERTIFICATE] {
            let path = self.directory.join(name);
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// The former authority's key goes: nothing that it signs is believed any more.
    pub fn forget_former_authority(&self) -> Result<(), Error> {
        let path = self.directory.join(FORMER_KEY);
        if path.exists() { fs::remove_file(&path).map_err(Error::io(&path)) } else { Ok(()) }
    }
}
