//! Tokens that servers sign: with a key of the registry, for whom the caller may speak for, and bound to what they say.

use boss_proto::v1::{
    CreateTokenRequest, CreateTokenResponse, KeySetRequest, ListRequest, TokenServiceAccount, TokenUser,
    create_token_request::Subject, tokens_client::TokensClient,
};
use tonic::{Code, Status, service::interceptor::InterceptedService, transport::Channel};

use crate::support::*;

fn tokens(cluster: &Cluster, index: usize, by: String) -> TokensClient<InterceptedService<Channel, Bearer>> {
    TokensClient::with_interceptor(cluster.channel(index, None), Bearer::new(Some(by)))
}

async fn ask(cluster: &Cluster, by: &str, subject: Subject) -> Result<CreateTokenResponse, Status> {
    let request = CreateTokenRequest { subject: Some(subject), ..Default::default() };
    tokens(cluster, 0, by.to_owned()).create(request).await.map(tonic::Response::into_inner)
}

/// Waits for the first key: it is published some seconds before it signs.
async fn signed(cluster: &Cluster, by: &str, subject: Subject) -> String {
    let token = std::cell::RefCell::new(String::new());
    eventually("a key that signs", || async {
        match ask(cluster, by, subject.clone()).await {
            Ok(answer) => {
                *token.borrow_mut() = answer.token;
                true
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                false
            }
        }
    })
    .await;
    token.into_inner()
}

fn account(pod_name: &str) -> Subject {
    let (namespace, name) = ("default".to_owned(), "bot".to_owned());
    Subject::ServiceAccount(TokenServiceAccount { namespace, name, pod_name: pod_name.into(), pod_uid: String::new() })
}

async fn list(cluster: &Cluster, index: usize, token: &str) -> Result<usize, Status> {
    let request = ListRequest { kind: "ConfigMap".into(), namespace: "default".into(), ..Default::default() };
    let mut registry = cluster.registry(index, Some(token.to_owned()));
    registry.list(request).await.map(|page| page.into_inner().items.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_s_token_acts_for_it_on_every_server_until_the_account_is_gone() {
    let cluster = Cluster::start(3).await;
    let (mut admin, by) = (cluster.admin(0), cluster.token("admin", &["system:admins"]));
    create(&mut admin, object("kind: ServiceAccount\nmetadata: {name: bot}")).await.unwrap();
    let binding = "kind: RoleBinding\nmetadata: {name: bot}\nroleRef: {kind: ClusterRole, name: view}\n\
                   subjects: [{kind: ServiceAccount, name: bot, namespace: default}]";
    create(&mut admin, object(binding)).await.unwrap();
    let token = signed(&cluster, &by, account("")).await;
    for index in 0..3 {
        eventually("the key at every server", || async { list(&cluster, index, &token).await.is_ok() }).await;
    }
    let keys = tokens(&cluster, 1, by).key_set(KeySetRequest {}).await.unwrap().into_inner().json;
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "the file's and the registry's: {keys}");
    assert!(
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key["x"].as_str().unwrap().len() == 43 && key.get("d").is_none())
    );
    delete(&mut admin, key("ServiceAccount", "default", "bot")).await.unwrap();
    for index in 0..3 {
        check_reason(list(&cluster, index, &token).await, "CREDENTIALS_REVOKED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_bound_to_a_pod_ends_with_it() {
    let cluster = Cluster::start(1).await;
    let (mut admin, by) = (cluster.admin(0), cluster.token("admin", &["system:admins"]));
    create(&mut admin, object("kind: ServiceAccount\nmetadata: {name: bot}")).await.unwrap();
    create(&mut admin, pod("p", "")).await.unwrap();
    assert_eq!(ask(&cluster, &by, account("none")).await.unwrap_err().code(), Code::NotFound);
    let token = signed(&cluster, &by, account("p")).await;
    assert_eq!(list(&cluster, 0, &token).await.unwrap_err().code(), Code::PermissionDenied, "known, without a right");
    delete(&mut admin, key("Pod", "default", "p")).await.unwrap();
    check_reason(list(&cluster, 0, &token).await, "CREDENTIALS_REVOKED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_token_for_whom_he_may_not_speak_for() {
    let cluster = Cluster::start(1).await;
    let (mut admin, by) = (cluster.admin(0), cluster.token("admin", &["system:admins"]));
    create(&mut admin, object("kind: ServiceAccount\nmetadata: {name: bot}")).await.unwrap();
    let eve = cluster.token("eve", &[]);
    let user = |name: &str, groups: &[&str]| {
        Subject::User(TokenUser { name: name.into(), groups: groups.iter().map(ToString::to_string).collect() })
    };
    for subject in [account(""), user("admin", &[]), user("eve", &["system:admins"])] {
        assert_eq!(ask(&cluster, &eve, subject).await.unwrap_err().code(), Code::PermissionDenied);
    }
    // Names that only Boss gives are nobody's to give.
    for subject in [user("system:node:n1", &[]), user("x", &["system:servers"])] {
        assert_eq!(ask(&cluster, &by, subject).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let token = signed(&cluster, &by, user("zoe", &["system:admins"])).await;
    assert_eq!(list(&cluster, 0, &token).await.unwrap(), 0);
}
