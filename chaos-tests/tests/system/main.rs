//! Whole-system tests: real servers, real nodes, real certificates. One file per subject; this is only the map.

mod overload;
mod pods;

mod agent_restart;
mod apart;
mod audits;
mod broken_disks;
mod cluster_operations;
mod disks;
mod durability;
mod failover;
mod growing;
mod hash_check;
mod joining;
mod linearizability;
mod load;
mod many_watches;
mod node_joining;
mod quotas;
mod restore;
mod shutdown;
mod sprint;
mod writes;

mod authorization;
mod bad_configuration;
mod bad_credentials;
mod bad_manifests;
mod certificates;
mod given;
mod login;
mod revoked_servers;
mod signing_keys;

mod bossctl;
mod bugs;
mod by_hand;
mod dev_cluster;
mod examples;
mod verify;

mod harness;
