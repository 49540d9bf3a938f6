//! boss-client
