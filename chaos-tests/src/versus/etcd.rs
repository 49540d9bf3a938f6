//! Three etcd members on this machine, with TLS both ways to clients and to each other. Decides nothing about the load.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use boss_base::{
    pki::{CertificateAuthority, IssuedCert, Subject},
    tls::{Identity, Pem},
};
use nix::sys::signal::Signal;

use super::etcd_api::{Caller, connect};
use crate::{
    cluster::PATIENCE,
    ports::{self, Port},
    proc,
    process::Process,
    run_folder::{self, RunFolder},
    wait,
};

const MEMBERS: usize = 3;
const LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// One million puts with their history are 0.8 GB; the default of 2 GiB would make longer runs read-only.
const QUOTA_BYTES: u64 = 8 * 1024 * 1024 * 1024;

struct Member {
    name: String,
    client: Port,
    peer: Port,
    process: Option<Process>,
}

/// A running etcd cluster.
pub(super) struct Etcd {
    members: Vec<Member>,
    identity: Identity,
    folder: RunFolder,
}

/// Refuses with what to install when there is no etcd.
pub(super) fn check_installed() -> Result<(), String> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("etcd").is_file()));
    if found { Ok(()) } else { Err("no etcd in PATH; on Debian: apt-get install etcd-server".to_owned()) }
}

impl Etcd {
    /// Starts it and waits until every member answers a linearizable read.
    pub(super) async fn start() -> Self {
        let folder = RunFolder::create().unwrap_or_else(|error| panic!("no folder for the run: {error}"));
        let identity = write_certificates(&folder.path().join("tls"));
        let port = || ports::take(&run_folder::root().join("ports")).unwrap_or_else(|error| panic!("{error}"));
        let member = |index| Member { name: format!("etcd-{index}"), client: port(), peer: port(), process: None };
        let mut etcd = Self { members: (1..=MEMBERS).map(member).collect(), identity, folder };
        etcd.start_all().await;
        etcd
    }

    /// Starts what is down and waits until every member answers a linearizable read.
    pub(super) async fn start_all(&mut self) {
        for index in 0..self.members.len() {
            self.start_member(index);
        }
        for index in 0..self.members.len() {
            self.wait_for(index).await;
        }
    }

    /// Starts all members and returns as soon as one of them answers a linearizable read of `key`.
    pub(super) async fn restart_until_read(&mut self, key: &str) {
        for index in 0..self.members.len() {
            self.start_member(index);
        }
        let looks = (0..self.members.len()).map(|index| Box::pin(self.wait_for_key(index, key)));
        futures_util::future::select_all(looks).await;
    }

    pub(super) fn kill_all(&mut self) {
        for member in &self.members {
            member.process.iter().for_each(|process| process.signal(Signal::SIGKILL));
        }
        self.members.iter_mut().for_each(|member| member.process = None);
    }

    pub(super) fn pids(&self) -> Vec<i32> {
        self.members.iter().filter_map(|member| Some(member.process.as_ref()?.id().pid)).collect()
    }

    /// Where the members keep their data.
    pub(super) fn data(&self) -> Vec<PathBuf> {
        self.members.iter().map(|member| self.folder.path().join(&member.name)).collect()
    }

    /// The member that leads, counted from 0.
    async fn leader(&self) -> usize {
        for index in 0..self.members.len() {
            if Caller::new(self.channel(index), 1).leads().await == Ok(true) {
                return index;
            }
        }
        panic!("no member of etcd says that it leads");
    }

    /// One caller for each client, over `connections` connections spread over the members, the leader first.
    pub(super) async fn callers(&self, clients: usize, connections: usize) -> Vec<Caller> {
        let leader = self.leader().await;
        let channel = |index: usize| self.channel((leader + index) % self.members.len());
        let channels: Vec<_> = (0..connections).map(channel).collect();
        let seed = rand::random::<u64>();
        let caller = |index: usize| {
            Caller::new(
                channels[index % connections].clone(),
                seed ^ (index as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93),
            )
        };
        (0..clients).map(caller).collect()
    }

    fn channel(&self, index: usize) -> tonic::transport::Channel {
        let address = format!("127.0.0.1:{}", self.members[index].client.number());
        connect(&address, &self.identity).unwrap_or_else(|error| panic!("no connection to {address}: {error}"))
    }

