//! The table of doors against the servers as they are: every declared method is called by every sort of caller, on both
//! ports, and who gets in is who the table lets in. The test prints the whole matrix.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use boss_base::{
    clock::{Clock, SystemClock},
    pki::{self, CertificateAuthority},
    tls,
};
use boss_proto::v1::{
    ApplyRequest, CreateRequest, DeleteCollectionRequest, DeleteRequest, GetRequest, ListRequest, LogsRequest,
    PatchRequest, RevokeCertificatesRequest, RevokeRequest, UpdateRequest, WatchRequest,
    certificates_client::CertificatesClient, revoke_request, tokens_client::TokensClient,
};
use boss_server::api::doors::{Door, door};
use bytes::Bytes;
use prost::Message;
use serde_json::json;
use tonic::{Code, Request, transport::Channel};

use crate::{raw::*, support::*};

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nobody knows who it is.
    Who,
    /// It is known, and may not.
    No,
    /// There is no such method for it.
    Nothing,
    /// It is past the door: an answer, or a refusal of what the message says.
    In,
    /// There is no connection.
    Closed,
}

impl Told {
    fn word(self) -> &'static str {
        match self {
            Self::Who => "who?",
            Self::No => "no",
            Self::Nothing => "none",
            Self::In => "in",
            Self::Closed => "closed",
        }
    }
}

/// A call that is answered by nothing for so long is past its door: a watch, a session.
const SILENCE: Duration = Duration::from_secs(2);

async fn told(channel: &Channel, method: &str, token: Option<&str>) -> Told {
    let mut request = Request::new(message(method));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let status = match tokio::time::timeout(SILENCE, raw(channel.clone(), method, request)).await {
        Err(_) | Ok(Ok(())) => return Told::In,
        Ok(Err(status)) => status,
    };
    // What a server says carries our own information; what breaks below it does not.
    let is_ours = status.metadata().get_bin("boss-error-bin").is_some();
    match status.code() {
        Code::Unauthenticated => Told::Who,
        Code::PermissionDenied => Told::No,
        // A method that says so itself is past its door.
        Code::Unimplemented if !is_ours || status.message().starts_with("there is no method") => Told::Nothing,
        Code::Unavailable | Code::Unknown | Code::Cancelled if !is_ours => Told::Closed,
        _ => Told::In,
    }
}

/// A message that means something where the right depends on it; nothing elsewhere.
fn message(method: &str) -> Bytes {
    let thing = || object("kind: ServiceAccount\nmetadata: {name: thing, namespace: default}");
    let at = || Some(key("ServiceAccount", "default", "thing"));
    let encoded = match method.rsplit('/').next().unwrap_or_default() {
        _ if !method.starts_with("/boss.v1.Registry/") && method != "/boss.v1.Pods/Logs" => Vec::new(),
        "Create" => CreateRequest { object: Some(thing()), ..Default::default() }.encode_to_vec(),
        "Update" => UpdateRequest { object: Some(thing()), ..Default::default() }.encode_to_vec(),
        "UpdateStatus" => {
            let pod = object("kind: Pod\nmetadata: {name: thing, namespace: default}");
            UpdateRequest { object: Some(pod), ..Default::default() }.encode_to_vec()
        }
        "Get" => GetRequest { key: at(), ..Default::default() }.encode_to_vec(),
        "List" => ListRequest { kind: "ServiceAccount".into(), ..Default::default() }.encode_to_vec(),
        "Watch" => WatchRequest { kind: "ServiceAccount".into(), ..Default::default() }.encode_to_vec(),
        "Patch" => {
            let patch = "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}".to_owned();
            PatchRequest { key: at(), merge_patch: patch.into(), ..Default::default() }.encode_to_vec()
        }
        "Apply" => {
            let manifest = "{\"apiVersion\":\"boss.dev/v1\",\"kind\":\"ServiceAccount\",\
                            \"metadata\":{\"name\":\"thing\",\"namespace\":\"default\"}}";
            ApplyRequest { manifest: manifest.into(), field_manager: "test".into(), ..Default::default() }
                .encode_to_vec()
        }
        "Delete" => DeleteRequest { key: at(), ..Default::default() }.encode_to_vec(),
        "DeleteCollection" => {
            DeleteCollectionRequest { kind: "ServiceAccount".into(), namespace: "default".into(), ..Default::default() }
                .encode_to_vec()
        }
        "Logs" => {
            LogsRequest { namespace: "default".into(), name: "thing".into(), ..Default::default() }.encode_to_vec()
        }
        _ => Vec::new(),
    };
    encoded.into()
}

