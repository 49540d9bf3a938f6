//! Wrong wall clocks: a process that is started with one takes the wall time from there, and it can go wrong while the
//! process runs. Its other clocks are right. Knows no server.
//!
//! A small library is preloaded into the process, made from `wrong_clock.c` with the C compiler that the build needs too.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use boss_base::clock::{Clock, SystemClock};

use crate::net::apart;

const SOURCE: &str = include_str!("clock/wrong_clock.c");
/// The variable that the library reads.
const VARIABLE: &str = "WRONG_CLOCK";

/// How wrong a clock is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wrong {
    /// Milliseconds ahead; behind when it is negative.
    pub offset_ms: i64,
    /// It gains so many microseconds each second from now on, or loses them.
    pub per_million: i64,
}

/// The wall clock of one process.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl WallClock {
    /// One that is right, with its files in this folder.
    pub fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(format!("clock-{name}"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let clock = Self { library: library(folder)?, path, file };
        clock.set(Wrong::default())?;
        Ok(clock)
    }

    /// A process that is started with this has it.
    pub fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env(VARIABLE, &self.path);
    }

    /// From now on it is so wrong.
    pub fn set(&self, wrong: Wrong) -> io::Result<()> {
        let since = i64::try_from(SystemClock.unix_millis()).map_err(io::Error::other)?;
        let numbers = [since * 1_000_000, wrong.offset_ms * 1_000_000, wrong.per_million];
        self.file.write_all_at(&numbers.map(i64::to_ne_bytes).concat(), 0)
    }
}

/// Made once for each folder.
fn library(folder: &Path) -> io::Result<PathBuf> {
    let library = folder.join("wrong_clock.so");
    if !library.exists() {
        let source = folder.join("wrong_clock.c");
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        apart::run(compiler.arg(&library).arg(&source))?;
    }
    Ok(library)
}

#[cfg(test)]
mod tests {
    use std::{io::Read, process::Stdio};

    use super::*;
    use crate::process::Process;

    /// What `date` takes the time for, in seconds, with this clock.
    fn date(clock: &WallClock) -> i64 {
        let mut said = tempfile::tempfile().expect("a file can be made");
        let mut command = Command::new("date");
        clock.give(command.arg("+%s").stdout(Stdio::from(said.try_clone().expect("a descriptor is free"))));
        let ended = Process::spawn(&mut command).expect("it starts").end();
        assert_eq!(ended, crate::process::Exit::Code(0));
        let mut text = String::new();
        io::Seek::rewind(&mut said).expect("it is a file");
        said.read_to_string(&mut text).expect("it is text");
        text.trim().parse().expect("it is a number")
    }

    fn now() -> i64 {
        i64::try_from(SystemClock.unix_seconds()).expect("it is not so late yet")
    }

    #[test]
    fn a_clock_is_as_wrong_as_it_is_told_to_be() {
        let folder = tempfile::TempDir::new().expect("a folder can be made");
        let clock = WallClock::create(folder.path(), "one").expect("there is a compiler");
        let off = |seconds: i64, wrong: Wrong| {
            clock.set(wrong).expect("the file is ours");
            let before = now();
            let told = date(&clock);
            assert!((before + seconds..=now() + seconds).contains(&told), "{wrong:?}: {told} at {before}");
        };
        off(0, Wrong::default());
        off(3_600, Wrong { offset_ms: 3_600_000, per_million: 0 });
        off(-86_400, Wrong { offset_ms: -86_400_000, per_million: 0 });
    }

    #[test]
    fn a_clock_that_drifts_gains_with_time() {
        let folder = tempfile::TempDir::new().expect("a folder can be made");
        let clock = WallClock::create(folder.path(), "one").expect("there is a compiler");
        // A thousand seconds each second.
        clock.set(Wrong { offset_ms: 0, per_million: 1_000_000_000 }).expect("the file is ours");
        let began = date(&clock);
        let mut looks = 0;
        while date(&clock) < began + 1_000 {
            looks += 1;
            assert!(looks < 100_000, "it does not drift");
        }
    }
}
