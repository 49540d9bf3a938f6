//! The user's file of clusters: where they are and how to log in. It names secrets, so only its owner may read it.
//! Opens no connection.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use boss_base::files;
use serde::{Deserialize, Serialize};

/// Some hundred clusters with their authorities inline are a tenth of this.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no file at all.
    #[error("{} does not exist", path.display())]
    NoContext {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There are contexts, none is chosen.
    #[error("no context is chosen")]
    NoCurrent,
    /// No context of that name.
    #[error("there is no context {name:?}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What is there.
        known: Vec<String>,
    },
    /// Group or others may read or write it.
    #[error("{} can be read or changed by other users", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
    },
    /// It is not what it should be.
    #[error("{}: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A context that says too little or contradicts itself.
    #[error("context {name:?}: {problem}")]
    Incomplete {
        /// Which.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// No home folder, so no place for the file.
    #[error("neither BOSS_CONFIG nor HOME says where the contexts are")]
    NoHome,
    /// Reading or writing failed.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The context that commands use when they name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One cluster and one way to log in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// `host:port` of any of its servers; more of them survive the loss of one.
    pub servers: Vec<String>,
    /// Its authority's certificate: a path, or the PEM itself.
    pub ca: String,
    /// A file with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A file with a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The file with its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Who logs people in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The namespace of commands that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A provider of identities (OpenID Connect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its address, as its tokens name it.
    pub issuer: String,
    /// What it calls this cluster's logins.
    pub client_id: String,
    /// The authority behind its certificate; none: those that this machine trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// What it is asked to tell of people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl Contexts {
    /// Reads the file; `None` when there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        let Some(mut contexts) = Self::load_as_written(path)? else { return Ok(None) };
        let folder = path.parent().unwrap_or(Path::new("."));
        contexts.contexts.values_mut().for_each(|context| context.resolve(folder));
        Ok(Some(contexts))
    }

    /// Writes down which servers a context's cluster has, and nothing else. Whether that was news.
    pub fn remember_servers(path: &Path, name: &str, servers: &[String]) -> Result<bool, Error> {
        let Some(mut contexts) = Self::load_as_written(path)? else { return Ok(false) };
        match contexts.contexts.get_mut(name) {
            Some(context) if context.servers != servers => {
                context.servers = servers.to_vec();
                contexts.save(path)?;
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Keeps a token for a context, in a file for its owner beside the contexts, and has the context log in with it.
    pub fn keep_token(path: &Path, name: &str, token: &str) -> Result<(), Error> {
        let mut contexts = Self::load_as_written(path)?.ok_or_else(|| Error::NoContext { path: path.to_owned() })?;
        let unknown = contexts.unknown(name);
        let context = contexts.contexts.get_mut(name).ok_or(unknown)?;
        let file = kept_token(name);
        let whole = path.parent().unwrap_or(Path::new(".")).join(&file);
        let io = |source| Error::Io { path: whole.clone(), source };
        files::create_private_directory(whole.parent().unwrap_or(Path::new("."))).map_err(io)?;
        files::write_atomic(&whole, token.as_bytes(), files::PRIVATE).map_err(io)?;
        (context.token_file, context.certificate, context.key) = (Some(file), None, None);
        contexts.save(path)
    }

    /// Deletes the token that was kept for a context; a file that somebody else wrote stays.
    pub fn forget_token(path: &Path, name: &str) -> Result<(), Error> {
        let file = path.parent().unwrap_or(Path::new(".")).join(kept_token(name));
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io { path: file, source }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// With the paths as they stand there, for a file that is to be written again.
    fn load_as_written(path: &Path) -> Result<Option<Self>, Error> {
        let bytes = match files::read_bounded(path, FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| Error::Io { path: path.to_owned(), source })?,
        };
        refuse_open(path)?;
        let corrupt = |problem: String| Error::Corrupt { path: path.to_owned(), problem };
        let text = String::from_utf8(bytes).map_err(|_| corrupt("is not UTF-8".to_owned()))?;
        toml::from_str(&text).map(Some).map_err(|error: toml::de::Error| corrupt(error.message().to_owned()))
    }

    /// Writes the file, for its owner only.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let text = toml::to_string(self).map_err(|error| io(io::Error::other(error)))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            files::create_private_directory(folder).map_err(io)?;
        }
        files::write_atomic(path, text.as_bytes(), files::PRIVATE).map_err(io)
    }

    /// The context of that name, or the current one.
    pub fn choose(&self, name: Option<&str>) -> Result<(&str, &Context), Error> {
        let name = name.or(self.current.as_deref()).ok_or(Error::NoCurrent)?;
        let found = self.contexts.get_key_value(name);
        let (name, context) = found.ok_or_else(|| self.unknown(name))?;
        Ok((name, context))
    }

    /// Makes it the current one.
    pub fn choose_for_good(&mut self, name: &str) -> Result<(), Error> {
        if !self.contexts.contains_key(name) {
            return Err(self.unknown(name));
        }
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Takes it out; when it was the current one, none is afterwards.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        if self.contexts.remove(name).is_none() {
            return Err(self.unknown(name));
        }
        self.current.take_if(|current| current == name);
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        Error::Unknown { name: name.to_owned(), known: self.contexts.keys().cloned().collect() }
    }
}

