//! Boss and etcd side by side on this machine: the same load, in turns, so that what disturbs one disturbs the other.
//! Judges nothing.

mod echo;
mod etcd;
mod etcd_api;
mod growth;
mod load;
mod machine;
mod report;
mod run;
mod soak;
mod volume;

pub use self::{
    echo::serve_echo,
    growth::{Growth, measure_growth},
    load::Load,
    report::{Report, Row},
    run::{Options, compare},
    soak::{Soak, soak_2116},
    volume::{Volume, measure_volume},
};
