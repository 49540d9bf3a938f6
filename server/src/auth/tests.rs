//! Credentials of every sort.
