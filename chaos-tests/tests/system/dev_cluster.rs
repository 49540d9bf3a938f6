//! The local cluster of `bossctl dev`.
