//! What a disk is told to do, and by whom: one line of JSON for each command and each answer, on a Unix socket.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    content::PAGE,
    faults::Flip,
    store::{Body, Store},
};
use crate::checkers::generate::Random;

/// What can be done to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Nothing; for the answer.
    Look,
    /// All is gone that was not synced. Nobody may have anything open.
    LoseUnsynced,
    /// The same, but some of it has made it. Nobody may have anything open.
    Tear {
        /// Which.
        seed: u64,
    },
    /// The next syncs fail, of what lies in this folder, or of everything if it is empty.
    FailSyncs {
        /// From the root of the disk.
        within: String,
        /// How many.
        times: u32,
        /// As Linux does: what was to be synced counts as clean afterwards, and is never written.
        drops: bool,
    },
    /// The next writes fail, of what lies in this folder, or of everything if it is empty.
    FailWrites {
        /// From the root of the disk.
        within: String,
        /// How many.
        times: u32,
    },
    /// Bits read wrong from now on, of what was written to files in this folder, or anywhere if it is empty.
    Flip {
        /// From the root of the disk.
        within: String,
        /// Which.
        seed: u64,
        /// How many.
        bits: u32,
    },
    /// From now on each sync takes so much longer, in milliseconds.
    Slow {
        /// Nothing for as fast as before.
        sync_ms: u64,
    },
    /// Whether nothing can be changed any more.
    ReadOnly {
        /// Whether.
        on: bool,
    },
    /// Nothing more fits.
    Fill,
    /// It has room for so much, in bytes, whatever is on it.
    Room {
        /// Bytes.
        bytes: u64,
    },
    /// Nothing goes wrong any more. What is lost is lost, and what is full stays full.
    Heal,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// How often something went wrong on purpose since the start: calls that failed, bits that were read wrong.
    pub fired: u64,
    /// Faults that the command has laid out; a disk with nothing on it has no bits to be turned.
    pub laid: u32,
    /// Pages that are free.
    pub free: u64,
}

/// Does what it is told by whoever connects, until the socket fails.
pub fn serve(listener: &UnixListener, store: &Mutex<Store>) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        let mut answers = stream.try_clone()?;
        for line in BufReader::new(stream).lines() {
            // Who does not speak properly, or has gone, is not listened to any more.
            let Ok(line) = line else { break };
            let Ok(command) = serde_json::from_str::<Command>(&line) else { break };
            let answer = carry_out(&mut store.lock().unwrap_or_else(PoisonError::into_inner), &command);
            let text = serde_json::to_string(&answer).map_err(io::Error::other)?;
            if writeln!(answers, "{text}").is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// Does it.
pub fn carry_out(store: &mut Store, command: &Command) -> Answer {
    let mut laid = 1;
    match command {
        Command::Look => laid = 0,
        Command::LoseUnsynced => store.lose_unsynced(),
        Command::Tear { seed } => store.tear(*seed),
        Command::FailSyncs { within, times, drops } => store.faults.fail_syncs(within, *times, *drops),
        Command::FailWrites { within, times } => store.faults.fail_writes(within, *times),
        Command::Flip { within, seed, bits } => laid = flip(store, within, *seed, *bits),
        Command::Slow { sync_ms } => store.faults.set_delay(Duration::from_millis(*sync_ms)),
        Command::ReadOnly { on } => store.faults.set_read_only(*on),
        Command::Fill => store.fill(),
        Command::Room { bytes } => store.set_room(*bytes),
        Command::Heal => store.faults.heal(),
    }
    Answer { fired: store.faults.fired(), laid, free: store.room().1 }
}

/// Picks bits of pages that were written; returns how many there were.
fn flip(store: &mut Store, within: &str, seed: u64, bits: u32) -> u32 {
    let mut random = Random(seed);
    let mut pages = Vec::new();
    for (path, ino) in store.files() {
        if let (true, Some(Body::File(content))) =
            (path.starts_with(within), store.live.get(&ino).map(|node| &node.body))
        {
            let starts = content.written().map(|page| page as u64 * PAGE as u64);
            pages.extend(
                starts.filter(|start| *start < content.size()).map(|start| (ino, start, content.size() - start)),
            );
        }
    }
    if pages.is_empty() {
        return 0;
    }
    for _ in 0..bits {
        let (ino, start, rest) = pages[random.below(pages.len())];
        let offset = start + random.draw() % rest.min(PAGE as u64);
        store.faults.add_flip(Flip { ino, offset, bit: u8::try_from(random.below(8)).unwrap_or_default() });
    }
    bits
}
