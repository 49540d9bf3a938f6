//! What a join leaves in a folder, and what it refuses to touch.

use std::os::unix::fs::PermissionsExt;

use boss_base::pki::CertificateAuthority;

use super::*;

fn server() -> Server {
    Server {
        listen_as_advertised: false,
        name: "new".to_owned(),
        api: "10.0.0.4:7400".to_owned(),
        peer: "10.0.0.4:7401".to_owned(),
        http: "127.0.0.1:7402".to_owned(),
        ..Server::local(4, [1, 2, 3])
    }
}

fn finish(joining: Joining) -> PathBuf {
    let authority = CertificateAuthority::generate("test").unwrap();
    let ca = pki::certificate_der(authority.cert_pem()).unwrap();
    let subject = pki::Subject { lifetime: std::time::Duration::from_secs(60), ..pki::Subject::default() };
    let certificate_pem = authority.sign(joining.certificate_request(), &subject).unwrap();
    let token = JoinTokenContents { cluster_id: "c1".to_owned(), ca: ca.into(), ..JoinTokenContents::default() };
    let member =
        Member { id: 1, name: "s1".into(), api_address: "a:1".into(), peer_address: "a:2".into(), voter: true };
    let answer = JoinResponse {
        server_id: 4,
        certificate_pem,
        members: vec![member],
        token_keys: vec!["one".to_owned(), "two".to_owned()],
        profile: "fast".to_owned(),
        change_number: 1,
    };
    joining.finish(&Welcome { token: &token, answer: &answer, server: &server(), sealing_keys: None }).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_joined_server_has_a_complete_folder_with_a_key_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let config = finish(Joining::begin(directory.path(), "new").unwrap());
    let tls = directory.path().join("tls");
    assert_eq!(names(&tls), ["ca.crt", "server.crt", "server.key", "token-2.pub", "token.pub"]);
    let mode = fs::metadata(tls.join("server.key")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let table: toml::Table = fs::read_to_string(config).unwrap().parse().unwrap();
    assert_eq!(table["id"].as_integer(), Some(4));
    assert_eq!(table["raft"]["profile"].as_str(), Some("fast"));
    assert_eq!(table["listen"]["api"].as_str(), Some("0.0.0.0:7400"));
    let ids: Vec<_> = table["members"].as_array().unwrap().iter().filter_map(|m| m["id"].as_integer()).collect();
    assert_eq!(ids, [1, 4]);
    assert!(!table.contains_key("pki"), "the authority's key does not travel");
}

#[test]
fn an_attempt_without_an_answer_is_taken_up_with_the_same_request() {
    let directory = tempfile::tempdir().unwrap();
    let first = Joining::begin(directory.path(), "new").unwrap();
    let second = Joining::begin(directory.path(), "new").unwrap();
    assert_eq!(first.certificate_request(), second.certificate_request());
    // It was refused: what the earlier attempt may have been let in with stays.
    second.discard();
    assert_eq!(names(&directory.path().join("tls")), ["server.csr", "server.key"]);
    finish(first);
}

#[test]
fn a_refused_attempt_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("deep/er");
    Joining::begin(&folder, "new").unwrap().discard();
    assert_eq!(names(directory.path()), Vec::<String>::new());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mine"), "x").unwrap();
    Joining::begin(&folder, "new").unwrap().discard();
    assert_eq!(names(&folder), ["mine"]);
}

#[test]
fn a_folder_with_anything_of_a_server_is_refused_and_not_touched() {
    for taken in ["server.toml", "data/log", "tls/server.key", "tls/other.crt"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(taken);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let refused = Joining::begin(directory.path(), "new").err().unwrap();
        assert!(matches!(&refused, Error::InUse { .. }), "{taken}: {refused}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(names(directory.path()).len(), 1);
    }
}
