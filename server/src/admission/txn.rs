//! Transactions: each operation is admitted as it would be alone, and every list is, whichever is chosen later.

use std::cell::RefCell;

use boss_proto::{
    key::Key,
    limits::TXN_OPERATIONS_MAX,
    raft::v1::{Operation, Read, Txn, operation::Action as Proposed},
    v1::{Compare, RequestId, TxnOperation, TxnRequest, compare::Condition, txn_operation::Operation as Inner},
};
use boss_raft::state::rbac::Attributes;

use super::{Case, Refusal, Write, checks};

impl Case<'_> {
    pub(super) fn txn(&self, request: TxnRequest) -> Result<Operation, Refusal> {
        // What an agent may read and write is asked for call by call; none needs several at once.
        if let Some(node) = self.identity.node() {
            let reason = format!("the agent of node {node} makes no transactions");
            return Err(Refusal::Forbidden { reason });
        }
        let TxnRequest { compare, success, failure, .. } = request;
        let count = compare.len() + success.len() + failure.len();
        if count == 0 || count > TXN_OPERATIONS_MAX {
            let problem = format!("has {count} comparisons and operations");
            return Err(Refusal::invalid("txn", problem, format!("use 1 to {TXN_OPERATIONS_MAX}")));
        }
        for (index, compare) in compare.iter().enumerate() {
            self.check_compare(compare).map_err(|refusal| refusal.inside(&format!("compare[{index}]")))?;
        }
        let txn = Txn {
            compare,
            success: self.admit_list(success, "success")?,
            failure: self.admit_list(failure, "failure")?,
        };
        Ok(Operation {
            request_id: self.request_id.clone(),
            caller: Some(self.caller.clone()),
            action: Some(Proposed::Txn(txn)),
            ..Operation::default()
        })
    }

    /// What is compared shows in which list is done: it needs the right to be read.
    fn check_compare(&self, compare: &Compare) -> Result<(), Refusal> {
        let key = checks::key(compare.key.clone())?;
        match &compare.condition {
            None => {
                return Err(Refusal::invalid("condition", "is missing", "compare exists, resourceVersion or uid"));
            }
            Some(Condition::Exists(_) | Condition::ResourceVersion(_) | Condition::Uid(_)) => {}
        }
        self.authorize(&Attributes::on("get", &key))
    }

    fn admit_list(&self, list: Vec<TxnOperation>, name: &str) -> Result<Vec<Operation>, Refusal> {
        let admit = |(index, operation)| {
            self.admit_inner(operation).map_err(|refusal| refusal.inside(&format!("{name}[{index}]")))
        };
        list.into_iter().enumerate().map(admit).collect()
    }

    fn admit_inner(&self, operation: TxnOperation) -> Result<Operation, Refusal> {
        let notes = RefCell::default();
        let inner = Case { request_id: None, notes: &notes, ..*self };
        let admitted = match operation.operation {
            None => return Err(Refusal::invalid("operation", "is missing", "create, update, delete or get")),
            Some(Inner::Get(request)) => {
                let key: Key = checks::key(request.key)?;
                self.authorize(&Attributes::on("get", &key))?;
                let action = Some(Proposed::Read(Read { key: Some(key.to_proto()) }));
                return Ok(Operation { action, ..Operation::default() });
            }
            Some(Inner::Create(request)) => {
                check_plain(request.request_id.as_ref(), request.dry_run)?;
                inner.admit(Write::Create(request))?
            }
            Some(Inner::Update(request)) => {
                check_plain(request.request_id.as_ref(), request.dry_run)?;
                inner.admit(Write::Update(request))?
            }
            Some(Inner::UpdateStatus(request)) => {
                check_plain(request.request_id.as_ref(), request.dry_run)?;
                inner.admit(Write::UpdateStatus(request))?
            }
            Some(Inner::Delete(request)) => {
                check_plain(request.request_id.as_ref(), request.dry_run)?;
                // The answer shows the object as it was.
                self.authorize(&Attributes::on("get", &checks::key(request.key.clone())?))?;
                inner.admit(Write::Delete(request))?
            }
        };
        // The transaction's own caller counts; saying it once is enough.
        Ok(Operation { caller: None, ..admitted })
    }
}

fn check_plain(request_id: Option<&RequestId>, dry_run: bool) -> Result<(), Refusal> {
    let problem = "belongs to the whole transaction";
    if request_id.is_some() {
        return Err(Refusal::invalid("requestId", problem, "give it to the transaction"));
    }
    if dry_run {
        return Err(Refusal::invalid("dryRun", problem, "give it to the transaction"));
    }
    Ok(())
}
