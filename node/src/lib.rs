//! boss-node
