//! Every way in which a configuration can be wrong.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

fn valid(folder: &Path) -> String {
    for name in ["cert.pem", "key.pem", "ca.pem", "token.pem"] {
        fs::write(folder.join(name), "x").unwrap();
    }
    fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    r#"
id = 1
name = "server-1"
cluster_id = "c1"
data_dir = "data"
[listen]
api = "127.0.0.1:7400"
peer = "127.0.0.1:7401"
http = "127.0.0.1:7402"
[tls]
certificate = "cert.pem"
key = "key.pem"
ca = "ca.pem"
[tokens]
keys = ["token.pem"]
[raft]
profile = "fast"
[[members]]
id = 1
name = "server-1"
peer = "127.0.0.1:7401"
api = "127.0.0.1:7400"
"#
    .to_owned()
}

fn load(change: impl Fn(String) -> String, args: Args) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    fs::write(&file, change(valid(folder.path()))).unwrap();
    let args = Args { config: Some(file), ..args };
    Config::load(&args).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn check_problem(from: &str, to: &str, expected: &str) {
    let problems = load(|text| text.replacen(from, to, 1), Args::default()).unwrap_err();
    assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?} lacks {expected:?}");
}

#[test]
fn a_valid_file_is_read_with_paths_relative_to_it() {
    let config = load(|text| text, Args::default()).unwrap();
    assert_eq!(config.id, ServerId(1));
    assert!(config.data_dir.is_absolute() && config.data_dir.ends_with("data"));
    assert_eq!(config.profile, ElectionProfile::Fast);
    assert!(!config.initialize);
}

fn reserve(section: &str) -> Result<u64, Vec<String>> {
    let with_section = |text: String| text.replacen("[raft]", &format!("[disk]\n{section}\n[raft]"), 1);
    load(with_section, Args::default()).map(|config| config.disk_reserve_bytes)
}

#[test]
fn the_reserve_on_the_disk_is_read_in_mebibytes_within_its_bounds() {
    assert_eq!(load(|text| text, Args::default()).unwrap().disk_reserve_bytes, DISK_RESERVE_BYTES);
    assert_eq!(reserve(""), Ok(DISK_RESERVE_BYTES));
    assert_eq!(reserve("reserve_mib = 8"), Ok(8 << 20));
    assert_eq!(reserve(&format!("reserve_mib = {DISK_RESERVE_MIB_MAX}")), Ok(DISK_RESERVE_MIB_MAX << 20));
}

#[test]
fn a_reserve_out_of_bounds_or_of_another_type_is_refused_with_the_bounds() {
    let bounds = format!("disk.reserve_mib: must be 8 to {DISK_RESERVE_MIB_MAX}, not");
    let check = |section: &str, expected: &str| {
        let problems = reserve(section).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{section}: {problems:?}");
    };
    check("reserve_mib = 7", &format!("{bounds} 7"));
    check("reserve_mib = 0", &format!("{bounds} 0"));
    check(&format!("reserve_mib = {}", DISK_RESERVE_MIB_MAX + 1), &bounds);
    check("reserve_mib = -1", "disk.reserve_mib");
    check("reserve_mib = \"8\"", "disk.reserve_mib: must be a whole number, not a text");
    check("reserve_bytes = 8", "disk.reserve_bytes: is no key");
}

fn log(lines: &str) -> Result<LogBounds, Vec<String>> {
    load(|text| text.replacen("[raft]", &format!("[raft]\n{lines}"), 1), Args::default()).map(|config| config.log)
}

#[test]
fn bounds_of_the_log_are_read_and_those_that_make_no_sense_are_refused_with_the_bounds() {
    assert_eq!(log(""), Ok(LogBounds::default()));
    let small = LogBounds { snapshot_every_entries: 1_000, keep_entries: 0 };
    assert_eq!(log("snapshot_every_entries = 1000\nkeep_entries = 0"), Ok(small));
    let refused = log("snapshot_every_entries = 999\nkeep_entries = 10000001").unwrap_err();
    assert!(refused[0].contains("raft.snapshot_every_entries: must be 1000 to 10000000, not 999"), "{refused:?}");
    assert!(refused[1].contains("raft.keep_entries: must be 0 to 10000000, not 10000001"), "{refused:?}");
}

#[test]
fn flags_win_over_the_file() {
    let args = Args { bind: Some("127.0.0.1:9000".into()), profile: Some("slow-disk".into()), ..Args::default() };
    let config = load(|text| text, args).unwrap();
    assert_eq!(config.listen.api.port(), 9000);
    assert_eq!(config.profile, ElectionProfile::SlowDisk);
}

