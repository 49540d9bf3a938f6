//! A channel to one server for streams that callers open themselves. Knows no service.

use std::sync::Arc;

use tonic::{Request, transport::Channel};

use crate::{Endpoint, client::Shared, servers::Picked};

/// One server, until somebody finds it bad. Its connection opens with the first call over it.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    picked: Picked,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let picked = shared.servers.pick();
        Self { shared, picked }
    }

    /// The channel, for any generated client.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.picked.channel()
    }

    /// Which server it is.
    #[must_use]
    pub fn server(&self) -> &Endpoint {
        self.picked.address()
    }

    /// A request that shows who we are.
    #[must_use]
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.shared.shown.sign(&mut request);
        request
    }

    /// The server failed us: other calls of this client, and its next session, use another one.
    pub fn mark_bad(&self) {
        self.shared.servers.leave(&self.picked);
    }
}
