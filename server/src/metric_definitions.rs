//! The names of all metrics of the server.
