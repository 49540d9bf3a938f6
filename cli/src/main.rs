//! `bossctl`: reads the command line, carries it out, says what failed.

use std::process::ExitCode;

use bossctl::{
    args::{Cli, Command},
    commands,
    failure::{Exit, Failure},
    terminal,
};
use clap::Parser;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One thread is enough for a client, and starts faster than several; load can need more.
    let mut builder = match cli.command {
        Command::Bench(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build();
    let result = runtime
        .map_err(|error| Failure::new(Exit::Failed, "cannot start", error))
        .and_then(|runtime| runtime.block_on(commands::run(cli)));
    let exit = result.unwrap_or_else(|failure| {
        terminal::note(&failure.to_string());
        failure.exit
    });
    ExitCode::from(exit as u8)
}
