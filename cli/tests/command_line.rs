//! What `bossctl` says and how it exits where no cluster is needed.
#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it set it up")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

/// Nothing listens there.
const NOBODY: &str = "127.0.0.1:1";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bossctl"));
        command.env_clear().env("HOME", self.0.path()).env("PATH", "/usr/bin:/bin").args(arguments);
        command.output().unwrap()
    }

    /// The exit code is this one, and the complaint has these words.
    fn check(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{arguments:?}: {word:?} is not in {text}"));
    }

    /// A cluster's folder whose context is the current one; its servers do not run.
    fn with_cluster() -> Self {
        let place = Self::new();
        let server = format!("a=127.0.0.1:2,{NOBODY}");
        place.check(&["cluster", "init", "--dir", &place.path("c"), "--server", &server, "--node", "n"], 0, &[]);
        fs::create_dir(place.path(".boss")).unwrap();
        let context = fs::read_to_string(place.path("c/bossctl.toml")).unwrap().replace("pki/", "../c/pki/");
        fs::write(place.path(".boss/config"), context).unwrap();
        set_mode(&place.path(".boss/config"), 0o600);
        place
    }
}

fn set_mode(path: &str, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn wrong_usage_and_input_exit_with_2() {
    let place = Place::with_cluster();
    place.check(&[], 2, &["Usage"]);
    place.check(&["gett"], 2, &["gett"]);
    place.check(&["get", "pots"], 2, &["pots", "one of", "pods"]);
    place.check(&["get", "pod", "Bad_Name"], 2, &["Bad_Name"]);
    place.check(&["get", "pods", "--token", "secret"], 2, &["--token"]);
    place.check(&["delete", "pods"], 2, &["no name"]);
    place.check(&["apply", "-f", &place.path("missing.yaml")], 2, &["missing.yaml", "no such file"]);
    place.check(&["--server", "nonsense", "get", "pods"], 2, &["nonsense", "host:port"]);
    place.check(&["cluster", "init", "--dir", &place.path("x"), "--server", "a"], 2, &["NAME=PEER"]);
    place.check(&["cluster", "init", "--dir", &place.path("x"), "--server", "A=b:1,b:2"], 2, &["\"A\""]);
    assert!(!Path::new(&place.path("x")).exists());
}

#[test]
fn a_bad_manifest_is_refused_with_file_document_and_path() {
    let place = Place::with_cluster();
    let file = place.path("pod.yaml");
    for (text, words) in [
        ("apiVersion: boss.dev/v1\nkind: Pod\nmetadata: { name: 5 }", ["document 1", "metadata.name"]),
        ("apiVersion: boss.dev/v1\nkind: Pod\nspec: { contaners: [] }", ["spec.contaners", "did you mean containers?"]),
        ("apiVersion: boss.dev/v1\nkind: Pot", ["kind", "Pod"]),
        ("apiVersion: boss.dev/v9\nkind: Pod", ["apiVersion", "boss.dev/v1"]),
        ("a: [", ["line 1", "document 1"]),
        ("# nothing", ["pod.yaml", "no object"]),
    ] {
        fs::write(&file, text).unwrap();
        place.check(&["apply", "-f", &file], 2, &words);
    }
}

#[test]
fn without_a_usable_context_nothing_is_asked() {
    let place = Place::new();
    place.check(&["get", "pods"], 2, &[".boss/config", "try:"]);
    let place = Place::with_cluster();
    place.check(&["--context", "other", "get", "pods"], 3, &["other", "boss"]);
    set_mode(&place.path(".boss/config"), 0o644);
    place.check(&["get", "pods"], 1, &["other users", "chmod 600"]);
    set_mode(&place.path(".boss/config"), 0o600);
    set_mode(&place.path("c/pki/admin.token"), 0o640);
    place.check(&["get", "pods"], 1, &["admin.token", "chmod 600"]);
    fs::write(place.path(".boss/config"), "current = [").unwrap();
    place.check(&["get", "pods"], 2, &[".boss/config"]);
}

#[test]
fn servers_that_do_not_answer_exit_with_5() {
    let place = Place::with_cluster();
    place.check(&["--timeout", "1s", "get", "pods"], 5, &["cannot list pods", NOBODY]);
    place.check(&["--timeout", "1s", "whoami"], 5, &["try:"]);
}

#[test]
fn contexts_are_kept_in_a_private_file() {
    let place = Place::with_cluster();
    let (ca, token) = (place.path("c/pki/ca.crt"), place.path("c/pki/admin.token"));
    place.check(&["context", "set", "two", "--server", NOBODY, "--ca", &ca, "--token-file", &token], 0, &[]);
    place.check(&["context", "use", "two"], 0, &["two"]);
    assert_eq!(place.run(&["context", "current"]).stdout, b"two\n");
    let list = String::from_utf8(place.run(&["context", "list"]).stdout).unwrap();
    assert_eq!(list.lines().count(), 3, "{list}");
    place.check(&["context", "use", "three"], 3, &["three"]);
    place.check(&["context", "delete", "two"], 0, &[]);
    place.check(&["context", "current"], 2, &["no context is chosen"]);
    let mode = fs::metadata(place.path(".boss/config")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn folders_that_are_something_else_are_left_alone() {
    let place = Place::new();
    let folder = place.path("dev");
    place.check(&["dev", "status", "--dir", &folder], 3, &["holds no cluster"]);
    fs::create_dir(&folder).unwrap();
    fs::write(place.path("dev/thesis.tex"), "x").unwrap();
    place.check(&["dev", "init", "--dir", &folder], 6, &["not empty"]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::write(place.path("dev/cluster.toml"), "format = 99\n").unwrap();
    place.check(&["dev", "init", "--dir", &folder], 6, &["99", "--dir"]);
    fs::write(place.path("dev/cluster.toml"), "form").unwrap();
    place.check(&["dev", "down", "--dir", &folder], 1, &["cluster.toml"]);
    place.check(&["dev", "init", "--dir", &place.path("new"), "--servers", "9"], 2, &["9 servers", "1 to 7"]);
    place.check(&["dev", "init", "--dir", &place.path("new"), "--base-port", "65530"], 2, &["65535"]);
    place.check(&["dev", "init", "--dir", &place.path("new")], 0, &[]);
    place.check(&["dev", "init", "--dir", &place.path("new")], 0, &["already there"]);
    place.check(&["dev", "init", "--dir", &place.path("new"), "--servers", "5"], 6, &["3 servers"]);
}

#[test]
fn a_token_can_be_made_from_a_clusters_folder() {
    let place = Place::with_cluster();
    let folder = place.path("c");
    let token = place.run(&["cluster", "token", "--dir", &folder, "--user", "eve"]);
    assert_eq!(token.stdout.iter().filter(|byte| **byte == b'.').count(), 2);
    let out = place.path("eve.token");
    place.check(&["cluster", "token", "--dir", &folder, "--user", "eve", "--out", &out], 0, &[]);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn completion_help_and_version_need_no_cluster() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(String::from_utf8(place.run(&["completion", shell]).stdout).unwrap().contains("bossctl"), "{shell}");
    }
    assert!(String::from_utf8(place.run(&["--help"]).stdout).unwrap().contains("Exit codes:"));
    let version = String::from_utf8(place.run(&["version", "--client"]).stdout).unwrap();
    assert_eq!(version, format!("client: {}\n", env!("CARGO_PKG_VERSION")));
}
