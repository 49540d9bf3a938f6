//! What a server's folder is worth after its process was killed anywhere, and after its files were damaged. Log, state,
//! store and snapshots are the real ones, put together as a start puts them together; only consensus is missing.

mod corruption;
mod crash;
mod life;
