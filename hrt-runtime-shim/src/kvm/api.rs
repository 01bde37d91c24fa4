//! The part of the kernel's API that only `kvm` has: physical memory, and page faults that the program's own handler serves in
//! ring 0, without leaving the guest.

use super::local;
use super::paging::{self, ALIAS, PAGE, bit};
use super::vcpu::{self, Vcpu};
use crate::channel::{posts, server};
use crate::kernel::api;
use crate::kernel::block::Block;
use crate::raw::{self, errno, nr};
use core::sync::atomic::{AtomicBool, Ordering};
use hrt_abi::api::{Info, op};

/// Ring 0 is emulated here.
pub static EMULATED: AtomicBool = AtomicBool::new(false);

/// Bytes of an [`Area`] with its stack.
const AREA: usize = 4 * PAGE;

/// A thread's fault handler, as the gate uses it, at the start of the handler's stack.
#[repr(C)]
pub struct Area {
    /// Its address; 0: none.
    pub handler: u64,
    /// Where its range starts.
    pub start: u64,
    /// Bytes of the range.
    pub size: u64,
    /// The end of the stack.
    pub top: u64,
    /// 1 while the handler runs.
    pub inside: u32,
    /// 1 if the next fault is not the handler's.
    pub declined: u32,
}

/// Serves the API's call.
pub fn call(b: *mut Block, v: &mut Vcpu, args: &[usize; 6]) -> isize {
    let [operation, a1, a2, a3, ..] = *args;
    match operation {
        op::PHYSICAL if vcpu::ring() == 0 => match paging::process_address(a1 as u64) {
            // Table pages are mapped at their alias, where they can be written.
            Some(at) if paging::chunks().any(|c| c.contains(&at)) => (at + ALIAS) as isize,
            Some(at) => at as isize,
            None => raw::err(errno::EINVAL),
        },
        op::UNMERGE => {
            let end = a1.saturating_add(a2).min(paging::USER_END);
            let (start, end) = (a1 & !(PAGE - 1), end.saturating_add(PAGE - 1) & !(PAGE - 1));
            local::without_lazy(start, end, || v.unmap(start, end));
            0
        }
        op::SERVER => {
            server::wake(b);
            0
        }
        op::CALLS => posts::serve(b, args, |number, args| {
            super::partner::posted(b, v, number, args)
        }),
        op::PREEMPT => crate::threads::preempt::take(),
        op::HAND_OVER => {
            super::signals::hand_over(b, v, a1 as u64);
            0
        }
        op::FAULT_HANDLER if vcpu::ring() == 0 => fault_handler(b, a1, a2, a3),
        _ => api::call(
            || Info {
                abi: hrt_abi::ABI_VERSION,
                platform: 1,
                ring: u32::from(vcpu::ring()),
                emulated: u32::from(EMULATED.load(Ordering::Relaxed)),
            },
            args,
        ),
    }
}

fn fault_handler(b: *mut Block, handler: usize, start: usize, size: usize) -> isize {
    // SAFETY: the calling thread's own block.
    let held = unsafe { &mut (*b).fault_area };
    let mut at = (*held as usize).wrapping_sub(ALIAS);
    if *held == 0 {
        if handler == 0 {
            return 0;
        }
        // SAFETY: a new mapping disturbs nobody; populated, so that the guest's kernel never waits for Linux there.
        let r = unsafe { raw::syscall6(nr::MMAP, [0, AREA, 3, 0x8022, usize::MAX, 0]) };
        if raw::is_err(r) {
            return r;
        }
        at = r as usize;
        for page in (at..at + AREA).step_by(PAGE) {
            if paging::map_alias(page, bit::WRITE | bit::NX).is_err() {
                return raw::err(errno::ENOMEM);
            }
        }
    }
    // SAFETY: the area is this thread's, and its virtual CPU waits for us.
    unsafe {
        (at as *mut Area).write(Area {
            handler: handler as u64,
            start: start as u64,
            size: if handler == 0 { 0 } else { size as u64 },
            top: (at + ALIAS + AREA) as u64,
            inside: 0,
            declined: 0,
        });
    }
    *held = (at + ALIAS) as u64;
    vcpu::serve_faults();
    0
}
