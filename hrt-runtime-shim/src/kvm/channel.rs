//! The polled channel: a call leaves the guest through shared memory instead of by an exit, while the server (`channel::server`) polls on
//! another core.
//!
//! A call site reaches the channel through its slot (`hrt_kvm_channel`, which the guest executes as the program does); where nobody polls, or the
//! server is not there in time, the call is made by an exit as ever.
//!
//! A request is posted by `claim` = 0 and taken by who first exchanges that for 1: the server, to serve it, or the thread itself
//! (or its partner, when a signal has come), to withdraw it. What the server has taken it finishes, and `done` = 1 is its last word.

use crate::channel::server::{self, Found, Polled};
use crate::channel::{self, Judge};
use crate::kernel::block::{self, Block, CHANNEL};
use crate::kernel::observe;
use crate::kernel::slots::{self, Slot};
use crate::raw::{self, nr};
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering};

/// A thread's channel, in a page of its block that the program may write: so all it holds is a claim of the program's.
#[repr(C)]
pub struct Channel {
    /// 0: a request is there to be taken; 1: none is.
    claim: AtomicU32,
    /// 1 once the request that the server has taken is served.
    done: AtomicU32,
    /// The call.
    number: u64,
    args: [u64; 6],
    /// The slot that it comes from.
    slot: u64,
    /// What it gave.
    result: u64,
    /// Where the program goes on.
    ret: u64,
    /// 1 if the thread must make the call itself.
    refused: u32,
    /// Requests that were withdrawn since the server last looked.
    withdrawn: AtomicU32,
}

unsafe extern "C" {
    /// Entry from a slot: `rcx` is the slot.
    fn hrt_kvm_channel();
    fn hrt_kvm_channel_exchanged();
    fn hrt_kvm_channel_posted();
    fn hrt_kvm_channel_claimed();
    fn hrt_kvm_channel_withdrawn();
    fn hrt_kvm_channel_none();
    fn hrt_kvm_channel_end();
}

/// Turns that a thread waits for the server: about as long as an exit takes where exits are dear.
const PATIENCE: u32 = 1000;

global_asm!(
    r#"
    /* Like a slot: no flag is changed, no stack used, and no register but rcx and r11, and rax in the end. */
    .section .text.hrt_asm, "ax", @progbits
    .balign 64
    .globl  hrt_kvm_channel
hrt_kvm_channel:
    movq    %gs:{CHANNEL}, %r11
    xchgq   %rcx, %r11              /* rcx: the channel, r11: the slot */
    .globl  hrt_kvm_channel_exchanged
hrt_kvm_channel_exchanged:
    jrcxz   8f
    movq    %rax, {NUMBER}(%rcx)
    movq    %rdi, {ARGS}(%rcx)
    movq    %rsi, {ARGS}+8(%rcx)
    movq    %rdx, {ARGS}+16(%rcx)
    movq    %r10, {ARGS}+24(%rcx)
    movq    %r8, {ARGS}+32(%rcx)
    movq    %r9, {ARGS}+40(%rcx)
    movq    %r11, {SLOT}(%rcx)
    movl    $0, {DONE}(%rcx)
    movl    $0, {CLAIM}(%rcx)
    .globl  hrt_kvm_channel_posted
hrt_kvm_channel_posted:             /* from here on the channel's words say where the call is: see `resolve` */
    movq    %rcx, %r11
    movl    ${PATIENCE}, %eax
1:  movl    {DONE}(%r11), %ecx
    jrcxz   2f
    jmp     4f
2:  pause
    leal    -1(%rax), %eax
    movl    %eax, %ecx
    jrcxz   3f
    jmp     1b
3:  movl    $1, %ecx
    xchgl   %ecx, {CLAIM}(%r11)
    .globl  hrt_kvm_channel_claimed
hrt_kvm_channel_claimed:
    jrcxz   6f
9:  pause                           /* the server has it */
    movl    {DONE}(%r11), %ecx
    jrcxz   9b
4:  movl    {REFUSED}(%r11), %ecx
    jrcxz   5f
    jmp     7f
5:  movq    {RESULT}(%r11), %rax
    movq    {RET}(%r11), %rcx
    jmpq    *%rcx
    .globl  hrt_kvm_channel_withdrawn
hrt_kvm_channel_withdrawn:
6:  movl    $1, {WITHDRAWN}(%r11)
7:  movq    {NUMBER}(%r11), %rax
    movq    {SLOT}(%r11), %r11
    .globl  hrt_kvm_channel_none
hrt_kvm_channel_none:
8:  leaq    {SYSCALL}(%r11), %rcx
    jmpq    *%rcx
    .globl  hrt_kvm_channel_end
hrt_kvm_channel_end:
    "#,
    CHANNEL = const offset_of!(Block, channel),
    NUMBER = const offset_of!(Channel, number),
    ARGS = const offset_of!(Channel, args),
    SLOT = const offset_of!(Channel, slot),
    CLAIM = const offset_of!(Channel, claim),
    DONE = const offset_of!(Channel, done),
    REFUSED = const offset_of!(Channel, refused),
    RESULT = const offset_of!(Channel, result),
    RET = const offset_of!(Channel, ret),
    WITHDRAWN = const offset_of!(Channel, withdrawn),
    PATIENCE = const PATIENCE,
    SYSCALL = const slots::SYSCALL,
    options(att_syntax)
);

