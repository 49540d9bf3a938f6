//! Who may ask a cluster, and through which client. Starts nothing.

use std::time::Duration;

use boss_client::{Client, Config, Credentials, Endpoint, Source};
use bossctl::provision::Server;

use super::{Cluster, index_of};
use crate::api::{Api, Credential, Seen};

impl Cluster {
    /// A client of one server with any credential.
    #[must_use]
    pub fn api(&self, id: u64, credential: Credential) -> Api {
        let api = Api::new(&self.addresses(id).api, &self.ca_pem(), credential);
        api.unwrap_or_else(|error| panic!("{error}")).sharing(&self.seen)
    }

    /// The administrator's way to all servers there are now.
    #[must_use]
    pub fn doors(&self) -> Doors {
        Doors {
            addresses: self.known.iter().map(|server| server.api.clone()).collect(),
            ca_pem: self.ca_pem(),
            token: self.token("admin", &["system:admins"]),
            seen: self.seen.clone(),
        }
    }

    /// The administrator at one server.
    #[must_use]
    pub fn admin_at(&self, id: u64) -> Api {
        self.api(id, Credential::Token(self.token("admin", &["system:admins"])))
    }

    /// The administrator at a server that runs.
    #[must_use]
    pub fn admin(&self) -> Api {
        self.admin_at(*self.running_servers().first().expect("some server runs"))
    }

    /// A user without groups at a server that runs.
    #[must_use]
    pub fn user(&self, name: &str) -> Api {
        let id = *self.running_servers().first().expect("some server runs");
        self.api(id, Credential::Token(self.token(name, &[])))
    }

    /// The administrator with the Rust SDK, as users have it; it asks `first` first.
    #[must_use]
    pub fn client(&self, first: u64) -> Client {
        self.client_with(first, self.token("admin", &["system:admins"]))
    }

    /// A user without groups with the Rust SDK; it asks `first` first.
    #[must_use]
    pub fn client_of(&self, user: &str, first: u64) -> Client {
        self.client_with(first, self.token(user, &[]))
    }

    fn client_with(&self, first: u64, token: String) -> Client {
        let endpoint = |server: &Server| server.api.parse::<Endpoint>();
        let mut servers = self.known.clone();
        servers.rotate_left(index_of(first));
        let servers: Result<Vec<Endpoint>, _> = servers.iter().map(endpoint).collect();
        let token = Credentials::Token(Source::Inline(token));
        let config = servers.map(|servers| Config::new(servers, Source::File(self.layout.ca_path()), token));
        config.and_then(Client::connect).unwrap_or_else(|error| panic!("no client: {error}"))
    }

    /// A token for an hour.
    #[must_use]
    pub fn token(&self, user: &str, groups: &[&str]) -> String {
        let token = self.layout.issue_token(user, groups, Duration::from_secs(3_600));
        token.unwrap_or_else(|error| panic!("no token: {error}"))
    }

    /// The certificate of the cluster's authority.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        std::fs::read_to_string(self.layout.ca_path()).unwrap_or_else(|error| panic!("no CA: {error}"))
    }
}

/// What clients need to reach every server; for clients that run elsewhere.
#[derive(Debug, Clone)]
pub struct Doors {
    addresses: Vec<String>,
    ca_pem: String,
    token: String,
    seen: Seen,
}

impl Doors {
    /// A client of each server, that connects from where this is called.
    #[must_use]
    pub fn open(&self) -> Vec<Api> {
        let open = |address: &String| {
            let api = Api::new(address, &self.ca_pem, Credential::Token(self.token.clone()));
            api.unwrap_or_else(|error| panic!("{error}")).sharing(&self.seen)
        };
        self.addresses.iter().map(open).collect()
    }
}
