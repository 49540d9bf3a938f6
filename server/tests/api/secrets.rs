//! Secrets: in clear text for who may read them, and nowhere else.

use std::path::Path;

use boss_proto::v1::{
    ApplyRequest, CreateRequest, GetRequest, GetResponse, ListRequest, Object, PatchRequest, SaveSnapshotRequest,
    SealingKey, WatchRequest, cluster_client::ClusterClient, object::Body, save_snapshot_response, watch_response,
};
use tonic::Code;

use crate::support::*;

const CANARY: &str = "canary-7f3a91-in-clear-text";
const OTHER: &str = "second-canary-55b0c2";

fn manifest(value: &str) -> String {
    format!("kind: Secret\nmetadata: {{name: s}}\nstringData: {{password: {value}, user: anna}}")
}

fn value(object: &Object, name: &str) -> Option<String> {
    let Some(Body::Secret(secret)) = &object.body else { panic!("no secret") };
    assert!(secret.sealed.is_none() && secret.string_data.is_empty(), "only servers see the sealed form");
    secret.data.get(name).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

async fn create_when_sealed(registry: &mut Registry, yaml: &str) -> Object {
    let created = std::cell::RefCell::new(None);
    eventually("a sealing key that every server holds", || async {
        let request = CreateRequest { object: Some(object(yaml)), ..CreateRequest::default() };
        match registry.clone().create(request).await {
            Ok(answer) => {
                *created.borrow_mut() = answer.into_inner().object;
                true
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                false
            }
        }
    })
    .await;
    created.into_inner().unwrap()
}

async fn read(registry: &mut Registry) -> Object {
    get(registry, key("Secret", "default", "s")).await.unwrap()
}

/// Every file below a folder that holds some bytes.
fn files_with(folder: &Path, wanted: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with(&path, wanted, found);
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains(wanted) {
            found.push(path.display().to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_read_on_every_server_and_lies_on_no_disk_in_clear_text() {
    let cluster = Cluster::start(3).await;
    let mut admin = cluster.admin(1);
    // Through a server that may have to pass it on; a config map shows that the search would find something.
    let told = create_when_sealed(&mut admin, &manifest(CANARY)).await;
    assert_eq!(value(&told, "password"), None, "the answer to a write carries no value");
    create(&mut admin, object("kind: ConfigMap\nmetadata: {name: c}\ndata: {key: plain-canary-1c}")).await.unwrap();
    for index in 0..3 {
        let mut reader = cluster.admin(index);
        assert_eq!(value(&read(&mut reader).await, "password").as_deref(), Some(CANARY));
        let list = ListRequest { kind: "Secret".into(), ..ListRequest::default() };
        let listed = reader.list(list).await.unwrap().into_inner().items;
        assert_eq!(value(&listed[0], "user").as_deref(), Some("anna"));
    }
    for index in 0..3 {
        let folder = data_dir(&cluster, index);
        let mut found = Vec::new();
        files_with(&folder, CANARY, &mut found);
        assert_eq!(found, Vec::<String>::new());
        eventually("the config map on disk", || async {
            let mut found = Vec::new();
            files_with(&folder, "plain-canary-1c", &mut found);
            !found.is_empty()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_snapshot_holds_no_secret_in_clear_text() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    create_when_sealed(&mut admin, &manifest(CANARY)).await;
    create(&mut admin, object("kind: ConfigMap\nmetadata: {name: c}\ndata: {key: plain-canary-2d}")).await.unwrap();
    let identity = Some((&cluster.ca, "user", "root", ["system:admins"].as_slice()));
    let mut client = ClusterClient::new(cluster.channel(0, identity));
    let mut parts = client.save_snapshot(SaveSnapshotRequest::default()).await.unwrap().into_inner();
    let mut file = Vec::new();
    while let Some(part) = parts.message().await.unwrap() {
        if let Some(save_snapshot_response::Part::Chunk(chunk)) = part.part {
            file.extend_from_slice(&chunk);
        }
    }
    let unpacked = unpacked(&file);
    let holds =
        |text: &str| [&file, &unpacked].iter().any(|bytes| bytes.windows(text.len()).any(|it| it == text.as_bytes()));
    assert!(holds("plain-canary-2d"), "the search finds what is there");
    assert!(!holds(CANARY), "a backup shows a secret");
}

/// What the compressed parts of a file hold.
fn unpacked(file: &[u8]) -> Vec<u8> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let begins = file.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC).map(|(at, _)| at);
    let mut all = Vec::new();
    for at in begins {
        // What only looks like a beginning breaks off.
        if let Ok(decoder) = zstd::stream::read::Decoder::new(&file[at..]) {
            let _ = std::io::Read::read_to_end(&mut decoder.single_frame(), &mut all);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_shown_to_who_may_read_it_only() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    create_when_sealed(&mut admin, &manifest(CANARY)).await;
    let role =
        "kind: ClusterRole\nmetadata: {name: writer}\nrules: [{verbs: [create, update, patch], resources: [secrets]}]";
    create(&mut admin, object(role)).await.unwrap();
    let binding = "kind: ClusterRoleBinding\nmetadata: {name: writer}\nroleRef: {kind: ClusterRole, name: writer}\n\
                   subjects: [{kind: User, name: will}]";
    create(&mut admin, object(binding)).await.unwrap();
    let mut writer = cluster.registry(0, Some(cluster.token("will", &[])));
    let refused = get(&mut writer, key("Secret", "default", "s")).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let patch = PatchRequest {
        key: Some(key("Secret", "default", "s")),
        merge_patch: br#"{"metadata":{"labels":{"a":"b"}}}"#.to_vec().into(),
        ..PatchRequest::default()
    };
    let answer = writer.patch(patch).await.unwrap().into_inner().object.unwrap();
    assert_eq!(value(&answer, "password"), None, "a patch of a label is no way to read");
    assert_eq!(value(&read(&mut admin).await, "password").as_deref(), Some(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_and_applies_of_secrets_work_and_the_same_again_changes_nothing() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    create_when_sealed(&mut admin, &manifest(CANARY)).await;
    let patch = |text: &str| PatchRequest {
        key: Some(key("Secret", "default", "s")),
        merge_patch: text.as_bytes().to_vec().into(),
        ..PatchRequest::default()
    };
    // "bmV3" is "new".
    let first = admin.patch(patch(r#"{"data":{"user":"bmV3"}}"#)).await.unwrap().into_inner().revision;
    let again = admin.patch(patch(r#"{"data":{"user":"bmV3"}}"#)).await.unwrap().into_inner().revision;
    assert_eq!(first, again, "sealing anew would be a change");
    let stored = read(&mut admin).await;
    assert_eq!(value(&stored, "user").as_deref(), Some("new"));
    assert_eq!(value(&stored, "password").as_deref(), Some(CANARY));
    let apply = |value: &str| {
        let manifest = format!(
            r#"{{"apiVersion":"boss.dev/v1","kind":"Secret","metadata":{{"name":"s"}},"stringData":{{"token":"{value}"}}}}"#
        );
        ApplyRequest { manifest: manifest.into(), field_manager: "me".into(), ..ApplyRequest::default() }
    };
    let first = admin.apply(apply(OTHER)).await.unwrap().into_inner().revision;
    let again = admin.apply(apply(OTHER)).await.unwrap().into_inner().revision;
    assert_eq!(first, again);
    let stored = read(&mut admin).await;
    assert_eq!(value(&stored, "token").as_deref(), Some(OTHER));
    assert_eq!(value(&stored, "password").as_deref(), Some(CANARY), "what others wrote stays");
    let bad = admin.patch(patch(r#"{"data":{"pin":12345678}}"#)).await.unwrap_err();
    assert!(!bad.message().contains("12345678"), "{bad:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_secrets_as_a_read_does() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    create_when_sealed(&mut admin, &manifest(CANARY)).await;
    let request = WatchRequest { kind: "Secret".into(), namespace: "default".into(), ..WatchRequest::default() };
    let mut events = admin.watch(request).await.unwrap().into_inner();
    let first = tokio::time::timeout(PATIENCE, events.message()).await.unwrap().unwrap().unwrap();
    let Some(watch_response::Body::Event(event)) = first.body else { panic!("{first:?}") };
    assert_eq!(value(&event.object.unwrap(), "password").as_deref(), Some(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_seals_everything_anew_and_nothing_is_lost() {
    let cluster = Cluster::start(3).await;
    let mut admin = cluster.admin(0);
    create_when_sealed(&mut admin, &manifest(CANARY)).await;
    let keys = |mut registry: Registry| async move {
        let list = ListRequest { kind: "SealingKey".into(), ..ListRequest::default() };
        let items = registry.list(list).await.unwrap().into_inner().items;
        items
            .into_iter()
            .filter_map(|it| <SealingKey as boss_proto::object::Resource>::try_from_object(it).ok())
            .collect::<Vec<_>>()
    };
    let old = keys(admin.clone()).await.remove(0).metadata.unwrap().name;
    let path = cluster.sealing_keys();
    let text = std::fs::read_to_string(&path).unwrap();
    let newer = format!("{}{text}", boss_base::sealing::new_key_line().unwrap());
    boss_base::files::write_atomic(&path, newer.as_bytes(), boss_base::files::PRIVATE).unwrap();
    let patch = PatchRequest {
        key: Some(key("SealingKey", "", &old)),
        merge_patch: br#"{"metadata":{"annotations":{"boss.dev/rotate":"now"}}}"#.to_vec().into(),
        ..PatchRequest::default()
    };
    admin.patch(patch).await.unwrap();
    eventually("the old key's end", || async {
        keys(admin.clone()).await.iter().any(|key| {
            let spec = key.spec.clone().unwrap_or_default();
            key.metadata.as_ref().unwrap().name == old && spec.phase == "Retired" && spec.remaining == 0
        })
    })
    .await;
    for index in 0..3 {
        assert_eq!(value(&read(&mut cluster.admin(index)).await, "password").as_deref(), Some(CANARY));
    }
    // The old key may go from the files now.
    let newest = newer.lines().next().unwrap().to_owned() + "\n";
    boss_base::files::write_atomic(&path, newest.as_bytes(), boss_base::files::PRIVATE).unwrap();
    let request = || GetRequest { key: Some(key("Secret", "default", "s")), ..GetRequest::default() };
    let GetResponse { object, .. } = admin.get(request()).await.unwrap().into_inner();
    assert_eq!(value(&object.unwrap(), "password").as_deref(), Some(CANARY));
}
