//! Plans, folders and what is refused.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn cluster() -> (tempfile::TempDir, Cluster) {
    let directory = tempfile::tempdir().unwrap();
    let cluster = create(&directory.path().join("c"), &Plan::local(3, 1, 7400).unwrap()).unwrap();
    (directory, cluster)
}

fn table(cluster: &Cluster, name: &str) -> toml::Table {
    cluster.read(name).unwrap().parse().unwrap()
}

#[test]
fn a_folder_has_what_each_machine_needs_and_keys_only_for_their_owner() {
    let (_guard, cluster) = cluster();
    for (name, private) in [
        ("pki/ca.crt", false),
        ("pki/ca.key", true),
        ("pki/token.key", true),
        ("pki/admin.key", true),
        ("pki/admin.token", true),
        ("servers/1/server.toml", false),
        ("servers/3/tls/server.key", true),
        ("servers/3/tls/token.pub", false),
        ("nodes/node-1/tls/node.key", true),
        ("nodes/node-1/tls/ca.crt", false),
    ] {
        let mode = fs::metadata(cluster.directory().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if private { 0o600 } else { 0o644 }, "{name}");
    }
}

#[test]
fn the_configuration_names_members_and_relative_files() {
    let (_guard, cluster) = cluster();
    let server = table(&cluster, "servers/2/server.toml");
    assert_eq!(server["id"].as_integer(), Some(2));
    assert_eq!(server["cluster_id"].as_str(), Some(cluster.plan().cluster_id.as_str()));
    assert_eq!(server["listen"]["http"].as_str(), Some("127.0.0.1:7412"));
    assert_eq!(server["advertise"]["peer"].as_str(), Some("127.0.0.1:7411"));
    assert_eq!(server["tls"]["key"].as_str(), Some("tls/server.key"));
    assert_eq!(server["members"].as_array().unwrap().len(), 3);
    let node = table(&cluster, "nodes/node-1/node.toml");
    assert_eq!(node["servers"].as_array().unwrap().len(), 3);
    assert_eq!(node["state_dir"].as_str(), Some("state"));
}

#[test]
fn a_folder_is_opened_as_it_was_made() {
    let (_guard, cluster) = cluster();
    assert_eq!(Cluster::open(cluster.directory()).unwrap().plan(), cluster.plan());
    assert!(matches!(create(cluster.directory(), cluster.plan()), Err(Error::Exists(_))));
}

#[test]
fn a_server_on_other_machines_listens_on_all_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = Plan::local(1, 0, 7400).unwrap();
    plan.servers[0].api = "boss-1.example.com:7400".into();
    plan.servers[0].listen_as_advertised = false;
    let cluster = create(directory.path(), &plan).unwrap();
    let server = table(&cluster, "servers/1/server.toml");
    assert_eq!(server["listen"]["api"].as_str(), Some("0.0.0.0:7400"));
    assert_eq!(server["advertise"]["api"].as_str(), Some("boss-1.example.com:7400"));
}

#[test]
fn a_folder_that_is_no_cluster_or_of_a_newer_layout_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Cluster::open(directory.path()), Err(Error::Missing(_))));
    fs::write(directory.path().join("mine"), "x").unwrap();
    assert!(matches!(create(directory.path(), &Plan::local(1, 0, 7400).unwrap()), Err(Error::Occupied(_))));
    let refused = |text: &str| {
        fs::write(directory.path().join(CLUSTER_FILE), text).unwrap();
        Cluster::open(directory.path()).unwrap_err()
    };
    assert!(matches!(refused("format = 2\nshape = \"new\""), Error::Newer { found: 2, .. }));
    assert!(matches!(refused("format = \"x\""), Error::Corrupt { .. }));
    assert!(matches!(refused("format = 1"), Error::Corrupt { .. }));
    assert!(matches!(refused("]["), Error::Corrupt { .. }));
}

#[test]
fn tokens_say_who_and_for_which_cluster() {
    use boss_base::{clock::Clock, jwt};
    let (_guard, cluster) = cluster();
    let token = cluster.issue_token("eve", &["dev"], Duration::from_secs(60)).unwrap();
    let keys: jwt::VerifyingKeys =
        [jwt::VerifyingKey::load(&cluster.directory().join("servers/1/tls/token.pub")).unwrap()].into_iter().collect();
    let audience = cluster.plan().cluster_id.to_string();
    let now = boss_base::clock::SystemClock.unix_seconds();
    let expected = jwt::Expected {
        audience: &audience,
        issuer: "boss",
        leeway: Duration::ZERO,
        lifetime_max: Duration::from_secs(60),
        now,
    };
    let verified = keys.verify::<serde_json::Value>(&token, &expected).unwrap();
    assert_eq!(verified.registered.sub, "user:eve");
    assert_eq!(verified.claims["groups"], serde_json::json!(["dev"]));
    assert_eq!(verified.registered.exp - verified.registered.iat, 60);
}