/// Where slots enter the kernel.
#[must_use]
pub fn entry() -> usize {
    hrt_kvm_channel as *const () as usize
}

static POLLED: Polled = Polled {
    poll: poll_all,
    close: close_all,
};

/// Lets the server poll the channels, too; at the start.
pub fn init() {
    server::polls(&POLLED);
}

/// Notes that a call that the channel might have taken came by an exit, and wakes the server if there are many.
pub fn missed(b: *mut Block, number: usize) {
    if !channel::serves(number) || server::is_forbidden() {
        return;
    }
    let now = server::stamp();
    // SAFETY: the calling thread's own block; the server and the guest read `channel` at any time.
    unsafe {
        let recent = now.wrapping_sub((*b).channel_last) < server::IDLE;
        (*b).channel_last = now;
        (*b).channel_count = if recent { (*b).channel_count + 1 } else { 0 };
        if (&raw const (*b).channel).read_volatile() != 0 {
            if !server::is_awake() {
                // Opened just when the server went to sleep.
                (&raw mut (*b).channel).write_volatile(0);
            }
            return;
        }
        if (*b).channel_count < server::MANY || !server::may_wake(now) || !server::is_for(b) {
            return;
        }
        (*b).channel_count = 0;
    }
    // By the server, once it is awake: until then nobody waits for it. There is no channel now, so no request until then.
    // SAFETY: the calling thread's own block.
    unsafe { (*b).channel_wanted.store(1, Ordering::Release) };
    server::wake(b);
}

/// Gives the thread of block `b` its channel, if it wants one. It has asked when it had none, so no request is there.
fn open(b: *mut Block) {
    let channel = (b as usize + CHANNEL) as *mut Channel;
    // SAFETY: blocks are mapped for ever; `channel` is read by the guest at any time.
    unsafe {
        if (*b).channel_wanted.swap(0, Ordering::Acquire) != 0
            && (&raw const (*b).channel).read_volatile() == 0
        {
            (*channel).claim.store(1, Ordering::Relaxed);
            (*channel).withdrawn.store(0, Ordering::Release);
            (&raw mut (*b).channel).write_volatile(channel as u64);
        }
    }
}

/// Looks at all channels once, for the server.
fn poll_all(judge: &mut Judge, found: &mut Found) {
    for b in block::all() {
        // SAFETY: blocks are mapped for ever.
        unsafe {
            if (*b).channel_wanted.load(Ordering::Relaxed) != 0 {
                open(b);
            }
            if (&raw const (*b).channel).read_volatile() == 0 {
                continue;
            }
        }
        let channel = (b as usize + CHANNEL) as *mut Channel;
        // SAFETY: a block's channel is a page of its own.
        unsafe {
            match poll(b, channel, judge) {
                None => {}
                Some(true) => found.served += 1,
                Some(false) => found.refused += 1,
            }
            if (*channel).withdrawn.load(Ordering::Relaxed) != 0 {
                (*channel).withdrawn.store(0, Ordering::Relaxed);
                found.complaints += server::LATE;
            }
        }
    }
}

