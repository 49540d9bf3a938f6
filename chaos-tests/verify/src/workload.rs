//! Clients that write down what they asked and what they were told. What that means, the judges say.

pub mod asking;
pub mod following;
pub mod members;
pub mod pairs;
pub mod register;

mod stop;

pub use self::stop::Stop;