impl Context {
    /// Whether it can be used at all.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        let incomplete = |problem| Err(Error::Incomplete { name: name.to_owned(), problem });
        if self.servers.is_empty() {
            return incomplete("it names no server");
        }
        if self.ca.is_empty() {
            return incomplete("it names no ca");
        }
        match (&self.token_file, &self.certificate, &self.key) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => Ok(()),
            (None, None, None) if self.provider.is_some() => Ok(()),
            (None, None, None) => incomplete("it names neither token_file nor certificate and key"),
            (Some(_), _, _) => {
                incomplete("it names both a token_file and a certificate or key: one way to log in is enough")
            }
            _ => incomplete("certificate and key go together"),
        }
    }

    /// The file of the authority's certificate; `None` when the certificate itself is here.
    #[must_use]
    pub fn ca_file(&self) -> Option<PathBuf> {
        (!self.ca.starts_with("-----BEGIN")).then(|| PathBuf::from(&self.ca))
    }

    fn resolve(&mut self, folder: &Path) {
        if let Some(path) = self.ca_file().filter(|path| !path.as_os_str().is_empty()) {
            self.ca = folder.join(path).to_string_lossy().into_owned();
        }
        let authority = self.provider.as_mut().map(|provider| &mut provider.ca);
        let own = [&mut self.token_file, &mut self.certificate, &mut self.key];
        for path in own.into_iter().chain(authority).flatten() {
            *path = folder.join(&*path);
        }
    }
}

/// Where the token of a context is kept, beside the contexts. Any text may be a context's name, not any a file's.
fn kept_token(name: &str) -> PathBuf {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let file: String = name
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect();
    Path::new("tokens").join(file)
}

/// The user's own file: `~/.boss/config`, or what BOSS_CONFIG says.
pub fn default_path() -> Result<PathBuf, Error> {
    home_folder().map(|folder| folder.join("config"))
}

/// `~/.boss`
pub fn home_folder() -> Result<PathBuf, Error> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(".boss")).ok_or(Error::NoHome)
}

