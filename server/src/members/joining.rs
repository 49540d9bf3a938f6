//! Join tokens, and servers that join with them. What a token lets in is decided in `tokens`.

use boss_base::{constant_time, pki};
use boss_proto::{
    ids::Uid,
    join_token,
    limits::{CERTIFICATE_REQUEST_BYTES_MAX, JOIN_TOKEN_TTL_SECONDS_MAX},
    peer::v1::SignServerRequest,
    raft::v1::Caller,
    v1::{self, JoinRequest, JoinResponse, JoinToken, JoinTokenContents},
};
use bytes::Bytes;

use super::{
    Members,
    plane::{self, Standing},
    signers::ToSign,
    store::own_caller,
    tokens::{self, Presented},
};
use crate::api::Error;

/// As long as the random part of a session key.
const SECRET_WORDS: usize = 4;

impl Members {
    pub(super) async fn create_token(
        &self,
        caller: &Caller,
        request: v1::CreateJoinTokenRequest,
    ) -> Result<v1::CreateJoinTokenResponse, Error> {
        let v1::CreateJoinTokenRequest { ttl_seconds, replaces_server_id, node } = request;
        if !(1..=JOIN_TOKEN_TTL_SECONDS_MAX).contains(&ttl_seconds) {
            let problem = format!("is {ttl_seconds}; from 1 to {JOIN_TOKEN_TTL_SECONDS_MAX} is possible");
            return Err(Error::invalid("ttlSeconds", problem, ""));
        }
        if let Some(scope) = &node {
            tokens::check_scope(scope)?;
            if replaces_server_id != 0 {
                return Err(Error::invalid(
                    "node",
                    "stands beside a server to be replaced",
                    "a token is for one of them",
                ));
            }
        }
        let node = node.map(|scope| v1::NodeScope { uses: 0, last_node: String::new(), ..scope });
        let members = self.0.raft.members();
        if replaces_server_id != 0 && !members.iter().any(|member| member.id.0 == replaces_server_id) {
            return Err(Error::NotFound(format!("server {replaces_server_id} is no member")));
        }
        let secret: Vec<u8> = (0..SECRET_WORDS).flat_map(|_| self.0.clock.random_u64().to_be_bytes()).collect();
        let now_ms = self.0.clock.unix_millis();
        let id = Uid::random().to_string();
        let ttl_ms = u64::from(ttl_seconds) * 1_000;
        let described = tokens::describe(id.clone(), constant_time::sha256(&secret), &caller.username, now_ms, ttl_ms);
        let described = JoinToken { replaces_server_id, node, ..described };
        self.edit(caller, |spec| {
            plane::note_ids(spec, &members);
            tokens::add(spec, described.clone(), now_ms)
        })
        .await?;
        let authorities = pki::read_bundle(&self.authorities_pem())
            .map_err(|error| Error::Unavailable(format!("this server's own list cannot be read: {error}")))?;
        let mut authorities = authorities.into_iter().map(|authority| bytes::Bytes::from(authority.der));
        let token = join_token::encode(&JoinTokenContents {
            cluster_id: self.0.cluster_id.to_string(),
            servers: members.iter().map(|member| member.api.clone()).collect(),
            ca: authorities.next().unwrap_or_default(),
            other_authorities: authorities.collect(),
            token_id: id,
            secret: secret.into(),
            node_name: described.node.as_ref().map(|scope| scope.name.clone()).unwrap_or_default(),
            for_nodes: described.node.is_some(),
        });
        tracing::info!(token = %described.id, by = %caller.username, ttl_seconds, "made a join token");
        Ok(v1::CreateJoinTokenResponse { token, description: Some(tokens::without_secret(described)) })
    }

    /// The tokens that are kept, without what their secrets hash to.
    pub(crate) fn join_tokens(&self) -> Vec<JoinToken> {
        self.spec().join_tokens.into_iter().map(tokens::without_secret).collect()
    }

    pub(super) async fn revoke_token(
        &self,
        caller: &Caller,
        request: v1::RevokeJoinTokenRequest,
    ) -> Result<v1::RevokeJoinTokenResponse, Error> {
        let token = self.edit(caller, |spec| tokens::revoke(spec, &request.id)).await?;
        Ok(v1::RevokeJoinTokenResponse { token: Some(token) })
    }

    pub(super) async fn join(&self, request: JoinRequest) -> Result<JoinResponse, Error> {
        if request.certificate_request.len() > CERTIFICATE_REQUEST_BYTES_MAX {
            return Err(Error::invalid("certificateRequest", "is too long", ""));
        }
        self.check_cluster(&request.cluster_id)?;
        let secret_sha256 = constant_time::sha256(&request.secret);
        let certificate_request_sha256 = constant_time::sha256(&request.certificate_request);
        let (members, now_ms) = (self.0.raft.members(), self.0.clock.unix_millis());
        let presented = Presented {
            request: &request,
            secret_sha256: &secret_sha256,
            certificate_request_sha256: &certificate_request_sha256,
        };
        let standing = Standing { members: &members, now_ms };
        let caller = own_caller("server-join");
        let (server_id, change) = self.edit(&caller, |spec| tokens::redeem(spec, &presented, &standing)).await?;
        tracing::info!(server = server_id, token = %request.token_id, name = %request.name, "a server joins");
        Ok(JoinResponse {
            server_id,
            certificate_pem: String::new(),
            members: self.wire_members(),
            token_keys: self.0.welcome.token_keys.clone(),
            profile: self.0.welcome.profile.clone(),
            change_number: change.number,
        })
    }

    /// A token is of use in its own cluster only.
    pub(super) fn check_cluster(&self, cluster_id: &str) -> Result<(), Error> {
        if cluster_id == self.0.cluster_id.as_str() {
            return Ok(());
        }
        Err(Error::Precondition(format!("this is cluster {}, the token is of another", self.0.cluster_id)))
    }

    /// The certificate of a server that has used its token, signed here or by whoever can.
    pub(crate) async fn certificate_for(&self, token_id: &str, request: &Bytes) -> Result<String, Error> {
        let (token_id, certificate_request) = (token_id.to_owned(), request.clone());
        self.signed(&ToSign::Joined(SignServerRequest { token_id, certificate_request })).await
    }
}
