//! The output of sandboxes: written by monitors, read by the agent.

pub mod reader;
pub mod record;
pub mod writer;
