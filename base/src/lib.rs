//! boss-base
