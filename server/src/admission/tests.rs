//! Each bad input, and what good input becomes.
