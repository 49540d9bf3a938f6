//! What each method asks of its caller, in one table. A method that is not in it does not exist.

use boss_raft::state::{View, rbac::Attributes};

use super::Error;
use crate::{admission, auth::Identity};

/// What a method asks of its caller before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Nothing: it tells nothing that a connection does not tell.
    Open,
    /// Nothing of the connection: the message itself carries a secret that the method checks.
    Secret,
    /// That the caller is known; it only speaks of the caller, or of what everybody may know.
    Identity,
    /// A right on what the request names; the method asks for it at the view that it answers from.
    Right {
        /// The verb that roles name.
        verb: &'static str,
        /// The part of the object; empty for the object itself.
        part: &'static str,
    },
    /// A right on a path outside the registry.
    Path(&'static str),
    /// That the caller is the agent of a node.
    Agent,
    /// That the caller is a server of this cluster, on the listener for servers.
    Server,
}

const fn right(verb: &'static str) -> Door {
    Door::Right { verb, part: "" }
}

/// What changes the control plane itself.
const CONTROL: Door = right("update");

/// What a role must let somebody get to see the state of the control plane.
pub const CLUSTER_STATUS_PATH: &str = "/cluster/status";
/// What a role must let somebody get to take the whole registry away in a file.
pub const CLUSTER_SNAPSHOT_PATH: &str = "/cluster/snapshot";
/// What a role must let somebody get to have the members' states compared.
pub const CLUSTER_HASHES_PATH: &str = "/cluster/hashes";

/// What a role must let somebody get to read who did what, on every server.
pub const AUDIT_PATH: &str = "/audit";

const DOORS: &[(&str, Door)] = &[
    ("/boss.v1.Registry/Create", right("create")),
    ("/boss.v1.Registry/Get", right("get")),
    ("/boss.v1.Registry/List", right("list")),
    ("/boss.v1.Registry/Update", right("update")),
    ("/boss.v1.Registry/UpdateStatus", Door::Right { verb: "update", part: "status" }),
    ("/boss.v1.Registry/Patch", right("patch")),
    ("/boss.v1.Registry/Apply", right("patch")),
    ("/boss.v1.Registry/Delete", right("delete")),
    ("/boss.v1.Registry/DeleteCollection", right("delete")),
    // Each operation inside is asked for on its own.
    ("/boss.v1.Registry/Txn", Door::Identity),
    ("/boss.v1.Registry/WriteStream", Door::Identity),
    ("/boss.v1.Registry/Watch", right("watch")),
    ("/boss.v1.Cluster/Status", Door::Path(CLUSTER_STATUS_PATH)),
    ("/boss.v1.Cluster/Members", Door::Identity),
    ("/boss.v1.Cluster/SaveSnapshot", Door::Path(CLUSTER_SNAPSHOT_PATH)),
    ("/boss.v1.Cluster/CheckHashes", Door::Path(CLUSTER_HASHES_PATH)),
    ("/boss.v1.Cluster/AddServer", CONTROL),
    ("/boss.v1.Cluster/RemoveServer", CONTROL),
    ("/boss.v1.Cluster/ReplaceServer", CONTROL),
    ("/boss.v1.Cluster/Change", Door::Path(CLUSTER_STATUS_PATH)),
    ("/boss.v1.Cluster/CancelChange", CONTROL),
    ("/boss.v1.Cluster/TransferLeader", CONTROL),
    ("/boss.v1.Cluster/CreateJoinToken", CONTROL),
    ("/boss.v1.Cluster/ListJoinTokens", CONTROL),
    ("/boss.v1.Cluster/RevokeJoinToken", CONTROL),
    ("/boss.v1.Cluster/Compact", CONTROL),
    ("/boss.v1.ServerJoin/Join", Door::Secret),
    ("/boss.v1.NodeJoin/Join", Door::Secret),
    ("/boss.v1.Certificates/Renew", Door::Agent),
    // Whom to believe is what every connection shows.
    ("/boss.v1.Certificates/Trust", Door::Identity),
    ("/boss.v1.Certificates/Status", Door::Path(CLUSTER_STATUS_PATH)),
    ("/boss.v1.Certificates/Revoke", CONTROL),
    ("/boss.v1.Certificates/SetTrust", CONTROL),
    ("/boss.v1.Auth/WhoAmI", Door::Identity),
    ("/boss.v1.Auth/CanI", Door::Identity),
    ("/boss.v1.Auth/ListRights", Door::Identity),
    // About somebody else it asks for the right to impersonate him.
    ("/boss.v1.Auth/Explain", Door::Identity),
    // Whoever asks for one asks for the right to impersonate, or for serviceaccounts/token.
    ("/boss.v1.Tokens/Create", Door::Identity),
    // Everybody may end his own credential; those of others are ended by who may create revocations.
    ("/boss.v1.Tokens/Revoke", Door::Identity),
    ("/boss.v1.Tokens/KeySet", Door::Identity),
    ("/boss.v1.Login/Exchange", Door::Secret),
    ("/boss.v1.Audit/Read", Door::Path(AUDIT_PATH)),
    ("/boss.v1.NodeSessions/Session", Door::Agent),
    ("/boss.v1.Pods/Logs", Door::Right { verb: "get", part: "log" }),
    ("/grpc.health.v1.Health/Check", Door::Open),
    ("/grpc.health.v1.Health/Watch", Door::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Door::Identity),
    ("/boss.peer.v1.Forward/Write", Door::Server),
    ("/boss.peer.v1.Forward/WriteStream", Door::Server),
    ("/boss.peer.v1.Forward/Writes", Door::Server),
    ("/boss.peer.v1.Forward/Heartbeats", Door::Server),
    ("/boss.peer.v1.Forward/Locate", Door::Server),
    ("/boss.peer.v1.Forward/Logs", Door::Server),
    ("/boss.peer.v1.Forward/Describe", Door::Server),
    ("/boss.peer.v1.Forward/Cluster", Door::Server),
    ("/boss.peer.v1.Forward/SignServer", Door::Server),
    ("/boss.peer.v1.Forward/SignNode", Door::Server),
    ("/boss.peer.v1.Forward/RenewServer", Door::Server),
    ("/boss.peer.v1.Forward/TakeSnapshot", Door::Server),
    ("/boss.peer.v1.Forward/ProveSealingKey", Door::Server),
];