/// Takes all channels away; a request that is posted meanwhile is withdrawn by its thread.
fn close_all() {
    for b in block::all() {
        // SAFETY: blocks are mapped for ever; the field is read by guests at any time.
        unsafe {
            if (&raw const (*b).channel).read_volatile() != 0 {
                (&raw mut (*b).channel).write_volatile(0);
            }
        }
    }
}

/// Serves the request in a channel, if there is one; `false` if that is not for the server.
///
/// # Safety
/// `channel` must be the page of block `b`'s channel.
unsafe fn poll(b: *mut Block, channel: *mut Channel, judge: &mut Judge) -> Option<bool> {
    // SAFETY: the caller's promise. While the request is the server's its thread waits, and so does its partner.
    unsafe {
        if (*channel).claim.load(Ordering::Relaxed) != 0
            || (*channel).claim.swap(1, Ordering::AcqRel) != 0
        {
            return None;
        }
        let number = (*channel).number as u32 as usize;
        let args = (*channel).args.map(|a| a as usize);
        let slot = Slot::containing((*channel).slot as usize);
        let ours = server::is_for(b);
        let result = slot
            .filter(|_| ours)
            .and_then(|_| judge.answer(number, &args, None));
        if let (Some(r), Some(slot)) = (result, slot) {
            (*channel).result = r as u64;
            (*channel).ret = (*slot.site()).ret as u64;
            let n = observe::CHANNEL.load(Ordering::Relaxed) + 1;
            observe::CHANNEL.store(n, Ordering::Relaxed);
            if observe::counting() {
                observe::count(b, number);
            }
        }
        (*channel).refused = u32::from(result.is_none());
        (*channel).done.store(1, Ordering::Release);
        Some(result.is_some())
    }
}

/// Where execution in the channel's code is in terms of the program.
pub enum Place {
    /// Before the call, which slot makes, with its number.
    Before(Slot, u64),
    /// After it: the program counter and the result.
    After(u64, u64),
}

/// Finds out where a thread is that was interrupted at `rip` in the channel's code, with `rcx`, `r11` and `rax` as given; `None`
/// if it is not there. A request in flight is withdrawn, or waited for: the server is never long.
pub fn resolve(b: *mut Block, rip: usize, rcx: u64, r11: u64, rax: u64) -> Option<Place> {
    let at = |f: unsafe extern "C" fn()| f as *const () as usize;
    if !(entry()..at(hrt_kvm_channel_end)).contains(&rip) {
        return None;
    }
    if rip < at(hrt_kvm_channel_exchanged) {
        return Slot::containing(rcx as usize).map(|s| Place::Before(s, rax));
    }
    if rip < at(hrt_kvm_channel_posted) || rip >= at(hrt_kvm_channel_none) {
        return Slot::containing(r11 as usize).map(|s| Place::Before(s, rax));
    }
    // SAFETY: the calling thread's own block and channel, whose guest waits.
    unsafe {
        let channel = (b as usize + CHANNEL) as *mut Channel;
        let slot = Slot::containing((*channel).slot as usize)?;
        let before = Place::Before(slot, (*channel).number);
        if rip >= at(hrt_kvm_channel_withdrawn) || rip == at(hrt_kvm_channel_claimed) && rcx == 0 {
            return Some(before);
        }
        if (*channel).claim.swap(1, Ordering::AcqRel) == 0 {
            return Some(before);
        }
        // The server has taken it. (If there is none the program has jumped here without a request.)
        while (*channel).done.load(Ordering::Acquire) == 0 {
            if server::is_gone() {
                return Some(before);
            }
            core::hint::spin_loop();
            raw::syscall4(nr::SCHED_YIELD, 0, 0, 0, 0);
        }
        if (*channel).refused != 0 {
            return Some(before);
        }
        Some(Place::After((*channel).ret, (*channel).result))
    }
}

const _: () = assert!(size_of::<Channel>() <= super::paging::PAGE);
