//! Join tokens: made, listed, revoked, and used as often as they may be. Pure but for what comes in.

use boss_base::constant_time;
use boss_proto::{
    ids::NodeName,
    labels,
    limits::{JOIN_TOKEN_USES_MAX, JOIN_TOKENS_MAX},
    v1::{ControlPlaneSpec, JoinNodeRequest, JoinRequest, JoinToken, Member, MembershipChange, NodeScope},
};

use super::plane::{Standing, Wanted, begin, timestamp};
use crate::{api::Error, certificates::approver};

/// Adds a token; the oldest that is of no use any more makes room.
pub(super) fn add(spec: &mut ControlPlaneSpec, token: JoinToken, now_ms: u64) -> Result<(), Error> {
    if spec.join_tokens.len() >= JOIN_TOKENS_MAX {
        let spent = spec.join_tokens.iter().position(|token| why_useless(token, now_ms).is_some());
        let Some(spent) = spent else {
            let problem = format!("there are {JOIN_TOKENS_MAX} join tokens that can still be used: revoke some");
            return Err(Error::Exhausted(problem));
        };
        spec.join_tokens.remove(spent);
    }
    spec.join_tokens.push(token);
    Ok(())
}

/// Makes the token useless from now on.
pub(super) fn revoke(spec: &mut ControlPlaneSpec, id: &str) -> Result<JoinToken, Error> {
    let token = spec.join_tokens.iter_mut().find(|token| token.id == id);
    let token = token.ok_or_else(|| Error::NotFound(format!("there is no join token {id}")))?;
    if token.server_id != 0 {
        return Err(Error::Precondition(format!("server {} has joined with it: remove that server", token.server_id)));
    }
    token.revoked = true;
    Ok(without_secret(token.clone()))
}

/// What others may see of a token.
pub(super) fn without_secret(token: JoinToken) -> JoinToken {
    JoinToken { secret_sha256: Default::default(), ..token }
}

/// What a token for nodes may say.
pub(super) fn check_scope(scope: &NodeScope) -> Result<(), Error> {
    let invalid = |field: &str, problem: String, hint: &str| Err(Error::invalid(field, problem, hint));
    if !(1..=JOIN_TOKEN_USES_MAX).contains(&scope.uses_max) {
        let problem = format!("is {}; from 1 to {JOIN_TOKEN_USES_MAX} is possible", scope.uses_max);
        return invalid("node.usesMax", problem, "");
    }
    if !scope.name.is_empty() && scope.uses_max > 1 {
        return invalid("node.usesMax", "is more than 1 for one name".to_owned(), "two agents cannot have one name");
    }
    if !scope.name.is_empty() && !scope.name_prefix.is_empty() {
        return invalid("node.namePrefix", "stands beside a name".to_owned(), "choose one of them");
    }
    let beginning = format!("{}{}", scope.name_prefix, if scope.name_prefix.ends_with('-') { "x" } else { "" });
    for (field, name) in [("node.name", &scope.name), ("node.namePrefix", &beginning)] {
        if !name.is_empty()
            && let Err(problem) = labels::check_name(name)
        {
            return invalid(field, problem.to_string(), "");
        }
    }
    Ok(())
}

/// The token of this secret, wherever it is in the list.
fn find(spec: &ControlPlaneSpec, id: &str, secret_sha256: &[u8]) -> Result<usize, Error> {
    let found = spec.join_tokens.iter().position(|token| token.id == id);
    // The same words for an unknown id and a wrong secret: a stranger learns nothing.
    found
        .filter(|index| constant_time::equal(&spec.join_tokens[*index].secret_sha256, secret_sha256))
        .ok_or_else(|| refused("it is unknown here"))
}

pub(super) fn refused(why: impl std::fmt::Display) -> Error {
    Error::Forbidden(format!("the join token is refused: {why}"))
}

/// Which node the bearer of a token wants to be, and where the token is. Whether it is still good is not asked yet.
pub(super) fn find_for_node(
    spec: &ControlPlaneSpec,
    request: &JoinNodeRequest,
    secret_sha256: &[u8],
) -> Result<(usize, NodeName), Error> {
    let index = find(spec, &request.token_id, secret_sha256)?;
    let Some(scope) = &spec.join_tokens[index].node else {
        return Err(refused("it lets a server in, not a node: bossctl cluster join"));
    };
    let node = approver::named(scope, &request.name).map_err(refused)?;
    Ok((index, node))
}

