//! `bossctl cluster transfer-leader|remove|change|cancel-change|compact`: what changes who serves. Knows no certificate.

use std::time::Duration;

use boss_proto::{ids::Uid, v1};

use crate::{
    args,
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

/// Between two questions about a change; the controller that carries it out looks as often.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn transfer_leader(to: Option<u64>, session: &Session) -> Result<Exit, Failure> {
    let led = terminal::waiting("waiting for the successor", session.client.transfer_leader(to)).await;
    let led = led.map_err(|error| Failure::from_client("cannot transfer the leadership", &error))?;
    terminal::print(&format!("server {} leads (term {})\n", led.leader_id, led.term));
    Ok(Exit::Ok)
}

pub(super) async fn compact(revision: Option<u64>, session: &Session) -> Result<Exit, Failure> {
    let done = terminal::waiting("compacting", session.client.compact(revision)).await;
    let done = done.map_err(|error| Failure::from_client("cannot compact", &error))?;
    terminal::print(&format!("the history begins after revision {}\n", done.floor));
    Ok(Exit::Ok)
}

pub(super) async fn show(number: u64, session: &Session) -> Result<Exit, Failure> {
    let change = session.client.membership_change(number).await;
    let change = change.map_err(|error| Failure::from_client(format!("cannot show change {number}"), &error))?;
    terminal::print(&describe(&change));
    if change.finished_at.is_some() {
        session.learn_servers().await;
    }
    Ok(Exit::Ok)
}

pub(super) async fn cancel(number: u64, session: &Session) -> Result<Exit, Failure> {
    let change = session.client.cancel_membership_change(number).await;
    let change = change.map_err(|error| Failure::from_client(format!("cannot cancel change {number}"), &error))?;
    terminal::print(&describe(&change));
    Ok(Exit::Ok)
}

pub(super) async fn remove(args: &args::Remove, session: &Session) -> Result<Exit, Failure> {
    let what = format!("cannot remove server {}", args.server_id);
    if args.force {
        super::warn_of_force();
    }
    // It may be the very server that is asked.
    session.learn_servers().await;
    let request_id = Uid::random().to_string();
    let request = v1::RemoveServerRequest { server_id: args.server_id, request_id, force: args.force };
    let begun = session.client.remove_server(request).await;
    let begun = begun.map_err(|error| Failure::from_client(&*what, &error))?;
    let settled = tokio::time::timeout(args.wait, settle(begun.clone(), session));
    match terminal::waiting("removing the server", settled).await {
        Ok(change) => {
            let change = change.map_err(|error| Failure::from_client(&*what, &error))?;
            terminal::print(&describe(&change));
            session.learn_servers().await;
            Ok(if change.phase == "Done" { Exit::Ok } else { Exit::Failed })
        }
        Err(_) => {
            let number = begun.number;
            let why = format!("change {number} is not done after {:?}; it goes on", args.wait);
            Err(Failure::new(Exit::Unavailable, what, why).or_next(format!("bossctl cluster change {number}")))
        }
    }
}

/// Asks until the change has ended. A leader that goes takes the answer with it; the next one gives it.
async fn settle(
    mut change: v1::MembershipChange,
    session: &Session,
) -> Result<v1::MembershipChange, boss_client::Error> {
    let mut asks = tokio::time::interval(ASK_INTERVAL);
    while change.finished_at.is_none() {
        asks.tick().await;
        change = session.client.membership_change(change.number).await?;
    }
    Ok(change)
}

fn describe(change: &v1::MembershipChange) -> String {
    let added = change.add.as_ref().map(|server| format!(" add {} ({})", server.id, output::clean(&server.name)));
    let removed = (change.remove_id != 0).then(|| format!(" remove {}", change.remove_id));
    let what = [added, removed].into_iter().flatten().collect::<String>();
    format!("change {}:{what}: {} {}\n", change.number, change.phase, output::clean(&change.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_who_comes_and_who_goes_and_what_it_waits_for() {
        let add = Some(v1::Member { id: 4, name: "boss-4".into(), ..Default::default() });
        let change = v1::MembershipChange {
            number: 2,
            add,
            remove_id: 1,
            phase: "Running".into(),
            message: "waits for server 4".into(),
            ..Default::default()
        };
        assert_eq!(describe(&change), "change 2: add 4 (boss-4) remove 1: Running waits for server 4\n");
    }
}
