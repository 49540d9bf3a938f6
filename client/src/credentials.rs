//! What each call and each connection shows of who we are. Sends nothing.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use boss_base::{
    tasks::Tasks,
    tls::{Files, Identity, Pem, Reloaded},
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};

use crate::{Config, Credentials, Error, Source};

/// How often certificate files are looked at.
const CERTIFICATE_LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The caller's identity, with what it was read from.
pub(crate) struct Shown {
    identity: Identity,
    token: Option<Token>,
}

struct Token {
    source: Source,
    header: ArcSwapOption<MetadataValue<Ascii>>,
}

impl Shown {
    pub(crate) fn load(config: &Config) -> Result<Self, Error> {
        let identity = load_identity(config).map_err(|error| Error::config(describe(&error)))?;
        let token = match &config.credentials {
            Credentials::Token(source) => Some(Token::load(source.clone())?),
            Credentials::Anonymous | Credentials::Certificate { .. } => None,
        };
        Ok(Self { identity: identity?, token })
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Adds the token, if that is how we identify ourselves.
    pub(crate) fn sign<T>(&self, request: &mut Request<T>) {
        if let Some(header) = self.token.as_ref().and_then(|token| token.header.load_full()) {
            request.metadata_mut().insert("authorization", MetadataValue::clone(&header));
        }
    }

    /// Looks for a newer token after servers refused the one we have; whether there is one.
    pub(crate) fn renew(&self) -> bool {
        self.token.as_ref().is_some_and(Token::renew)
    }

    pub(crate) fn reload(&self) -> Result<bool, Error> {
        let reloaded = self.identity.reload().map_err(|error| Error::config(describe(&error)))?;
        Ok(reloaded == Reloaded::Changed)
    }

    pub(crate) fn keep_fresh(&self, tasks: &Tasks) {
        self.identity.reload_on_change(tasks, CERTIFICATE_LOOK_INTERVAL);
    }
}

impl Token {
    fn load(source: Source) -> Result<Self, Error> {
        let header = ArcSwapOption::from_pointee(read_header(&source)?);
        Ok(Self { source, header })
    }

    fn renew(&self) -> bool {
        let Ok(header) = read_header(&self.source) else { return false };
        let before = self.header.swap(Some(Arc::new(header.clone())));
        before.is_none_or(|before| *before != header)
    }
}

fn read_header(source: &Source) -> Result<MetadataValue<Ascii>, Error> {
    let token = source.read()?;
    let token = token.trim();
    if token.is_empty() {
        return Err(Error::config(format!("the token ({source:?}) is empty")));
    }
    let mut header: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Error::config(format!("the token ({source:?}) holds characters that no token has")))?;
    header.set_sensitive(true);
    Ok(header)
}

type TlsError = boss_base::tls::Error;

fn load_identity(config: &Config) -> Result<Result<Identity, Error>, TlsError> {
    match (&config.credentials, &config.ca) {
        // All in files: they can change while we run.
        (Credentials::Certificate { certificate, key }, Source::File(ca)) => {
            let files = Files { certificate: certificate.clone(), key: key.clone(), ca: ca.clone() };
            Identity::load(&files).map(Ok)
        }
        (credentials, ca) => match read_pem(credentials, ca) {
            Ok(pem) => Identity::from_pem(pem).map(Ok),
            Err(error) => Ok(Err(error)),
        },
    }
}

fn read_pem(credentials: &Credentials, ca: &Source) -> Result<Pem, Error> {
    let own = match credentials {
        Credentials::Anonymous | Credentials::Token(_) => None,
        Credentials::Certificate { certificate, key } => {
            let read = |path: &std::path::Path| Source::File(path.to_owned()).read().map(String::into_bytes);
            Some((read(certificate)?, read(key)?))
        }
    };
    Ok(Pem { own, ca: ca.read()?.into_bytes() })
}

fn describe(error: &TlsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
