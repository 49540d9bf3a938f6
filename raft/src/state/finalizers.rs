//! The finalizers that Boss itself sets. Knows nobody who acts on them.

/// The object waits until its dependents that block it are gone.
pub const FOREGROUND: &str = "boss.dev/foreground-deletion";
/// The object waits until its dependents no longer name it.
pub const ORPHAN: &str = "boss.dev/orphan";
