//! Writes and their answers as messages: what comes in, what is forwarded, what goes out. Knows no rules.

use boss_proto::{
    encoded::{DeleteResponse, WriteResponse},
    ids::Revision,
    key::Key,
    raft::v1::{Operation, operation::Action as Proposed},
    v1::{
        self, ApplyRequest, CreateRequest, DeleteCollectionRequest, DeleteCollectionResponse, DeleteRequest,
        GetResponse, PatchRequest, StreamedWrite, TxnRequest, TxnResponse, TxnResult, UpdateRequest, streamed_write,
        txn_result::Result as Told,
    },
};
use boss_raft::state::{Part, Record};
use bytes::Bytes;
use prost::Message;

use super::Error;
use crate::{
    admission::{Refusal, Write},
    sealing::{Vault, redacted, redacted_bytes},
};

const CREATE: &str = "/boss.v1.Registry/Create";
const UPDATE: &str = "/boss.v1.Registry/Update";
const UPDATE_STATUS: &str = "/boss.v1.Registry/UpdateStatus";
const PATCH: &str = "/boss.v1.Registry/Patch";
const APPLY: &str = "/boss.v1.Registry/Apply";
const DELETE: &str = "/boss.v1.Registry/Delete";
const TXN: &str = "/boss.v1.Registry/Txn";
const DELETE_COLLECTION: &str = "/boss.v1.Registry/DeleteCollection";

/// The answer to a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To whatever leaves an object.
    Written(WriteResponse),
    /// To a delete.
    Deleted(DeleteResponse),
    /// To a transaction.
    Txn(TxnResponse),
    /// To a delete of many.
    Collected(DeleteCollectionResponse),
}

/// A reply with what policies want the caller to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// To the write.
    pub reply: Reply,
    /// Each a line.
    pub warnings: Vec<String>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, warnings: Vec::new() }
    }
}

impl Reply {
    pub(super) fn written(record: &Record, revision: Revision, show: bool) -> Self {
        Self::Written(WriteResponse { object: shown(record, show), revision: revision.0 })
    }

    pub(super) fn deleted(record: &Record, revision: Revision, gone: bool, show: bool) -> Self {
        Self::Deleted(DeleteResponse { object: shown(record, show), revision: revision.0, gone })
    }

    pub(super) fn txn(vault: &Vault, succeeded: bool, revision: Revision, parts: Vec<Part>) -> Result<Self, Error> {
        let revision = revision.0;
        let told = parts.into_iter().map(|part| Ok(TxnResult { result: Some(told(vault, part, revision)?) }));
        Ok(Self::Txn(TxnResponse { succeeded, revision, results: told.collect::<Result<_, Error>>()? }))
    }

    pub(super) fn encode(&self) -> Bytes {
        Bytes::from(match self {
            Self::Written(response) => response.encode_to_vec(),
            Self::Deleted(response) => response.encode_to_vec(),
            Self::Txn(response) => response.encode_to_vec(),
            Self::Collected(response) => response.encode_to_vec(),
        })
    }

    /// Reads the answer to `write`.
    pub(super) fn decode(write: &Write, encoded: Bytes) -> Result<Self, Error> {
        let decoded = match write {
            Write::Delete(_) => DeleteResponse::decode(encoded).map(Self::Deleted),
            Write::Txn(_) => TxnResponse::decode(encoded).map(Self::Txn),
            Write::DeleteCollection(_) => DeleteCollectionResponse::decode(encoded).map(Self::Collected),
            Write::Create(_) | Write::Update(_) | Write::UpdateStatus(_) | Write::Patch(_) | Write::Apply(_) => {
                WriteResponse::decode(encoded).map(Self::Written)
            }
        };
        decoded.map_err(|error| Error::BadMessage(format!("the leader's answer cannot be read: {error}")))
    }
}

/// The object as it is stored: who forwards the answer never looks into it. Of a secret not even that: who may write it
/// may not be allowed to read it.
fn shown(record: &Record, show: bool) -> Bytes {
    if show { redacted_bytes(record) } else { Bytes::new() }
}

