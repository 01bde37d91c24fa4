//! The kernel functions' addresses. They are ordinary code of the process: a program calls them on its own stack, in its own ring, on
//! every platform.

use hrt_abi::functions::FUNCTIONS;

/// An address that the table below may hold.
struct Code(*const ());
// SAFETY: the address of code, which never changes.
unsafe impl Sync for Code {}

/// In the order of [`FUNCTIONS`].
static ADDRESSES: [Code; FUNCTIONS.len()] = [Code(hrt_cycles as *const ())];

/// The address of the kernel function with this number.
#[must_use]
pub fn address(number: usize) -> Option<usize> {
    ADDRESSES.get(number).map(|code| code.0 as usize)
}

/// The processor's time stamp (Intel SDM 3B, 17.17), in cycles of its constant rate.
extern "C" fn hrt_cycles() -> u64 {
    // SAFETY: reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}
