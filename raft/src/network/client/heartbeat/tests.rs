//! Heartbeats against a peer that does what a test wants. The real one is in the tests of whole clusters.
#![expect(clippy::disallowed_methods, reason = "the peer of a test refuses what no test asks of it")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use boss_base::tasks::{OnExit, Tasks};
use boss_proto::{
    ids::ServerId,
    raft::v1::{append_response::Result as Answer, peer_server},
};
use openraft::{RaftNetworkFactory, RaftNetworkV2, network::RPCOption, raft::StreamAppendError};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Endpoint, Server},
};

use super::*;
use crate::{
    PeerDialer,
    network::roster::Roster,
    network::{DialError, Peers},
    types::{Address, LogId, Member, Vote},
};

/// How a peer treats heartbeats, in the order in which they come.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Acknowledges what the heartbeat names.
    Answer,
    /// Keeps the answer back until the test asks for it.
    Withhold,
    /// Names a higher vote and ends the stream, as the real one does.
    Depose,
    /// Answers, then ends the stream.
    End,
}

struct Script {
    manners: Vec<Manner>,
    heartbeats: AtomicUsize,
    streams: AtomicUsize,
    withheld: watch::Sender<bool>,
}

/// A peer that follows a script.
#[derive(Clone)]
struct Scripted(Arc<Script>);

impl Scripted {
    fn streams(&self) -> usize {
        self.0.streams.load(Ordering::SeqCst)
    }

    fn next(&self) -> Manner {
        let index = self.0.heartbeats.fetch_add(1, Ordering::SeqCst);
        self.0.manners.get(index).copied().unwrap_or(Manner::Answer)
    }

