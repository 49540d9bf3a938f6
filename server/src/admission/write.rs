//! The writes that there are, as callers send them. Knows no rule about them.

use boss_proto::v1::{self, RequestId};

/// A write as a caller asks for it: the message that it came as.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Store a new object.
    Create(v1::CreateRequest),
    /// Replace everything but the status.
    Update(v1::UpdateRequest),
    /// Replace the status.
    UpdateStatus(v1::UpdateRequest),
    /// Change what a merge patch names.
    Patch(v1::PatchRequest),
    /// Make the object what a manifest says, field by field.
    Apply(v1::ApplyRequest),
    /// Remove the object, or ask for it.
    Delete(v1::DeleteRequest),
    /// Delete what a selection finds.
    DeleteCollection(v1::DeleteCollectionRequest),
    /// Several operations at once, or others.
    Txn(v1::TxnRequest),
}

impl Write {
    /// What makes it safe to send again.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        match self {
            Self::Create(request) => request.request_id.as_ref(),
            Self::Update(request) | Self::UpdateStatus(request) => request.request_id.as_ref(),
            Self::Patch(request) => request.request_id.as_ref(),
            Self::Apply(request) => request.request_id.as_ref(),
            Self::Delete(request) => request.request_id.as_ref(),
            Self::DeleteCollection(_) => None,
            Self::Txn(request) => request.request_id.as_ref(),
        }
    }

    /// Whether sending it again has no second effect.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.request_id().is_some() || self.is_dry_run() || matches!(self, Self::DeleteCollection(_))
    }

    /// Whether nothing is to be committed.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        match self {
            Self::Create(request) => request.dry_run,
            Self::Update(request) | Self::UpdateStatus(request) => request.dry_run,
            Self::Patch(request) => request.dry_run,
            Self::Apply(request) => request.dry_run,
            Self::Delete(request) => request.dry_run,
            Self::DeleteCollection(request) => request.dry_run,
            Self::Txn(request) => request.dry_run,
        }
    }
}
