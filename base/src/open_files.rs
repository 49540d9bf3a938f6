//! How many files and connections the process may have open. Knows no port.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the process have as many as the system allows it at most; gives that number, if there is one. Supervisors often
/// begin with 1,024, which is less than the connections that a server is made for.
pub fn allow_all() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::warn!(%error, current = ?limit.current, "the limit of open files cannot be raised");
        }
    }
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_highest_that_is_allowed() {
        let before = getrlimit(Resource::Nofile);
        let lower = Rlimit { current: Some(256), maximum: before.maximum };
        setrlimit(Resource::Nofile, lower).unwrap();
        assert_eq!(allow_all(), before.maximum);
        setrlimit(Resource::Nofile, before).unwrap();
    }
}
