//! The client against servers that speak the real services over real TLS, and do what a script says.
#![allow(clippy::unwrap_used, clippy::tests_outside_test_module, reason = "tests")]

#[path = "sdk/calls.rs"]
mod calls;
#[path = "sdk/fake.rs"]
mod fake;
#[path = "sdk/trust.rs"]
mod trust;
#[path = "sdk/watches.rs"]
mod watches;
