//! What a user does and sees.
