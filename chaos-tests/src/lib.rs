//! boss-chaos-tests
