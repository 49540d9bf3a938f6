//! Health, readiness and metrics over plain HTTP.
