//! The payload binary: a freestanding image that the entry stub loads and calls. All code is in the library.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

// Keeps the library, and with it `hrt_payload_entry`, in the link.
#[used]
static ENTRY: unsafe extern "C" fn(
    *mut usize,
    *const hrt_abi::InfoBlock,
    usize,
    *const hrt_abi::PayloadHeader,
    usize,
) -> usize = hrt_runtime_shim::entry::hrt_payload_entry;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hrt_runtime_shim::report::die(info)
}

/// Referenced by the precompiled `core`; never called, since panics abort.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Referenced by the precompiled `core`; never called, since panics abort.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    hrt_runtime_shim::report::fatal("unwinding in the payload")
}
