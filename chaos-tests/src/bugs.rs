//! Whether the suite finds what it is for: each deliberate bug of the build is put into a cluster, and what is to find it
//! runs, once without the bug and once with it. Decides nothing about promises: the judges do.

mod finding;
mod points;
mod table;

mod agents;
mod durability;
mod reading;
mod rights;
mod states;
mod working;

pub use self::{
    finding::{Found, find},
    points::{POINTS, Point, Who, kill_at},
    table::{ALL, Known, Layer, named},
};
