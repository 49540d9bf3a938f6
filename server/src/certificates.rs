//! Certificates of nodes and servers: who may have which, what was issued, what is revoked. Pure but for `keeper`, which
//! keeps this server's own certificate and the list of whom it believes, and `standing`, which sees that it was revoked.
//! Knows no transport.

pub(crate) mod approver;
pub(crate) mod keeper;
pub(crate) mod record;
pub(crate) mod standing;
pub(crate) mod trust;
