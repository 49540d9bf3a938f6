//! `bossctl context`: the clusters that one works with.

use std::path::Path;

use crate::{
    args::{self, Global},
    context::{self, Context, Contexts},
    failure::{Exit, Failure},
    output, session, terminal,
};

pub(super) fn run(args: args::Context, global: &Global) -> Result<Exit, Failure> {
    let path = session::contexts_path(global)?;
    let mut contexts = Contexts::load(&path)?.unwrap_or_default();
    match args {
        args::Context::List => terminal::print(&table(&contexts)),
        args::Context::Current => terminal::print(&format!("{}\n", contexts.choose(global.context.as_deref())?.0)),
        args::Context::Use { name } => {
            contexts.choose_for_good(&name)?;
            save(&contexts, &path, &format!("now using context {name}"))?;
        }
        args::Context::Set(args) => {
            set(&mut contexts, &args, global)?;
            save(&contexts, &path, &format!("context {} is set", args.name))?;
        }
        args::Context::Delete { name } => {
            contexts.remove(&name)?;
            save(&contexts, &path, &format!("context {name} is deleted"))?;
        }
    }
    Ok(Exit::Ok)
}

fn save(contexts: &Contexts, path: &Path, done: &str) -> Result<(), Failure> {
    contexts.save(path)?;
    terminal::note(done);
    Ok(())
}

/// What is given replaces what was there; another way to log in replaces the one before.
fn set(contexts: &mut Contexts, args: &args::SetContext, global: &Global) -> Result<(), Failure> {
    let mut context = contexts.contexts.get(&args.name).cloned().unwrap_or_default();
    if !global.server.is_empty() {
        context.servers.clone_from(&global.server);
    }
    if let Some(namespace) = &global.namespace {
        context.namespace = Some(namespace.clone());
    }
    if let Some(ca) = &args.ca {
        context.ca = absolute(ca)?.to_string_lossy().into_owned();
    }
    if let Some(token) = &args.token_file {
        let token_file = Some(absolute(token)?);
        context = Context { token_file, certificate: None, key: None, ..context };
    }
    if let (Some(certificate), Some(key)) = (&args.certificate, &args.key) {
        let (certificate, key) = (Some(absolute(certificate)?), Some(absolute(key)?));
        context = Context { token_file: None, certificate, key, ..context };
    }
    if let (Some(issuer), Some(client_id)) = (args.issuer.clone(), args.client_id.clone()) {
        let ca = args.issuer_ca.as_deref().map(absolute).transpose()?;
        context.provider = Some(context::Provider { issuer, client_id, ca, scope: args.scope.clone() });
    }
    context.check(&args.name)?;
    contexts.contexts.insert(args.name.clone(), context);
    contexts.current.get_or_insert_with(|| args.name.clone());
    Ok(())
}

/// A file that will be read from other folders too must be there and needs its whole path.
fn absolute(path: &Path) -> Result<std::path::PathBuf, context::Error> {
    path.canonicalize().map_err(|source| context::Error::Io { path: path.to_owned(), source })
}

fn table(contexts: &Contexts) -> String {
    let row = |(name, context): (&String, &Context)| {
        let current = contexts.current.as_ref() == Some(name);
        let login = match (&context.provider, &context.token_file) {
            (Some(_), _) => "provider",
            (None, Some(_)) => "token",
            (None, None) => "certificate",
        };
        let namespace = context.namespace.clone().unwrap_or_default();
        vec![
            if current { "*" } else { " " }.to_owned(),
            name.clone(),
            login.to_owned(),
            namespace,
            context.servers.join(","),
        ]
    };
    output::plain(
        &["", "NAME", "LOGIN", "NAMESPACE", "SERVERS"],
        &contexts.contexts.iter().map(row).collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, time::Duration};

    use super::*;

    fn global(server: &[&str]) -> Global {
        Global {
            config: None,
            context: None,
            server: server.iter().map(|&server| server.to_owned()).collect(),
            namespace: None,
            timeout: Duration::from_secs(1),
        }
    }

    fn file(directory: &tempfile::TempDir, name: &str) -> PathBuf {
        let path = directory.path().join(name);
        fs::write(&path, "x").unwrap();
        path
    }

    #[test]
    fn a_context_is_added_changed_and_listed() {
        let directory = tempfile::tempdir().unwrap();
        let mut contexts = Contexts::default();
        let mut args = args::SetContext {
            name: "prod".into(),
            ca: Some(file(&directory, "ca")),
            token_file: Some(file(&directory, "token")),
            certificate: None,
            key: None,
            issuer: None,
            client_id: None,
            issuer_ca: None,
            scope: None,
        };
        assert!(set(&mut contexts, &args, &global(&[])).is_err());
        assert_eq!(contexts, Contexts::default());
        set(&mut contexts, &args, &global(&["a:1", "b:2"])).unwrap();
        assert_eq!(contexts.current.as_deref(), Some("prod"));
        (args.ca, args.token_file) = (None, None);
        (args.certificate, args.key) = (Some(file(&directory, "crt")), Some(file(&directory, "key")));
        set(&mut contexts, &args, &global(&[])).unwrap();
        assert_eq!(contexts.contexts["prod"].token_file, None);
        assert_eq!(table(&contexts).lines().nth(1).unwrap(), "*   prod   certificate   -           a:1,b:2");
    }

    #[test]
    fn a_context_may_only_say_who_logs_people_in() {
        let directory = tempfile::tempdir().unwrap();
        let mut contexts = Contexts::default();
        let args = args::SetContext {
            name: "prod".into(),
            ca: Some(file(&directory, "ca")),
            token_file: None,
            certificate: None,
            key: None,
            issuer: Some("https://id.example".into()),
            client_id: Some("boss".into()),
            issuer_ca: None,
            scope: None,
        };
        set(&mut contexts, &args, &global(&["a:1"])).unwrap();
        assert_eq!(contexts.contexts["prod"].provider.as_ref().unwrap().issuer, "https://id.example");
        assert_eq!(table(&contexts).lines().nth(1).unwrap(), "*   prod   provider   -           a:1");
    }

    #[test]
    fn files_that_are_not_there_are_refused() {
        let args = args::SetContext {
            name: "prod".into(),
            ca: Some("/nowhere/ca".into()),
            token_file: None,
            certificate: None,
            key: None,
            issuer: None,
            client_id: None,
            issuer_ca: None,
            scope: None,
        };
        assert!(set(&mut Contexts::default(), &args, &global(&["a:1"])).is_err());
    }
}
