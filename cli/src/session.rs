//! A command's connection to a cluster: the chosen context, a client, the namespace. Knows no command.

use std::{path::PathBuf, sync::Arc};

use boss_base::{
    clock::{Clock, SystemClock},
    tasks::Tasks,
};
use boss_client::{Client, Config, Credentials, Deadlines, Endpoint, Source};

use crate::{
    args::Global,
    context::{self, Contexts},
    failure::{Exit, Failure},
    output::clean,
    terminal,
};

/// The namespace of those who name none.
pub const NAMESPACE_DEFAULT: &str = "default";

/// A connection to a cluster.
#[derive(Clone)]
pub struct Session {
    /// For calls.
    pub client: Client,
    /// What the client was made from, for further connections.
    pub config: Config,
    /// Where objects live whose manifest or command does not say.
    pub namespace: String,
    /// Whether the user named the namespace on the command line.
    pub namespace_given: bool,
    /// The file and the name of the context, unless the user named other servers.
    origin: Option<(PathBuf, String)>,
}

impl Session {
    /// From the context that the options choose. Connects with the first call.
    pub fn open(global: &Global) -> Result<Self, Failure> {
        let Chosen { path, name, context } = Chosen::load(global)?;
        let namespace = global.namespace.clone().or_else(|| context.namespace.clone());
        let config = config(global, &context, credentials(&context)?)?;
        Ok(Self {
            client: connect(config.clone())?,
            config,
            namespace: namespace.unwrap_or_else(|| NAMESPACE_DEFAULT.to_owned()),
            namespace_given: global.namespace.is_some(),
            origin: global.server.is_empty().then_some((path, name)),
        })
    }

    /// Learns who the cluster's servers are, for the rest of the command and, in its context, for later ones. Best
    /// effort: who cannot be asked or written to is told so by what the command itself does.
    pub async fn learn_servers(&self) {
        if self.client.refresh_servers().await.is_err() {
            return;
        }
        let Some((path, name)) = &self.origin else { return };
        let servers: Vec<String> = self.client.servers().iter().map(ToString::to_string).collect();
        if let Ok(true) = Contexts::remember_servers(path, name, &servers) {
            terminal::note(&format!("context {name} now has the servers {}", servers.join(", ")));
        }
    }

    /// Keeps the list of servers fresh for as long as the result lives: for commands that go on for long.
    #[must_use]
    pub fn follow_servers(&self) -> Following {
        let tasks = Tasks::new();
        drop(self.client.keep_servers_fresh(&tasks));
        Following(tasks)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        SystemClock.unix_millis()
    }
}

/// Ends with its owner.
pub struct Following(Tasks);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The context that a command is about, and where it stands.
pub struct Chosen {
    /// The file.
    pub path: PathBuf,
    /// Its name there.
    pub name: String,
    /// What it says.
    pub context: context::Context,
}

impl Chosen {
    /// The context that the options choose.
    pub fn load(global: &Global) -> Result<Self, Failure> {
        let path = contexts_path(global)?;
        let contexts = Contexts::load(&path)?.ok_or(context::Error::NoContext { path: path.clone() })?;
        let (name, context) = contexts.choose(global.context.as_deref())?;
        context.check(name)?;
        Ok(Self { name: name.to_owned(), context: context.clone(), path })
    }

    /// A client of its cluster with another credential than the context's own.
    pub fn client_with(&self, global: &Global, credentials: Credentials) -> Result<Client, Failure> {
        connect(config(global, &self.context, credentials)?)
    }
}

/// The file of contexts.
pub fn contexts_path(global: &Global) -> Result<PathBuf, Failure> {
    match &global.config {
        Some(path) => Ok(path.clone()),
        None => Ok(context::default_path()?),
    }
}

fn unusable(error: &boss_client::Error) -> Failure {
    Failure::from_client("cannot use the context", error)
}

fn connect(config: Config) -> Result<Client, Failure> {
    Client::connect(config).map_err(|error| unusable(&error))
}

fn config(global: &Global, context: &context::Context, credentials: Credentials) -> Result<Config, Failure> {
    let servers = if global.server.is_empty() { &context.servers } else { &global.server };
    let servers = servers.iter().map(|server| server.parse::<Endpoint>()).collect::<Result<Vec<_>, _>>();
    let ca = match context.ca_file() {
        Some(path) => Source::File(path),
        None => Source::Inline(context.ca.clone()),
    };
    let mut config = Config::new(servers.map_err(|error| unusable(&error))?, ca, credentials);
    config.on_warning = Some(Arc::new(|warning| terminal::note(&format!("Warning: {}", clean(warning)))));
    config.deadlines = Deadlines { overall: global.timeout, ..config.deadlines };
    Ok(config)
}

fn credentials(context: &context::Context) -> Result<Credentials, Failure> {
    match (&context.token_file, &context.certificate, &context.key) {
        (Some(token), ..) if context.provider.is_some() && !token.exists() => Err(logged_out()),
        (Some(token), ..) => {
            context::refuse_open(token)?;
            Ok(Credentials::Token(Source::File(token.clone())))
        }
        (None, Some(certificate), Some(key)) => {
            context::refuse_open(key)?;
            Ok(Credentials::Certificate { certificate: certificate.clone(), key: key.clone() })
        }
        _ if context.provider.is_some() => Err(logged_out()),
        _ => Err(Failure::new(Exit::BadInput, "cannot use the context", "it names no way to log in")),
    }
}

fn logged_out() -> Failure {
    Failure::new(Exit::Forbidden, "cannot use the context", "you are not logged in").or_next("bossctl login")
}
