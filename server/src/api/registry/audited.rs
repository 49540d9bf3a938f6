//! What the audit keeps of a stream of writes: each that is refused, as if it had come as a call of its own. What was
//! done is kept where it is applied.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use boss_base::clock::Clock;
use boss_proto::{
    limits::STREAM_WRITES_IN_FLIGHT_MAX,
    v1::{StreamedResult, StreamedWrite, streamed_result::Outcome, streamed_write::Operation},
};
use tonic::Code;

use super::{about_key, about_object};
use crate::{
    api::gate::code_word,
    audit::{Audit, Call},
    auth::Identity,
};

/// What of a stream is remembered until it is answered: no more than the leader reads ahead, and what lies in buffers.
const REMEMBERED_MAX: usize = 2 * STREAM_WRITES_IN_FLIGHT_MAX;

/// One stream. Clones share it.
#[derive(Clone)]
pub(super) struct Streamed(Arc<Shared>);

struct Shared {
    audit: Audit,
    clock: Arc<dyn Clock>,
    caller: Arc<Identity>,
    /// Method and object of each write that was not answered yet, in the order of their numbers.
    asked: Mutex<VecDeque<(u64, &'static str, String)>>,
}

impl Streamed {
    /// `None` when nothing is kept.
    pub(super) fn of(audit: &Audit, clock: &Arc<dyn Clock>, caller: &Arc<Identity>) -> Option<Self> {
        let (audit, clock, caller) = (audit.clone(), clock.clone(), caller.clone());
        audit.is_on().then(|| Self(Arc::new(Shared { audit, clock, caller, asked: Mutex::default() })))
    }

    /// Somebody wants these.
    pub(super) fn asked(&self, writes: &[StreamedWrite]) {
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for write in writes.iter().take(REMEMBERED_MAX.saturating_sub(asked.len())) {
            let (method, object) = describe(write.operation.as_ref());
            asked.push_back((write.sequence, method, object));
        }
    }

    /// This became of them.
    pub(super) fn answered(&self, results: &[StreamedResult]) {
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for result in results {
            while asked.front().is_some_and(|(sequence, ..)| *sequence < result.sequence) {
                asked.pop_front();
            }
            let known = asked.pop_front_if(|(sequence, ..)| *sequence == result.sequence);
            if let Some(Outcome::Refused(refusal)) = &result.outcome {
                let (_, method, object) = known.unwrap_or_default();
                self.refused(method, object, refusal.code, &refusal.message);
            }
        }
    }

    fn refused(&self, method: &str, object: String, code: i32, message: &str) {
        let Shared { audit, clock, caller, .. } = &*self.0;
        audit.call(Call {
            time_ms: clock.unix_millis(),
            user: caller.username.clone(),
            uid: caller.uid.clone(),
            groups: caller.groups.clone(),
            method: format!("/boss.v1.Registry/WriteStream{method}"),
            object,
            code: code_word(Code::from_i32(code)),
            message: message.to_owned(),
        });
    }
}

fn describe(operation: Option<&Operation>) -> (&'static str, String) {
    let of_key = |key: &Option<boss_proto::v1::ObjectKey>| key.as_ref().map(about_key).unwrap_or_default();
    match operation {
        Some(Operation::Create(request)) => ("/Create", about_object(request.object.as_ref())),
        Some(Operation::Update(request)) => ("/Update", about_object(request.object.as_ref())),
        Some(Operation::UpdateStatus(request)) => ("/UpdateStatus", about_object(request.object.as_ref())),
        Some(Operation::Patch(request)) => ("/Patch", of_key(&request.key)),
        Some(Operation::Apply(_)) => ("/Apply", String::new()),
        Some(Operation::Delete(request)) => ("/Delete", of_key(&request.key)),
        Some(Operation::Txn(_)) => ("/Txn", String::new()),
        None => ("", String::new()),
    }
}