    /// Serves on a port of its own and gives the leader's side of the connection.
    async fn serve(manners: &[Manner], tasks: &Tasks) -> (Self, Peer) {
        let script = Script {
            manners: manners.to_vec(),
            heartbeats: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            withheld: watch::Sender::new(false),
        };
        let this = Self(Arc::new(script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = Server::builder()
            .add_service(peer_server::PeerServer::new(this.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tasks.spawn("scripted-peer", OnExit::Log, async { serving.await.unwrap() });
        let dialer = PeerDialer::new(|member: &Member| {
            let endpoint = Endpoint::from_shared(format!("http://{}", member.peer));
            let bad = |error: tonic::transport::Error| DialError { peer: String::new(), problem: error.to_string() };
            Ok(endpoint.map_err(bad)?.connect_lazy())
        });
        let roster = Roster::new(ServerId(1), "folder".to_owned());
        let mut peers = Peers::new(dialer, &"c1".into(), ServerId(1), Duration::from_secs(30), roster).unwrap();
        let address = Address { name: "server-2".to_owned(), peer: address, ..Address::default() };
        let peer = peers.new_heartbeat_client(2, &address).await;
        (this, peer)
    }
}

#[tonic::async_trait]
impl peer_server::Peer for Scripted {
    type AppendStream = BoxStream<'static, Result<v1::AppendResponse, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<v1::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        self.0.streams.fetch_add(1, Ordering::SeqCst);
        let state = Some((self.clone(), request.into_inner()));
        let answers = stream::unfold(state, |state| async move {
            let (this, mut requests) = state?;
            let message = requests.message().await.ok()??;
            let manner = this.next();
            if manner == Manner::Withhold {
                this.0.withheld.send_replace(true);
                std::future::pending::<()>().await;
            }
            let result = match manner {
                Manner::Depose => Answer::HigherVote(v1::Vote { term: 9, server_id: 3, committed: true }),
                _ => Answer::Matching(v1::Matching { log_id: message.previous }),
            };
            let goes_on = manner == Manner::Answer;
            Some((
                Ok(v1::AppendResponse { result: Some(result), disk_full: false }),
                goes_on.then_some((this, requests)),
            ))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn request_vote(&self, _: Request<v1::VoteRequest>) -> Result<Response<v1::VoteResponse>, Status> {
        Err(unscripted())
    }

    async fn install_snapshot(
        &self,
        _: Request<Streaming<v1::SnapshotPart>>,
    ) -> Result<Response<v1::SnapshotResponse>, Status> {
        Err(unscripted())
    }

    async fn transfer_leader(
        &self,
        _: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        Err(unscripted())
    }

    async fn read_index(&self, _: Request<v1::ReadIndexRequest>) -> Result<Response<v1::ReadIndexResponse>, Status> {
        Err(unscripted())
    }

    async fn snapshot_progress(
        &self,
        _: Request<v1::SnapshotHeader>,
    ) -> Result<Response<v1::SnapshotProgressResponse>, Status> {
        Err(unscripted())
    }

    async fn state_hashes(
        &self,
        _: Request<v1::StateHashesRequest>,
    ) -> Result<Response<v1::StateHashesResponse>, Status> {
        Err(unscripted())
    }

    async fn step_aside(&self, _: Request<v1::StepAsideRequest>) -> Result<Response<v1::StepAsideResponse>, Status> {
        Err(unscripted())
    }

    type FetchSnapshotStream = BoxStream<'static, Result<v1::SnapshotPart, Status>>;

    async fn fetch_snapshot(
        &self,
        _: Request<v1::FetchSnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        Err(unscripted())
    }

    async fn describe(&self, _: Request<v1::DescribeRequest>) -> Result<Response<v1::DescribeResponse>, Status> {
        Err(unscripted())
    }
}

fn unscripted() -> Status {
    Status::unimplemented("a test of heartbeats")
}

/// One heartbeat as openraft sends it: a stream of its own, read to its end.
async fn beat(peer: &mut Peer, index: u64) -> AppendResult {
    let request = AppendEntriesRequest {
        vote: Vote::new_committed(4, 1),
        prev_log_id: Some(LogId::new_term_index(4, index)),
        leader_commit: None,
        entries: Vec::new(),
    };
    let mut answers = peer.stream_append(stream::iter([request]), RPCOption::new(Duration::from_secs(1))).await?;
    let answer = answers.next().await.unwrap();
    assert!(answers.next().await.is_none(), "one answer for one heartbeat");
    answer
}

fn matched(index: u64) -> Option<LogId> {
    Some(LogId::new_term_index(4, index))
}

#[tokio::test]
async fn all_heartbeats_ride_on_one_stream() {
    let tasks = Tasks::new();
    let (scripted, mut peer) = Scripted::serve(&[], &tasks).await;
    for index in 1..=20 {
        assert_eq!(beat(&mut peer, index).await.unwrap().unwrap(), matched(index));
    }
    assert_eq!(scripted.streams(), 1);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_taken_for_that_of_a_later_heartbeat() {
    let tasks = Tasks::new();
    let (scripted, mut peer) = Scripted::serve(&[Manner::Answer, Manner::Withhold], &tasks).await;
    assert_eq!(beat(&mut peer, 1).await.unwrap().unwrap(), matched(1));
    let mut withheld = scripted.0.withheld.subscribe();
    tokio::select! {
        biased;
        _ = beat(&mut peer, 2) => panic!("its answer is withheld"),
        // openraft gives a heartbeat up in the same way: it drops it.
        _ = withheld.wait_for(|withheld| *withheld) => {}
    }
    assert_eq!(beat(&mut peer, 3).await.unwrap().unwrap(), matched(3));
    assert_eq!(scripted.streams(), 2);
}

#[tokio::test]
async fn a_stream_that_the_peer_ended_is_opened_again() {
    let tasks = Tasks::new();
    let (scripted, mut peer) = Scripted::serve(&[Manner::End], &tasks).await;
    assert_eq!(beat(&mut peer, 1).await.unwrap().unwrap(), matched(1));
    // Whether the end has arrived yet or not, at most this one is lost, and it fails at once.
    if let Err(error) = beat(&mut peer, 2).await {
        assert!(matches!(error, RPCError::Unreachable(_)), "{error}");
    }
    assert_eq!(beat(&mut peer, 3).await.unwrap().unwrap(), matched(3));
    assert_eq!(scripted.streams(), 2);
}

#[tokio::test]
async fn a_higher_vote_ends_the_stream() {
    let tasks = Tasks::new();
    let (scripted, mut peer) = Scripted::serve(&[Manner::Depose], &tasks).await;
    let deposed = beat(&mut peer, 1).await.unwrap();
    assert!(matches!(deposed, Err(StreamAppendError::HigherVote(vote)) if vote == Vote::new_committed(9, 3)));
    assert_eq!(beat(&mut peer, 2).await.unwrap().unwrap(), matched(2));
    assert_eq!(scripted.streams(), 2);
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unreachable() {
    let tasks = Tasks::new();
    let (_, peer) = Scripted::serve(&[], &tasks).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = Address { name: "server-3".to_owned(), peer: free.to_string(), ..Address::default() };
    let mut gone = peer.peers.clone().new_heartbeat_client(3, &address).await;
    assert!(matches!(beat(&mut gone, 1).await, Err(RPCError::Unreachable(_))));
}