/// Who may be told what at a door of the port for clients.
fn allowed(door: Door, caller: &str) -> &'static [Told] {
    use Told::{Closed, In, No, Nothing, Who};
    match (door, caller) {
        (_, "foreign") => &[Closed],
        (Door::Open, _) => &[In],
        // The message is refused, as it has no secret: with an error of its own, or as forbidden.
        (Door::Secret, _) => &[In, No],
        (_, "nobody" | "expired" | "revoked" | "taken") => &[Who],
        (Door::Server, _) => &[Nothing],
        (Door::Agent, "node") => &[In],
        (Door::Agent, _) => &[No],
        // Some ask for more rights, depending on what the message says.
        (Door::Identity, _) => &[In, No],
        (Door::Right { .. } | Door::Path(_), "admin") => &[In],
        // An agent has some rights; what they are is tested elsewhere.
        (Door::Right { .. }, "node") => &[In, No],
        (Door::Right { .. } | Door::Path(_), _) => &[No],
    }
}

/// Credentials of an administrator that were good and were taken back.
struct Ended {
    token: String,
    certificate: Channel,
}

async fn end_credentials(cluster: &Cluster, admin: &str) -> Ended {
    let now = SystemClock.unix_seconds();
    let claims = json!({
        "iss": "boss", "aud": CLUSTER, "sub": "user:gone", "jti": "gone-1", "iat": now, "nbf": now, "exp": now + 3_600,
        "name": "gone", "groups": ["system:admins"],
    });
    let token = cluster.signing_key.sign(&claims).unwrap();
    let own = issue(&cluster.ca, "user", "gone", &["system:admins"]);
    let der = pki::certificate_der(std::str::from_utf8(&own.0).unwrap()).unwrap();
    let serial = tls::PeerCertificate::from_der(&der.into()).unwrap().serial;
    let certificate = cluster.dial_as(cluster.api(0), Some(own));
    let method = "/boss.v1.Auth/WhoAmI";
    assert_eq!(told(&certificate, method, None).await, Told::In, "it is good before it is revoked");
    assert_eq!(told(&cluster.channel(0, None), method, Some(&token)).await, Told::In);
    let channel = cluster.channel(0, None);
    let target = Some(revoke_request::Target::TokenId("gone-1".to_owned()));
    let mut tokens = TokensClient::with_interceptor(channel.clone(), Bearer::new(Some(admin.to_owned())));
    tokens.revoke(RevokeRequest { target, ..Default::default() }).await.unwrap();
    let mut certificates = CertificatesClient::with_interceptor(channel, Bearer::new(Some(admin.to_owned())));
    let revoked = certificates.revoke(RevokeCertificatesRequest { serial: serial.clone(), ..Default::default() }).await;
    assert_eq!(revoked.unwrap().into_inner().serials, [serial]);
    Ended { token, certificate }
}

