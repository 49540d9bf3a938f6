//! One execution of a pod on this node: what it is made from, what is kept of it on disk, how its life goes.

pub mod control;
pub mod files;
pub mod lifecycle;
pub mod proc_stat;
pub mod restart;
pub mod spec;
pub mod values;

pub use spec::{Fence, SandboxId, Spec};
pub use values::Values;
