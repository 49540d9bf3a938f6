//! `bossctl cluster check-hashes`: whether the servers have the same state. Decides nothing about what follows.

use boss_proto::v1;

use crate::{
    args::Answer,
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn run(answer: Answer, session: &Session) -> Result<Exit, Failure> {
    let check = terminal::waiting("comparing", session.client.check_hashes()).await;
    let check = check.map_err(|error| Failure::from_client("cannot compare the servers' states", &error))?;
    terminal::print(&match answer {
        Answer::Json => format!("{:#}\n", serde_json::json!(check)),
        Answer::Table => text(&check),
    });
    Ok(exit_of(&check))
}

/// Success only when nobody differs: a script can rely on it.
fn exit_of(check: &v1::CheckHashesResponse) -> Exit {
    match check.verdict.as_str() {
        "agreed" => Exit::Ok,
        "unknown" => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

fn text(check: &v1::CheckHashesResponse) -> String {
    let says = match check.verdict.as_str() {
        "agreed" => "every server that answered has the same state",
        "odd" => "a server has another state than the majority; it steps aside and takes theirs",
        "no-majority" => "the states differ and none has a majority: see the operations guide",
        _ => "too few servers answered",
    };
    let head = format!("Entry:     {}\nVerdict:   {} ({says})\n\n", check.index, output::clean(&check.verdict));
    let row = |server: &v1::HashAnswer| {
        let is_odd = !server.hash.is_empty() && !check.agreed_hash.is_empty() && server.hash != check.agreed_hash;
        let problem = if is_odd { "differs from the majority's" } else { server.error.as_str() };
        let role = if server.voter { "voter" } else { "learner" };
        vec![server.id.to_string(), role.to_owned(), server.hash.clone(), output::clean(problem)]
    };
    head + &output::plain(&["ID", "ROLE", "HASH", "PROBLEM"], &check.servers.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odd_server_is_named_and_fails_the_command() {
        let server = |id, hash: &str| v1::HashAnswer { id, voter: true, hash: hash.to_owned(), ..Default::default() };
        let check = v1::CheckHashesResponse {
            index: 7,
            verdict: "odd".to_owned(),
            agreed_hash: "aa".to_owned(),
            servers: vec![server(1, "aa"), server(2, "bb"), server(3, "aa")],
        };
        let text = text(&check);
        let odd: Vec<_> = text.lines().filter(|line| line.ends_with("differs from the majority's")).collect();
        assert_eq!(odd.len(), 1, "{text}");
        assert!(odd[0].starts_with('2'), "{text}");
        assert_eq!(exit_of(&check), Exit::Failed);
        assert_eq!(exit_of(&v1::CheckHashesResponse { verdict: "agreed".to_owned(), ..check }), Exit::Ok);
    }
}
