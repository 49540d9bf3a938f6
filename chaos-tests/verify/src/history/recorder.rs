//! Writes a history while it happens: one clock for all clients, one file, one line for each event.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use boss_base::clock::{Clock, SystemClock};

use super::{Action, Answer, Call, Event, FaultOutcome, Process, REFUSED, Reply, What};

/// Records events of many clients. The time of an event is taken under the same lock that orders the lines.
pub struct Recorder {
    clock: Arc<dyn Clock>,
    began: Duration,
    next_process: AtomicU64,
    next_value: AtomicU64,
    answered: AtomicUsize,
    written: Mutex<Written>,
}

struct Written {
    events: Vec<Event>,
    /// None for a history that is kept in memory only.
    file: Option<BufWriter<File>>,
}

/// An operation under way. Dropped without an end, as when its client is cancelled, it counts as unknown.
pub struct Invocation<'a> {
    recorder: &'a Recorder,
    process: Process,
    ended: bool,
}

impl Recorder {
    /// Records to a new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Some(BufWriter::new(File::create_new(path)?)), Arc::new(SystemClock)))
    }

    /// Records to no file.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(None, Arc::new(SystemClock))
    }

    /// Records to a new file, by a clock that need not be the machine's.
    pub fn by_clock(path: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Ok(Self::new(Some(BufWriter::new(File::create_new(path)?)), clock))
    }

    fn new(file: Option<BufWriter<File>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            began: clock.monotonic(),
            clock,
            next_process: AtomicU64::new(1),
            next_value: AtomicU64::new(1),
            answered: AtomicUsize::new(0),
            written: Mutex::new(Written { events: Vec::new(), file }),
        }
    }

    /// A client that did not exist before.
    #[must_use]
    pub fn process(&self) -> Process {
        self.next_process.fetch_add(1, Ordering::Relaxed)
    }

    /// A value that was never written before.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.next_value.fetch_add(1, Ordering::Relaxed)
    }

    /// A client is about to ask; call it before anything is sent.
    pub fn invoke(&self, process: Process, key: &str, action: Action) -> Invocation<'_> {
        self.write(process, What::Invoke { key: key.to_owned(), action });
        Invocation { recorder: self, process, ended: false }
    }

    /// As [`Recorder::invoke`], of another workload than the registers.
    pub fn call(&self, process: Process, call: Call) -> Invocation<'_> {
        self.write(process, What::Call { call });
        Invocation { recorder: self, process, ended: false }
    }

    /// What times of events count from.
    #[must_use]
    pub fn began(&self) -> Duration {
        self.began
    }

    /// How many operations and calls were answered so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Something was done to the cluster.
    pub fn fault(&self, name: impl Into<String>, outcome: FaultOutcome) {
        self.fault_on(name, outcome, Vec::new());
    }

    /// Something was done to these hosts.
    pub fn fault_on(&self, name: impl Into<String>, outcome: FaultOutcome, hosts: Vec<String>) {
        self.write(0, What::Fault { name: name.into(), outcome, hosts });
    }

    /// Everything so far; what was written to the file is complete then.
    pub fn events(&self) -> io::Result<Vec<Event>> {
        let mut written = self.written();
        if let Some(file) = &mut written.file {
            file.flush()?;
        }
        Ok(written.events.clone())
    }

    fn write(&self, process: Process, what: What) {
        let mut written = self.written();
        let at_ns = self.clock.monotonic().saturating_sub(self.began).as_nanos();
        let event = Event { at_ns: u64::try_from(at_ns).unwrap_or(u64::MAX), process, what };
        if let Some(file) = &mut written.file {
            let line = serde_json::to_string(&event).expect("an event is plain data");
            writeln!(file, "{line}").unwrap_or_else(|error| panic!("the history cannot be written: {error}"));
        }
        written.events.push(event);
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Invocation<'_> {
    /// It was answered.
    pub fn ok(mut self, answer: Answer) {
        self.end(What::Ok { answer });
    }

    /// A call was answered.
    pub fn reply(mut self, reply: Reply) {
        self.end(What::Reply { reply });
    }

    /// It certainly did nothing.
    pub fn fail(mut self, why: impl Into<String>) {
        self.end(What::Fail { why: why.into() });
    }

    /// It certainly did nothing, and no state of the object explains why.
    pub fn refused(self, why: impl std::fmt::Display) {
        self.fail(format!("{REFUSED}{why}"));
    }

    /// Nobody knows; the process must not be used again.
    pub fn info(mut self, why: impl Into<String>) {
        self.end(What::Info { why: why.into() });
    }

    fn end(&mut self, what: What) {
        self.ended = true;
        if matches!(what, What::Ok { .. } | What::Reply { .. }) {
            self.recorder.answered.fetch_add(1, Ordering::Relaxed);
        }
        self.recorder.write(self.process, what);
    }
}

impl Drop for Invocation<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(What::Info { why: "the client was cancelled".to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_are_the_events_that_were_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let recorder = Recorder::create(&path).unwrap();
        let process = recorder.process();
        recorder.invoke(process, "k", Action::Create { value: recorder.value() }).ok(Answer::Changed { revision: 7 });
        recorder.fault("kill server-1", FaultOutcome::Installed);
        drop(recorder.invoke(process, "k", Action::Read));
        let events = recorder.events().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, events);
        assert_eq!(events.len(), 5);
        assert!(matches!(events[4].what, What::Info { .. }), "a cancelled client is unknown");
        assert!(events.windows(2).all(|pair| pair[0].at_ns <= pair[1].at_ns));
    }
}
