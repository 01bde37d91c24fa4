//! The kernel functions' addresses. They are ordinary code of the process: a program calls them on its own stack, in its own ring, on
//! every platform. On `kvm` that is in the guest, where the payload's data and the threads' blocks can only be read.

use crate::channel::posts;
use crate::threads::api as threads;
pub mod heap;
mod time;

use crate::start::Start;
use core::sync::atomic::{AtomicUsize, Ordering};
use hrt_abi::functions::FUNCTIONS;

/// An address that the table below may hold.
struct Code(*const ());
// SAFETY: the address of code, which never changes.
unsafe impl Sync for Code {}

/// In the order of [`FUNCTIONS`].
static ADDRESSES: [Code; FUNCTIONS.len()] = [
    Code(hrt_cycles as *const ()),
    Code(threads::thread_create as *const ()),
    Code(threads::thread_join as *const ()),
    Code(threads::thread_join_until as *const ()),
    Code(threads::thread_detach as *const ()),
    Code(threads::thread_exit as *const ()),
    Code(threads::thread_self as *const ()),
    Code(threads::thread_yield as *const ()),
    Code(threads::thread_sleep as *const ()),
    Code(threads::time as *const ()),
    Code(threads::mutex_lock as *const ()),
    Code(threads::mutex_try_lock as *const ()),
    Code(threads::mutex_lock_until as *const ()),
    Code(threads::mutex_unlock as *const ()),
    Code(threads::condition_wait as *const ()),
    Code(threads::condition_wait_until as *const ()),
    Code(threads::condition_signal as *const ()),
    Code(threads::condition_broadcast as *const ()),
    Code(threads::semaphore_wait as *const ()),
    Code(threads::semaphore_try_wait as *const ()),
    Code(threads::semaphore_wait_until as *const ()),
    Code(threads::semaphore_post as *const ()),
    Code(threads::event_wait as *const ()),
    Code(threads::event_wait_until as *const ()),
    Code(threads::event_set as *const ()),
    Code(threads::event_reset as *const ()),
    Code(threads::barrier_wait as *const ()),
    Code(threads::rwlock_read as *const ()),
    Code(threads::rwlock_read_until as *const ()),
    Code(threads::rwlock_write as *const ()),
    Code(threads::rwlock_write_until as *const ()),
    Code(threads::rwlock_unlock as *const ()),
    Code(threads::once as *const ()),
    Code(threads::key_create as *const ()),
    Code(threads::key_delete as *const ()),
    Code(threads::key_set as *const ()),
    Code(threads::key_get as *const ()),
    Code(threads::timer_start as *const ()),
    Code(threads::timer_stop as *const ()),
    Code(threads::fiber_create as *const ()),
    Code(threads::fiber_switch as *const ()),
    Code(threads::fiber_self as *const ()),
    Code(threads::fiber_delete as *const ()),
    Code(threads::threads_info as *const ()),
    Code(threads::threads_maker as *const ()),
    Code(threads::invoke as *const ()),
    Code(threads::invoke_async as *const ()),
    Code(threads::merge as *const ()),
    Code(threads::unmerge as *const ()),
    Code(time::hrt_clock_gettime as *const ()),
    Code(time::hrt_gettimeofday as *const ()),
    Code(time::hrt_seconds as *const ()),
    Code(heap::hrt_malloc as *const ()),
    Code(heap::hrt_free as *const ()),
    Code(heap::hrt_calloc as *const ()),
    Code(heap::hrt_realloc as *const ()),
    Code(heap::hrt_reallocarray as *const ()),
    Code(heap::hrt_memalign as *const ()),
    Code(heap::hrt_posix_memalign as *const ()),
    Code(heap::hrt_valloc as *const ()),
    Code(heap::hrt_pvalloc as *const ()),
    Code(heap::hrt_malloc_usable_size as *const ()),
    Code(posts::calls_post as *const ()),
    Code(posts::call_done as *const ()),
    Code(posts::calls_wait as *const ()),
    Code(threads::threads_preempt as *const ()),
];

/// The address of the kernel function with this number; what it needs is ready then. Not for code that runs in the guest.
#[must_use]
pub fn address(number: usize) -> Option<usize> {
    let address = ADDRESSES.get(number)?.0 as usize;
    let heap = FUNCTIONS[number].name;
    // The heap takes memory, which a program that does not use it need not pay.
    if heap::NAMES.contains(&heap) && !heap::prepare() {
        return None;
    }
    Some(address)
}

/// At start: looks for what the functions need of the process.
pub fn init(start: &Start) {
    time::init(start);
}

/// The program's `__errno_location` (LSB); 0: it has none.
static ERRNO_LOCATION: AtomicUsize = AtomicUsize::new(0);

/// See [`set_errno`].
pub fn set_errno_location(address: usize) {
    ERRNO_LOCATION.store(address, Ordering::Relaxed);
}

/// Sets the calling thread's `errno` of the C library, if the program has one.
fn set_errno(error: i32) {
    let at = ERRNO_LOCATION.load(Ordering::Relaxed);
    if at != 0 {
        // SAFETY: the C library's function, called as the program would call it.
        unsafe {
            let location: extern "C" fn() -> *mut i32 = core::mem::transmute(at);
            *location() = error;
        }
    }
}

/// The processor's time stamp (Intel SDM 3B, 17.17), in cycles of its constant rate.
extern "C" fn hrt_cycles() -> u64 {
    // SAFETY: reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}
