//! Each limit at the limit and one above it: what is refused names the limit, and says what to do.

use std::time::Duration;

use boss_proto::{
    limits::{
        ANNOTATIONS_BYTES_MAX, FINALIZERS_MAX, HEADER_LIST_BYTES_MAX, LABEL_VALUE_LEN_MAX, LABELS_MAX,
        LIST_PAGE_DEFAULT, LIST_PAGE_MAX, NAME_LEN_MAX, OBJECT_BYTES_MAX, OWNERS_MAX, PAGE_TOKEN_BYTES_MAX,
        REQUEST_BYTES_MAX, SELECTOR_LEN_MAX, STREAMS_PER_CONNECTION_MAX, TOKEN_BYTES_MAX, TXN_OPERATIONS_MAX,
    },
    object::Resource,
    v1::{
        Container, CreateRequest, ListRequest, Object, ObjectMeta, OwnerReference, Pod, PodSpec, TxnOperation,
        TxnRequest, WatchRequest, txn_operation::Operation,
    },
};
use futures_util::future::join_all;
use prost::Message;
use tonic::{Code, Request};

use crate::support::*;

fn account(change: impl FnOnce(&mut ObjectMeta)) -> Object {
    let mut object = object("kind: ServiceAccount\nmetadata: {name: placeholder}");
    change(object.metadata_mut().unwrap());
    object
}

fn named(name: &str) -> Object {
    account(|metadata| name.clone_into(&mut metadata.name))
}

fn letters(count: usize) -> String {
    "a".repeat(count)
}

fn with_labels(count: usize) -> Object {
    account(|metadata| {
        metadata.name = format!("labels-{count}");
        metadata.labels = (0..count).map(|number| (format!("l{number}"), String::new())).collect();
    })
}

fn with_label_value(len: usize) -> Object {
    account(|metadata| {
        metadata.name = format!("value-{len}");
        metadata.labels.insert("l".to_owned(), letters(len));
    })
}

fn with_label_key(name_len: usize) -> Object {
    account(|metadata| {
        metadata.name = format!("key-{name_len}");
        metadata.labels.insert(format!("example.com/{}", letters(name_len)), String::new());
    })
}

fn with_annotations(bytes: usize) -> Object {
    account(|metadata| {
        metadata.name = format!("annotations-{bytes}");
        metadata.annotations.insert("a".to_owned(), letters(bytes - 1));
    })
}

fn with_finalizers(count: usize) -> Object {
    account(|metadata| {
        metadata.name = format!("finalizers-{count}");
        metadata.finalizers = (0..count).map(|number| format!("example.com/f{number}")).collect();
    })
}

fn with_owners(owners: &[OwnerReference]) -> Object {
    account(|metadata| {
        metadata.name = format!("owners-{}", owners.len());
        metadata.owner_references = owners.to_vec();
    })
}

