//! Writes beyond one whole object: patches, applies, collections, transactions, dry runs. Retries are elsewhere.

use boss_proto::{
    key::Key,
    v1::{self, RequestId},
};

use crate::{
    Client, Error, Query,
    client::{incomplete, registry},
    write_stream::{WriteStream, WriteStreamOptions},
};

/// How to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Do everything but the commit: the answer is the object as it would be.
    pub dry_run: bool,
    /// Who writes, for the ownership of fields; empty means the caller's own name.
    pub field_manager: String,
}

/// What to patch, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchOptions {
    /// Patch the status alone, instead of everything else.
    pub status: bool,
    /// What must hold of the object.
    pub preconditions: Option<v1::Preconditions>,
    /// As for every write.
    pub write: WriteOptions,
}

/// What to delete, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectionOptions {
    /// What becomes of dependents.
    pub propagation: v1::Propagation,
    /// Instead of the pods' own grace period.
    pub grace_period_seconds: Option<u32>,
    /// Only tell what would be deleted.
    pub dry_run: bool,
}

impl Client {
    /// Like [`Client::create`], with options.
    pub async fn create_with(&self, object: v1::Object, options: &WriteOptions) -> Result<v1::Object, Error> {
        let WriteOptions { dry_run, field_manager } = options;
        let make = |id| v1::CreateRequest {
            object: Some(object.clone()),
            request_id: Some(id),
            dry_run: *dry_run,
            field_manager: field_manager.clone(),
        };
        self.written(self.write(make, |channel, request| async move { registry(channel).create(request).await }).await?)
    }

    /// Like [`Client::update`], with options.
    pub async fn update_with(&self, object: v1::Object, options: &WriteOptions) -> Result<v1::Object, Error> {
        let WriteOptions { dry_run, field_manager } = options;
        let make = |id| v1::UpdateRequest {
            object: Some(object.clone()),
            request_id: Some(id),
            dry_run: *dry_run,
            field_manager: field_manager.clone(),
        };
        self.written(self.write(make, |channel, request| async move { registry(channel).update(request).await }).await?)
    }

    /// Changes what a JSON merge patch (RFC 7386) names.
    pub async fn patch(
        &self,
        key: &Key,
        merge_patch: &serde_json::Value,
        options: &PatchOptions,
    ) -> Result<v1::Object, Error> {
        let text = merge_patch.to_string();
        let make = |id| v1::PatchRequest {
            key: Some(key.to_proto()),
            request_id: Some(id),
            merge_patch: text.clone().into(),
            status: options.status,
            preconditions: options.preconditions.clone(),
            dry_run: options.write.dry_run,
            field_manager: options.write.field_manager.clone(),
        };
        self.written(self.write(make, |channel, request| async move { registry(channel).patch(request).await }).await?)
    }

    /// Makes an object what a manifest says, field by field; `force` takes fields over that other managers own. The
    /// options must name the field manager.
    pub async fn apply(
        &self,
        manifest: &serde_json::Value,
        force: bool,
        options: &WriteOptions,
    ) -> Result<v1::Object, Error> {
        let text = manifest.to_string();
        let make = |id| v1::ApplyRequest {
            manifest: text.clone().into(),
            request_id: Some(id),
            field_manager: options.field_manager.clone(),
            force,
            dry_run: options.dry_run,
        };
        self.written(self.write(make, |channel, request| async move { registry(channel).apply(request).await }).await?)
    }

    /// Deletes everything that a query finds, page after page; what was deleted, or has its deletion asked for.
    pub async fn delete_collection(
        &self,
        query: &Query,
        options: &CollectionOptions,
    ) -> Result<Vec<v1::CollectedObject>, Error> {
        let request = v1::DeleteCollectionRequest {
            kind: query.kind.to_string(),
            namespace: query.namespace.clone(),
            label_selector: query.labels.clone(),
            field_selector: query.fields.clone(),
            propagation: options.propagation.into(),
            grace_period_seconds: options.grace_period_seconds,
            dry_run: options.dry_run,
            limit: 0,
        };
        let mut items = Vec::new();
        loop {
            let send = |channel, request| async move { registry(channel).delete_collection(request).await };
            let page = self.ask(request.clone(), send).await?;
            self.saw(page.revision);
            items.extend(page.items);
            // A dry run finds the same page again and again.
            if !page.more || options.dry_run {
                return Ok(items);
            }
        }
    }

    /// Compares, then does all of one list of operations or all of the other, in one revision. The request id in it
    /// is set here.
    pub async fn txn(&self, txn: v1::TxnRequest) -> Result<v1::TxnResponse, Error> {
        let make = |id: RequestId| v1::TxnRequest { request_id: Some(id), ..txn.clone() };
        let answer = self.write(make, |channel, request| async move { registry(channel).txn(request).await }).await?;
        self.saw(answer.revision);
        match answer.results.iter().find(|result| result.result.is_none()) {
            Some(_) => Err(incomplete("a transaction's answer without its results")),
            None => Ok(answer),
        }
    }

    /// A stream for many writes: pipelined, answered one by one, opened again when its server goes away.
    #[must_use]
    pub fn write_stream(&self, tasks: &boss_base::tasks::Tasks, options: WriteStreamOptions) -> WriteStream {
        WriteStream::start(self.clone(), tasks, options)
    }
}
