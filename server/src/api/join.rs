//! The door for machines that are no member yet: a join token's secret is all the proof there is. Knows no identity.

use boss_proto::v1::{JoinRequest, JoinResponse, server_join_server::ServerJoin};
use tonic::{Request, Response, Status};

use super::Error;
use crate::members::{Call, Members};

/// Lets servers join.
#[derive(Clone)]
pub struct JoinService {
    members: Members,
}

impl JoinService {
    /// The service of one server.
    #[must_use]
    pub fn new(members: Members) -> Self {
        Self { members }
    }

    async fn do_join(&self, request: &JoinRequest) -> Result<JoinResponse, Error> {
        let joined: JoinResponse = self.members.at_leader(None, Call::Join, request).await?;
        let certificate_pem = self.members.certificate_for(&request.token_id, &request.certificate_request).await?;
        Ok(JoinResponse { certificate_pem, ..joined })
    }
}

#[tonic::async_trait]
impl ServerJoin for JoinService {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        Ok(Response::new(self.do_join(request.get_ref()).await?))
    }
}
