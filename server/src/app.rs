//! Builds the server from its configuration, runs it and stops it.
