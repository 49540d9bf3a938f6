//! Floods of one connection: it is ended, and nobody else notices.

use std::time::Duration;

use boss_base::tls::{self, Expected, connector};
use boss_proto::{SERVER_DNS_NAME, v1::GetRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const GO_AWAY: u8 = 7;
const END_HEADERS: u8 = 4;
/// POST / over http, from the static table.
const REQUEST: [u8; 3] = [0x83, 0x86, 0x84];
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// Many times what a server lets wait.
const RESETS: u32 = 4_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HTTP/2 rapid reset (CVE-2023-44487): streams that are opened and taken back before anybody looks at them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_resets_ends_its_own_connection_only() {
    let cluster = Cluster::start(1).await;
    let identity = tls::Identity::from_pem(tls::Pem { own: None, ca: cluster.ca.cert_pem().into() }).unwrap();
    let uri = format!("http://{}", cluster.api(0)).parse().unwrap();
    let flood = connector(identity, Expected::name(SERVER_DNS_NAME).unwrap()).connect(&uri).await.unwrap();
    let mut flood = flood.into_inner();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for number in 0..RESETS {
        let stream = 2 * number + 1;
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &REQUEST));
        bytes.extend(frame(RESET, 0, stream, &CANCEL));
    }
    let ended = async {
        // The server may close before it has read all.
        let _ = flood.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = flood.read_to_end(&mut answer).await;
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, ended).await.expect("the server ends the connection");
    assert!(kinds(&answer).contains(&GO_AWAY), "the server says goodbye: {:?}", kinds(&answer));
    let request = GetRequest { key: Some(key("Namespace", "", "default")), ..Default::default() };
    cluster.admin(0).get(request).await.expect("others are served");
}

/// A caller that says nothing keeps its place for the time of a handshake, and no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_closed_before_it_is_anybody() {
    let cluster = Cluster::start(1).await;
    let mut silent = tokio::net::TcpStream::connect(cluster.api(0)).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(60), silent.read(&mut [0; 1])).await.expect("it is closed");
    assert!(matches!(closed, Ok(0) | Err(_)));
}

fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, ..] = *bytes {
        kinds.push(kind);
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    kinds
}