    fn start_member(&mut self, index: usize) {
        if self.members[index].process.is_some() {
            return;
        }
        let mut command = self.command(index);
        let log = self.folder.log(&self.members[index].name);
        let mut output = OpenOptions::new().create(true).append(true).open(&log).expect("the log can be opened");
        writeln!(output, "==== start").expect("the log can be written");
        command.stdin(std::process::Stdio::null());
        command.stdout(output.try_clone().expect("a descriptor is free")).stderr(output);
        let process = Process::spawn(&mut command);
        self.members[index].process = Some(process.unwrap_or_else(|error| panic!("etcd does not start: {error}")));
    }

    fn command(&self, index: usize) -> Command {
        let member = &self.members[index];
        let url = |port: &Port| format!("https://127.0.0.1:{}", port.number());
        let peers: Vec<String> = self.members.iter().map(|it| format!("{}={}", it.name, url(&it.peer))).collect();
        let tls = self.folder.path().join("tls");
        let mut command = Command::new("etcd");
        command.env(proc::RUN_VARIABLE, self.folder.path());
        command.args(["--name", &member.name, "--initial-cluster", &peers.join(","), "--logger", "zap"]);
        command.arg("--data-dir").arg(self.folder.path().join(&member.name));
        command.args(["--listen-client-urls", &url(&member.client), "--advertise-client-urls", &url(&member.client)]);
        command.args(["--listen-peer-urls", &url(&member.peer), "--initial-advertise-peer-urls", &url(&member.peer)]);
        command.args(["--quota-backend-bytes", &QUOTA_BYTES.to_string(), "--log-level", "warn"]);
        for role in ["", "peer-"] {
            command.arg(format!("--{role}client-cert-auth"));
            for (option, file) in [("cert-file", "own.crt"), ("key-file", "own.key"), ("trusted-ca-file", "ca.crt")] {
                command.arg(format!("--{role}{option}")).arg(tls.join(file));
            }
        }
        command
    }

    async fn wait_for(&self, index: usize) {
        let name = &self.members[index].name;
        let mut caller = Caller::new(self.channel(index), 1);
        let answered = wait::until(format!("{name} answers"), PATIENCE, async || {
            caller.put("probe".into(), "x".into()).await.map_err(|failed| failed.0)
        });
        answered.await.unwrap_or_else(|error| panic!("{error}\n{}", self.folder.log_tails(20)));
        self.wait_for_key(index, "probe").await;
    }

    async fn wait_for_key(&self, index: usize, key: &str) {
        let mut caller = Caller::new(self.channel(index), 1);
        let what = format!("{} answers a read", self.members[index].name);
        let read = wait::until(what, PATIENCE, async || {
            caller.get(key.to_owned().into(), false).await.map_err(|failed| failed.0)
        });
        read.await.unwrap_or_else(|error| panic!("{error}\n{}", self.folder.log_tails(20)));
    }
}

/// One certificate for all members and clients: etcd asks only that the authority vouches for it.
fn write_certificates(folder: &Path) -> Identity {
    let authority = CertificateAuthority::generate("etcd").unwrap_or_else(|error| panic!("{error}"));
    let subject = Subject {
        common_name: "etcd".to_owned(),
        dns_names: vec!["localhost".to_owned()],
        ip_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        server_auth: true,
        client_auth: true,
        lifetime: LIFETIME,
        ..Subject::default()
    };
    let IssuedCert { cert_pem, key_pem } = authority.issue(&subject).unwrap_or_else(|error| panic!("{error}"));
    let ca = authority.cert_pem().to_owned();
    fs::create_dir_all(folder).expect("the run's folder can be written");
    for (file, text) in [("own.crt", &cert_pem), ("own.key", &key_pem), ("ca.crt", &ca)] {
        fs::write(folder.join(file), text).expect("the run's folder can be written");
    }
    let own = Some((cert_pem.into_bytes(), key_pem.into_bytes()));
    Identity::from_pem(Pem { own, ca: ca.into_bytes() }).unwrap_or_else(|error| panic!("{error}"))
}
