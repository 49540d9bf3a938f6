//! Every write's way to the log.
