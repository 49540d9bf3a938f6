//! `bossctl dev`: a cluster on this machine. This file makes and finds its folder; starting it is another one's work.

use std::path::PathBuf;

use crate::{
    args::{self, Global},
    context,
    dev::{self, Health, Lock, Member},
    failure::{Exit, Failure},
    output,
    provision::{self, Cluster, Plan},
    terminal,
};

mod example;
mod ready;
mod up;

/// Enough for a leader to be lost.
const SERVERS_DEFAULT: usize = 3;
const NODES_DEFAULT: usize = 1;
const BASE_PORT_DEFAULT: u16 = 7400;
/// The name of the context of every local cluster.
const CONTEXT: &str = "dev";

pub(super) async fn run(args: args::Dev, global: &Global) -> Result<Exit, Failure> {
    match args {
        args::Dev::Up(args) => up::run(&args, global).await,
        args::Dev::Init(shape) => init(&shape),
        args::Dev::Down(folder) => down(&folder).await,
        args::Dev::Status(folder) => status(&folder).await,
    }
}

fn folder(args: &args::Folder) -> Result<PathBuf, Failure> {
    match &args.dir {
        Some(path) => Ok(path.clone()),
        None => Ok(context::home_folder()?.join("dev")),
    }
}

/// The cluster of the folder, which is made when it is missing; and whether it was made now.
fn open_or_create(shape: &args::Shape) -> Result<(Cluster, bool, Lock), Failure> {
    let directory = folder(&shape.folder)?;
    if provision::exists(&directory) {
        let lock = Lock::take(&directory)?;
        let cluster = Cluster::open(&directory)?;
        check_shape(&cluster, shape)?;
        return Ok((cluster, false, lock));
    }
    provision::check_free(&directory)?;
    let count = |given: Option<usize>, default| given.unwrap_or(default);
    let (servers, nodes) = (count(shape.servers, SERVERS_DEFAULT), count(shape.nodes, NODES_DEFAULT));
    let plan = Plan::local(servers, nodes, shape.base_port.unwrap_or(BASE_PORT_DEFAULT));
    let mut plan = Plan { context: CONTEXT.to_owned(), ..plan.map_err(provision::Error::from)? };
    // Who stops a cluster on a laptop wants nothing of it to go on.
    plan.nodes.iter_mut().for_each(|node| node.stop_sandboxes_on_exit = true);
    let lock = Lock::take(&directory)?;
    Ok((provision::create(&directory, &plan)?, true, lock))
}

/// A folder's size cannot be changed by starting it otherwise.
fn check_shape(cluster: &Cluster, shape: &args::Shape) -> Result<(), Failure> {
    let plan = cluster.plan();
    let other = |has: String, wanted: String| {
        Err(dev::Error::OtherShape { directory: cluster.directory().to_owned(), has, wanted }.into())
    };
    if !cluster.is_local() {
        return other("servers on other machines".to_owned(), "all of them on this one".to_owned());
    }
    if let Some(wanted) = shape.servers.filter(|wanted| *wanted != plan.servers.len()) {
        return other(format!("{} servers", plan.servers.len()), wanted.to_string());
    }
    if let Some(wanted) = shape.nodes.filter(|wanted| *wanted != plan.nodes.len()) {
        return other(format!("{} nodes", plan.nodes.len()), wanted.to_string());
    }
    let first = plan.servers[0].api.rsplit_once(':').map_or("", |(_, port)| port);
    match shape.base_port.filter(|wanted| wanted.to_string() != first) {
        Some(wanted) => other(format!("ports from {first} on"), wanted.to_string()),
        None => Ok(()),
    }
}

fn init(shape: &args::Shape) -> Result<Exit, Failure> {
    let (cluster, fresh, _lock) = open_or_create(shape)?;
    let word = if fresh { "made" } else { "already there" };
    terminal::note(&format!("cluster {} {word} in {}", cluster.plan().cluster_id, cluster.directory().display()));
    Ok(Exit::Ok)
}

async fn down(args: &args::Folder) -> Result<Exit, Failure> {
    let directory = folder(args)?;
    let cluster = Cluster::open(&directory)?;
    let _lock = Lock::take(&directory)?;
    let stopped = terminal::waiting("stopping", dev::stop(&cluster)).await?;
    terminal::note(&stopped_text(&stopped));
    Ok(Exit::Ok)
}

fn stopped_text(stopped: &[dev::Stopped]) -> String {
    if stopped.is_empty() {
        return "nothing was running".to_owned();
    }
    let name = |stopped: &dev::Stopped| format!("{}{}", stopped.name, if stopped.killed { " (killed)" } else { "" });
    format!("stopped {}", stopped.iter().map(name).collect::<Vec<_>>().join(", "))
}

async fn status(args: &args::Folder) -> Result<Exit, Failure> {
    let cluster = Cluster::open(&folder(args)?)?;
    let members = dev::members(&cluster)?;
    let mut rows = Vec::new();
    let mut all_well = true;
    for member in &members {
        let health = health(member).await;
        all_well &= member.pid.is_some() && matches!(health, None | Some(Health::Ready));
        rows.push(status_row(member, health));
    }
    terminal::print(&output::plain(&["NAME", "PID", "STATE", "HTTP", "LOG"], &rows));
    Ok(if all_well { Exit::Ok } else { Exit::Failed })
}

async fn health(member: &Member) -> Option<Health> {
    match (&member.http, member.pid) {
        (Some(http), Some(_)) => Some(dev::ready(http).await),
        _ => None,
    }
}

fn status_row(member: &Member, health: Option<Health>) -> Vec<String> {
    let state = match (member.pid, health) {
        (None, _) => "stopped".to_owned(),
        (Some(_), None) => "running".to_owned(),
        (Some(_), Some(Health::Ready)) => "ready".to_owned(),
        (Some(_), Some(Health::NotReady(reason))) => format!("not ready ({reason})"),
        (Some(_), Some(Health::Silent(reason))) => format!("silent ({reason})"),
    };
    let pid = member.pid.map_or_else(String::new, |pid| pid.to_string());
    let http = member.http.clone().unwrap_or_default();
    vec![member.name.clone(), pid, state, http, member.log_path().display().to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(directory: &std::path::Path) -> args::Shape {
        let folder = args::Folder { dir: Some(directory.to_owned()) };
        args::Shape { folder, servers: Some(1), nodes: Some(0), base_port: Some(17_400) }
    }

    #[test]
    fn a_folder_is_made_once_and_then_used_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let first = open_or_create(&shape(directory.path())).unwrap();
        assert!(first.1);
        drop(first.2);
        let second = open_or_create(&shape(directory.path())).unwrap();
        assert!(!second.1);
        assert_eq!(first.0.plan(), second.0.plan());
    }

    #[test]
    fn another_size_or_port_than_the_folder_has_is_a_conflict() {
        let directory = tempfile::tempdir().unwrap();
        drop(open_or_create(&shape(directory.path())).unwrap());
        let changes: [fn(&mut args::Shape); 3] =
            [|it| it.servers = Some(3), |it| it.nodes = Some(1), |it| it.base_port = Some(7_400)];
        for change in changes {
            let mut other = shape(directory.path());
            change(&mut other);
            assert_eq!(open_or_create(&other).unwrap_err().exit, Exit::Conflict);
        }
    }

    #[test]
    fn what_was_killed_is_told_apart() {
        let stopped = |name: &str, killed| dev::Stopped { name: name.to_owned(), killed };
        assert_eq!(stopped_text(&[stopped("a", false), stopped("b", true)]), "stopped a, b (killed)");
        assert_eq!(stopped_text(&[]), "nothing was running");
    }
}
