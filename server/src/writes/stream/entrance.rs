//! The turns of one stream of writes: each of its entries waits for one, beside the calls of everybody else. One is
//! asked for at a time, so that entries keep their order. Knows no write.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::{
    auth::Identity,
    turns::{Full, Line, Purpose, Turn},
};

/// Where the entries of a stream go in.
pub(super) struct Entrance {
    line: Line,
    caller: Arc<Identity>,
    asked: Option<BoxFuture<'static, Result<Turn, Full>>>,
}

impl Entrance {
    pub(super) fn new(line: Line, caller: Arc<Identity>) -> Self {
        Self { line, caller, asked: None }
    }

    /// Asks for a turn, unless one was asked for.
    pub(super) fn ask(&mut self, purpose: Purpose) {
        if self.asked.is_none() {
            let (line, caller) = (self.line.clone(), Arc::clone(&self.caller));
            self.asked = Some(Box::pin(async move { line.enter(&caller, purpose).await }));
        }
    }

    /// The turn that was asked for; waits for ever when none was. Cancelling it loses nothing.
    pub(super) async fn turn(&mut self) -> Result<Turn, Full> {
        match &mut self.asked {
            None => std::future::pending().await,
            Some(asked) => {
                let turn = asked.await;
                self.asked = None;
                turn
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use boss_base::clock::SystemClock;
    use futures_util::poll;

    use super::*;
    use crate::{
        auth::{Method, Role},
        turns::Bounds,
    };

    fn entrance(line: &Line, name: &str) -> Entrance {
        let identity = Identity {
            username: name.into(),
            uid: format!("user:{name}"),
            groups: Vec::new(),
            method: Method::Token,
            role: Role::User,
            expires_at: u64::MAX,
            token_id: "t".into(),
            certificate_serial: String::new(),
            generation: 0,
            bound_to: Vec::new(),
            credential: boss_proto::peer::v1::Credential::default(),
        };
        Entrance::new(line.clone(), Arc::new(identity))
    }

    fn line() -> Line {
        let bounds = Bounds {
            in_flight_max: 1,
            in_flight_per_subject_max: 1,
            deletes_reserved: 1,
            queued_max: 1,
            queued_per_subject_max: 1,
        };
        Line::new("test", bounds, Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn an_entry_waits_for_its_turn_and_nobody_for_one_that_was_not_asked_for() {
        let line = line();
        let (mut first, mut second) = (entrance(&line, "a"), entrance(&line, "b"));
        assert!(poll!(Box::pin(first.turn())).is_pending());
        first.ask(Purpose::Other);
        let turn = first.turn().await.unwrap();
        second.ask(Purpose::Other);
        assert!(poll!(Box::pin(second.turn())).is_pending(), "the only place is taken");
        second.ask(Purpose::Other);
        drop(turn);
        // What was polled and given up above is still the same place in the queue.
        assert!(second.turn().await.is_ok());
        assert!(poll!(Box::pin(second.turn())).is_pending(), "one turn is for one entry");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_an_entry_and_lets_deletes_pass() {
        let line = line();
        let (mut first, mut second, mut third) = (entrance(&line, "a"), entrance(&line, "b"), entrance(&line, "c"));
        first.ask(Purpose::Other);
        let _turn = first.turn().await.unwrap();
        second.ask(Purpose::Other);
        assert!(poll!(Box::pin(second.turn())).is_pending());
        third.ask(Purpose::Other);
        assert!(third.turn().await.is_err(), "there is no room to wait");
        third.ask(Purpose::Delete);
        assert!(third.turn().await.is_ok());
    }
}
