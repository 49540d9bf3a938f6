//! The state as rows of keys and values: what the store behind and the snapshot files hold. Knows no store and no file.
