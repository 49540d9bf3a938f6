//! Every metric of this crate, by name. Knows no code that counts.
