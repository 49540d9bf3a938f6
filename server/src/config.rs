//! The server's configuration from file, flags and environment. Knows nothing of what is built from it.
