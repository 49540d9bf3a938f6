//! The rights behind a list or watch, asked again when they may have changed.

use std::sync::Arc;

use boss_proto::{kind::Kind, selector::Selector};
use boss_raft::state::{View, rbac::Attributes};

use super::Error;
use crate::{
    admission::{Refusal, authorize},
    auth::{Identity, node_authorizer},
};

/// What a caller wants to see many of, and whether it may.
#[derive(Debug, Clone)]
pub struct Rights {
    /// Who asks.
    pub identity: Arc<Identity>,
    /// list or watch.
    pub verb: &'static str,
    /// Of what.
    pub kind: Kind,
    /// Empty for all.
    pub namespace: String,
    /// Empty for all.
    pub name: String,
}

impl Rights {
    /// Whether the caller may see it at this view, and, as the agent of a node, at all.
    pub fn check(&self, view: &View, selector: &Selector) -> Result<(), Error> {
        self.check_roles(view)?;
        let scope = node_authorizer::Scope { kind: self.kind, name: &self.name, selector };
        node_authorizer::check_many(&self.identity, scope).map_err(|reason| Refusal::Forbidden { reason }.into())
    }

    /// The part that can change while a stream is open.
    pub fn check_roles(&self, view: &View) -> Result<(), Error> {
        let attributes = Attributes { name: &self.name, ..Attributes::over(self.verb, self.kind, &self.namespace) };
        Ok(authorize(view, &self.identity, &attributes)?)
    }
}
