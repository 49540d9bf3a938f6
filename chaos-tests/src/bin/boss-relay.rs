//! The wire of one host, in user space: `boss-relay --host-end NAME --bridge-end NAME --socket PATH`. Makes both
//! interfaces where it runs; a line of JSON on the socket says how long frames to servers wait. Started by the harness;
//! the interfaces are gone with it. Needs root.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::mpsc,
    thread,
};

use boss_chaos_tests::net::relay::{Queue, Shared, Tap, copy};
use clap::Parser;

/// Holds up what a host sends.
#[derive(Debug, Parser)]
#[command(name = "boss-relay", version)]
struct Arguments {
    /// The interface that the host gets
    #[arg(long)]
    host_end: String,
    /// The interface that the bridge gets
    #[arg(long)]
    bridge_end: String,
    /// Where it is told how long
    #[arg(long)]
    socket: PathBuf,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let (host, bridge) = (Tap::create(&arguments.host_end)?, Tap::create(&arguments.bridge_end)?);
    let shared = Shared::new(Queue::new(u64::from(std::process::id())));
    let listener = UnixListener::bind(&arguments.socket)?;
    let (ended, ends) = mpsc::channel::<io::Result<()>>();
    thread::scope(|scope| {
        scope.spawn(|| ended.send(shared.fill(&host)));
        scope.spawn(|| ended.send(shared.empty(&bridge)));
        scope.spawn(|| ended.send(copy(&bridge, &host)));
        scope.spawn(|| ended.send(listen(&listener, &shared)));
        // None ends but with an error, and then there is no wire any more.
        let first = ends.recv();
        std::process::exit(i32::from(!matches!(first, Ok(Ok(())))))
    })
}

fn listen(listener: &UnixListener, shared: &Shared) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        let mut answers = stream.try_clone()?;
        for line in BufReader::new(stream).lines() {
            // Who does not speak properly, or has gone, is not listened to any more.
            let Ok(line) = line else { break };
            let Ok(waiting) = serde_json::from_str(&line) else { break };
            shared.set(waiting);
            if writeln!(answers, "{{}}").is_err() {
                break;
            }
        }
    }
    Ok(())
}