/// A pod whose arguments alone are so large. Not made from a manifest: reading one refuses it already.
fn with_argument(bytes: usize) -> Object {
    let container = Container {
        name: "main".to_owned(),
        command: vec!["true".to_owned()],
        args: vec![letters(bytes)],
        ..Container::default()
    };
    let spec = PodSpec { sandbox_class: "process".to_owned(), containers: vec![container], ..PodSpec::default() };
    let metadata =
        ObjectMeta { name: format!("large-{bytes}"), namespace: "default".to_owned(), ..ObjectMeta::default() };
    Pod { metadata: Some(metadata), spec: Some(spec), ..Pod::default() }.into_object()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_at_its_limits_is_stored_and_one_above_is_refused_with_the_limit() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    /// Makes an object with a part of that length.
    type Make = fn(usize) -> Object;
    let cases: [(&str, Make, usize); 6] = [
        ("metadata.name", |len| named(&letters(len)), NAME_LEN_MAX),
        ("metadata.labels", with_labels, LABELS_MAX),
        ("metadata.labels[\"l\"]", with_label_value, LABEL_VALUE_LEN_MAX),
        ("metadata.labels[\"example.com/", with_label_key, NAME_LEN_MAX),
        ("metadata.annotations", with_annotations, ANNOTATIONS_BYTES_MAX),
        ("metadata.finalizers", with_finalizers, FINALIZERS_MAX),
    ];
    for (field, make, limit) in cases {
        create(&mut registry, make(limit)).await.unwrap_or_else(|status| panic!("{field} at {limit}: {status}"));
        let status = create(&mut registry, make(limit + 1)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status}");
        assert!(info(&status).field.starts_with(field), "{field}: {:?}", info(&status));
        assert!(status.message().contains(&limit.to_string()), "{field}: {status}");
    }
    let mut owners = Vec::new();
    for number in 0..=OWNERS_MAX {
        let owner = create(&mut registry, named(&format!("owner-{number}"))).await.unwrap().object.unwrap();
        let metadata = owner.metadata().unwrap();
        owners.push(OwnerReference {
            kind: "ServiceAccount".to_owned(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            ..OwnerReference::default()
        });
    }
    create(&mut registry, with_owners(&owners[..OWNERS_MAX])).await.unwrap();
    let status = create(&mut registry, with_owners(&owners)).await.unwrap_err();
    assert!(info(&status).field.starts_with("metadata.ownerReferences"), "{:?}", info(&status));
    assert!(status.message().contains(&OWNERS_MAX.to_string()), "{status}");

    let status = create(&mut registry, with_argument(OBJECT_BYTES_MAX)).await.unwrap_err();
    assert_eq!(info(&status).reason, "TOO_LARGE", "{status}");
    assert!(status.message().contains(&OBJECT_BYTES_MAX.to_string()) && !info(&status).hint.is_empty(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_too_large_get_our_words_not_the_librarys() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let status = create(&mut registry, with_argument(REQUEST_BYTES_MAX)).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::InvalidArgument, "TOO_LARGE"), "{status}");
    assert!(status.message().contains(&REQUEST_BYTES_MAX.to_string()) && !info(&status).hint.is_empty(), "{status}");

    let with_header = |bytes: usize| {
        let mut request = Request::new(ListRequest { kind: "Pod".to_owned(), ..ListRequest::default() });
        request.metadata_mut().insert("x-padding", letters(bytes).parse().unwrap());
        let mut registry = cluster.admin(0);
        async move { registry.list(request).await }
    };
    with_header(HEADER_LIST_BYTES_MAX as usize / 2).await.unwrap();
    let status = with_header(HEADER_LIST_BYTES_MAX as usize).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::InvalidArgument, "TOO_LARGE"), "{status}");
    assert!(
        status.message().contains(&HEADER_LIST_BYTES_MAX.to_string()) && !info(&status).hint.is_empty(),
        "{status}"
    );

    let status =
        cluster.registry(0, Some(letters(TOKEN_BYTES_MAX + 1))).list(ListRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert!(status.message().contains(&TOKEN_BYTES_MAX.to_string()) && !info(&status).hint.is_empty(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_keep_their_bounds() {
    let cluster = Cluster::start(1).await;
    let names: Vec<String> = (0..=LIST_PAGE_MAX).map(|number| format!("n-{number}")).collect();
    for some in names.chunks(TXN_OPERATIONS_MAX) {
        let created = |name: &String| {
            let request = CreateRequest { object: Some(named(name)), ..CreateRequest::default() };
            TxnOperation { operation: Some(Operation::Create(request)) }
        };
        let request = TxnRequest { success: some.iter().map(created).collect(), ..TxnRequest::default() };
        assert!(cluster.admin(0).txn(request).await.unwrap().into_inner().succeeded);
    }
    let list = |change: fn(&mut ListRequest)| {
        let mut request = ListRequest {
            kind: "ServiceAccount".to_owned(),
            namespace: "default".to_owned(),
            ..ListRequest::default()
        };
        change(&mut request);
        let mut registry = cluster.admin(0);
        async move { registry.list(request).await.map(tonic::Response::into_inner) }
    };
    let page = list(|request| request.limit = LIST_PAGE_MAX as u32 + 1).await.unwrap();
    assert_eq!(page.items.len(), LIST_PAGE_MAX, "a larger page is cut to the limit, and goes on with its token");
    assert!(!page.next_page_token.is_empty());
    let page = list(|_| ()).await.unwrap();
    assert_eq!(page.items.len(), LIST_PAGE_DEFAULT, "who names no limit gets the usual page");
    assert!(!page.next_page_token.is_empty());

    let status = list(|request| request.label_selector = letters(SELECTOR_LEN_MAX + 1)).await.unwrap_err();
    assert_eq!((status.code(), info(&status).field.as_str()), (Code::InvalidArgument, "labelSelector"), "{status}");
    assert!(status.message().contains(&SELECTOR_LEN_MAX.to_string()), "{status}");

    let status = list(|request| request.page_token = vec![1; PAGE_TOKEN_BYTES_MAX + 1].into()).await.unwrap_err();
    assert_eq!((status.code(), info(&status).field.as_str()), (Code::InvalidArgument, "pageToken"), "{status}");
    assert!(!info(&status).hint.is_empty(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_carries_its_streams_and_one_more_waits_for_a_place() {
    let cluster = Cluster::start(1).await;
    let registry = cluster.admin(0);
    let open = || {
        let mut registry = registry.clone();
        let request = WatchRequest { kind: "Pod".to_owned(), ..WatchRequest::default() };
        async move { registry.watch(request).await.unwrap() }
    };
    let mut watches = Vec::new();
    while watches.len() < STREAMS_PER_CONNECTION_MAX as usize {
        let more = (STREAMS_PER_CONNECTION_MAX as usize - watches.len()).min(64);
        watches.extend(join_all((0..more).map(|_| open())).await);
    }
    let mut one_more = Box::pin(open());
    let waited = tokio::time::timeout(Duration::from_millis(500), &mut one_more).await;
    assert!(waited.is_err(), "the connection has all the streams it may have");
    watches.pop();
    tokio::time::timeout(PATIENCE, one_more).await.expect("a place is free");
}

#[test]
fn the_largest_object_fits_into_a_request() {
    assert!(with_argument(OBJECT_BYTES_MAX).encoded_len() < REQUEST_BYTES_MAX);
}
