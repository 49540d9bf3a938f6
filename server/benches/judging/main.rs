//! What it costs to know a caller, to ask for his rights and to ask policies, without disk and network: 1,000 roles and
//! 1,000 bindings, with a write beside it that nothing of it is asked for. Prints CPU time of this thread, the median of
//! several rounds, and what follows from them; `judging NAME` runs one measurement alone, for a profiler.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement says with a panic what went wrong")]

mod registry;

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Duration};

use boss_base::{
    clock::{Clock, SystemClock},
    jwt::{SigningKey, VerifyingKey},
    pki::CertificateAuthority,
    tls,
};
use boss_proto::{
    ids::{ClusterId, Uid},
    raft::v1::Command,
    v1::{ConfigMap, CreateRequest, ObjectMeta},
};
use boss_raft::state::{Outcome, Position, View, apply, rbac::Attributes};
use boss_server::{
    admission::{Policies, Stamp, Write, admit},
    auth::{Authenticator, Identity},
    sealing::Vault,
};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use registry::{BINDINGS, registry, server_caller};

const CLUSTER: &str = "bench";
const ROUNDS: usize = 9;
/// Of what takes less than a microsecond.
const TURNS: usize = 20_000;
/// Of what takes longer.
const WRITES: usize = 4_000;

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let bench = Bench::new();
    let wanted = MEASUREMENTS.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name));
    let found: BTreeMap<&str, f64> = wanted.map(|(name, run)| (*name, run(&bench, name))).collect();
    if only.is_none() {
        conclude(|name| found[name]);
    }
}

/// What the measurements are made for, beside what is wanted.
fn conclude(ns: impl Fn(&str) -> f64) {
    let policy = (ns("policies-20") - ns("policies-1")) / 19.0;
    println!();
    for (what, found, aim) in [
        ("one question for a right", ns("rights-allowed").max(ns("rights-denied")), "below 1000"),
        ("caller and rights of one write", ns("write-with") - ns("write-without"), "at most 15000"),
        ("each policy that matches", policy, "about 2000"),
        ("the object for all of them, once", ns("policies-1") - ns("policies-0") - policy, "reported"),
        ("20 policies that do not match", ns("policies-20-elsewhere") - ns("policies-0"), "no object is made"),
    ] {
        println!("{what:36}{found:>10.0} ns, wanted: {aim}");
    }
}

