//! `bossctl whoami` and `bossctl auth`: questions about oneself.

use boss_proto::{kind::Kind, v1};

use crate::{
    args::{self, Answer},
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

pub(super) async fn run(args: args::Auth, session: &Session) -> Result<Exit, Failure> {
    let args::Auth::CanI { verb, resource, name, all_namespaces } = args;
    let namespace = if all_namespaces { String::new() } else { session.namespace.clone() };
    let request = v1::CanIRequest { verb, resource: plural(&resource), namespace, name: name.unwrap_or_default() };
    let answer = terminal::waiting("asking", session.client.can_i(request)).await;
    let answer = answer.map_err(|error| Failure::from_client("cannot ask for your rights", &error))?;
    let word = if answer.allowed { "yes" } else { "no" };
    let reason = if answer.reason.is_empty() { String::new() } else { format!(": {}", output::clean(&answer.reason)) };
    terminal::print(&format!("{word}{reason}\n"));
    Ok(if answer.allowed { Exit::Ok } else { Exit::Failed })
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