/// The routes of the port for health and metrics, which speaks plain HTTP: a route that is not here does not exist. They
/// are open, and so tell nothing about objects; the port is for the machine's own network.
pub const HTTP_ROUTES: &[(&str, Door)] = &[
    ("/livez", Door::Open),
    ("/readyz", Door::Open),
    ("/metrics", Door::Open),
    // Public keys, for others who believe tokens of this cluster.
    (KEY_SET_PATH, Door::Open),
    ("/.well-known/openid-configuration", Door::Open),
];

/// Where the public keys of tokens are, behind what this cluster is called by others.
pub const KEY_SET_PATH: &str = "/openid/v1/jwks";

/// Services whose methods are all for servers: consensus has a service of its own, and checks members itself.
const SERVER_PACKAGES: [&str; 1] = ["/boss.raft.v1."];

/// The door of a method, with the method as a text that lives long enough to label metrics.
#[must_use]
pub fn door(path: &str) -> Option<(&'static str, Door)> {
    if let Some(prefix) = SERVER_PACKAGES.into_iter().find(|prefix| path.starts_with(prefix)) {
        return Some((prefix, Door::Server));
    }
    DOORS.iter().find(|(method, _)| *method == path).map(|(method, door)| (*method, *door))
}

/// Whether the method, as [`door`] gives it, is one of consensus.
#[must_use]
pub fn is_consensus(method: &str) -> bool {
    SERVER_PACKAGES.contains(&method)
}

/// Every method that has a door; those of consensus are one.
pub fn methods() -> impl Iterator<Item = &'static str> {
    DOORS.iter().map(|(method, _)| *method).chain(SERVER_PACKAGES)
}

/// What a call waits for when the server has much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Its turn among the writes.
    Write,
    /// The same; what makes room has places of its own.
    Delete,
    /// Its turn among the reads.
    Read,
    /// A place among the open watches.
    Watch,
    /// Nothing: it must work when nothing else does, or it is a stream that takes turns by itself.
    Free,
}

/// Methods that give somebody a credential: the audit keeps every answer of theirs.
const MINTS: [&str; 2] = ["/boss.v1.Tokens/Create", "/boss.v1.Login/Exchange"];

/// Whether the method gives somebody a credential.
#[must_use]
pub fn mints(method: &str) -> bool {
    MINTS.contains(&method)
}

