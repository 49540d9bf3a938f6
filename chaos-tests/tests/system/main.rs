//! Whole-system tests: real servers, real nodes, real certificates. One file per subject; this is only the map.

mod pods;

mod agent_restart;
mod durability;
mod failover;
mod many_watches;
mod linearizability;
mod overload;
mod shutdown;
mod writes;

mod authorization;
mod bad_configuration;
mod bad_credentials;
mod bad_manifests;

mod bossctl;
mod dev_cluster;
mod examples;

mod harness;