/// An administrator must not really do it.
fn is_harmful(method: &str) -> bool {
    method.ends_with("/TransferLeader") || method.ends_with("/Compact")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_decides_who_gets_in_by_every_door() {
    let cluster = Cluster::start(1).await;
    let now = SystemClock.unix_seconds();
    let expired = json!({
        "iss": "boss", "aud": CLUSTER, "sub": "user:admin", "jti": "old", "iat": now - 7_200, "nbf": now - 7_200,
        "exp": now - 3_600, "name": "admin", "groups": ["system:admins"],
    });
    let expired = cluster.signing_key.sign(&expired).unwrap();
    let (tenant, admin) = (cluster.token("ann", &[]), cluster.token("admin", &["system:admins"]));
    let foreign = CertificateAuthority::generate(CLUSTER).unwrap();
    let nobody = cluster.channel(0, None);
    let node = cluster.channel(0, Some((&cluster.ca, "node", "n1", &[])));
    let stranger = cluster.channel(0, Some((&foreign, "user", "admin", &["system:admins"])));
    let ended = end_credentials(&cluster, &admin).await;
    let callers: [(&str, &Channel, Option<&str>); 8] = [
        ("nobody", &nobody, None),
        ("expired", &nobody, Some(&expired)),
        ("revoked", &nobody, Some(&ended.token)),
        ("taken", &ended.certificate, None),
        ("tenant", &nobody, Some(&tenant)),
        ("node", &node, None),
        ("foreign", &stranger, None),
        ("admin", &nobody, Some(&admin)),
    ];
    let mut matrix: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for method in declared_methods() {
        let (_, found) = door(&method).expect("every method has a door");
        for (caller, channel, token) in callers {
            if caller == "admin" && is_harmful(&method) {
                matrix.entry(method.clone()).or_default().push("-");
                continue;
            }
            let told = told(channel, &method, token).await;
            matrix.entry(method.clone()).or_default().push(told.word());
            if !allowed(found, caller).contains(&told) {
                wrong.push(format!("{method} tells {caller} {told:?}, its door is {found:?}"));
            }
        }
    }
    print_matrix("clients", &callers.map(|(caller, ..)| caller), &matrix);
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_for_servers_takes_members_and_nobody_else() {
    let cluster = Cluster::start(1).await;
    let peer = cluster.configs[0].listen.peer;
    let foreign = CertificateAuthority::generate(CLUSTER).unwrap();
    let dial = |ca, role, name| cluster.dial(peer, Some((ca, role, name, &[][..])));
    let channels = [
        ("nobody", cluster.dial(peer, None)),
        ("node", dial(&cluster.ca, "node", "n1")),
        ("user", dial(&cluster.ca, "user", "admin")),
        ("foreign", dial(&foreign, "server", "1")),
        ("stranger", dial(&cluster.ca, "server", "9")),
        ("member", dial(&cluster.ca, "server", "1")),
    ];
    let mut matrix: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for method in declared_methods() {
        let (_, found) = door(&method).expect("every method has a door");
        // Consensus asks for headers and members by itself; that has tests of its own.
        let is_consensus = method.starts_with("/boss.raft.");
        for (caller, channel) in &channels {
            let told = told(channel, &method, None).await;
            matrix.entry(method.clone()).or_default().push(told.word());
            let allowed: &[Told] = match (*caller, found) {
                ("nobody" | "foreign", _) => &[Told::Closed],
                ("node" | "user", _) => &[Told::No],
                (_, Door::Server) if is_consensus => &[Told::In, Told::No],
                ("stranger", Door::Server) => &[Told::No],
                (_, Door::Server) => &[Told::In],
                _ => &[Told::Nothing],
            };
            if !allowed.contains(&told) {
                wrong.push(format!("{method} tells {caller} {told:?}, its door is {found:?}"));
            }
        }
    }
    print_matrix("servers", &channels.map(|(caller, _)| caller), &matrix);
    assert_eq!(wrong, Vec::<String>::new());
}

fn print_matrix(port: &str, callers: &[&str], matrix: &BTreeMap<String, Vec<&str>>) {
    let mut text = format!("\nthe port for {port}\n{:52}", "");
    for caller in callers {
        write!(text, "{caller:>9}").unwrap();
    }
    for (method, told) in matrix {
        write!(text, "\n{method:52}").unwrap();
        for word in told {
            write!(text, "{word:>9}").unwrap();
        }
    }
    std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_nearly_a_method_leads_nowhere() {
    let cluster = Cluster::start(1).await;
    let channel = cluster.channel(0, None);
    let admin = cluster.token("admin", &["system:admins"]);
    for method in ["/boss.v1.Registry/get", "/boss.v1.Registry/Get/", "//boss.v1.Registry/Get", "/boss.v1.registry/Get"]
    {
        let told = told(&channel, method, Some(&admin)).await;
        assert_eq!(told, Told::Nothing, "{method}");
    }
}