/// Methods whose answers last: the gate ends them with their caller's credential.
const STREAMS: [&str; 7] = [
    "/boss.v1.Registry/Watch",
    "/boss.v1.Registry/WriteStream",
    "/boss.v1.NodeSessions/Session",
    "/boss.v1.Pods/Logs",
    "/boss.v1.Audit/Read",
    "/boss.v1.Cluster/SaveSnapshot",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// Whether the method's answer lasts.
#[must_use]
pub fn is_stream(method: &str) -> bool {
    STREAMS.contains(&method)
}

/// Methods of objects that are streams of other calls.
const STREAMS_OF_CALLS: [&str; 1] = ["/boss.v1.Registry/WriteStream"];

/// What the method's calls wait for.
#[must_use]
pub fn pace(method: &str) -> Pace {
    if method.starts_with("/boss.v1.Auth/") {
        return Pace::Read;
    }
    if !method.starts_with("/boss.v1.Registry/") || STREAMS_OF_CALLS.contains(&method) {
        return Pace::Free;
    }
    match door(method) {
        Some((_, Door::Right { verb: "watch", .. })) => Pace::Watch,
        Some((_, Door::Right { verb: "get" | "list", .. })) => Pace::Read,
        Some((_, Door::Right { verb: "delete" | "deletecollection", .. })) => Pace::Delete,
        Some(_) => Pace::Write,
        None => Pace::Free,
    }
}

/// Whether the caller may do this at this view; the default is no. `resource` is a kind in plural, with a part after a
/// slash if need be.
pub fn authorize(
    view: &View,
    identity: &Identity,
    verb: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<(), Error> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = Attributes { verb, resource, subresource, namespace, name, path: "" };
    Ok(admission::authorize(view, identity, &attributes)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;

    fn declared_methods() -> Vec<String> {
        let files = prost_types::FileDescriptorSet::decode(boss_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut methods = Vec::new();
        for file in files.file {
            for service in &file.service {
                let service_name = format!("{}.{}", file.package(), service.name());
                methods.extend(service.method.iter().map(|method| format!("/{service_name}/{}", method.name())));
            }
        }
        methods
    }

    #[test]
    fn every_declared_method_has_a_door() {
        let methods = declared_methods();
        assert!(methods.len() >= 18, "{methods:?}");
        for method in methods {
            assert!(door(&method).is_some(), "{method} has no door: add it to the table");
        }
    }

    #[test]
    fn objects_are_read_and_written_in_turn_and_operators_never_wait() {
        for (method, expected) in [
            ("/boss.v1.Registry/Create", Pace::Write),
            ("/boss.v1.Registry/UpdateStatus", Pace::Write),
            ("/boss.v1.Registry/Delete", Pace::Delete),
            ("/boss.v1.Registry/Get", Pace::Read),
            ("/boss.v1.Registry/List", Pace::Read),
            ("/boss.v1.Registry/Watch", Pace::Watch),
            ("/boss.v1.Auth/CanI", Pace::Read),
            ("/boss.v1.Cluster/Status", Pace::Free),
            ("/boss.v1.NodeSessions/Session", Pace::Free),
            ("/grpc.health.v1.Health/Check", Pace::Free),
        ] {
            assert_eq!(pace(method), expected, "{method}");
        }
    }

    #[test]
    fn no_stream_holds_a_turn() {
        let files = prost_types::FileDescriptorSet::decode(boss_proto::FILE_DESCRIPTOR_SET).unwrap();
        for service in files.file.iter().flat_map(|file| &file.service) {
            let streams = service.method.iter().filter(|method| method.server_streaming() || method.client_streaming());
            for method in streams {
                let path = format!("/boss.v1.{}/{}", service.name(), method.name());
                assert!(matches!(pace(&path), Pace::Free | Pace::Watch), "{path} would hold a turn while it is open");
            }
        }
    }

    #[test]
    fn every_stream_to_a_caller_who_is_known_can_be_cut() {
        let files = prost_types::FileDescriptorSet::decode(boss_proto::FILE_DESCRIPTOR_SET).unwrap();
        for file in &files.file {
            for service in &file.service {
                let streams = service.method.iter().filter(|it| it.server_streaming() || it.client_streaming());
                for method in streams {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let (_, door) = door(&path).unwrap();
                    assert!(is_stream(&path) || door == Door::Server, "{path} outlives its caller's credential");
                }
            }
        }
    }

    #[test]
    fn only_health_is_open() {
        let open = DOORS.iter().filter(|(_, door)| *door == Door::Open);
        assert!(open.clone().all(|(method, _)| method.starts_with("/grpc.health.v1.Health/")), "{open:?}");
    }

    #[test]
    fn only_who_joins_or_logs_in_proves_himself_in_the_message() {
        let secret: Vec<_> = DOORS.iter().filter(|(_, door)| *door == Door::Secret).map(|(method, _)| method).collect();
        assert_eq!(secret, [&"/boss.v1.ServerJoin/Join", &"/boss.v1.NodeJoin/Join", &"/boss.v1.Login/Exchange"]);
    }

    #[test]
    fn methods_stand_in_the_table_once() {
        let methods: BTreeSet<_> = DOORS.iter().map(|(method, _)| method).collect();
        assert_eq!(methods.len(), DOORS.len());
    }

    #[test]
    fn unknown_and_near_miss_paths_have_no_door() {
        for path in
            ["", "/", "/boss.v1.Registry/Creat", "/boss.v1.Registry/create", "//boss.v1.Registry/Create", "/x/y"]
        {
            assert_eq!(door(path), None, "{path}");
        }
    }
}