/// What is measured and its name; gives the median in nanoseconds.
type Measurement = (&'static str, fn(&Bench, &str) -> f64);

const MEASUREMENTS: &[Measurement] = &[
    ("rights-allowed", |bench, name| bench.rights(name, "get", "configmaps", true)),
    ("rights-denied", |bench, name| bench.rights(name, "delete", "nodes", false)),
    ("token-known", Bench::token_known),
    ("token-new", Bench::token_new),
    ("write-with", |bench, name| bench.writes(name, &bench.ann, Asks::Everything)),
    ("write-without", |bench, name| bench.writes(name, &bench.server, Asks::Nothing)),
    ("policies-0", |bench, name| bench.policies(name, 0, 0)),
    ("policies-20-elsewhere", |bench, name| bench.policies(name, 0, 20)),
    ("policies-1", |bench, name| bench.policies(name, 1, 0)),
    ("policies-10", |bench, name| bench.policies(name, 10, 0)),
    ("policies-20", |bench, name| bench.policies(name, 20, 0)),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// Who calls, and what he may, in admission and in apply.
    Everything,
    /// The caller is a server: whom nobody asks.
    Nothing,
}

struct Bench {
    view: View,
    authenticator: Authenticator,
    key: SigningKey,
    headers: HeaderMap,
    ann: Identity,
    server: Identity,
    vault: Vault,
}

impl Bench {
    fn new() -> Self {
        let state = registry(&[]);
        let (key, ca) = (SigningKey::generate().unwrap(), CertificateAuthority::generate(CLUSTER).unwrap());
        let pem = tls::Pem { own: None, ca: ca.cert_pem().as_bytes().to_vec() };
        let keys = [VerifyingKey::from_bytes(key.public_key()).unwrap()].into_iter().collect();
        let (identity, clock) = (tls::Identity::from_pem(pem).unwrap(), Arc::new(SystemClock));
        let view = state.view();
        let asked = view.clone();
        let authenticator =
            Authenticator::new(ClusterId::from(CLUSTER), keys, identity, clock).asking(move || asked.clone());
        let headers = headers(&token(&key, "1"));
        let ann = (*authenticator.authenticate(&headers, None).unwrap()).clone();
        let server = Identity { groups: server_caller().groups, ..ann.clone() };
        let vault = Vault::load(ClusterId::from(CLUSTER), None).unwrap();
        Self { view, authenticator, key, headers, ann, server, vault }
    }

    fn rights(&self, name: &str, verb: &str, resource: &str, expected: bool) -> f64 {
        let caller = self.ann.caller();
        let attributes = Attributes { verb, resource, namespace: "bench", name: "x", ..Attributes::default() };
        // The first question makes the table.
        assert_eq!(self.view.authorize(&caller, &attributes).allowed, expected);
        print(name, TURNS, || drop(black_box(self.view.authorize(&caller, &attributes))))
    }

    fn token_known(&self, name: &str) -> f64 {
        print(name, TURNS, || drop(black_box(self.authenticator.authenticate(&self.headers, None).unwrap())))
    }

    fn token_new(&self, name: &str) -> f64 {
        let tokens: Vec<_> = (0..WRITES * ROUNDS).map(|index| headers(&token(&self.key, &index.to_string()))).collect();
        let mut tokens = tokens.iter();
        print(name, WRITES, || {
            drop(black_box(self.authenticator.authenticate(tokens.next().unwrap(), None).unwrap()));
        })
    }

    /// A create of a config map, admitted and applied.
    fn writes(&self, name: &str, identity: &Identity, asks: Asks) -> f64 {
        let (mut state, policies) = (registry(&[]), Policies::default());
        let (mut index, mut number) = (BINDINGS as u64 * 4, 0);
        print(name, WRITES, || {
            (index, number) = (index + 1, number + 1);
            let known = match asks {
                Asks::Everything => self.authenticator.authenticate(&self.headers, None).unwrap(),
                Asks::Nothing => Arc::new(identity.clone()),
            };
            let operation = self.admit(&state.view(), &known, &policies, number);
            let command = Command { format: 1, proposed_at_ms: index, operations: vec![operation] };
            let applied = apply(&mut state, Position { term: 1, index }, &command);
            assert!(matches!(applied.outcomes[0], Outcome::Written { .. }), "{:?}", applied.outcomes[0]);
        })
    }

    /// Admission alone, with so many policies that match and that do not.
    fn policies(&self, name: &str, matching: usize, elsewhere: usize) -> f64 {
        let view = registry(&[("ConfigMap", matching), ("Job", elsewhere)]).view();
        let policies = Policies::default();
        let mut number = 0;
        print(name, WRITES, || {
            number += 1;
            drop(black_box(self.admit(&view, &self.ann, &policies, number)));
        })
    }

    fn admit(
        &self,
        view: &View,
        identity: &Identity,
        policies: &Policies,
        number: u64,
    ) -> boss_proto::raft::v1::Operation {
        let metadata =
            ObjectMeta { name: format!("key-{number:08}"), namespace: "bench".to_owned(), ..ObjectMeta::default() };
        let data = [("value".to_owned(), format!("{number:0256}"))].into();
        let object = ConfigMap { metadata: Some(metadata), data, ..ConfigMap::default() };
        let write = Write::Create(CreateRequest { object: Some(object.into()), ..CreateRequest::default() });
        let uid = || Uid::new(format!("{number:036}"));
        admit(view, identity, write, Stamp { uid: &uid, now_ms: number, attempt: 0, policies, vault: &self.vault })
            .unwrap()
    }
}

fn token(key: &SigningKey, id: &str) -> String {
    let now = SystemClock.unix_seconds();
    let claims = json!({
        "iss": "boss", "aud": CLUSTER, "sub": "user:ann", "jti": id, "iat": now, "nbf": now, "exp": now + 3_600,
        "name": "ann", "groups": registry::GROUPS,
    });
    key.sign(&claims).unwrap()
}

fn headers(token: &str) -> HeaderMap {
    [(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())].into_iter().collect()
}

/// The median of the rounds, in nanoseconds.
fn print(name: &str, turns: usize, mut turn: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = cpu_time();
            (0..turns).for_each(|_| turn());
            (cpu_time() - begin).as_secs_f64() * 1e9 / turns as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:24}{:>10.0} ns, {:.0} to {:.0}", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
    rounds[ROUNDS / 2]
}

/// Of this thread: what others do on the machine does not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
