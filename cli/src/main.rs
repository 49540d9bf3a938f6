//! `bossctl`: reads the command line, carries it out, says what failed.

use std::process::ExitCode;

use bossctl::{
    args::Cli,
    commands,
    failure::{Exit, Failure},
    terminal,
};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One thread is enough for a client, and starts faster than several.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(|error| Failure::new(Exit::Failed, "cannot start", error))
        .and_then(|runtime| runtime.block_on(commands::run(cli)));
    let exit = result.unwrap_or_else(|failure| {
        terminal::note(&failure.to_string());
        failure.exit
    });
    ExitCode::from(exit as u8)
}
