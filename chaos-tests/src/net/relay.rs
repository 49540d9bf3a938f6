//! The wire between a host and the bridge, in user space: what a host sends to a server waits there for as long as it is
//! told to, in order or not. Two ends of wires ([`Tap`]) and a queue between them; knows no cluster.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsRawFd,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use boss_base::clock::{Clock, SystemClock};
use nix::{errno::Errno, libc};
use serde::{Deserialize, Serialize};

use crate::checkers::generate::Random;

/// No frame is longer: the links have the usual size of packets.
const FRAME_BYTES_MAX: usize = 2_048;
/// Frames that wait; more are lost, as they are in any network.
const WAITING_MAX: usize = 8_192;
/// Where a frame of IPv4 has its addresses, and what it is known by.
const IPV4: ([u8; 2], usize) = ([0x08, 0x00], 12);
const SOURCE: usize = 26;
const DESTINATION: usize = 30;
/// The last byte of an address of a server is below it.
const SERVERS: u8 = 100;

/// How long frames wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Each of them, in milliseconds.
    pub delay_ms: u64,
    /// And up to so much more, in milliseconds.
    pub jitter_ms: u64,
    /// Whether one may pass another.
    pub reorder: bool,
}

impl Waiting {
    fn is_nothing(self) -> bool {
        self.delay_ms == 0 && self.jitter_ms == 0
    }
}

/// Whether a frame goes from a server to a server: clients and the harness are not held up.
#[must_use]
pub fn is_between_servers(frame: &[u8]) -> bool {
    let last = |at: usize| frame.get(at + 3).copied().unwrap_or(u8::MAX);
    let kind = frame.get(IPV4.1..IPV4.1 + 2);
    kind == Some(&IPV4.0[..]) && last(SOURCE) < SERVERS && last(DESTINATION) < SERVERS
}

/// Frames that wait for their time. Pure.
#[derive(Debug)]
pub struct Queue {
    waiting: Waiting,
    frames: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
    /// When the last one is due.
    last: Duration,
    count: u64,
    random: Random,
}

impl Queue {
    /// An empty one in which nothing waits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let (frames, last) = (BinaryHeap::new(), Duration::ZERO);
        Self { waiting: Waiting::default(), frames, last, count: 0, random: Random(seed) }
    }

    /// From now on frames wait so long.
    pub fn set(&mut self, waiting: Waiting) {
        self.waiting = waiting;
    }

    /// Takes a frame; says whether there was room for it.
    pub fn push(&mut self, now: Duration, frame: &[u8]) -> bool {
        if self.frames.len() >= WAITING_MAX {
            return false;
        }
        let held = is_between_servers(frame) && !self.waiting.is_nothing();
        let jitter_us = self.random.draw() % (self.waiting.jitter_ms * 1_000 + 1);
        let wait = Duration::from_millis(self.waiting.delay_ms) + Duration::from_micros(jitter_us);
        let mut due = if held { now + wait } else { now };
        if held && !self.waiting.reorder {
            due = due.max(self.last);
            self.last = due;
        }
        self.count += 1;
        self.frames.push(Reverse((due, self.count, frame.to_vec())));
        true
    }

    /// The next frame that is due, or when there will be one; none when nothing waits.
    pub fn pop(&mut self, now: Duration) -> Option<Result<Vec<u8>, Duration>> {
        let Reverse((due, ..)) = self.frames.peek()?;
        if *due > now {
            return Some(Err(*due - now));
        }
        self.frames.pop().map(|Reverse((_, _, frame))| Ok(frame))
    }
}

/// One end of a wire, whose other end is a network interface.
#[derive(Debug)]
pub struct Tap(File);

impl Tap {
    /// Makes an interface of this name where this is called. It is gone with the process.
    pub fn create(name: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
        attach(&file, name)?;
        Ok(Self(file))
    }
}

/// As the kernel takes it: the name, and what kind of interface it is to be.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

#[expect(unsafe_code, reason = "no crate of ours makes interfaces")]
fn attach(file: &File, name: &str) -> io::Result<()> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name of an interface is longer than 15 bytes"));
    }
    let flags = libc::c_short::try_from(libc::IFF_TAP | libc::IFF_NO_PI).map_err(io::Error::other)?;
    let mut request = Request { name: [0; libc::IFNAMSIZ], flags, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the descriptor is open, and the request has the form and the 40 bytes that this call reads and writes.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(())
}

