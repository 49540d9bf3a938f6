//! Real servers in this process, with real TLS on loopback: what callers see of the API.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "api/raw.rs"]
mod raw;
#[path = "api/support.rs"]
mod support;

#[path = "api/access.rs"]
mod access;
#[path = "api/audits.rs"]
mod audits;
#[path = "api/contact.rs"]
mod contact;
#[path = "api/doors.rs"]
mod doors;
#[path = "api/floods.rs"]
mod floods;
#[path = "api/full_disk.rs"]
mod full_disk;
#[path = "api/limits.rs"]
mod limits;
#[path = "api/limits_of_writes.rs"]
mod limits_of_writes;
#[path = "api/login.rs"]
mod login;
#[path = "api/many_writes.rs"]
mod many_writes;
#[path = "api/nodes.rs"]
mod nodes;
#[path = "api/objects.rs"]
mod objects;
#[path = "api/partial_writes.rs"]
mod partial_writes;
#[path = "api/past.rs"]
mod past;
#[path = "api/published_keys.rs"]
mod published_keys;
#[path = "api/replicas.rs"]
mod replicas;
#[path = "api/revocations.rs"]
mod revocations;
#[path = "api/secrets.rs"]
mod secrets;
#[path = "api/slow_watchers.rs"]
mod slow_watchers;
#[path = "api/start_and_stop.rs"]
mod start_and_stop;
#[path = "api/tokens.rs"]
mod tokens;
#[path = "api/watches.rs"]
mod watches;
