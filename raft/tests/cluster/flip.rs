//! Changes the state that a stopped server keeps so that nothing on its own disk shows it: the row and the sum over all
//! rows agree. As a bug in apply or a bit that flipped in memory would leave it.

use std::{path::Path, time::Duration};

use boss_proto::{ids::ServerId, key::Key, kind::Kind, v1};
use boss_raft::{
    state::{
        Digest,
        rows::{Header, Row},
    },
    storage::{SledHome, SledStorage, Storage, StoreError},
};
use prost::Message;

/// What describes the stored state, as far as it matters here; the rest stays as it is.
#[derive(Clone, PartialEq, Message)]
struct Meta {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(string, tag = "2")]
    cluster_id: String,
    #[prost(bytes = "vec", tag = "3")]
    log_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    membership: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    header: Option<Header>,
}

/// Labels a namespace with the server's id; two servers with the same `mark` have the same state afterwards.
pub(crate) fn label_namespace(data_dir: &Path, namespace: &str, mark: ServerId) {
    let mut storage = open(&data_dir.join("state"));
    let key = [b"1", Key::new(Kind::Namespace, "", namespace).to_path().as_bytes()].concat();
    let mut found = None;
    storage
        .scan(&mut |row, value| {
            found = found.take().or_else(|| (row == key).then_some(value));
            Ok(())
        })
        .expect("the store can be read");
    let before = found.expect("the namespace is stored");
    let mut object = v1::Object::decode(before.clone()).expect("it is an object");
    object.metadata_mut().expect("it is no empty envelope").labels.insert("flipped".to_owned(), mark.to_string());
    let after = object.encode_to_vec();
    let meta = storage.meta().expect("the store can be read").expect("the state is described");
    let mut meta = Meta::decode(meta).expect("it is a description");
    let header = meta.header.as_mut().expect("it has a header");
    let item = |bytes: &[u8]| Digest::of(&[b"object", bytes]);
    let hash = Digest::from_bytes(&header.hash).expect("it is a hash").minus(item(&before)).plus(item(&after));
    header.hash = hash.to_bytes().to_vec();
    storage
        .write(&[Row { key, value: Some(after.into()) }], Some(&meta.encode_to_vec()))
        .expect("the store can be written");
    storage.flush().expect("the store can be written");
}

/// sled releases its lock a little after its last user has gone, and nothing tells when.
fn open(directory: &Path) -> SledStorage {
    for _ in 0..3_000 {
        match SledHome::open(directory).expect("the folder can be read").open_current() {
            Err(StoreError::Locked) => std::thread::park_timeout(Duration::from_millis(10)),
            opened => return opened.expect("the store can be opened").expect("the server has stored something"),
        }
    }
    panic!("the store stays locked");
}
