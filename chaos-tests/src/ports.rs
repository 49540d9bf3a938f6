//! Free loopback ports that no other run of the same machine takes meanwhile. Knows nothing of who listens.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    path::Path,
};

/// Below the range from which the kernel gives ports to outgoing connections.
const FIRST: u16 = 17_000;
/// The end of the range, exclusive.
const END: u16 = 32_000;

/// A port that is ours as long as this lives, also while nobody listens on it: between kill and restart of a server.
#[derive(Debug)]
pub struct Port {
    number: u16,
    // The lock goes with the file, also when the process is killed.
    _lock: File,
}

impl Port {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Takes a free port; `folder` holds the locks and is shared by all runs.
pub fn take(folder: &Path) -> io::Result<Port> {
    fs::create_dir_all(folder)?;
    let span = END - FIRST;
    let start = rand::random_range(0..span);
    (0..span)
        .map(|step| FIRST + (start + step) % span)
        .find_map(|number| try_take(folder, number))
        .ok_or_else(|| io::Error::other(format!("no port from {FIRST} to {END} is free")))
}

/// Takes `count` free ports in a row.
pub fn take_range(folder: &Path, count: u16) -> io::Result<Vec<Port>> {
    fs::create_dir_all(folder)?;
    let starts = (FIRST..END - count).step_by(usize::from(count));
    let mut starts: Vec<u16> = starts.collect();
    let middle = rand::random_range(0..starts.len());
    starts.rotate_left(middle);
    starts
        .into_iter()
        .find_map(|start| (start..start + count).map(|number| try_take(folder, number)).collect())
        .ok_or_else(|| io::Error::other(format!("no {count} ports in a row are free")))
}

fn try_take(folder: &Path, number: u16) -> Option<Port> {
    let lock = File::create(folder.join(number.to_string())).ok()?;
    lock.try_lock().ok()?;
    TcpListener::bind(("127.0.0.1", number)).ok()?;
    Some(Port { number, _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_given_again() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let port = take(folder.path()).expect("some port is free");
        assert!(try_take(folder.path(), port.number()).is_none());
        let number = port.number();
        drop(port);
        assert!(try_take(folder.path(), number).is_some());
    }
}
