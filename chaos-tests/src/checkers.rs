//! Judges of what whole clusters did, beside those of histories, which are [`boss_verify::checkers`]. Pure: the same
//! observations always have the same verdict.

pub use boss_verify::checkers::*;

pub mod bindings;
pub mod entries;
pub mod growth;
pub mod journals;
pub mod pods;
pub mod restored;
pub mod states;
pub mod terms;
