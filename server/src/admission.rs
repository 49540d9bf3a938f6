//! What a write must be and what it becomes before it is proposed. Pure.