/// Counts one use of a token for nodes.
pub(super) fn use_for_node(
    spec: &mut ControlPlaneSpec,
    index: usize,
    node: &NodeName,
    now_ms: u64,
) -> Result<(), Error> {
    let token = &mut spec.join_tokens[index];
    if let Some(why) = why_useless(token, now_ms) {
        return Err(refused(why));
    }
    if let Some(scope) = &mut token.node {
        scope.uses += 1;
        scope.last_node = node.to_string();
    }
    Ok(())
}

fn why_useless(token: &JoinToken, now_ms: u64) -> Option<String> {
    let expires_at = token.expires_at.as_ref().map_or(0, |time| u64::try_from(time.seconds).unwrap_or(0));
    if let Some(scope) = token.node.as_ref().filter(|scope| scope.uses >= scope.uses_max) {
        let times = if scope.uses == 1 { "once".to_owned() } else { format!("{} times", scope.uses) };
        return Some(format!("it was used already, {times}, at last by node {}", scope.last_node));
    }
    if token.server_id != 0 {
        return Some(format!("it was used already, by server {} ({})", token.server_id, token.server_name));
    }
    if token.revoked {
        return Some("it was revoked".to_owned());
    }
    (expires_at * 1_000 <= now_ms).then(|| "it has expired".to_owned())
}

/// What a joining server presents.
pub(super) struct Presented<'a> {
    pub(super) request: &'a JoinRequest,
    pub(super) secret_sha256: &'a [u8],
    pub(super) certificate_request_sha256: &'a [u8],
}

/// Uses the token and begins the change that makes a member of its bearer. The same request again finds what the
/// first one did; anybody else is too late.
pub(super) fn redeem(
    spec: &mut ControlPlaneSpec,
    presented: &Presented<'_>,
    standing: &Standing<'_>,
) -> Result<(u64, MembershipChange), Error> {
    let request = presented.request;
    let index = find(spec, &request.token_id, presented.secret_sha256)?;
    let token = spec.join_tokens[index].clone();
    if token.node.is_some() {
        return Err(refused("it lets nodes in, not a server: bossctl node join"));
    }
    if token.server_id != 0 && is_same_server(&token, presented) {
        let changes = spec.change.iter().chain(&spec.finished);
        let change = changes.into_iter().find(|change| change.number == token.change_number).cloned();
        return Ok((token.server_id, change.unwrap_or_default()));
    }
    if let Some(why) = why_useless(&token, standing.now_ms) {
        return Err(refused(why));
    }
    let add = Member {
        name: request.name.clone(),
        peer_address: request.peer_address.clone(),
        api_address: request.api_address.clone(),
        ..Member::default()
    };
    let (request_id, by) = (format!("join-token/{}", token.id), format!("join token {}", token.id));
    let wanted =
        Wanted { add: Some(add), remove_id: token.replaces_server_id, force: false, request_id: &request_id, by: &by };
    let change = begin(spec, wanted, standing)?;
    let server_id = change.add.as_ref().map_or(0, |member| member.id);
    spec.join_tokens[index] = JoinToken {
        server_id,
        certificate_request_sha256: presented.certificate_request_sha256.to_vec().into(),
        server_name: request.name.clone(),
        server_peer_address: request.peer_address.clone(),
        server_api_address: request.api_address.clone(),
        change_number: change.number,
        ..token
    };
    Ok((server_id, change))
}

fn is_same_server(token: &JoinToken, presented: &Presented<'_>) -> bool {
    let request = presented.request;
    token.certificate_request_sha256 == presented.certificate_request_sha256
        && token.server_name == request.name
        && token.server_peer_address == request.peer_address
        && token.server_api_address == request.api_address
}

