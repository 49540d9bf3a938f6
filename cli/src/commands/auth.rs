//! `bossctl whoami` and `bossctl auth`: questions about oneself.

use boss_proto::{kind::Kind, v1};

use crate::{
    args::{self, Answer, Global},
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn whoami(args: &args::Whoami, session: &Session) -> Result<Exit, Failure> {
    let answer = terminal::waiting("asking", session.client.who_am_i()).await;
    let me = answer.map_err(|error| Failure::from_client("cannot ask who you are", &error))?;
    terminal::print(&match args.output {
        Answer::Json => format!("{:#}\n", serde_json::json!(me)),
        Answer::Table => {
            let expires =
                i64::try_from(me.expires_at).ok().filter(|at| *at != 0).map_or("never".to_owned(), output::rfc3339);
            let rows = [
                ("User", me.username.clone()),
                ("UID", me.uid.clone()),
                ("Groups", me.groups.join(", ")),
                ("Logged in with", me.method.clone()),
                ("Until", expires),
            ];
            rows.iter().map(|(label, text)| format!("{label:16}{}\n", output::clean(text))).collect()
        }
    });
    Ok(Exit::Ok)
}

pub(super) async fn run(args: args::Auth, global: &Global) -> Result<Exit, Failure> {
    match args {
        // A server that needs the keys has no context.
        args::Auth::FetchKeys(args) => super::login::fetch_keys(&args).await,
        args => ask(args, &Session::open(global)?).await,
    }
}

async fn ask(args: args::Auth, session: &Session) -> Result<Exit, Failure> {
    match args {
        args::Auth::FetchKeys(args) => super::login::fetch_keys(&args).await,
        args::Auth::CanI { all_namespaces, list: true, .. } => list(&namespace(session, all_namespaces), session).await,
        args::Auth::CanI { verb, resource, name, all_namespaces, list: false } => {
            let namespace = namespace(session, all_namespaces);
            let question = question(verb.unwrap_or_default(), &resource.unwrap_or_default(), name, namespace);
            can_i(question, session).await
        }
        args::Auth::RevokeSubject(args) => super::token::revoke_subject(&args, session).await,
        args::Auth::Explain { verb, resource, name, all_namespaces, user, group } => {
            let question = question(verb, &resource, name, namespace(session, all_namespaces));
            let user = user.unwrap_or_default();
            explain(v1::ExplainRequest { question: Some(question), user, groups: group }, session).await
        }
    }
}

fn namespace(session: &Session, all_namespaces: bool) -> String {
    if all_namespaces { String::new() } else { session.namespace.clone() }
}

fn question(verb: String, resource: &str, name: Option<String>, namespace: String) -> v1::CanIRequest {
    v1::CanIRequest { verb, resource: plural(resource), namespace, name: name.unwrap_or_default() }
}

async fn can_i(question: v1::CanIRequest, session: &Session) -> Result<Exit, Failure> {
    let answer = terminal::waiting("asking", session.client.can_i(question)).await;
    let answer = answer.map_err(|error| Failure::from_client("cannot ask for your rights", &error))?;
    terminal::print(&verdict(answer.allowed, &answer.reason));
    Ok(exit(answer.allowed))
}

async fn list(namespace: &str, session: &Session) -> Result<Exit, Failure> {
    let answer = terminal::waiting("asking", session.client.list_rights(namespace)).await;
    let answer = answer.map_err(|error| Failure::from_client("cannot ask for your rights", &error))?;
    terminal::print(&output::rights(&answer.grants));
    note_truncation(answer.truncated);
    Ok(Exit::Ok)
}

async fn explain(request: v1::ExplainRequest, session: &Session) -> Result<Exit, Failure> {
    let answer = terminal::waiting("asking", session.client.explain(request)).await;
    let answer = answer.map_err(|error| Failure::from_client("cannot ask for the reasons", &error))?;
    terminal::print(&verdict(answer.allowed, &answer.reason));
    if !answer.grants.is_empty() {
        terminal::print(&format!("\n{}", output::rights(&answer.grants)));
    }
    if !answer.roles.is_empty() {
        terminal::print("\nBound to one of these roles, it would be allowed:\n");
        terminal::print(&answer.roles.iter().map(|role| format!("  {}\n", output::role(role))).collect::<String>());
    }
    note_truncation(answer.truncated);
    Ok(exit(answer.allowed))
}

fn verdict(allowed: bool, reason: &str) -> String {
    let word = if allowed { "yes" } else { "no" };
    let reason = if reason.is_empty() { String::new() } else { format!(": {}", output::clean(reason)) };
    format!("{word}{reason}\n")
}

fn exit(allowed: bool) -> Exit {
    if allowed { Exit::Ok } else { Exit::Failed }
}

fn note_truncation(truncated: bool) {
    if truncated {
        terminal::note("there are more than one answer holds; the list is cut off");
    }
}

/// `pod/log` becomes `pods/log`; what is no kind stays as it is.
fn plural(resource: &str) -> String {
    let (kind, rest) = resource.split_once('/').map_or((resource, ""), |(kind, rest)| (kind, rest));
    let kind = match Kind::from_user(kind) {
        Some(kind) => kind.plural(),
        None => kind,
    };
    if rest.is_empty() { kind.to_owned() } else { format!("{kind}/{rest}") }
}

#[cfg(test)]
mod tests {
    use super::plural;

    #[test]
    fn resources_are_asked_for_by_their_plural() {
        for (text, expected) in [("pod", "pods"), ("po/log", "pods/log"), ("*", "*"), ("things", "things")] {
            assert_eq!(plural(text), expected);
        }
    }
}
