//! boss-server
