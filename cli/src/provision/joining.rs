//! The folder of a server or node that joins with a token: its key is made here and stays here. The configuration is
//! written last, so that a folder with one is complete. Asks nobody.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use boss_base::{
    files,
    pki::{self, CertificateRequest},
    sealing::KeyRing,
};
use boss_proto::v1::{JoinNodeResponse, JoinResponse, JoinTokenContents, Member};

use super::{
    Error, Server,
    config::{self, Around, DATA_FOLDER, NODE_FILE, SERVER_FILE, STATE_FOLDER},
};

const AUTHORITY: &str = "tls/ca.crt";
const SEALING_KEYS: &str = "tls/sealing.keys";
/// Many times a key or a certificate request.
const FILE_BYTES_MAX: usize = 64 << 10;

/// Where things are in a folder.
#[derive(Debug, Clone, Copy)]
struct Shape {
    what: &'static str,
    key: &'static str,
    request: &'static str,
    certificate: &'static str,
    config: &'static str,
    state: &'static str,
}

const SERVER: Shape = Shape {
    what: "server",
    key: "tls/server.key",
    request: "tls/server.csr",
    certificate: "tls/server.crt",
    config: SERVER_FILE,
    state: DATA_FOLDER,
};
const NODE: Shape = Shape {
    what: "node",
    key: "tls/node.key",
    request: "tls/node.csr",
    certificate: "tls/node.crt",
    config: NODE_FILE,
    state: STATE_FOLDER,
};

/// A server's or node's folder before the cluster has answered.
pub struct Joining {
    shape: Shape,
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
    /// The operator's file of the keys that seal secrets, if he has handed it out: no server ever sends it.
    pub sealing_keys: Option<&'a Path>,
}

impl Joining {
    /// Makes key and certificate request in `directory`. Those of an attempt whose answer was lost are used again:
    /// with them the token lets the same server in.
    pub fn begin(directory: &Path, name: &str) -> Result<Self, Error> {
        Self::begin_as(SERVER, directory, name)
    }

    /// The same for a node.
    pub fn begin_node(directory: &Path, name: &str) -> Result<Self, Error> {
        Self::begin_as(NODE, directory, name)
    }

    fn begin_as(shape: Shape, directory: &Path, name: &str) -> Result<Self, Error> {
        check_free(&shape, directory)?;
        let mut joining = Self { shape, directory: directory.to_owned(), request: Vec::new(), made: Vec::new() };
        let (key, request) = (directory.join(shape.key), directory.join(shape.request));
        if key.exists() && request.exists() {
            joining.request = files::read_bounded(&request, FILE_BYTES_MAX).map_err(Error::io(&request))?;
            return Ok(joining);
        }
        let made = CertificateRequest::generate(name, &[])?;
        joining.write(shape.request, &made.der, files::PUBLIC)?;
        joining.write(shape.key, made.key_pem.as_bytes(), files::PRIVATE)?;
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
        let Welcome { token, answer, server, sealing_keys } = welcome;
        if let Some(path) = sealing_keys {
            KeyRing::load(path)?;
            let keys = files::read_bounded(path, FILE_BYTES_MAX).map_err(Error::io(path))?;
            self.write(SEALING_KEYS, &keys, files::PRIVATE)?;
        }
        self.write(AUTHORITY, authorities_pem(token).as_bytes(), files::PUBLIC)?;
        self.write(self.shape.certificate, answer.certificate_pem.as_bytes(), files::PUBLIC)?;
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
            seals: sealing_keys.is_some(),
        };
        let text = config::server_toml(server, &around)?;
        self.write_config(&text)
    }

    /// Writes everything else that the node needs; gives the path of its configuration.
    pub fn finish_node(
        mut self,
        answer: &JoinNodeResponse,
        labels: &BTreeMap<String, String>,
    ) -> Result<PathBuf, Error> {
        self.write(AUTHORITY, answer.authorities_pem.as_bytes(), files::PUBLIC)?;
        self.write(self.shape.certificate, answer.certificate_pem.as_bytes(), files::PUBLIC)?;
        let servers = answer.members.iter().filter(|member| member.voter).map(|member| &*member.api_address).collect();
        self.write_config(&config::node_toml(&answer.name, servers, labels, false))
    }

    fn write_config(&mut self, text: &str) -> Result<PathBuf, Error> {
        self.write(self.shape.config, text.as_bytes(), files::PUBLIC)?;
        // Of no more use; a later look at the folder finds only what is needed.
        let _ = fs::remove_file(self.directory.join(self.shape.request));
        Ok(self.directory.join(self.shape.config))
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

/// All that a token names, PEM.
pub fn authorities_pem(token: &JoinTokenContents) -> String {
    pki::bundle_pem(std::iter::once(&token.ca).chain(&token.other_authorities).map(AsRef::as_ref))
}

/// Whether a server or node can be made in this folder: there is none, nor anything that one would overwrite, but perhaps what
/// an attempt has left whose answer was lost.
fn check_free(shape: &Shape, directory: &Path) -> Result<(), Error> {
    let in_use = |found: String| Err(Error::InUse { path: directory.to_owned(), found });
    for name in [shape.config, shape.state] {
        if directory.join(name).exists() {
            return in_use(format!("the {name} of a {}", shape.what));
        }
    }
    if directory.join(shape.request).exists() {
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