#[test]
fn each_mistake_is_named_with_its_key() {
    check_problem("id = 1", "id = \"one\"", "id: must be a whole number, not a text");
    check_problem("id = 1", "id = 0", "id: must be 1 or more");
    check_problem("id = 1", "id = 7", "id: 7 is not among the members");
    check_problem("name = \"server-1\"", "", "name: is missing");
    check_problem("cluster_id = \"c1\"", "cluster_id = \"\"", "cluster_id: is empty");
    check_problem("data_dir = \"data\"", "", "data_dir: is missing");
    check_problem("127.0.0.1:7401", "127.0.0.1:7400", "listen.peer: is the same address as listen.api");
    check_problem("127.0.0.1:7400", "nowhere", "listen.api: \"nowhere\" is no address");
    check_problem("cert.pem", "absent.pem", "tls.certificate:");
    check_problem("token.pem", "absent.pem", "tokens.keys[0]:");
    check_problem("keys = [\"token.pem\"]", "keys = [3]", "tokens.keys[0]: must be a text");
    check_problem("profile = \"fast\"", "reads = \"guess\"", "raft.reads: \"guess\" is no way to confirm reads");
    check_problem("\"fast\"", "\"hasty\"", "raft.profile: \"hasty\" is no election profile");
    check_problem("[raft]", "[log]\nformat = \"xml\"\n[raft]", "log.format: \"xml\" is no log format");
    check_problem("[raft]", "[raft]\nspeed = 3", "raft.speed: is no key");
    check_problem("[raft]", "[extra]\n[raft]", "extra: is no key");
    check_problem("peer = \"127.0.0.1:7401\"\napi", "peer = \"x\"\napi", "members[0].peer: must be HOST:PORT");
    check_problem("[listen]", "listen = 3\n[l]", "listen: must be a table, not a whole number");
    check_problem("[listen]", "[listen", "is not TOML");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let broken = |text: String| {
        text.replace("\"fast\"", "\"hasty\"").replace("cert.pem", "absent.pem").replace("id = 1", "id = 9")
    };
    let problems = load(broken, Args::default()).unwrap_err();
    assert!(problems.len() >= 2, "{problems:?}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    fs::write(&file, valid(folder.path())).unwrap();
    fs::set_permissions(folder.path().join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let problems = Config::load(&Args { config: Some(file), ..Args::default() }).unwrap_err();
    assert!(problems[0].to_string().contains("mode 644"), "{problems:?}");
}

#[test]
fn a_missing_file_is_one_clear_problem() {
    let problems =
        Config::load(&Args { config: Some("/nonexistent/server.toml".into()), ..Args::default() }).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].reason.starts_with("cannot be read"));
    assert_eq!(Config::load(&Args::default()).unwrap_err()[0].at, "--config");
}

fn with_provider(section: &str) -> Result<Config, Vec<String>> {
    load(|text| format!("{text}\n[auth.oidc]\nkeys = \"token.pem\"\n{section}"), Args::default())
}

#[test]
fn a_provider_of_identities_has_defaults_that_let_no_name_be_ours() {
    assert_eq!(load(|text| text, Args::default()).unwrap().oidc, None);
    let oidc = with_provider("issuer = \"https://id\"\nclient_id = \"boss\"").unwrap().oidc.unwrap();
    assert_eq!((&*oidc.prefix, &*oidc.user_claim, oidc.groups_claim), ("oidc:", "sub", None));
    assert_eq!(oidc.lifetime_max, Duration::from_secs(12 * 3_600));
    let check = |section: &str, expected: &str| {
        let problems = with_provider(&format!("issuer = \"i\"\nclient_id = \"c\"\n{section}")).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{section}: {problems:?}");
    };
    check("prefix = \"\"", "auth.oidc.prefix: is empty");
    check("prefix = \"system:\"", "auth.oidc.prefix: must end with a colon");
    check("prefix = \"x\"", "auth.oidc.prefix: must end with a colon");
    check("lifetime_seconds = 59", "auth.oidc.lifetime_seconds: must be 60 to");
    check("lifetime_seconds = 31536000", "auth.oidc.lifetime_seconds: must be 60 to");
    check("secret = \"s\"", "auth.oidc.secret: is no key");
    let problems = with_provider("").unwrap_err();
    assert!(problems.iter().any(|problem| problem.contains("auth.oidc.issuer: is missing")), "{problems:?}");
    check_problem("[raft]", "[auth]\nldap = 1\n[raft]", "auth.ldap: is no key");
}

#[test]
fn what_the_cluster_is_to_others_is_an_address_that_a_path_can_follow() {
    let issuer = |text: &'static str| {
        load(move |file| file.replacen("[tokens]", &format!("[tokens]\nissuer = \"{text}\""), 1), Args::default())
    };
    assert_eq!(issuer("https://boss.example/c1").unwrap().token_issuer.as_deref(), Some("https://boss.example/c1"));
    for bad in ["http://boss.example", "boss", "https://", "https://a/", "https://a?b", "https://a b"] {
        assert!(issuer(bad).unwrap_err()[0].contains("tokens.issuer"), "{bad}");
    }
}
