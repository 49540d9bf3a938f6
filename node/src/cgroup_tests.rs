//! Layouts of machines and what is written where.

use super::*;

fn limits() -> Limits {
    Limits {
        cpu_millis_max: Some(500),
        cpu_millis_requested: Some(250),
        memory_bytes_max: Some(1 << 20),
        tasks_max: Some(7),
    }
}

fn files(groups: &[Group]) -> Vec<String> {
    let file = |group: &Group, (name, value): &(String, String)| format!("{}/{name}={value}", group.dir.display());
    groups.iter().flat_map(|group| group.settings.iter().map(move |setting| file(group, setting))).collect()
}

#[test]
fn mounts_and_own_groups_are_found() {
    let mounts = parse_mounts(
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
         34 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
         35 31 0:32 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n",
    );
    assert_eq!(mounts.len(), 2);
    assert_eq!(mounts[0].point, Path::new("/sys/fs/cgroup/memory"));
    assert_eq!((&mounts[1].version, &*mounts[1].options), (&Version::V2, "rw"));
    let own = "4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/d\n";
    assert_eq!(own_path(own, "memory"), Some("/a/b"));
    assert_eq!(own_path(own, "cpu"), Some("/c"));
    assert_eq!(own_path(own, ""), Some("/d"));
    assert_eq!(own_path(own, "pids"), None);
}

#[test]
fn v1_makes_a_group_per_controller() {
    let layout = Layout {
        v1: vec![(Controller::Cpu, "/c".into()), (Controller::Memory, "/m".into())],
        v2: Some(("/u".into(), vec![])),
    };
    let wanted = [
        "/c/s/cpu.cfs_period_us=100000",
        "/c/s/cpu.cfs_quota_us=50000",
        "/c/s/cpu.shares=256",
        "/m/s/memory.limit_in_bytes=1048576",
    ];
    assert_eq!(files(&layout.plan("s", &limits())), wanted);
    assert_eq!(layout.missing(&limits()), [Controller::Pids]);
    assert!(layout.plan("s", &Limits::default()).is_empty());
}

#[test]
fn v2_makes_one_group_and_leaves_to_v1_what_v1_has() {
    let layout = Layout { v1: vec![(Controller::Cpu, "/c".into())], v2: Some(("/u".into(), Controller::ALL.into())) };
    let groups = layout.plan("s", &Limits { cpu_millis_requested: None, ..limits() });
    let wanted =
        ["/c/s/cpu.cfs_period_us=100000", "/c/s/cpu.cfs_quota_us=50000", "/u/s/memory.max=1048576", "/u/s/pids.max=7"];
    assert_eq!(files(&groups), wanted);
    assert_eq!(groups[1].join, "cgroup.procs");
}

#[test]
fn a_machine_without_groups_plans_nothing_and_says_so() {
    assert!(Layout::default().plan("s", &limits()).is_empty());
    assert_eq!(Layout::default().missing(&limits()), Controller::ALL);
}
