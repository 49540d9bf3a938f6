//! The registry as it was, and lists that go on anywhere.

use boss_proto::v1::{Consistency, GetRequest, ListRequest, ListResponse, Object};
use tonic::Code;

use crate::support::*;

fn account(name: &str, version: u32) -> Object {
    object(&format!("kind: ServiceAccount\nmetadata: {{name: {name}, labels: {{version: \"{version}\"}}}}"))
}

fn accounts() -> ListRequest {
    ListRequest { kind: "ServiceAccount".into(), namespace: "default".into(), ..Default::default() }
}

fn shown(list: &ListResponse) -> Vec<(String, String)> {
    let metadata = list.items.iter().map(|item| item.metadata().unwrap());
    metadata.map(|metadata| (metadata.name.clone(), metadata.labels["version"].clone())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
}

async fn list(registry: &mut Registry, request: ListRequest) -> ListResponse {
    registry.list(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_shown_as_it_was_on_every_server() {
    let cluster = Cluster::start(3).await;
    let mut registry = cluster.admin(0);
    create(&mut registry, account("a", 1)).await.unwrap();
    let first = create(&mut registry, account("b", 1)).await.unwrap().revision;
    update(&mut registry, account("a", 2)).await.unwrap();
    delete(&mut registry, key("ServiceAccount", "default", "b")).await.unwrap();
    let second = list(&mut registry, accounts()).await.revision;
    create(&mut registry, account("b", 3)).await.unwrap();

    for index in 0..3 {
        let mut registry = cluster.admin(index);
        let at = |revision| ListRequest { at_revision: Some(revision), ..accounts() };
        let then = list(&mut registry, at(first)).await;
        assert_eq!((shown(&then), then.revision), (pairs(&[("a", "1"), ("b", "1")]), first));
        assert_eq!(shown(&list(&mut registry, at(second)).await), pairs(&[("a", "2")]));
        assert_eq!(shown(&list(&mut registry, accounts()).await), pairs(&[("a", "2"), ("b", "3")]));

        let b = |revision| GetRequest {
            key: Some(key("ServiceAccount", "default", "b")),
            at_revision: Some(revision),
            ..Default::default()
        };
        let then = registry.get(b(first)).await.unwrap().into_inner();
        assert_eq!((then.object.unwrap().metadata().unwrap().resource_version, then.revision), (first, first));
        assert_eq!(registry.get(b(second)).await.unwrap_err().code(), Code::NotFound);
        let ahead = check_reason(registry.get(b(u64::MAX / 2)).await, "INVALID");
        assert_eq!(ahead.field, "atRevision");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_goes_on_at_its_revision_on_any_server() {
    let cluster = Cluster::start(3).await;
    let mut registry = cluster.admin(0);
    for number in 0..9 {
        create(&mut registry, account(&format!("a{number}"), 1)).await.unwrap();
    }
    let mut request = ListRequest { limit: 2, ..accounts() };
    let (mut names, mut revisions) = (Vec::new(), Vec::new());
    for page in 0.. {
        // Each page from another server, locally: it waits until it has come so far.
        request.consistency = if page % 2 == 0 { Consistency::Linearizable } else { Consistency::Local }.into();
        let listed = list(&mut cluster.admin(page % 3), request.clone()).await;
        names.extend(shown(&listed));
        revisions.push(listed.revision);
        if listed.next_page_token.is_empty() {
            break;
        }
        request.page_token = listed.next_page_token;
        delete(&mut registry, key("ServiceAccount", "default", &format!("a{}", 8 - page))).await.unwrap();
        update(&mut registry, account("a4", 2)).await.ok();
        create(&mut registry, account(&format!("a{page}x"), 1)).await.unwrap();
    }
    let expected: Vec<_> = (0..9).map(|number| (format!("a{number}"), "1".to_owned())).collect();
    assert_eq!(names, expected);
    assert!(revisions.windows(2).all(|pair| pair[0] == pair[1]), "{revisions:?}");
}
