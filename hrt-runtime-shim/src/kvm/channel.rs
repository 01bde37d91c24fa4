//! The polled event channel: a call leaves the guest through shared memory instead of by an exit, while a *server*, a thread of the
//! kernel's, polls on another core.
//!
//! Only calls go this way that any thread of the process can make on another's behalf: they wait for nobody, raise no signal and
//! tell nothing of the thread ([`serves`], [`answer`]). A call site reaches the channel through its slot (`hrt_kvm_channel`, which
//! the guest executes as the program does); where nobody polls, or the server is not there in time, the call is made by an exit
//! as ever.
//!
//! A request is posted by `claim` = 0 and taken by who first exchanges that for 1: the server, to serve it, or the thread itself
//! (or its partner, when a signal has come), to withdraw it. What the server has taken it finishes, and `done` = 1 is its last word.
//!
//! The server sleeps unless such calls come often, and is there only while the process may use more cores than it has threads.
//! Where its answers come late, because others need the cores, it rests, each time for longer.

use super::descriptors;
use crate::kernel::block::{self, BLOCK_SIZE, Block, CHANNEL};
use crate::kernel::slots::{self, Slot};
use crate::kernel::{observe, patch, set_gs};
use crate::raw::{self, nr};
use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

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

/// Numbers of the calls that the server makes (Linux, `arch/x86/entry/syscalls/syscall_64.tbl`).
mod call {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const FSTAT: usize = 5;
    pub const LSEEK: usize = 8;
    pub const PREAD64: usize = 17;
    pub const PWRITE64: usize = 18;
    pub const READV: usize = 19;
    pub const WRITEV: usize = 20;
    pub const UNAME: usize = 63;
    pub const GETCWD: usize = 79;
    pub const GETTIMEOFDAY: usize = 96;
    pub const SYSINFO: usize = 99;
    pub const GETUID: usize = 102;
    pub const GETGID: usize = 104;
    pub const GETEUID: usize = 107;
    pub const GETEGID: usize = 108;
    pub const GETPPID: usize = 110;
    pub const GETPGRP: usize = 111;
    pub const FSTATFS: usize = 138;
    pub const TIME: usize = 201;
}

/// True for calls that the server may make, as far as the number tells.
#[must_use]
pub fn serves(number: usize) -> bool {
    use call::*;
    matches!(
        number,
        READ | WRITE
            | FSTAT
            | LSEEK
            | PREAD64
            | PWRITE64
            | READV
            | WRITEV
            | UNAME
            | GETCWD
            | GETTIMEOFDAY
            | SYSINFO
            | GETUID
            | GETGID
            | GETEUID
            | GETEGID
            | GETPPID
            | GETPGRP
            | TIME
            | nr::FUTEX
            | nr::CLOCK_GETTIME
    )
}

/// True if the server can make this very call.
fn fits(number: usize, args: &[usize; 6]) -> bool {
    use call::*;
    match number {
        READ | WRITE | LSEEK | PREAD64 | PWRITE64 | READV | WRITEV => waits_for_nobody(args[0]),
        FSTAT => !descriptors::hidden(args[0]),
        // FUTEX_WAKE and FUTEX_WAKE_BITSET
        nr::FUTEX => matches!(args[1] & 0x7f, 1 | 10),
        // CLOCK_REALTIME, CLOCK_MONOTONIC and those made from them
        nr::CLOCK_GETTIME => matches!(args[0], 0 | 1 | 4..=7 | 11),
        n => serves(n),
    }
}

/// True if reading and writing descriptor `fd` waits for no other process, and does not depend on who does it: a file of a local
/// file system, or /dev/null.
fn waits_for_nobody(fd: usize) -> bool {
    // Of ext2 to 4, XFS, btrfs, F2FS, tmpfs, overlayfs (statfs(2)).
    const LOCAL: [u64; 6] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0xf2f5_2010,
        0x0102_1994,
        0x794c_7630,
    ];
    const TYPE: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    const CHARACTER: u32 = 0o20_000;
    const NULL: u64 = 0x103;
    if descriptors::hidden(fd) {
        return false;
    }
    let mut stat = [0u64; 18];
    // SAFETY: struct stat is 144 bytes.
    let r = unsafe { raw::syscall4(nr::FSTAT, fd, (&raw mut stat) as usize, 0, 0) };
    if r != 0 {
        return false;
    }
    // st_mode follows three words, st_rdev five.
    match stat[3] as u32 & TYPE {
        CHARACTER => stat[5] == NULL,
        REGULAR => {
            let mut fs = [0u64; 15];
            // SAFETY: struct statfs is 120 bytes.
            let r = unsafe { raw::syscall4(call::FSTATFS, fd, (&raw mut fs) as usize, 0, 0) };
            r == 0 && LOCAL.contains(&fs[0])
        }
        _ => false,
    }
}

