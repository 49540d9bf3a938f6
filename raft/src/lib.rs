//! boss-raft
