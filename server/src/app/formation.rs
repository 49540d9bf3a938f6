//! Forms the cluster, once, when this server was told to. Never a second one: whoever belongs to a cluster already,
//! or knows one that does, forms none.

use std::convert::Infallible;

use boss_raft::{Handle, InitializeError};

use crate::config::Config;

/// Forms the cluster if that is to be done; resolves only when it failed.
pub(super) async fn form(config: &Config, raft: &Handle) -> InitializeError {
    if let Err(error) = try_to_form(config, raft).await {
        return error;
    }
    match std::future::pending::<Infallible>().await {}
}

/// Supervisors may leave `--initialize` in place: a formed cluster is nothing to do.
async fn try_to_form(config: &Config, raft: &Handle) -> Result<(), InitializeError> {
    if !config.initialize {
        return Ok(());
    }
    match raft.initialize(config.members.clone()).await {
        Ok(()) => tracing::info!(members = config.members.len(), "formed the cluster"),
        Err(InitializeError::AlreadyFormed) => {
            tracing::info!("--initialize: this server belongs to a formed cluster already, nothing to do");
        }
        Err(InitializeError::FormedElsewhere { server }) => tracing::warn!(
            %server,
            "--initialize: another member belongs to a formed cluster already, so this server waits to be part of it. \
             If this server has lost its data, replace it under a fresh id"
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}
