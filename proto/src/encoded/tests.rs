//! The spliced answers are byte for byte what prost would write.

use bytes::Bytes;
use prost::Message;

use super::{DeleteResponse, GetResponse, ListResponse, WatchBody, WatchEvent, WatchResponse, WriteResponse};
use crate::{
    object::Resource,
    v1::{self, watch_event::Type, watch_response::Body},
};

fn object(name: &str) -> v1::Object {
    let metadata = v1::ObjectMeta { name: name.into(), resource_version: 7, ..Default::default() };
    v1::Node { metadata: Some(metadata), ..Default::default() }.into_object()
}

fn bytes(object: &v1::Object) -> Bytes {
    object.encode_to_vec().into()
}

#[test]
fn an_answer_of_stored_bytes_looks_like_the_public_one() {
    let (a, b) = (object("a"), object("b"));
    let get = v1::GetResponse { object: Some(a.clone()), revision: 9 };
    assert_eq!(get.encode_to_vec(), GetResponse { object: bytes(&a), revision: 9 }.encode_to_vec());

    let token = Bytes::from_static(b"next");
    let list = v1::ListResponse { items: vec![a.clone(), b.clone()], revision: 9, next_page_token: token.clone() };
    let encoded = ListResponse { items: vec![bytes(&a), bytes(&b)], revision: 9, next_page_token: token };
    assert_eq!(list.encode_to_vec(), encoded.encode_to_vec());
}

#[test]
fn an_answer_to_a_write_looks_like_the_public_one_with_and_without_the_object() {
    for shown in [None, Some(object("a"))] {
        let encoded = shown.as_ref().map(bytes).unwrap_or_default();
        let written = v1::WriteResponse { object: shown.clone(), revision: 9 };
        let answer = WriteResponse { object: encoded.clone(), revision: 9 };
        assert_eq!(written.encode_to_vec(), answer.encode_to_vec());
        let deleted = v1::DeleteResponse { object: shown, revision: 9, gone: true };
        let answer = DeleteResponse { object: encoded, revision: 9, gone: true };
        assert_eq!(deleted.encode_to_vec(), answer.encode_to_vec());
    }
}

#[test]
fn a_watch_of_stored_bytes_looks_like_the_public_one() {
    let a = object("a");
    for kind in [Type::Added, Type::Modified, Type::Deleted] {
        let event = v1::WatchEvent { r#type: kind.into(), object: Some(a.clone()), revision: 9 };
        let public = v1::WatchResponse { body: Some(Body::Event(event)) };
        let event = WatchEvent { r#type: kind.into(), object: bytes(&a), revision: 9 };
        let encoded = WatchResponse { body: Some(WatchBody::Event(event)) };
        assert_eq!(public.encode_to_vec(), encoded.encode_to_vec());
    }
    let bookmark = v1::Bookmark { revision: 4, initial_list_end: true };
    let public = v1::WatchResponse { body: Some(Body::Bookmark(bookmark)) };
    let encoded = WatchResponse { body: Some(WatchBody::Bookmark(bookmark)) };
    assert_eq!(public.encode_to_vec(), encoded.encode_to_vec());
}
