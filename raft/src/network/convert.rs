//! openraft's requests and answers as messages and back. Knows no socket.

use boss_proto::raft::v1;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest, VoteResponse,
};

use crate::{
    codec::{
        BadMessage, entry_from_proto, entry_to_proto, log_id_from_proto, log_id_to_proto, vote_from_proto,
        vote_to_proto,
    },
    types::TypeConfig,
};

pub(super) fn append_to_proto(request: &AppendEntriesRequest<TypeConfig>, heartbeat: bool) -> v1::AppendRequest {
    v1::AppendRequest {
        vote: Some(vote_to_proto(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to_proto),
        entries: request.entries.iter().map(entry_to_proto).collect(),
        committed: request.leader_commit.as_ref().map(log_id_to_proto),
        heartbeat,
    }
}

pub(super) fn append_from_proto(request: v1::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, BadMessage> {
    Ok(AppendEntriesRequest {
        vote: vote_from_proto(request.vote.ok_or(BadMessage::Missing("vote"))?),
        prev_log_id: request.previous.map(log_id_from_proto),
        entries: request.entries.into_iter().map(entry_from_proto).collect::<Result<_, _>>()?,
        leader_commit: request.committed.map(log_id_from_proto),
    })
}

pub(super) fn append_result_to_proto(result: &StreamAppendResult<TypeConfig>) -> v1::AppendResponse {
    let result = match result {
        Ok(matching) => {
            v1::append_response::Result::Matching(v1::Matching { log_id: matching.as_ref().map(log_id_to_proto) })
        }
        Err(StreamAppendError::Conflict(id)) => v1::append_response::Result::Conflict(log_id_to_proto(id)),
        Err(StreamAppendError::HigherVote(vote)) => v1::append_response::Result::HigherVote(vote_to_proto(vote)),
    };
    v1::AppendResponse { result: Some(result), disk_full: false }
}

pub(super) fn append_result_from_proto(
    response: v1::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, BadMessage> {
    Ok(match response.result.ok_or(BadMessage::Missing("result"))? {
        v1::append_response::Result::Matching(matching) => Ok(matching.log_id.map(log_id_from_proto)),
        v1::append_response::Result::Conflict(id) => Err(StreamAppendError::Conflict(log_id_from_proto(id))),
        v1::append_response::Result::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_from_proto(vote))),
    })
}

pub(super) fn vote_request_to_proto(request: &VoteRequest<TypeConfig>, preliminary: bool) -> v1::VoteRequest {
    v1::VoteRequest {
        vote: Some(vote_to_proto(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(log_id_to_proto),
        leadership_transfer: request.leadership_transfer,
        preliminary,
    }
}

pub(super) fn vote_request_from_proto(request: v1::VoteRequest) -> Result<VoteRequest<TypeConfig>, BadMessage> {
    let vote = vote_from_proto(request.vote.ok_or(BadMessage::Missing("vote"))?);
    let mut read = VoteRequest::new(vote, request.last_log_id.map(log_id_from_proto));
    read.leadership_transfer = request.leadership_transfer;
    Ok(read)
}

pub(super) fn vote_response_to_proto(response: &VoteResponse<TypeConfig>) -> v1::VoteResponse {
    v1::VoteResponse {
        vote: Some(vote_to_proto(&response.vote)),
        granted: response.vote_granted,
        last_log_id: response.last_log_id.as_ref().map(log_id_to_proto),
    }
}

pub(super) fn vote_response_from_proto(response: v1::VoteResponse) -> Result<VoteResponse<TypeConfig>, BadMessage> {
    let vote = vote_from_proto(response.vote.ok_or(BadMessage::Missing("vote"))?);
    Ok(VoteResponse::new(vote, response.last_log_id.map(log_id_from_proto), response.granted))
}

pub(super) fn transfer_to_proto(request: &TransferLeaderRequest<TypeConfig>) -> v1::TransferLeaderRequest {
    v1::TransferLeaderRequest {
        from: Some(vote_to_proto(request.from_leader())),
        to_server_id: *request.to_node_id(),
        last_log_id: request.last_log_id().map(log_id_to_proto),
    }
}

pub(super) fn transfer_from_proto(
    request: v1::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, BadMessage> {
    let from = vote_from_proto(request.from.ok_or(BadMessage::Missing("from"))?);
    Ok(TransferLeaderRequest::new(from, request.to_server_id, request.last_log_id.map(log_id_from_proto)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LogId, Vote};

    #[test]
    fn answers_to_appends_survive_the_way_there_and_back() {
        let id = LogId::new_term_index(4, 5);
        let results: [StreamAppendResult<TypeConfig>; 4] = [
            Ok(None),
            Ok(Some(id)),
            Err(StreamAppendError::Conflict(id)),
            Err(StreamAppendError::HigherVote(Vote::new(9, 2))),
        ];
        for result in results {
            assert_eq!(append_result_from_proto(append_result_to_proto(&result)).unwrap(), result);
        }
    }

    #[test]
    fn votes_survive_the_way_there_and_back() {
        let mut request = VoteRequest::new(Vote::new(3, 1), Some(LogId::new_term_index(2, 7)));
        request.leadership_transfer = true;
        assert_eq!(vote_request_from_proto(vote_request_to_proto(&request, false)).unwrap(), request);
        let response = VoteResponse::new(Vote::new(3, 1), None, true);
        assert_eq!(vote_response_from_proto(vote_response_to_proto(&response)).unwrap(), response);
    }

    #[test]
    fn messages_without_a_vote_are_refused() {
        assert!(append_from_proto(v1::AppendRequest::default()).is_err());
        assert!(vote_request_from_proto(v1::VoteRequest::default()).is_err());
        assert!(transfer_from_proto(v1::TransferLeaderRequest::default()).is_err());
        assert!(append_result_from_proto(v1::AppendResponse::default()).is_err());
    }
}
