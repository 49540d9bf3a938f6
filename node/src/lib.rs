//! The agent of one machine: watches the pods bound to it, runs them as sandboxes, reports. This file is the map.

pub mod config;
pub mod identity;
pub mod state_dir;

pub mod agent;
pub mod reconcile;

pub mod runtime;
pub mod sandbox;

pub mod launcher;
pub mod monitor;
pub mod wire;

pub mod cgroup;
pub mod host;
pub mod logs;