fn told(vault: &Vault, part: Part, revision: u64) -> Result<Told, Error> {
    Ok(match part {
        Part::Written(record) => Told::Written(v1::WriteResponse { object: Some(redacted(&record)), revision }),
        Part::Deleted { record, gone } => {
            Told::Deleted(v1::DeleteResponse { object: Some(redacted(&record)), revision, gone })
        }
        // The caller has the right to read it: admission and apply have asked.
        Part::Read(record) => {
            let object = record.map(|record| vault.shown_object(&record)).transpose().map_err(Refusal::from)?;
            Told::Got(GetResponse { object, revision })
        }
    })
}

impl Write {
    /// The method and message that it came as.
    pub(super) fn encode(&self) -> (&'static str, Bytes) {
        let (method, encoded) = match self {
            Self::Create(request) => (CREATE, request.encode_to_vec()),
            Self::Update(request) => (UPDATE, request.encode_to_vec()),
            Self::UpdateStatus(request) => (UPDATE_STATUS, request.encode_to_vec()),
            Self::Patch(request) => (PATCH, request.encode_to_vec()),
            Self::Apply(request) => (APPLY, request.encode_to_vec()),
            Self::Delete(request) => (DELETE, request.encode_to_vec()),
            Self::Txn(request) => (TXN, request.encode_to_vec()),
            Self::DeleteCollection(request) => (DELETE_COLLECTION, request.encode_to_vec()),
        };
        (method, Bytes::from(encoded))
    }

    /// Reads what [`Write::encode`] made.
    pub(super) fn decode(method: &str, request: Bytes) -> Result<Self, Error> {
        let decoded = match method {
            CREATE => CreateRequest::decode(request).map(Self::Create),
            UPDATE => UpdateRequest::decode(request).map(Self::Update),
            UPDATE_STATUS => UpdateRequest::decode(request).map(Self::UpdateStatus),
            PATCH => PatchRequest::decode(request).map(Self::Patch),
            APPLY => ApplyRequest::decode(request).map(Self::Apply),
            DELETE => DeleteRequest::decode(request).map(Self::Delete),
            TXN => TxnRequest::decode(request).map(Self::Txn),
            DELETE_COLLECTION => DeleteCollectionRequest::decode(request).map(Self::DeleteCollection),
            other => return Err(Error::BadMessage(format!("{other:?} is no write that can be forwarded"))),
        };
        decoded.map_err(|error| Error::BadMessage(format!("the forwarded request cannot be read: {error}")))
    }
}

/// Whether it does nothing but make room.
pub(super) fn is_deletion(streamed: &StreamedWrite) -> bool {
    matches!(streamed.operation, Some(streamed_write::Operation::Delete(_)))
}

/// One write of a stream.
pub(super) fn streamed(write: &StreamedWrite) -> Result<Write, Error> {
    use boss_proto::v1::streamed_write::Operation as Inner;
    Ok(match write.operation.clone() {
        Some(Inner::Create(request)) => Write::Create(request),
        Some(Inner::Update(request)) => Write::Update(request),
        Some(Inner::UpdateStatus(request)) => Write::UpdateStatus(request),
        Some(Inner::Patch(request)) => Write::Patch(request),
        Some(Inner::Apply(request)) => Write::Apply(request),
        Some(Inner::Delete(request)) => Write::Delete(request),
        Some(Inner::Txn(request)) => Write::Txn(request),
        None => return Err(Refusal::invalid("operation", "is missing", "name what is to be written").into()),
    })
}

/// The object that an admitted operation is about.
pub(super) fn key_of(operation: &Operation) -> Option<Key> {
    match operation.action.as_ref()? {
        Proposed::Create(create) => create.object.as_ref()?.key(),
        Proposed::Update(update) => update.object.as_ref()?.key(),
        Proposed::UpdateStatus(update) => update.object.as_ref()?.key(),
        Proposed::Delete(delete) => Key::try_from(delete.key.as_ref()?).ok(),
        Proposed::Bind(bind) => Key::try_from(bind.pod.as_ref()?).ok(),
        Proposed::Read(read) => Key::try_from(read.key.as_ref()?).ok(),
        Proposed::Compact(_) => Some(Key::control_plane()),
        // A transaction names its objects itself.
        Proposed::Txn(_) => None,
    }
}
