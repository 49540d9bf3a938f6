//! Lists, gets and watches at a known revision.