/// Makes the call, if that is for the server to do.
fn answer(number: usize, args: &[usize; 6]) -> Option<isize> {
    if !fits(number, args) {
        return None;
    }
    // SAFETY: the program asked for it.
    let r = unsafe { raw::syscall6(number, *args) };
    // What may go with a signal to the thread has done nothing, and the thread does it once more. (EPIPE, EFBIG)
    if r == raw::err(32) || r == raw::err(27) {
        return None;
    }
    Some(r)
}

/// What a call of the program's does to the server's fitness to stand for its threads.
enum Parting {
    /// Nothing.
    No,
    /// The server must know anew which cores there are.
    Cores,
    /// A thread is, or may be, another than the server in something that calls depend on, from now on.
    ForGood,
}

fn parting(number: usize, args: &[usize; 6]) -> Parting {
    match number {
        105 | 106 | 113 | 114 | 116 | 117 | 119 | 122 | 123 // setuid and its like
        | 126 // capset
        | 135 // personality
        | 272 // unshare
        | 308 // setns
        | 317 // seccomp
        | 446 // landlock_restrict_self
        => Parting::ForGood,
        nr::PRCTL if args[0] == 22 => Parting::ForGood, // PR_SET_SECCOMP
        nr::CLOSE_RANGE if args[2] & 2 != 0 => Parting::ForGood, // CLOSE_RANGE_UNSHARE
        203 => Parting::Cores, // sched_setaffinity
        _ => Parting::No,
    }
}

/// Before a call of the program's is made by an exit: if it parts the calling thread from the server, that ends first.
pub fn before(b: *mut Block, number: usize, args: &[usize; 6]) {
    match parting(number, args) {
        Parting::No => {}
        // SAFETY: the calling thread's own block.
        _ if unsafe { (*b).pid } != PID.load(Ordering::Relaxed) => {}
        Parting::Cores => {
            end();
            CORES.store(0, Ordering::Relaxed);
        }
        Parting::ForGood => forbid(),
    }
}

/// The server's state.
static STATE: AtomicU32 = AtomicU32::new(NONE);
/// There is none.
const NONE: u32 = 0;
/// It is being made.
const STARTS: u32 = 1;
/// It polls.
const POLLS: u32 = 2;
/// It sleeps on this word.
const SLEEPS: u32 = 3;
/// It is to end.
const ENDS: u32 = 4;
/// There must be none any more.
static FORBIDDEN: AtomicBool = AtomicBool::new(false);
/// The server's thread id, which Linux clears and wakes when it has ended.
static TID: AtomicU32 = AtomicU32::new(0);
/// The process that it serves: others may share its memory.
static PID: AtomicU32 = AtomicU32::new(0);
/// The block whose stack it has; kept for it, so that nothing is mapped in the middle of the program's life.
static OWN: AtomicPtr<Block> = AtomicPtr::new(null_mut());
/// Time stamp before which the server is not woken.
static NOT_BEFORE: AtomicU64 = AtomicU64::new(0);
/// Cores that the process may use; 0: to be asked for.
static CORES: AtomicUsize = AtomicUsize::new(0);

