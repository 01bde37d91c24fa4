//! The kernel functions' addresses. They are ordinary code of the process: a program calls them on its own stack, in its own ring, on
//! every platform. On `kvm` that is in the guest, where the payload's data and the threads' blocks can only be read.

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
    Code(time::hrt_clock_gettime as *const ()),
    Code(time::hrt_gettimeofday as *const ()),
    Code(time::hrt_time as *const ()),
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