/// A queue that one thread fills and another empties.
#[derive(Debug)]
pub struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    /// With this queue.
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self { queue: Mutex::new(queue), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on frames wait so long.
    pub fn set(&self, waiting: Waiting) {
        self.lock().set(waiting);
    }

    /// Takes what comes from the host, until its interface is gone.
    pub fn fill(&self, from: &Tap) -> io::Result<()> {
        let mut frame = [0; FRAME_BYTES_MAX];
        loop {
            let length = (&from.0).read(&mut frame)?;
            self.lock().push(SystemClock.monotonic(), &frame[..length]);
            self.changed.notify_one();
        }
    }

    /// Sends what is due, until the interface is gone.
    pub fn empty(&self, to: &Tap) -> io::Result<()> {
        loop {
            let frame = self.next();
            send(to, &frame)?;
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        loop {
            queue = match queue.pop(SystemClock.monotonic()) {
                Some(Ok(frame)) => return frame,
                Some(Err(wait)) => self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// Copies at once what comes to the host.
pub fn copy(from: &Tap, to: &Tap) -> io::Result<()> {
    let mut frame = [0; FRAME_BYTES_MAX];
    loop {
        let length = (&from.0).read(&mut frame)?;
        send(to, &frame[..length])?;
    }
}

/// An interface that is down takes nothing: what was for it is lost.
fn send(to: &Tap, frame: &[u8]) -> io::Result<()> {
    match (&to.0).write(frame) {
        Err(error) if error.raw_os_error() != Some(libc::EIO) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame between these hosts, with a number.
    fn frame(from: u8, to: u8, number: u8) -> Vec<u8> {
        let mut frame = vec![0; 40];
        frame[12..14].copy_from_slice(&IPV4.0);
        frame[SOURCE..SOURCE + 4].copy_from_slice(&[10, 77, 0, from]);
        frame[DESTINATION..DESTINATION + 4].copy_from_slice(&[10, 77, 0, to]);
        frame[39] = number;
        frame
    }

    /// The numbers in the order in which they come, with when, in milliseconds.
    fn drain(queue: &mut Queue) -> Vec<(u8, u128)> {
        let mut now = Duration::ZERO;
        let mut came = Vec::new();
        while let Some(next) = queue.pop(now) {
            match next {
                Ok(frame) => came.push((frame[39], now.as_millis())),
                Err(wait) => now += wait,
            }
        }
        came
    }

    fn numbered(waiting: Waiting) -> Vec<(u8, u128)> {
        let mut queue = Queue::new(7);
        queue.set(waiting);
        (0..100).for_each(|number| assert!(queue.push(Duration::ZERO, &frame(1, 2, number))));
        drain(&mut queue)
    }

    #[test]
    fn frames_keep_their_order_however_long_each_waits() {
        let came = numbered(Waiting { delay_ms: 10, jitter_ms: 50, reorder: false });
        assert!(came.iter().map(|(number, _)| *number).eq(0..100));
        assert!(came.iter().all(|(_, ms)| (10..=60).contains(ms)), "{came:?}");
    }

    #[test]
    fn frames_pass_each_other_when_they_may() {
        let came = numbered(Waiting { delay_ms: 10, jitter_ms: 50, reorder: true });
        assert_eq!(came.len(), 100);
        assert!(came.windows(2).any(|pair| pair[0].0 > pair[1].0), "{came:?}");
    }

    #[test]
    fn who_is_no_server_is_not_held_up_and_nothing_waits_by_itself() {
        let mut queue = Queue::new(7);
        assert!(queue.push(Duration::ZERO, &frame(1, 2, 0)));
        queue.set(Waiting { delay_ms: 10, jitter_ms: 0, reorder: false });
        for (number, (from, to)) in [(1, 254), (201, 1), (101, 2)].into_iter().enumerate() {
            assert!(queue.push(Duration::ZERO, &frame(from, to, 1 + number as u8)));
        }
        assert!(queue.push(Duration::ZERO, &[0; 14]), "an ARP request has no addresses of IPv4");
        assert!(drain_times(&mut queue).iter().all(|ms| *ms == 0));
    }

    fn drain_times(queue: &mut Queue) -> Vec<u128> {
        let mut times = Vec::new();
        while let Some(next) = queue.pop(Duration::ZERO) {
            times.push(next.map_or_else(|wait| wait.as_millis(), |_| 0));
        }
        times
    }

    #[test]
    fn a_queue_that_is_full_loses_what_comes() {
        let mut queue = Queue::new(7);
        queue.set(Waiting { delay_ms: 10, jitter_ms: 0, reorder: false });
        let taken = (0..WAITING_MAX + 10).filter(|_| queue.push(Duration::ZERO, &frame(1, 2, 0))).count();
        assert_eq!(taken, WAITING_MAX);
    }
}
