//! Clients that get tokens from the cluster, show them at any server, have them revoked while others still show them, and
//! go on showing what was revoked long ago.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use boss_proto::v1::{self, revoke_request::Target};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::{
    Stop,
    asking::{Failed, PATIENCE, failed, insist, is_a_matter_of_time},
};
use crate::{
    api::Api,
    checkers::generate::Random,
    history::{Call, Recorder, Reply},
    records::record,
};

/// All who get a token are in it, and nobody else.
const GROUP: &str = "chaos-bearers";
/// How often a token is shown before it is revoked, and while.
const SHOWS: usize = 3;
/// Revoked tokens that are still shown now and then.
const REVOKED_MAX: usize = 64;

/// A token as clients know it. Its text is in no history.
#[derive(Clone)]
struct Token {
    number: u64,
    id: String,
    text: String,
}

/// Clients of tokens.
pub struct Tokens {
    recorder: Arc<Recorder>,
    namespace: String,
    stop: Stop,
    revoked: Mutex<VecDeque<Token>>,
}

/// Lets bearers read and write in the namespace, which must be there.
pub async fn prepare(api: &Api, namespace: &str) -> Result<(), Status> {
    let metadata = || {
        let (name, namespace) = ("bearers".to_owned(), namespace.to_owned());
        Some(v1::ObjectMeta { name, namespace, ..v1::ObjectMeta::default() })
    };
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let rule = v1::PolicyRule {
        verbs: words(&["list", "create"]),
        resources: words(&["serviceaccounts"]),
        ..v1::PolicyRule::default()
    };
    api.create(v1::Role { metadata: metadata(), rules: vec![rule], ..v1::Role::default() }).await?;
    let subject = v1::Subject { kind: "Group".to_owned(), name: GROUP.to_owned(), ..v1::Subject::default() };
    let binding = v1::RoleBinding {
        metadata: metadata(),
        role_ref: Some(v1::RoleRef { kind: "Role".to_owned(), name: "bearers".to_owned() }),
        subjects: vec![subject],
        ..v1::RoleBinding::default()
    };
    api.create(binding).await.map(drop)
}

impl Tokens {
    /// In a namespace that was prepared.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, namespace: &str, stop: Stop) -> Self {
        Self { recorder, namespace: namespace.to_owned(), stop, revoked: Mutex::default() }
    }

    /// One client at a time; its choices come from the seed.
    pub async fn run(&self, seed: u64, servers: &[Api]) {
        let mut random = Random(seed);
        while self.stop.turn().await {
            let Some(token) = self.get(&mut random, servers).await else { continue };
            self.show_often(&token, random.draw(), servers).await;
            // Shown while it is revoked: some of it comes before, some after, and all of it at one or the other place.
            let (revoking, showing) = (random.draw(), random.draw());
            tokio::join!(self.revoke(&token, revoking, servers), self.show_often(&token, showing, servers));
            let mut bearer = Bearer { all: self, process: self.recorder.process(), random: Random(random.draw()) };
            for api in servers {
                bearer.show(&token, api).await;
            }
            self.remember(token);
            for _ in 0..SHOWS {
                let Some(old) = self.remembered(random.below(REVOKED_MAX)) else { break };
                bearer.show(&old, &servers[random.below(servers.len())]).await;
            }
        }
    }

    /// Each is of a user of its own: who revokes all of his ends this one.
    async fn get(&self, random: &mut Random, servers: &[Api]) -> Option<Token> {
        let number = self.recorder.value();
        let ask = async |api: &Api| api.create_token(&user(number), &[GROUP]).await;
        // None yet in a cluster that has just begun: the next attempt has one. A token that nobody got hurts nobody.
        let made = insist(random, servers, ask).await.ok()?;
        Some(Token { number, id: made.token_id, text: made.token })
    }

    async fn revoke(&self, token: &Token, seed: u64, servers: &[Api]) {
        let mut random = Random(seed);
        let target = match random.below(2) {
            0 => Target::TokenId(token.id.clone()),
            _ => Target::User(user(token.number)),
        };
        let invocation = self.recorder.call(self.recorder.process(), Call::Revoke { token: token.number });
        match insist(&mut random, servers, async |api: &Api| api.revoke(target.clone()).await).await {
            Ok(revision) => invocation.reply(Reply::Done { revision }),
            Err(Failed::Nothing(why)) => invocation.fail(why),
            Err(Failed::Unknown(why)) => invocation.info(why),
            Err(other) => invocation.refused(format!("{other:?}")),
        }
    }

    async fn show_often(&self, token: &Token, seed: u64, servers: &[Api]) {
        let mut bearer = Bearer { all: self, process: self.recorder.process(), random: Random(seed) };
        for _ in 0..SHOWS {
            let api = &servers[bearer.random.below(servers.len())];
            bearer.show(token, api).await;
        }
    }

    fn remember(&self, token: Token) {
        let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.push_back(token);
        if revoked.len() > REVOKED_MAX {
            revoked.pop_front();
        }
    }

    fn remembered(&self, number: usize) -> Option<Token> {
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        (!revoked.is_empty()).then(|| revoked[number % revoked.len()].clone())
    }
}

fn user(token: u64) -> String {
    format!("bearer-{token}")
}

/// Who shows tokens, one at a time.
struct Bearer<'a> {
    all: &'a Tokens,
    process: u64,
    random: Random,
}

impl Bearer<'_> {
    async fn show(&mut self, token: &Token, api: &Api) {
        let (recorder, namespace) = (&self.all.recorder, &self.all.namespace);
        let (api, writes) = (api.bearing(&*token.text), self.random.below(2) == 0);
        let invocation = recorder.call(self.process, Call::Show { token: token.number, writes });
        let asked = async {
            if writes {
                let object = record(namespace, &format!("t-{}", recorder.value()), "x");
                return api.create(object).await.map(|written| Reply::Done { revision: written.revision.0 });
            }
            let page = api.list_page::<v1::ServiceAccount>(namespace, 1, prost::bytes::Bytes::new()).await;
            page.map(|(_, _, revision)| Reply::Seen { revision: revision.0 })
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(reply)) => invocation.reply(reply),
            Ok(Err(status)) if is_a_matter_of_time(&status) => invocation.fail(status.to_string()),
            Ok(Err(status)) if status.code() == Code::Unauthenticated => invocation.reply(Reply::Denied),
            // A read that was not answered did nothing.
            Err(_) if !writes => invocation.fail("no answer"),
            Err(_) => {
                invocation.info("no answer");
                self.process = recorder.process();
            }
            Ok(Err(status)) => match failed(&status) {
                Failed::Nothing(why) => invocation.fail(why),
                Failed::Unknown(why) if !writes => invocation.fail(why),
                Failed::Unknown(why) => {
                    invocation.info(why);
                    self.process = recorder.process();
                }
                other => invocation.refused(format!("{other:?}")),
            },
        }
    }
}
