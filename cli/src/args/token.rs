//! The command line of tokens. Knows no command's work.

use clap::{Args, Subcommand};

/// Bearer tokens.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// End a token before its time, on every server at once
    Revoke(RevokeToken),
}

/// End a token before its time.
#[derive(Debug, Clone, Args)]
pub struct RevokeToken {
    /// The token's id: its jti, as `token create` shows it
    #[arg(value_name = "JTI")]
    pub id: String,
    /// Why, for who looks later
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// End all credentials of somebody so far.
#[derive(Debug, Clone, Args)]
pub struct RevokeSubject {
    /// A user, system:serviceaccount:NAMESPACE:NAME or system:node:NAME
    #[arg(value_name = "USER")]
    pub user: String,
    /// Why, for who looks later
    #[arg(long, default_value = "")]
    pub reason: String,
}
