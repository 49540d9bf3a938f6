//! Certificates, keys and tokens of a new cluster. Knows no configuration.

use std::time::Duration;

use boss_base::{
    clock::{Clock, SystemClock},
    files,
    jwt::{Registered, SigningKey},
    pki::{CertificateAuthority, Subject},
    sealing::new_key_line,
};
use boss_proto::{
    ids::{ClusterId, Uid},
    limits::CERTIFICATE_LIFETIME,
};
use serde::Serialize;

use super::{
    Cluster, Error, Node, Server,
    plan::{Host, split_address},
};

/// The first user.
pub const ADMIN: &str = "admin";
/// Whose members may do everything.
pub const ADMIN_GROUP: &str = "system:admins";

pub(super) const CA_CERTIFICATE: &str = "pki/ca.crt";
pub(super) const CA_KEY: &str = "pki/ca.key";
pub(super) const TOKEN_KEY: &str = "pki/token.key";
pub(super) const TOKEN_PUBLIC: &str = "pki/token.pub";
pub(super) const ADMIN_TOKEN: &str = "pki/admin.token";
/// In a server's own folder.
pub(super) const SERVER_CA_KEY: &str = "tls/ca.key";
/// The keys that seal secrets, for the operator to keep; each server has a copy beside its certificate.
pub(super) const SEALING_KEYS: &str = "pki/sealing.keys";
const SEALING_KEYS_HEAD: &str = "# The keys that seal secrets, the newest first. Without them no secret of the cluster or of its backups can be\n\
                                 # read: keep a copy, and not beside the backups.\n";
const ADMIN_CERTIFICATE: &str = "pki/admin.crt";
const ADMIN_KEY: &str = "pki/admin.key";

pub(super) fn make_authority(cluster: &Cluster) -> Result<CertificateAuthority, Error> {
    let authority = CertificateAuthority::generate(&format!("boss {}", cluster.plan.cluster_id))?;
    cluster.write(CA_CERTIFICATE, authority.cert_pem().as_bytes(), files::PUBLIC)?;
    cluster.write(CA_KEY, authority.key_pem().as_bytes(), files::PRIVATE)?;
    Ok(authority)
}

pub(super) fn make_token_key(cluster: &Cluster) -> Result<SigningKey, Error> {
    let key = SigningKey::generate()?;
    key.save(&cluster.directory.join(TOKEN_KEY))?;
    cluster.write(TOKEN_PUBLIC, key.public_pem().as_bytes(), files::PUBLIC)?;
    Ok(key)
}

pub(super) fn make_sealing_key(cluster: &Cluster) -> Result<(), Error> {
    let text = format!("{SEALING_KEYS_HEAD}{}", new_key_line()?);
    cluster.write(SEALING_KEYS, text.as_bytes(), files::PRIVATE)
}

/// With the authority's key, so that it can sign the certificates of servers that join.
pub(super) fn make_server(
    cluster: &Cluster,
    authority: &CertificateAuthority,
    token_public_pem: &str,
    server: &Server,
) -> Result<(), Error> {
    let certificate = authority.issue(&server_subject(&cluster.plan.cluster_id, server)?)?;
    let tls = |name: &str| format!("{}/tls/{name}", server.folder);
    cluster.write(&tls("server.crt"), certificate.cert_pem.as_bytes(), files::PUBLIC)?;
    cluster.write(&tls("server.key"), certificate.key_pem.as_bytes(), files::PRIVATE)?;
    cluster.write(&tls("ca.crt"), authority.cert_pem().as_bytes(), files::PUBLIC)?;
    cluster.write(&format!("{}/{SERVER_CA_KEY}", server.folder), authority.key_pem().as_bytes(), files::PRIVATE)?;
    if cluster.has_sealing_keys() {
        cluster.write(&tls("sealing.keys"), cluster.read(SEALING_KEYS)?.as_bytes(), files::PRIVATE)?;
    }
    cluster.write(&tls("token.pub"), token_public_pem.as_bytes(), files::PUBLIC)
}

pub(super) fn make_node(cluster: &Cluster, authority: &CertificateAuthority, node: &Node) -> Result<(), Error> {
    let certificate = authority.issue(&Subject {
        common_name: node.name.clone(),
        uris: vec![format!("boss://{}/node/{}", cluster.plan.cluster_id, node.name)],
        client_auth: true,
        lifetime: CERTIFICATE_LIFETIME,
        ..Subject::default()
    })?;
    let tls = |name: &str| format!("{}/tls/{name}", node.folder);
    cluster.write(&tls("node.crt"), certificate.cert_pem.as_bytes(), files::PUBLIC)?;
    cluster.write(&tls("node.key"), certificate.key_pem.as_bytes(), files::PRIVATE)?;
    cluster.write(&tls("ca.crt"), authority.cert_pem().as_bytes(), files::PUBLIC)
}

pub(super) fn make_admin(cluster: &Cluster, authority: &CertificateAuthority) -> Result<(), Error> {
    let subject = user_subject(&cluster.plan.cluster_id, ADMIN, &[ADMIN_GROUP], CERTIFICATE_LIFETIME);
    let certificate = authority.issue(&subject)?;
    cluster.write(ADMIN_CERTIFICATE, certificate.cert_pem.as_bytes(), files::PUBLIC)?;
    cluster.write(ADMIN_KEY, certificate.key_pem.as_bytes(), files::PRIVATE)
}

/// The hosts by which a server is reached are the names in its certificate, for a server on loopback `localhost` too.
fn server_subject(cluster_id: &ClusterId, server: &Server) -> Result<Subject, Error> {
    let mut subject = Subject {
        common_name: server.name.clone(),
        uris: vec![format!("boss://{cluster_id}/server/{}", server.id)],
        dns_names: vec![boss_proto::SERVER_DNS_NAME.to_owned(), server.name.clone()],
        server_auth: true,
        client_auth: true,
        lifetime: CERTIFICATE_LIFETIME,
        ..Subject::default()
    };
    for address in [&server.api, &server.peer] {
        match split_address(address)?.0 {
            Host::Ip(ip) => {
                push_new(&mut subject.ip_addresses, ip);
                if ip.is_loopback() {
                    push_new(&mut subject.dns_names, "localhost".to_owned());
                }
            }
            Host::Name(name) => push_new(&mut subject.dns_names, name),
        }
    }
    Ok(subject)
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

pub(super) fn user_subject(cluster_id: &ClusterId, user: &str, groups: &[&str], lifetime: Duration) -> Subject {
    Subject {
        common_name: user.to_owned(),
        organizations: groups.iter().map(|&group| group.to_owned()).collect(),
        uris: vec![format!("boss://{cluster_id}/user/{user}")],
        client_auth: true,
        lifetime,
        ..Subject::default()
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(flatten)]
    registered: Registered,
    name: &'a str,
    groups: &'a [&'a str],
}

pub(super) fn sign_token(
    key: &SigningKey,
    cluster_id: &ClusterId,
    user: &str,
    groups: &[&str],
    lifetime: Duration,
) -> Result<String, Error> {
    let now = SystemClock.unix_seconds();
    let registered = Registered {
        iss: "boss".to_owned(),
        aud: cluster_id.to_string(),
        sub: format!("user:{user}"),
        jti: Uid::random().to_string(),
        exp: now.saturating_add(lifetime.as_secs()),
        nbf: now,
        iat: now,
    };
    Ok(key.sign(&Claims { registered, name: user, groups })?)
}
