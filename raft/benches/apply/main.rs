//! What applying a put costs, without disk and network: config maps of 256 bytes over 100,000 keys, with request ids and
//! a full history. Prints the time of one put for several numbers of puts between two published views.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement says with a panic what went wrong")]

use std::time::Duration;

use boss_base::clock::{Clock, SystemClock};
use boss_proto::{
    raft::v1::{Caller, Command, Create, Operation, Update, operation::Action},
    v1::{ConfigMap, ObjectMeta, RequestId},
};
use boss_raft::state::{Outcome, Position, State, apply};
use prost::Message;

const KEYS: u64 = 100_000;
const PUTS: u64 = 200_000;

struct Bench {
    state: State,
    index: u64,
}

impl Bench {
    /// As the log gives it: decoded from its bytes.
    fn command(&self, key: u64, action: impl Fn(ConfigMap) -> Action) -> Command {
        let metadata = ObjectMeta {
            name: format!("key-{key:08}"),
            namespace: "bench".to_owned(),
            uid: if self.index <= KEYS { format!("{key:036}") } else { String::new() },
            ..ObjectMeta::default()
        };
        let data = [("value".to_owned(), format!("{:0256}", self.index))].into();
        let nonce = (u128::from(self.index) << 64 | 7).to_be_bytes().to_vec().into();
        let operation = Operation {
            request_id: Some(RequestId { seen_revision: self.index, nonce }),
            caller: Some(Caller { uid: "server:1".into(), groups: vec!["system:servers".into()], ..Caller::default() }),
            leader_term: Some(1),
            action: Some(action(ConfigMap { metadata: Some(metadata), data, ..ConfigMap::default() })),
            ..Operation::default()
        };
        let command = Command { format: 1, proposed_at_ms: self.index / 10, operations: vec![operation] };
        Command::decode(&*command.encode_to_vec()).unwrap()
    }

    fn run(&mut self, command: &Command) {
        self.index += 1;
        let applied = apply(&mut self.state, Position { term: 1, index: self.index }, command);
        assert!(matches!(applied.outcomes[0], Outcome::Written { .. }), "{:?}", applied.outcomes[0]);
    }
}

fn main() {
    let mut bench = Bench { state: State::default(), index: 0 };
    for key in 0..KEYS {
        let command = bench.command(key, |map| Action::Create(Create { object: Some(map.into()) }));
        bench.run(&command);
    }
    for per_view in [1, 8, 64] {
        let keys = (0..PUTS).map(|put| put.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS);
        let mut took = Duration::ZERO;
        let mut published = bench.state.view();
        for (put, key) in keys.enumerate() {
            let command = bench.command(key, |map| Action::Update(Update { object: Some(map.into()) }));
            bench.index += 1;
            let begin = SystemClock.monotonic();
            let applied = apply(&mut bench.state, Position { term: 1, index: bench.index }, &command);
            if put % per_view == 0 {
                published = bench.state.view();
            }
            drop(applied);
            took += SystemClock.monotonic() - begin;
        }
        println!("{per_view:>3} puts per view: {:.2} us per put", took.as_secs_f64() * 1e6 / PUTS as f64);
        assert!(!published.is_empty());
    }
}
