//! What a caller asks about credentials, and the same caller with another one. Makes no token itself.

use boss_proto::v1::{
    self, TokenUser, create_token_request::Subject, revoke_request::Target, tokens_client::TokensClient,
};
use tonic::Status;

use super::{Api, within};

impl Api {
    /// Another caller over the same connection, who shows this token.
    #[must_use]
    pub fn bearing(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// A token for a user of these groups, signed by the cluster.
    pub async fn create_token(&self, user: &str, groups: &[&str]) -> Result<v1::CreateTokenResponse, Status> {
        let groups = groups.iter().map(ToString::to_string).collect();
        let subject = Some(Subject::User(TokenUser { name: user.to_owned(), groups }));
        let request = self.request(v1::CreateTokenRequest { subject, ..v1::CreateTokenRequest::default() })?;
        Ok(within(TokensClient::new(self.channel.clone()).create(request)).await?.into_inner())
    }

    /// Ends a credential; the revision from which on that counts.
    pub async fn revoke(&self, target: Target) -> Result<u64, Status> {
        let request = self.request(v1::RevokeRequest { target: Some(target), ..v1::RevokeRequest::default() })?;
        let answer = within(TokensClient::new(self.channel.clone()).revoke(request)).await?.into_inner();
        self.seen.note(answer.revision);
        Ok(answer.revision)
    }
}
