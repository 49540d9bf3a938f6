//! Load on a cluster, and what became of it. The statistics are pure; the driver knows no protocol, so that another
//! program can put the same load on something else.

mod boss;
mod fan_out;
mod histogram;
mod keys;
mod load;
mod plan;
mod summary;

pub use self::{
    boss::{Caller, Connections, Feed, Get, List, Mixed, Put, StreamPut, Target, Txn, fill, fill_from},
    fan_out::{EventFeed, fan_out},
    histogram::Histogram,
    keys::{KeySpace, Random, value},
    load::{Failed, Pace, Worker, drive},
    plan::{BadPlan, Plan, Stop},
    summary::{Summary, Tally},
};
