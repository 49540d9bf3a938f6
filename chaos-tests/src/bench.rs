//! Measurements of a whole cluster: each gives a report that can be printed. Judges nothing.

mod failover;
mod idle;
mod judging;
mod overload;
mod pod_start;
mod setting;
mod spread;

pub use failover::{By, Failover, measure_failover};
pub use idle::{Idle, measure_idle};
pub use judging::{Judging, measure_judging};
pub use overload::{Overload, measure_overload};
pub use pod_start::{PodStart, measure_pod_start};
pub use setting::Setting;
pub use spread::Spread;
