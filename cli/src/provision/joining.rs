//! The folder of a server that joins with a token: its key is made here and stays here. The configuration is written
//! last, so that a folder with one is complete. Asks nobody.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use boss_base::{
    files,
    pki::{self, CertificateRequest},
};
use boss_proto::v1::{JoinResponse, JoinTokenContents, Member};

use super::{
    Error, Server,
    config::{self, Around, DATA_FOLDER, SERVER_FILE},
};

const KEY: &str = "tls/server.key";
const REQUEST: &str = "tls/server.csr";
const CERTIFICATE: &str = "tls/server.crt";
const AUTHORITY: &str = "tls/ca.crt";
/// Many times a key or a certificate request.
const FILE_BYTES_MAX: usize = 64 << 10;

/// A server's folder before the cluster has answered.
pub struct Joining {
    directory: PathBuf,
    /// DER.
    request: Vec<u8>,
    /// What this run has made, and takes away again when the cluster refuses.
    made: Vec<PathBuf>,
}

/// What the cluster answered, with what was known before.
pub struct Welcome<'a> {
    /// The token's contents.
    pub token: &'a JoinTokenContents,
    /// The answer.
    pub answer: &'a JoinResponse,
    /// The server, under the id of the answer.
    pub server: &'a Server,
}

impl Joining {
    /// Makes key and certificate request in `directory`. Those of an attempt whose answer was lost are used again:
    /// with them the token lets the same server in.
    pub fn begin(directory: &Path, name: &str) -> Result<Self, Error> {
        check_free(directory)?;
        let mut joining = Self { directory: directory.to_owned(), request: Vec::new(), made: Vec::new() };
        let (key, request) = (directory.join(KEY), directory.join(REQUEST));
        if key.exists() && request.exists() {
            joining.request = files::read_bounded(&request, FILE_BYTES_MAX).map_err(Error::io(&request))?;
            return Ok(joining);
        }
        let made = CertificateRequest::generate(name, &[])?;
        joining.write(REQUEST, &made.der, files::PUBLIC)?;
        joining.write(KEY, made.key_pem.as_bytes(), files::PRIVATE)?;
        joining.request = made.der;
        Ok(joining)
    }

    /// For the cluster to sign.
    #[must_use]
    pub fn certificate_request(&self) -> &[u8] {
        &self.request
    }

    /// Writes everything else that the server needs; gives the path of its configuration.
    pub fn finish(mut self, welcome: &Welcome<'_>) -> Result<PathBuf, Error> {
        let Welcome { token, answer, server } = welcome;
        self.write(AUTHORITY, pki::certificate_pem(&token.ca).as_bytes(), files::PUBLIC)?;
        self.write(CERTIFICATE, answer.certificate_pem.as_bytes(), files::PUBLIC)?;
        let mut token_keys = Vec::new();
        for (number, key) in (1..).zip(&answer.token_keys) {
            let name = if number == 1 { "tls/token.pub".to_owned() } else { format!("tls/token-{number}.pub") };
            self.write(&name, key.as_bytes(), files::PUBLIC)?;
            token_keys.push(name);
        }
        let others = answer.members.iter().filter(|member| member.id != server.id);
        let mut members: Vec<config::Member> = others.map(|member: &Member| member.into()).collect();
        members.push(config::Member::from(*server));
        let around = Around {
            cluster_id: &token.cluster_id,
            profile: &answer.profile,
            members: &members,
            token_keys: &token_keys,
            // The authority's key travels over no network.
            signs: false,
        };
        let text = config::server_toml(server, &around)?;
        self.write(SERVER_FILE, text.as_bytes(), files::PUBLIC)?;
        // Of no more use; a later look at the folder finds only what the server needs.
        let _ = fs::remove_file(self.directory.join(REQUEST));
        Ok(self.directory.join(SERVER_FILE))
    }

    /// Takes away what this run has made: the cluster refused, so the key is of no use.
    pub fn discard(self) {
        for path in self.made.iter().rev() {
            // A folder that somebody else put something into stays.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }

    fn write(&mut self, name: &str, bytes: &[u8], mode: u32) -> Result<(), Error> {
        let path = self.directory.join(name);
        if let Some(folder) = path.parent() {
            let missing: Vec<_> =
                folder.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
            files::create_private_directory(folder).map_err(Error::io(folder))?;
            self.made.extend(missing.into_iter().rev());
        }
        files::write_atomic(&path, bytes, mode).map_err(Error::io(&path))?;
        self.made.push(path);
        Ok(())
    }
}

/// Whether a server can be made in this folder: there is none, nor anything that one would overwrite, but perhaps what
/// an attempt has left whose answer was lost.
fn check_free(directory: &Path) -> Result<(), Error> {
    let in_use = |found: String| Err(Error::InUse { path: directory.to_owned(), found });
    for name in [SERVER_FILE, DATA_FOLDER] {
        if directory.join(name).exists() {
            return in_use(format!("the {name} of a server"));
        }
    }
    if directory.join(REQUEST).exists() {
        return Ok(());
    }
    let tls = directory.join("tls");
    let mut entries = match fs::read_dir(&tls) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io(&tls))?,
    };
    match entries.next() {
        Some(entry) => in_use(entry.map_err(Error::io(&tls))?.path().display().to_string()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