fn stamp() -> u64 {
    // SAFETY: reads the time-stamp counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Cycles without a request after which the server sleeps.
const IDLE: u64 = 300_000;
/// Calls that come by an exit, each within [`IDLE`] cycles of the one before, until the server is worth its core.
const MANY: u32 = 16;
/// Cycles that the server rests the first time that its answers were late, and at most: tenths of a second, then seconds.
const REST: u64 = 300_000_000;
const LONGEST_REST: u64 = 32 * REST;
/// Cycles that it rests when nobody asked.
const PAUSE: u64 = 10_000_000;
/// Cycles between two turns of the server's that tell that it did not have its core.
const GAP: u64 = 150_000;

/// At the start of the program, whose block is `b`.
pub fn init(b: *mut Block, wanted: bool) {
    const PR_GET_SECCOMP: usize = 21;
    // SAFETY: only asks.
    let jail = unsafe { raw::syscall4(nr::PRCTL, PR_GET_SECCOMP, 0, 0, 0) };
    // In a jail the server's own calls might not be allowed; a trace is of calls made by exits.
    if !wanted || jail > 0 || observe::tracing() {
        FORBIDDEN.store(true, Ordering::Relaxed);
        return;
    }
    let Ok(own) = block::take() else {
        FORBIDDEN.store(true, Ordering::Relaxed);
        return;
    };
    OWN.store(own, Ordering::Relaxed);
    // SAFETY: the calling thread's own block.
    PID.store(unsafe { (*b).pid }, Ordering::Relaxed);
}

/// Notes that a call that the channel might have taken came by an exit, and wakes the server if there are many.
pub fn missed(b: *mut Block, number: usize) {
    if !serves(number) || FORBIDDEN.load(Ordering::Relaxed) {
        return;
    }
    let now = stamp();
    // SAFETY: the calling thread's own block; the server and the guest read `channel` at any time.
    unsafe {
        let recent = now.wrapping_sub((*b).channel_last) < IDLE;
        (*b).channel_last = now;
        (*b).channel_count = if recent { (*b).channel_count + 1 } else { 0 };
        if (&raw const (*b).channel).read_volatile() != 0 {
            if !matches!(STATE.load(Ordering::Relaxed), STARTS | POLLS) {
                // Opened just when the server went to sleep.
                (&raw mut (*b).channel).write_volatile(0);
            }
            return;
        }
        if (*b).channel_count < MANY
            || now < NOT_BEFORE.load(Ordering::Relaxed)
            || (*b).pid != PID.load(Ordering::Relaxed)
        {
            return;
        }
        (*b).channel_count = 0;
    }
    if !free_core() {
        NOT_BEFORE.store(now + REST, Ordering::Relaxed);
        return;
    }
    // By the server, once it is awake: until then nobody waits for it. There is no channel now, so no request until then.
    // SAFETY: the calling thread's own block.
    unsafe { (*b).channel_wanted.store(1, Ordering::Release) };
    match STATE.compare_exchange(SLEEPS, POLLS, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => futex(&STATE, 1 | 128, 1), // FUTEX_WAKE | FUTEX_PRIVATE_FLAG
        Err(NONE) => start(b),
        Err(_) => {}
    }
}

/// True if the process may use more cores than it has threads.
fn free_core() -> bool {
    let mut cores = CORES.load(Ordering::Relaxed);
    if cores == 0 {
        cores = raw::processors();
        CORES.store(cores, Ordering::Relaxed);
    }
    cores > patch::THREADS.load(Ordering::Relaxed)
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

fn futex(word: &AtomicU32, operation: usize, value: u32) {
    // SAFETY: waits for or wakes on a word of ours.
    unsafe {
        raw::syscall4(
            nr::FUTEX,
            core::ptr::from_ref(word) as usize,
            operation,
            value as usize,
            0,
        )
    };
}

unsafe extern "C" {
    /// clone(2) of a thread that calls [`serve`] on the given stack.
    fn hrt_kvm_server(flags: usize, stack: usize, ptid: usize, ctid: usize) -> isize;
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_kvm_server
hrt_kvm_server:
    movq    %rcx, %r10
    xorl    %r8d, %r8d
    movl    $56, %eax
    syscall
    testq   %rax, %rax
    jz      1f
    ret
1:  movq    %rsp, %rdi
    andq    $-16, %rsp
    xorl    %ebp, %ebp
    call    {serve}
    ud2
    "#,
    serve = sym serve,
    options(att_syntax)
);

/// Starts the server.
fn start(b: *mut Block) {
    if STATE
        .compare_exchange(NONE, STARTS, Ordering::SeqCst, Ordering::Relaxed)
        .is_err()
    {
        return;
    }
    // Who forbids it looks at the state after that.
    if FORBIDDEN.load(Ordering::SeqCst) {
        STATE.store(NONE, Ordering::SeqCst);
        return;
    }
    // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID
    const FLAGS: usize =
        0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000;
    let own = OWN.load(Ordering::Relaxed);
    let mask = raw::set_sigmask(raw::ALL_SIGNALS);
    // SAFETY: the block is the server's, and there is none; the words are ours.
    let r = unsafe {
        (*own).pid = (*b).pid;
        let tid = (&raw const TID) as usize;
        hrt_kvm_server(FLAGS, (*own).stack_top - 64, tid, tid)
    };
    raw::set_sigmask(mask);
    if raw::is_err(r) {
        FORBIDDEN.store(true, Ordering::Relaxed);
        STATE.store(NONE, Ordering::SeqCst);
    } else {
        STATE.store(POLLS, Ordering::SeqCst);
    }
}

/// How the server judges its work: it rests below zero.
struct Score(i32);

impl Score {
    const FIRST: i32 = 32;
    const BEST: i32 = 64;

    fn add(&mut self, points: i32) {
        self.0 = (self.0 + points).min(Self::BEST);
    }
}

/// The server's work, with all signals blocked.
///
/// # Safety
/// Only `hrt_kvm_server` may call this, on the stack of the server's block.
unsafe extern "C" fn serve(sp: usize) -> ! {
    set_gs((sp & !(BLOCK_SIZE - 1)) as *mut Block);
    let mut score = Score(Score::FIRST);
    let mut rest = REST;
    let mut served = 0u32;
    let (mut last, mut before) = (stamp(), stamp());
    loop {
        let mut busy = false;
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
                match poll(b, channel) {
                    None => {}
                    Some(true) => {
                        busy = true;
                        served = served.saturating_add(1);
                        score.add(1);
                    }
                    Some(false) => {
                        busy = true;
                        score.add(-2);
                    }
                }
                if (*channel).withdrawn.load(Ordering::Relaxed) != 0 {
                    (*channel).withdrawn.store(0, Ordering::Relaxed);
                    score.add(-8);
                }
            }
        }
        let now = stamp();
        if !busy && now.wrapping_sub(before) > GAP {
            score.add(-8);
        }
        before = now;
        if busy {
            last = now;
        }
        if served > 1000 {
            // It does well again.
            rest = REST;
        }
        let late = score.0 < 0;
        let idle = now.wrapping_sub(last) > IDLE;
        let ends = STATE.load(Ordering::Acquire) == ENDS;
        if !(late || idle || ends || !free_core()) {
            core::hint::spin_loop();
            continue;
        }
        close_all();
        if ends {
            break;
        }
        if late {
            NOT_BEFORE.store(now + rest, Ordering::Relaxed);
            rest = (2 * rest).min(LONGEST_REST);
        } else if served == 0 {
            // Awake for nothing: it may have had the thread's own core.
            NOT_BEFORE.store(now + PAUSE, Ordering::Relaxed);
        }
        served = 0;
        if STATE
            .compare_exchange(POLLS, SLEEPS, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            while STATE.load(Ordering::Acquire) == SLEEPS {
                futex(&STATE, 128, SLEEPS); // FUTEX_WAIT | FUTEX_PRIVATE_FLAG
            }
        }
        score = Score(Score::FIRST);
        (last, before) = (stamp(), stamp());
    }
    loop {
        // SAFETY: exit(2) does not return; nobody uses the stack until Linux has cleared TID.
        unsafe { raw::syscall4(nr::EXIT, 0, 0, 0, 0) };
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
unsafe fn poll(b: *mut Block, channel: *mut Channel) -> Option<bool> {
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
        let ours = (*b).pid == PID.load(Ordering::Relaxed);
        let result = slot.filter(|_| ours).and_then(|_| answer(number, &args));
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

/// The server ends, for good.
pub fn forbid() {
    FORBIDDEN.store(true, Ordering::SeqCst);
    end();
}

/// Ends the server, if there is one; it is gone from the process then.
fn end() {
    let pause = || {
        // SAFETY: sched_yield(2) changes nothing.
        unsafe { raw::syscall4(nr::SCHED_YIELD, 0, 0, 0, 0) };
    };
    loop {
        let state = STATE.load(Ordering::SeqCst);
        match state {
            NONE => return,
            // Another thread starts or ends it.
            STARTS | ENDS => pause(),
            _ if STATE
                .compare_exchange(state, ENDS, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok() =>
            {
                break;
            }
            _ => {}
        }
    }
    let tid = TID.load(Ordering::Acquire);
    futex(&STATE, 1 | 128, 1);
    while TID.load(Ordering::Acquire) != 0 {
        futex(&TID, 0, tid); // as Linux wakes it: not private
    }
    // Linux has it in the process for a moment more, which unshare(2) would see.
    let pid = PID.load(Ordering::Relaxed) as usize;
    // SAFETY: signal 0 only asks.
    while unsafe { raw::syscall4(nr::TGKILL, pid, tid as usize, 0, 0) } == 0 {
        pause();
    }
    STATE.store(NONE, Ordering::SeqCst);
}

/// In the child of a fork, whose thread's block is `b`: there is no server, and no channel.
pub fn after_fork(b: *mut Block) {
    STATE.store(NONE, Ordering::Relaxed);
    TID.store(0, Ordering::Relaxed);
    NOT_BEFORE.store(0, Ordering::Relaxed);
    observe::CHANNEL.store(0, Ordering::Relaxed);
    // SAFETY: the calling thread's own block, and that which was the parent's server's: no thread runs on it.
    unsafe {
        PID.store((*b).pid, Ordering::Relaxed);
        let own = OWN.load(Ordering::Relaxed);
        if !own.is_null() {
            block::keep(own);
        }
    }
    close_all();
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
            if STATE.load(Ordering::Acquire) == NONE {
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
