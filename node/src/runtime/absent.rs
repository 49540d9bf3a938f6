//! Classes that this build cannot run. Each looks for its backend and says what is missing: an unhealthy provider
//! with its reason, not an error.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use boss_proto::{intent::SandboxClass, v1};

/// What this node reports of the classes it cannot run.
#[must_use]
pub fn probe_all() -> Vec<v1::Provider> {
    probe_in(env::var_os("PATH").unwrap_or_default(), Path::new("/dev/kvm"))
}

fn probe_in(path: OsString, kvm: &Path) -> Vec<v1::Provider> {
    let find = |programs: &[&str]| find_program(&path, programs);
    let driver = |class: SandboxClass, programs: &[&str]| match find(programs) {
        Some(program) => format!("found {}, but this build of boss-node cannot drive it yet", program.display()),
        None => format!("none of {} is in the PATH of the agent; {class} sandboxes need one", programs.join(", ")),
    };
    let container = driver(SandboxClass::Container, &["runc", "crun", "youki", "docker", "podman"]);
    let microvm = driver(SandboxClass::Microvm, &["firecracker", "cloud-hypervisor", "qemu-system-x86_64"]);
    let vm = driver(SandboxClass::Vm, &["qemu-system-x86_64", "virsh"]);
    vec![
        unhealthy(SandboxClass::Container, container),
        unhealthy(SandboxClass::Wasm, "this build of boss-node has no wasm engine".to_owned()),
        unhealthy(SandboxClass::Microvm, format!("{microvm}; {}", describe_kvm(kvm))),
        unhealthy(SandboxClass::Vm, format!("{vm}; {}", describe_kvm(kvm))),
        unhealthy(SandboxClass::Remote, "no remote endpoint is configured".to_owned()),
    ]
}

fn unhealthy(class: SandboxClass, reason: String) -> v1::Provider {
    v1::Provider {
        name: class.to_string(),
        classes: vec![class.to_string()],
        healthy: false,
        reason,
        ..v1::Provider::default()
    }
}

fn describe_kvm(kvm: &Path) -> String {
    match std::fs::File::options().read(true).write(true).open(kvm) {
        Ok(_) => format!("{} can be opened", kvm.display()),
        Err(error) => format!("{}: {error}", kvm.display()),
    }
}

fn find_program(path: &OsString, programs: &[&str]) -> Option<PathBuf> {
    let candidates = env::split_paths(path).flat_map(|dir| programs.iter().map(move |program| dir.join(program)));
    candidates
        .into_iter()
        .find(|candidate| candidate.is_file() && rustix::fs::access(candidate, rustix::fs::Access::EXEC_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn every_class_but_process_is_reported_with_a_reason() {
        let found = probe_in(OsString::new(), Path::new("/nowhere"));
        assert_eq!(found.len(), SandboxClass::ALL.len() - 1);
        for provider in &found {
            assert!(!provider.healthy && !provider.reason.is_empty(), "{provider:?}");
        }
        assert!(found[0].reason.contains("none of runc, crun"), "{}", found[0].reason);
        assert!(found[2].reason.contains("/nowhere: No such file"), "{}", found[2].reason);
    }

    #[test]
    fn a_backend_that_is_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let runc = dir.path().join("runc");
        fs::write(&runc, "").unwrap();
        let reason = || probe_in(dir.path().as_os_str().to_owned(), Path::new("/nowhere"))[0].reason.clone();
        assert!(reason().starts_with("none of"), "a file that cannot be executed is no backend");
        fs::set_permissions(&runc, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(reason().starts_with(&format!("found {}", runc.display())), "{}", reason());
    }
}
