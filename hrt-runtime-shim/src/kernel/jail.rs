//! What a seccomp jail leaves of the system calls (seccomp(2)).

use super::{patch, slots, user};
use crate::raw::nr;
use core::sync::atomic::Ordering;
use hrt_kernel::bpf;

/// The filter that the `struct sock_fprog` at `program` names, if it can be read.
fn filter_at<'a>(program: usize) -> Option<&'a [bpf::Insn]> {
    let [len, at] = user::get::<[usize; 2]>(program)?;
    let len = usize::from(len as u16);
    let readable = || (0..len).all(|i| user::can_read8(at + i * size_of::<bpf::Insn>()));
    if len == 0 || !at.is_multiple_of(4) || !readable() {
        return None;
    }
    // SAFETY: just seen to be readable, and aligned; any bytes are an instruction.
    Some(unsafe { core::slice::from_raw_parts(at as *const bpf::Insn, len) })
}

/// Which calls a jail leaves: a `strict` one (SECCOMP_MODE_STRICT), or that of the `struct sock_fprog` at `program`.
pub fn allows(strict: bool, program: usize) -> impl Fn(usize) -> bool {
    let filter = if strict { None } else { filter_at(program) };
    move |number: usize| {
        if strict {
            matches!(number, 0 | nr::WRITE | nr::EXIT | nr::RT_SIGRETURN)
        } else {
            // A filter that cannot be read is refused by Linux.
            filter.is_none_or(|f| bpf::allows(f, number as u32))
        }
    }
}

/// The kernel withdraws from the program's call sites: no more are patched, and Linux serves what was served alone.
pub fn withdraw() {
    let lock = slots::lock();
    patch::ENABLED.store(false, Ordering::Relaxed);
    slots::forward_local(&lock);
}
