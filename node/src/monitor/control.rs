//! The monitor's end of the sandbox's socket. Never waits for a peer: one that does not read is dropped.

use std::{
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
};

use rustix::event::{PollFd, PollFlags};

use crate::{
    sandbox::control::{Report, Request},
    wire,
};

/// The agent needs one, each follower of the log one more; beyond that new ones are turned away.
const PEERS_MAX: usize = 64;

/// All peers of one sandbox.
pub(super) struct Server {
    listener: UnixListener,
    peers: Vec<Peer>,
    /// What a new peer hears first.
    standing: Report,
}

struct Peer {
    stream: UnixStream,
    decoder: wire::Decoder,
    follows: bool,
    /// It hung up, or does not read.
    gone: bool,
}

impl Server {
    /// Takes over the listening socket that the launcher left as standard input.
    pub(super) fn from_stdin() -> io::Result<Self> {
        let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
        listener.set_nonblocking(true)?;
        Ok(Self { listener, peers: Vec::new(), standing: Report::Starting })
    }

    /// What to wait for: first the listener, then each peer.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let peers = self.peers.iter().map(|peer| PollFd::new(&peer.stream, PollFlags::IN));
        std::iter::once(PollFd::new(&self.listener, PollFlags::IN)).chain(peers)
    }

    /// Tells everyone how things stand now.
    pub(super) fn broadcast(&mut self, report: Report) {
        self.accept();
        for peer in &mut self.peers {
            peer.tell(&report);
        }
        self.standing = report;
        self.forget_gone();
    }

    /// Tells the followers that there is more to read.
    pub(super) fn log_grew(&mut self) {
        for peer in self.peers.iter_mut().filter(|peer| peer.follows) {
            peer.nudge();
        }
        self.forget_gone();
    }

    /// Takes new peers and reads what was asked.
    pub(super) fn receive(&mut self) -> Vec<Request> {
        self.accept();
        let mut requests = Vec::new();
        for peer in &mut self.peers {
            peer.receive(&mut requests);
        }
        self.forget_gone();
        requests
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.peers.len() >= PEERS_MAX || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut peer = Peer { stream, decoder: wire::Decoder::default(), follows: false, gone: false };
            peer.tell(&self.standing);
            self.peers.push(peer);
        }
    }

    fn forget_gone(&mut self) {
        self.peers.retain(|peer| !peer.gone);
    }
}

impl Peer {
    fn tell(&mut self, report: &Report) {
        let sent = wire::encode(report).and_then(|frame| self.stream.write_all(&frame));
        self.gone |= sent.is_err();
    }

    /// A follower with a full socket has notes to read already: this one can be left out, but not be cut in half.
    fn nudge(&mut self) {
        let Ok(frame) = wire::encode(&Report::LogGrew) else { return };
        match self.stream.write(&frame) {
            Ok(length) if length == frame.len() => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => self.gone = true,
        }
    }

    fn receive(&mut self, requests: &mut Vec<Request>) {
        let mut chunk = [0; 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.gone = true,
                Ok(length) => self.decoder.push(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.gone = true,
            }
            if self.gone {
                break;
            }
        }
        loop {
            match self.decoder.decode() {
                Ok(Some(Request::Follow)) => self.follows = true,
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
    }
}