/// A file with a secret must be its owner's alone.
pub fn refuse_open(path: &Path) -> Result<(), Error> {
    match files::is_open_to_others(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::OpenToOthers { path: path.to_owned() }),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn context() -> Context {
        Context {
            servers: vec!["127.0.0.1:7400".into()],
            ca: "ca.crt".into(),
            token_file: Some("token".into()),
            ..Context::default()
        }
    }

    fn saved() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub/config");
        let contexts = Contexts { current: Some("a".into()), contexts: [("a".to_owned(), context())].into() };
        contexts.save(&path).unwrap();
        (directory, path)
    }

    #[test]
    fn the_file_is_written_for_its_owner_and_read_back_with_its_paths_resolved() {
        let (_guard, path) = saved();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Contexts::load(&path).unwrap().unwrap();
        let (name, context) = read.choose(None).unwrap();
        assert_eq!(name, "a");
        assert_eq!(context.token_file.as_deref(), Some(path.with_file_name("token").as_path()));
        assert_eq!(context.ca, path.with_file_name("ca.crt").to_string_lossy());
    }

    #[test]
    fn new_servers_are_written_down_and_nothing_else_changes() {
        let (_guard, path) = saved();
        let servers = ["127.0.0.1:7410".to_owned(), "127.0.0.1:7420".to_owned()];
        assert!(Contexts::remember_servers(&path, "a", &servers).unwrap());
        let read = Contexts::load_as_written(&path).unwrap().unwrap();
        assert_eq!(read.contexts["a"], Context { servers: servers.to_vec(), ..context() }, "paths stay relative");
        assert!(!Contexts::remember_servers(&path, "a", &servers).unwrap(), "that is no news");
        assert!(!Contexts::remember_servers(&path, "b", &servers).unwrap());
        assert!(!Contexts::remember_servers(&path.with_file_name("none"), "a", &servers).unwrap());
    }

    #[test]
    fn a_token_is_kept_for_its_owner_and_forgotten_again() {
        let (_guard, path) = saved();
        Contexts::keep_token(&path, "a", "x.y.z").unwrap();
        let read = Contexts::load(&path).unwrap().unwrap();
        let file = read.contexts["a"].token_file.clone().unwrap();
        assert_eq!(file, path.with_file_name("tokens").join("a"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap(), "x.y.z");
        Contexts::forget_token(&path, "a").unwrap();
        assert!(!file.exists());
        Contexts::forget_token(&path, "a").unwrap();
        assert!(Contexts::keep_token(&path, "b", "x.y.z").is_err());
        assert_eq!(kept_token("../a/b"), Path::new("tokens/%2e%2e%2fa%2fb"), "it stays in its folder");
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_refused() {
        let (_guard, path) = saved();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(Contexts::load(&path), Err(Error::OpenToOthers { .. })), "{mode:o}");
        }
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        assert!(matches!(refuse_open(&token), Err(Error::Io { .. })));
        fs::write(&token, "a.b.c").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(refuse_open(&token), Err(Error::OpenToOthers { .. })));
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(refuse_open(&token).is_ok());
    }

    #[test]
    fn a_broken_file_says_what_is_wrong() {
        let (_guard, path) = saved();
        for text in ["][", "current = 5", "unknown = 1", "[contexts.a]\nservers = []\nca = \"x\"\ntoken = \"secret\""] {
            fs::write(&path, text).unwrap();
            let error = Contexts::load(&path).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert_eq!(Contexts::load(&path.with_file_name("other")).unwrap(), None);
    }

    #[test]
    fn half_a_context_is_refused() {
        let check = |change: fn(&mut Context)| {
            let mut context = context();
            change(&mut context);
            context.check("a")
        };
        assert!(check(|_| {}).is_ok());
        assert!(check(|c| c.servers.clear()).is_err());
        assert!(check(|c| c.ca.clear()).is_err());
        assert!(check(|c| c.token_file = None).is_err());
        let provider = Provider { issuer: "https://a".into(), client_id: "b".into(), ca: None, scope: None };
        let logged_out = Context { token_file: None, provider: Some(provider), ..context() };
        assert!(logged_out.check("a").is_ok(), "one can log in");
        assert!(check(|c| c.key = Some("k".into())).is_err());
        assert!(check(|c| (c.token_file, c.certificate) = (None, Some("c".into()))).is_err());
        assert!(check(|c| (c.token_file, c.certificate, c.key) = (None, Some("c".into()), Some("k".into()))).is_ok());
    }

    #[test]
    fn the_current_context_is_chosen_removed_and_missed() {
        let mut contexts = Contexts { current: None, contexts: [("a".to_owned(), context())].into() };
        assert!(matches!(contexts.choose(None), Err(Error::NoCurrent)));
        assert!(matches!(contexts.choose(Some("b")), Err(Error::Unknown { .. })));
        assert!(contexts.choose_for_good("b").is_err());
        contexts.choose_for_good("a").unwrap();
        assert!(contexts.choose(None).is_ok());
        contexts.remove("a").unwrap();
        assert_eq!(contexts, Contexts::default());
        assert!(contexts.remove("a").is_err());
    }
}
