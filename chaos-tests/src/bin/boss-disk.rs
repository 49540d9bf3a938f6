//! Shows a disk of ours in a folder and does to it what it is told: `boss-disk --folder DIR --socket PATH --bytes N`.
//! Started by the harness, for every server that has one; ends when it is unmounted. Needs root.

use std::{
    io,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use boss_chaos_tests::disk::{control, mounted, store::Store};
use clap::Parser;

/// A file system that loses, tears and lies on command.
#[derive(Debug, Parser)]
#[command(name = "boss-disk", version)]
struct Arguments {
    /// Where it is to be seen
    #[arg(long)]
    folder: PathBuf,
    /// Where it takes commands
    #[arg(long)]
    socket: PathBuf,
    /// What it has room for
    #[arg(long)]
    bytes: u64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let store = Arc::new(Mutex::new(Store::new(arguments.bytes)));
    let listener = UnixListener::bind(&arguments.socket)?;
    let told = Arc::clone(&store);
    // It ends with the process, which ends with the mount.
    thread::spawn(move || control::serve(&listener, &told));
    mounted::run(store, &arguments.folder)
}
