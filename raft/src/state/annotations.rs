//! Annotations that only apply writes. Whatever a user writes under these keys is replaced by what is stored.

/// Class that the pod's words mean, set when the pod is bound.
pub const RESOLVED_CLASS: &str = "boss.dev/resolved-class";
/// Provider that runs the pod, set when the pod is bound.
pub const PROVIDER: &str = "boss.dev/provider";
/// Why the pod was bound where it is.
pub const SCHEDULING_REASON: &str = "boss.dev/scheduling-reason";
/// Seconds of grace that the delete asked for instead of the pod's own.
pub const DELETION_GRACE_PERIOD: &str = "boss.dev/deletion-grace-period-seconds";
/// The agent has proven that nothing of the sandbox is left; the pod waits for its finalizers only.
pub const ABSENCE_PROVEN: &str = "boss.dev/absence-proven";

/// All of them.
pub const OWNED: [&str; 5] = [RESOLVED_CLASS, PROVIDER, SCHEDULING_REASON, DELETION_GRACE_PERIOD, ABSENCE_PROVEN];
