//! Tasks with a name, an owner and manners: nothing runs that a stop does not wait for, and nothing dies
//! unnoticed. Knows nothing of what the tasks do.

use std::{
    any::Any,
    borrow::Cow,
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};
use tokio_util::sync::CancellationToken;

/// What it means when a task ends before anybody asked it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExit {
    /// The process cannot do its job without it: [`Tasks::failed`] resolves.
    StopProcess,
    /// Its end is part of its life; a panic is logged.
    Log,
}

/// Where work goes that blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// To threads of its own.
    Threads,
    /// It stays where it is asked for: in a simulation there is one thread, so that its order is always the same.
    Here,
}

/// Why the process must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A task that the process needs returned.
    #[error("task {task} ended unexpectedly")]
    Ended {
        /// Its name.
        task: String,
    },
    /// A task that the process needs panicked.
    #[error("task {task} panicked: {message}")]
    Panicked {
        /// Its name.
        task: String,
        /// What the panic said.
        message: String,
    },
}

/// The blocking work panicked; its message is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("blocking work panicked or the process is ending")]
pub struct BlockingFailed;

/// Owner of tasks. Clones are the same owner. See [`Tasks::group`] for one inside another.
#[derive(Clone)]
pub struct Tasks {
    token: CancellationToken,
    /// Own register first, then those of the owners around it.
    registers: Vec<Arc<Register>>,
    failure: watch::Sender<Option<Failure>>,
    blocking: Blocking,
}

/// What runs, by number; the count wakes whoever waits for the end.
#[derive(Default)]
struct Register {
    running: Mutex<Running>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, Cow<'static, str>>,
}

