//! Calls about tokens and the end of credentials. Retries are elsewhere.

use boss_proto::v1::{self, login_client::LoginClient, tokens_client::TokensClient};

use crate::{Client, Error};

impl Client {
    /// Has a token signed. Asked again after a lost answer, there are two, each with its own id.
    pub async fn create_token(&self, request: v1::CreateTokenRequest) -> Result<v1::CreateTokenResponse, Error> {
        let send = |channel, request| async move { TokensClient::new(channel).create(request).await };
        self.ask(request, send).await
    }

    /// Logs in: a token of the cluster for one that its provider of identities has just signed.
    pub async fn exchange_token(&self, request: v1::ExchangeTokenRequest) -> Result<v1::CreateTokenResponse, Error> {
        let send = |channel, request| async move { LoginClient::new(channel).exchange(request).await };
        self.ask(request, send).await
    }

    /// Ends a credential, or all of a user.
    pub async fn revoke(&self, request: v1::RevokeRequest) -> Result<v1::RevokeResponse, Error> {
        let send = |channel, request| async move { TokensClient::new(channel).revoke(request).await };
        self.ask(request, send).await
    }

    /// The public keys of the cluster's tokens, as a JSON Web Key Set.
    pub async fn token_keys(&self) -> Result<String, Error> {
        let send = |channel, request| async move { TokensClient::new(channel).key_set(request).await };
        Ok(self.ask(v1::KeySetRequest {}, send).await?.json)
    }
}
