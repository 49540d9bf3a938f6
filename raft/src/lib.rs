//! Consensus and the replicated registry: commands in, outcomes out, log and sled below. The only crate that names
//! openraft or sled.

pub mod state;