impl Tasks {
    /// The owner of a whole process.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Blocking::Threads)
    }

    /// The owner of a process in a simulation: all that it runs shares the thread of the runtime, also what blocks.
    #[must_use]
    pub fn on_one_thread() -> Self {
        Self::with(Blocking::Here)
    }

    fn with(blocking: Blocking) -> Self {
        let (token, failure) = (CancellationToken::new(), watch::Sender::new(None));
        Self { token, registers: vec![Arc::default()], failure, blocking }
    }

    /// An owner inside this one: it can be stopped alone, it stops with this one, and its failures are this one's.
    #[must_use]
    pub fn group(&self) -> Self {
        let mut registers = vec![Arc::default()];
        registers.extend(self.registers.iter().cloned());
        Self { token: self.token.child_token(), registers, failure: self.failure.clone(), blocking: self.blocking }
    }

    /// Where work goes that blocks.
    #[must_use]
    pub fn blocking(&self) -> Blocking {
        self.blocking
    }

    /// Cancelled when this owner stops. Long-running work selects on it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Asks everything to end; waits for nothing.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Runs `future` under `name`.
    pub fn spawn(
        &self,
        name: impl Into<Cow<'static, str>>,
        on_exit: OnExit,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let life = Life::begin(self, name.into(), on_exit, &self.registers);
        spawn_with(life, future)
    }

    /// Like [`Tasks::spawn`], but no stop waits for it: for what must outlive the stop.
    pub(crate) fn spawn_detached(
        &self,
        name: &'static str,
        on_exit: OnExit,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        spawn_with(Life::begin(self, name.into(), on_exit, &[]), future)
    }

    /// Runs `work`, which may block for as long as the process lives, on a thread of its own.
    pub fn spawn_thread(
        &self,
        name: impl Into<Cow<'static, str>>,
        on_exit: OnExit,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let name = name.into();
        let life = Life::begin(self, name.clone(), on_exit, &self.registers);
        std::thread::Builder::new().name(name.into_owned()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            life.end(result);
        })?;
        Ok(())
    }

    /// Runs `work`, whose steps may block for as long as the process lives, on a thread of its own.
    pub fn spawn_on_thread(
        &self,
        name: impl Into<Cow<'static, str>>,
        on_exit: OnExit,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        if self.blocking == Blocking::Here {
            self.spawn(name, on_exit, work);
            return Ok(());
        }
        // For timers; work without any needs no runtime.
        let runtime = Handle::try_current().ok();
        self.spawn_thread(name, on_exit, move || {
            let _entered = runtime.as_ref().map(Handle::enter);
            block_on(work);
        })
    }

    /// Runs `work`, which blocks for a while, on the runtime's pool for that, and waits for its value.
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingFailed> {
        let life = Life::begin(self, name.into(), OnExit::Log, &self.registers);
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            let (value, result) = match result {
                Ok(value) => (Some(value), Ok(())),
                Err(panic) => (None, Err(panic)),
            };
            life.end(result);
            value
        };
        if self.blocking == Blocking::Here {
            return run().ok_or(BlockingFailed);
        }
        tokio::task::spawn_blocking(run).await.ok().flatten().ok_or(BlockingFailed)
    }

    /// Resolves when a [`OnExit::StopProcess`] task ended unasked or panicked.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // The sender is in `self`, so it outlives this wait, and the wait is for `Some`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Asks everything to end and waits, at most for `deadline`. Names what still runs then.
    pub async fn stop(&self, deadline: Duration) -> Result<(), Vec<String>> {
        self.cancel();
        let mut count = self.own().count.subscribe();
        let all_ended = count.wait_for(|running| *running == 0);
        let ended = tokio::time::timeout(deadline, all_ended).await.is_ok();
        if ended { Ok(()) } else { Err(self.running()) }
    }

    /// Names of what runs now.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.own().lock().names.values().map(ToString::to_string).collect()
    }

    fn own(&self) -> &Register {
        &self.registers[0]
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
fn spawn_with(life: Life, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(async move {
        let result = AssertUnwindSafe(future).catch_unwind().await;
        life.end(result);
    })
    .abort_handle()
}

/// Runs a future on this thread, which sleeps while there is nothing to do.
fn block_on(future: impl Future<Output = ()>) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    while future.as_mut().poll(&mut context) == Poll::Pending {
        // A wake-up that came meanwhile makes it return at once.
        std::thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Register {
    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, name: Cow<'static, str>) -> Entry {
        let mut running = self.lock();
        let number = running.next;
        running.next += 1;
        running.names.insert(number, name);
        self.count.send_replace(running.names.len());
        Entry { register: Arc::clone(self), number }
    }
}

/// One line in a register; leaves it when dropped, so an aborted task leaves too.
struct Entry {
    register: Arc<Register>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut running = self.register.lock();
        running.names.remove(&self.number);
        self.register.count.send_replace(running.names.len());
    }
}

/// From a task's start to its end.
struct Life {
    name: Cow<'static, str>,
    on_exit: OnExit,
    token: CancellationToken,
    failure: watch::Sender<Option<Failure>>,
    entries: Vec<Entry>,
}

impl Life {
    fn begin(tasks: &Tasks, name: Cow<'static, str>, on_exit: OnExit, registers: &[Arc<Register>]) -> Self {
        let entries = registers.iter().map(|register| register.add(name.clone())).collect();
        Self { name, on_exit, token: tasks.token(), failure: tasks.failure.clone(), entries }
    }

    fn end(self, result: Result<(), Box<dyn Any + Send>>) {
        if let Some(failure) = self.judge(result) {
            tracing::error!(task = %self.name, %failure, "task failed");
            if self.on_exit == OnExit::StopProcess {
                // The first failure is the cause; later ones are its echo.
                self.failure.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(failure);
                    is_first
                });
            }
        }
        // Failures are reported before anybody who waits for the end wakes.
        drop(self.entries);
    }

    fn judge(&self, result: Result<(), Box<dyn Any + Send>>) -> Option<Failure> {
        let task = self.name.to_string();
        match result {
            Err(panic) => Some(Failure::Panicked { task, message: panic_message(&*panic) }),
            Ok(()) if self.on_exit == OnExit::StopProcess && !self.token.is_cancelled() => {
                Some(Failure::Ended { task })
            }
            Ok(()) => None,
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests;
