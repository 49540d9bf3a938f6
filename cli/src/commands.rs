//! What each command does, one file each. This file only chooses.

use clap::CommandFactory;

use crate::{
    args::{Cli, Command},
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

mod apply;
mod audit;
mod auth;
mod bench;
mod certs;
mod cluster;
mod context;
mod create;
mod delete;
mod describe;
mod dev;
mod events;
mod get;
mod joining;
mod login;
mod logs;
mod manifests;
mod node;
mod patch;
mod policy;
mod secret;
mod snapshot;
mod target;
mod token;
mod txn;
mod verify;
mod version;
mod watch;

/// Carries out a command line. Ctrl-C ends it, but for those that have to clean up first.
pub async fn run(cli: Cli) -> Result<Exit, Failure> {
    if matches!(cli.command, Command::Dev(_) | Command::Bench(_) | Command::Verify(_)) {
        return Box::pin(dispatch(cli)).await;
    }
    tokio::select! {
        result = Box::pin(dispatch(cli)) => result,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Apply(args) => apply::run(&args, &Session::open(global)?).await,
        Command::Create(args) => create::run(&args, &Session::open(global)?, create::How::Create).await,
        Command::Replace(args) => create::run(&args, &Session::open(global)?, create::How::Replace).await,
        Command::Patch(args) => patch::run(&args, &Session::open(global)?).await,
        Command::Txn(args) => txn::run(&args, &Session::open(global)?).await,
        Command::Get(args) => get::run(&args, &Session::open(global)?).await,
        Command::Describe(args) => describe::run(&args, &Session::open(global)?).await,
        Command::Delete(args) => delete::run(&args, &Session::open(global)?).await,
        Command::Watch(args) => watch::run(&args, &Session::open(global)?).await,
        Command::Logs(args) => logs::run(&args, &Session::open(global)?).await,
        Command::Events(args) => events::run(&args, &Session::open(global)?).await,
        Command::Cluster(args) => cluster::run(args, global).await,
        Command::Certs(args) => certs::run(args, global).await,
        Command::Node(args) => node::run(args, global).await,
        Command::Whoami(args) => auth::whoami(&args, &Session::open(global)?).await,
        Command::Secret(args) => secret::run(args, &Session::open(global)?).await,
        Command::Token(args) => token::run(args, &Session::open(global)?).await,
        Command::Login(args) => login::login(&args, global).await,
        Command::Logout => login::logout(global).await,
        Command::Bench(args) => bench::run(args, global).await,
        Command::Verify(args) => verify::run(&args, global).await,
        Command::Auth(args) => auth::run(args, global).await,
        Command::Audit(args) => audit::run(args, global).await,
        Command::Policy(args) => policy::run(args),
        Command::Context(args) => context::run(args, global),
        Command::Dev(args) => dev::run(args, global).await,
        Command::Completion { shell } => Ok(completion(shell)),
        Command::Version { client } => version::run(client, global).await,
    }
}

fn completion(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bossctl", &mut script);
    terminal::print(&String::from_utf8_lossy(&script));
    Exit::Ok
}
