//! Clients that write down what they asked and what they were told. What that means, the judges say.

pub mod asking;
pub mod following;
pub mod members;
pub mod pairs;
pub mod quota;
pub mod register;
pub mod rights;
pub mod tokens;

mod stop;

pub use self::stop::Stop;
