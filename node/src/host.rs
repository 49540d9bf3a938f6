//! What this machine is and has, from /proc and the kernel. Knows nothing of clusters.

use std::{
    fs,
    net::{IpAddr, ToSocketAddrs, UdpSocket},
    path::Path,
};

use boss_proto::{quantity, v1};

use crate::sandbox::proc_stat;

/// Who this machine is.
#[must_use]
pub fn info() -> v1::NodeInfo {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    v1::NodeInfo {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: text(uname.release()),
        operating_system: operating_system(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        architecture: text(uname.machine()),
        boot_id: proc_stat::boot_id(),
        hostname: text(uname.nodename()),
    }
}

/// What this machine has; `disk` is that of the file system that `state_dir` is on.
#[must_use]
pub fn capacity(state_dir: &Path) -> v1::ResourceList {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = memory_total_bytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default()).unwrap_or(0);
    let disk = rustix::fs::statvfs(state_dir).map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
    v1::ResourceList {
        cpu: cores.to_string(),
        memory: quantity::Bytes(memory).to_string(),
        disk: quantity::Bytes(disk).to_string(),
        ephemeral_storage: quantity::Bytes(disk).to_string(),
        ..v1::ResourceList::default()
    }
}

/// The address by which this machine reaches the first of `servers` that has a route. Sends nothing.
#[must_use]
pub fn address_towards<'a>(servers: impl IntoIterator<Item = &'a str>) -> Option<IpAddr> {
    servers.into_iter().find_map(|server| {
        let target = server.to_socket_addrs().ok()?.next()?;
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(target).ok()?;
        Some(socket.local_addr().ok()?.ip())
    })
}

fn operating_system(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

fn memory_total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something() {
        let capacity = capacity(Path::new("/"));
        let amounts = quantity::Amounts::try_from(&capacity).unwrap();
        assert!(amounts.cpu.0 >= 1_000 && amounts.memory.0 > 0 && amounts.disk.0 > 0, "{capacity:?}");
        let info = info();
        assert!(!info.kernel.is_empty() && !info.architecture.is_empty());
    }

    #[test]
    fn texts_of_the_kernel_are_read() {
        assert_eq!(memory_total_bytes("MemTotal:       16 kB\nMemFree: 1 kB\n"), Some(16_384));
        assert_eq!(memory_total_bytes(""), None);
        assert_eq!(operating_system("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
    }

    #[test]
    fn the_way_to_a_loopback_server_is_loopback() {
        assert!(address_towards(["nonsense", "127.0.0.1:1"]).unwrap().is_loopback());
    }
}