/// A new token's description.
pub(super) fn describe(id: String, secret_sha256: Vec<u8>, by: &str, now_ms: u64, ttl_ms: u64) -> JoinToken {
    JoinToken {
        id,
        secret_sha256: secret_sha256.into(),
        expires_at: Some(timestamp(now_ms.saturating_add(ttl_ms))),
        created_by: by.to_owned(),
        created_at: Some(timestamp(now_ms)),
        ..JoinToken::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = &[7; 32];
    const KEY: &[u8] = &[1; 32];

    fn spec() -> ControlPlaneSpec {
        let mut spec = ControlPlaneSpec::default();
        add(&mut spec, describe("t1".to_owned(), SECRET.to_vec(), "admin", 1_000, 60_000), 1_000).unwrap();
        spec
    }

    fn request(token_id: &str, name: &str) -> JoinRequest {
        let (peer_address, api_address) = (format!("{name}:7401"), format!("{name}:7400"));
        JoinRequest {
            token_id: token_id.to_owned(),
            name: name.to_owned(),
            peer_address,
            api_address,
            ..JoinRequest::default()
        }
    }

    fn join(
        spec: &mut ControlPlaneSpec,
        request: &JoinRequest,
        secret: &[u8],
        key: &[u8],
        now_ms: u64,
    ) -> Result<u64, String> {
        let presented = Presented { request, secret_sha256: secret, certificate_request_sha256: key };
        let members = [boss_raft::Member { id: boss_proto::ids::ServerId(3), name: "s3".into(), ..Default::default() }];
        let standing = Standing { members: &members, now_ms };
        redeem(spec, &presented, &standing).map(|(id, _)| id).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_lets_one_server_in_under_a_fresh_id() {
        let mut spec = spec();
        assert_eq!(join(&mut spec, &request("t1", "new"), SECRET, KEY, 2_000), Ok(4));
        assert_eq!(spec.change.as_ref().unwrap().add.as_ref().unwrap().name, "new");
        // Its answer was lost: it asks again, also after the token's time.
        assert_eq!(join(&mut spec, &request("t1", "new"), SECRET, KEY, 99_000), Ok(4));
    }

    #[test]
    fn a_stolen_token_is_useless_after_its_use() {
        let mut spec = spec();
        join(&mut spec, &request("t1", "new"), SECRET, KEY, 2_000).unwrap();
        let refused = join(&mut spec, &request("t1", "thief"), SECRET, &[9; 32], 2_000).unwrap_err();
        assert_eq!(refused, "the join token is refused: it was used already, by server 4 (new)");
        let with_own_key = join(&mut spec, &request("t1", "new"), SECRET, &[9; 32], 2_000).unwrap_err();
        assert!(with_own_key.contains("used already"), "{with_own_key}");
    }

    #[test]
    fn expired_revoked_and_unknown_tokens_are_refused_with_the_reason() {
        let late = join(&mut spec(), &request("t1", "new"), SECRET, KEY, 61_000).unwrap_err();
        assert!(late.contains("it has expired"), "{late}");
        let mut revoked = spec();
        revoke(&mut revoked, "t1").unwrap();
        let refused = join(&mut revoked, &request("t1", "new"), SECRET, KEY, 2_000).unwrap_err();
        assert!(refused.contains("it was revoked"), "{refused}");
        let guessed = join(&mut spec(), &request("t1", "new"), &[8; 32], KEY, 2_000).unwrap_err();
        let unknown = join(&mut spec(), &request("t2", "new"), SECRET, KEY, 2_000).unwrap_err();
        assert_eq!(guessed, unknown, "a stranger learns nothing");
    }

    #[test]
    fn a_refused_join_does_not_use_up_the_token() {
        let mut spec = spec();
        let taken = join(&mut spec, &request("t1", "s3"), SECRET, KEY, 2_000).unwrap_err();
        assert!(taken.contains("server 3 is called s3"), "{taken}");
        assert_eq!(join(&mut spec, &request("t1", "new"), SECRET, KEY, 2_000), Ok(4));
    }

    fn for_nodes(scope: NodeScope) -> ControlPlaneSpec {
        let mut spec = spec();
        spec.join_tokens[0].node = Some(scope);
        spec
    }

    fn let_in(spec: &mut ControlPlaneSpec, name: &str, secret: &[u8], now_ms: u64) -> Result<String, String> {
        let request =
            JoinNodeRequest { token_id: "t1".to_owned(), name: name.to_owned(), ..JoinNodeRequest::default() };
        let (index, node) = find_for_node(spec, &request, secret).map_err(|error| error.to_string())?;
        use_for_node(spec, index, &node, now_ms).map_err(|error| error.to_string())?;
        Ok(node.to_string())
    }

    #[test]
    fn a_token_for_nodes_lets_in_as_many_as_it_says_and_none_by_a_wrong_secret() {
        let mut spec = for_nodes(NodeScope { name_prefix: "ci-".into(), uses_max: 2, ..NodeScope::default() });
        assert!(let_in(&mut spec, "ci-1", &[8; 32], 2_000).unwrap_err().contains("unknown"));
        assert!(let_in(&mut spec, "prod", SECRET, 2_000).unwrap_err().contains("\"ci-\""));
        assert_eq!(let_in(&mut spec, "ci-1", SECRET, 2_000), Ok("ci-1".to_owned()));
        assert_eq!(let_in(&mut spec, "ci-2", SECRET, 2_000), Ok("ci-2".to_owned()));
        let late = let_in(&mut spec, "ci-3", SECRET, 2_000).unwrap_err();
        assert_eq!(late, "the join token is refused: it was used already, 2 times, at last by node ci-2");
        let mut expired = for_nodes(NodeScope { uses_max: 1, ..NodeScope::default() });
        assert!(let_in(&mut expired, "n1", SECRET, 61_000).unwrap_err().contains("has expired"));
        revoke(&mut expired, "t1").unwrap();
        assert!(let_in(&mut expired, "n1", SECRET, 2_000).unwrap_err().contains("was revoked"));
    }

    #[test]
    fn a_token_for_nodes_makes_no_server_and_one_for_a_server_no_node() {
        let mut nodes = for_nodes(NodeScope { uses_max: 1, ..NodeScope::default() });
        assert!(join(&mut nodes, &request("t1", "new"), SECRET, KEY, 2_000).unwrap_err().contains("lets nodes in"));
        assert!(let_in(&mut spec(), "n1", SECRET, 2_000).unwrap_err().contains("lets a server in"));
    }

    #[test]
    fn a_scope_that_makes_no_sense_is_refused() {
        let check = |name: &str, prefix: &str, uses_max: u32| {
            let (name, name_prefix) = (name.to_owned(), prefix.to_owned());
            check_scope(&NodeScope { name, name_prefix, uses_max, ..NodeScope::default() }).map_err(|e| e.to_string())
        };
        assert_eq!(check("n1", "", 1), Ok(()));
        assert_eq!(check("", "ci-", JOIN_TOKEN_USES_MAX), Ok(()));
        assert_eq!(check("", "", 1), Ok(()));
        for (name, prefix, uses, field) in [
            ("n1", "", 2, "usesMax"),
            ("", "", 0, "usesMax"),
            ("", "", JOIN_TOKEN_USES_MAX + 1, "usesMax"),
            ("n1", "n", 1, "namePrefix"),
            ("N1", "", 1, "name"),
            ("", "-x", 1, "namePrefix"),
        ] {
            let refused = check(name, prefix, uses).unwrap_err();
            assert!(refused.contains(field), "{refused}");
        }
    }

    #[test]
    fn a_used_token_cannot_be_revoked_and_the_number_is_bounded() {
        let mut spec = spec();
        join(&mut spec, &request("t1", "new"), SECRET, KEY, 2_000).unwrap();
        assert!(revoke(&mut spec, "t1").unwrap_err().to_string().contains("server 4 has joined"));
        for number in 1..JOIN_TOKENS_MAX {
            add(&mut spec, describe(format!("n{number}"), vec![1], "admin", 1_000, 60_000), 1_000).unwrap();
        }
        // The used one makes room, then there is none.
        add(&mut spec, describe("last".to_owned(), vec![1], "admin", 1_000, 60_000), 1_000).unwrap();
        let full = add(&mut spec, describe("more".to_owned(), vec![1], "admin", 1_000, 60_000), 1_000);
        assert!(matches!(full, Err(Error::Exhausted(_))), "{full:?}");
    }
}
