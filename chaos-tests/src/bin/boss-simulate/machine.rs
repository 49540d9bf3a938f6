//! What everything in this program is told when it asks the machine for the time or for random bytes, whichever library it
//! goes through: both come from the simulation, so that the same seed gives the same run. These are the functions of the C
//! library that the standard library and others call; the linker prefers ours. Knows no simulation.
#![expect(unsafe_code, reason = "the C library's functions take pointers")]

use std::{
    ffi::{c_int, c_long, c_uint, c_void},
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
    time::Duration,
};

use boss_chaos_tests::simulation::EPOCH_UNIX;
use nix::libc::{CLOCK_REALTIME, RTLD_NEXT, SYS_getrandom, clockid_t, dlsym, timespec};

/// The machine was started so long before.
const UP_BEFORE: Duration = Duration::from_secs(100_000);

static SEED: AtomicU64 = AtomicU64::new(0);
static DRAWN: AtomicU64 = AtomicU64::new(0);
static ELAPSED_NS: AtomicU64 = AtomicU64::new(0);

/// Random bytes follow from this from now on.
pub(crate) fn set_seed(seed: u64) {
    SEED.store(seed, Ordering::SeqCst);
    DRAWN.store(0, Ordering::SeqCst);
}

/// So much time has passed since the simulation began.
pub(crate) fn set_elapsed(elapsed: Duration) {
    ELAPSED_NS.store(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
}

/// Whether others really ask here: a linker may have seen it otherwise.
pub(crate) fn is_asked() -> bool {
    let before = DRAWN.load(Ordering::SeqCst);
    let _: u64 = rand::random();
    let drawn = DRAWN.load(Ordering::SeqCst) > before;
    #[expect(clippy::disallowed_methods, reason = "it is asked what everybody else hears")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    drawn && now == EPOCH_UNIX + Duration::from_nanos(ELAPSED_NS.load(Ordering::SeqCst))
}

/// The next eight bytes (SplitMix64).
fn draw() -> u64 {
    let drawn = DRAWN.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
    let mut mixed = SEED.load(Ordering::SeqCst).wrapping_add(drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// `getrandom(2)` as the C library has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    let mut written = 0;
    while written < length {
        let bytes = draw().to_le_bytes();
        let part = bytes.len().min(length - written);
        // SAFETY: the caller gives a buffer of `length` bytes, and `written + part` is at most that.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>().add(written), part) };
        written += part;
    }
    length.cast_signed()
}

/// `syscall(2)` as the C library has it: some ask for random bytes in this way. Everything else goes on to the real one.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    first: usize,
    second: usize,
    third: usize,
    fourth: usize,
    fifth: usize,
    sixth: usize,
) -> c_long {
    type Real = unsafe extern "C" fn(c_long, ...) -> c_long;
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if number == SYS_getrandom {
        // SAFETY: this call has the same arguments, and the caller gives a buffer of that length.
        return unsafe { getrandom(first as *mut c_void, second, 0) } as c_long;
    }
    let mut real = REAL.load(Ordering::Relaxed);
    if real.is_null() {
        // SAFETY: the name ends with a zero byte.
        real = unsafe { dlsym(RTLD_NEXT, c"syscall".as_ptr()) };
        REAL.store(real, Ordering::Relaxed);
    }
    // SAFETY: the next function of this name is the C library's, of this type; an unused argument is never looked at.
    unsafe { std::mem::transmute::<*mut c_void, Real>(real)(number, first, second, third, fourth, fifth, sixth) }
}

/// `clock_gettime(2)` as the C library has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let began = if clock == CLOCK_REALTIME { EPOCH_UNIX } else { UP_BEFORE };
    let now = began + Duration::from_nanos(ELAPSED_NS.load(Ordering::SeqCst));
    let now = timespec { tv_sec: now.as_secs().cast_signed(), tv_nsec: i64::from(now.subsec_nanos()) };
    // SAFETY: the caller gives a place for the time.
    unsafe { time.write(now) };
    0
}
