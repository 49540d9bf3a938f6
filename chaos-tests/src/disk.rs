//! Disks of ours: file systems on which the data of servers lies, and which lose, tear, lie and fail on command.
//!
//! [`store`] is one such disk as plain data: what is on it, what of that would survive a power cut, and what goes wrong.
//! [`mounted`] shows it to the kernel, [`control`] takes commands; both run in a process of their own, `boss-disk`, so
//! that nothing hangs when a test is killed. [`Disk`] is what tests hold. None of it knows what a server is.

mod bytes;
mod content;
pub mod control;
mod crash;
mod faults;
mod handle;
pub mod mounted;
mod names;
pub mod store;
mod translate;

pub use self::{
    control::{Answer, Command},
    handle::Disk,
};

#[cfg(test)]
mod tests;
