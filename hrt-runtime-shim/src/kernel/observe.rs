//! What the kernel tells a person: the report at the end (`HRT_STATS`) and the trace of system calls (`HRT_TRACE`).
//!
//! Files are named by absolute paths kept here, and opened anew for each write: the program may change its directory,
//! its environment and its descriptors as it likes.

use super::block::{self, Block};
use super::{CONFINED, STARTED, TRAPS, overrides, patch, policy, user};
use crate::channel::posts;
use crate::raw::{self, nr};
use crate::report::Line;
use crate::threads::{self, groups};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use hrt_kernel::classes::{Class, TABLE_SIZE};
use hrt_kernel::names::{self, Arg};
use hrt_kernel::platform::Platform;
use hrt_kernel::settings::{Output, Settings};

const PATH_MAX: usize = 4096;

/// Where a report goes.
struct Sink {
    on: AtomicBool,
    /// The file's absolute name with a NUL; empty for stderr.
    path: UnsafeCell<[u8; PATH_MAX]>,
}
// SAFETY: `path` is written at start only, when there is one thread.
unsafe impl Sync for Sink {}

impl Sink {
    const fn new() -> Self {
        Sink {
            on: AtomicBool::new(false),
            path: UnsafeCell::new([0; PATH_MAX]),
        }
    }

    fn set(&self, output: Output<'_>) {
        let name = match output {
            Output::Off => return,
            Output::Stderr => &[][..],
            Output::File(name) => name,
        };
        // SAFETY: one thread, at start.
        let path = unsafe { &mut *self.path.get() };
        let mut len = 0;
        if !name.is_empty() && name[0] != b'/' {
            // SAFETY: getcwd(2) writes at most the size given.
            let n =
                unsafe { raw::syscall4(nr::GETCWD, path.as_mut_ptr() as usize, PATH_MAX, 0, 0) };
            if n > 1 {
                len = n as usize - 1;
                path[len] = b'/';
                len += 1;
            }
        }
        if len + name.len() >= PATH_MAX {
            return;
        }
        path[len..len + name.len()].copy_from_slice(name);
        path[len + name.len()] = 0;
        self.on.store(true, Ordering::Relaxed);
    }

    fn on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn to_stderr(&self) -> bool {
        // SAFETY: not written any more.
        unsafe { (*self.path.get())[0] == 0 }
    }

    fn write(&self, bytes: &[u8]) {
        if self.to_stderr() {
            raw::write_all(2, bytes);
            return;
        }
        const FLAGS: usize = 0o1 | 0o100 | 0o2000 | 0o2_000_000; // O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC
        // SAFETY: the path ends with a NUL; the descriptor is ours.
        unsafe {
            let fd = raw::syscall4(nr::OPEN, self.path.get() as usize, FLAGS, 0o666, 0);
            if fd >= 0 {
                raw::write_all(fd as i32, bytes);
                raw::syscall4(nr::CLOSE, fd as usize, 0, 0, 0);
            }
        }
    }
}

static STATS: Sink = Sink::new();
static TRACE: Sink = Sink::new();

/// The name of the platform.
struct Name(UnsafeCell<&'static str>);
// SAFETY: written at start only, when there is one thread.
unsafe impl Sync for Name {}
static PLATFORM: Name = Name(UnsafeCell::new(""));
/// The ring in which the program was last seen, from CS.
pub static RING: AtomicU16 = AtomicU16::new(3);
/// How often a virtual CPU was left.
pub static EXITS: AtomicU64 = AtomicU64::new(0);
/// Calls that left the guest through the polled channel.
pub static CHANNEL: AtomicU64 = AtomicU64::new(0);
/// Page faults of the guest that the partner served.
pub static FAULTS: AtomicU64 = AtomicU64::new(0);

/// Protections, faults and ends of handlers that the guest's kernel served.
pub static IN_GUEST: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// Forgets what was counted on a platform that was given up.
pub fn restart() {
    EXITS.store(0, Ordering::Relaxed);
}

/// Takes over what the user asked for.
pub fn init(platform: Platform, settings: &Settings<'_>) {
    // SAFETY: one thread, at start.
    unsafe { *PLATFORM.0.get() = platform.name() };
    if platform == Platform::Hosted {
        RING.store(ring(), Ordering::Relaxed);
    }
    STATS.set(settings.stats);
    TRACE.set(settings.trace);
}

/// True if every call must pass through the kernel.
#[must_use]
pub fn observed() -> bool {
    STATS.on() || TRACE.on()
}

/// True if calls are counted.
#[must_use]
pub fn counting() -> bool {
    STATS.on()
}

/// True if calls are traced.
#[must_use]
pub fn tracing() -> bool {
    TRACE.on()
}

/// Counts a call of the calling thread. Numbers beyond the table are counted in its last place, which Linux has no call for.
pub fn count(b: *mut Block, number: usize) {
    // SAFETY: the calling thread's own block.
    let counts = unsafe { &(*b).counts };
    let c = &counts[number.min(TABLE_SIZE - 1)];
    // Only this thread writes, so there is nothing to be atomic against.
    c.store(c.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Takes the last count back: the call is to be made again.
pub fn uncount(b: *mut Block, number: usize) {
    // SAFETY: the calling thread's own block.
    let c = unsafe { &(&(*b).counts)[number.min(TABLE_SIZE - 1)] };
    c.store(
        c.load(Ordering::Relaxed).saturating_sub(1),
        Ordering::Relaxed,
    );
}

/// How a call was served, as the report has it.
fn served(number: usize) -> usize {
    match policy::class(number) {
        Class::Local => 0,
        Class::Forward => 1,
        Class::Mediated => 2,
    }
}

struct Totals {
    by_number: [u64; TABLE_SIZE],
    by_class: [u64; 3],
    signals: u64,
}

/// Room for the report and its text. Used by the last thread, or by the one that ends the process.
struct Scratch(UnsafeCell<(Totals, Line<131072>)>);
// SAFETY: used under BUSY.
unsafe impl Sync for Scratch {}
static SCRATCH: Scratch = Scratch(UnsafeCell::new((
    Totals {
        by_number: [0; TABLE_SIZE],
        by_class: [0; 3],
        signals: 0,
    },
    Line::new(),
)));
static BUSY: AtomicBool = AtomicBool::new(false);

/// Writes the report of this process, if one was asked for.
pub fn report(b: *mut Block) {
    if !STATS.on() || BUSY.swap(true, Ordering::AcqRel) {
        return;
    }
    // SAFETY: BUSY was ours to take, and is never given back: a process has one end.
    let (t, text) = unsafe { &mut *SCRATCH.0.get() };
    text.clear();
    for b in block::all() {
        // SAFETY: blocks in the list are mapped for ever.
        let b = unsafe { &*b };
        t.signals += b.signals.load(Ordering::Relaxed);
        for (n, c) in b.counts.iter().enumerate() {
            let c = c.load(Ordering::Relaxed);
            t.by_number[n] += c;
            t.by_class[served(n)] += c;
        }
    }
    // SAFETY: the calling thread's own block.
    let pid = unsafe { (*b).pid };
    if STATS.to_stderr() {
        text_report(t, text, pid);
    } else {
        json_report(t, text, pid);
    }
    STATS.write(text.bytes());
}

/// No report can be written any more.
pub fn forbid() {
    STATS.on.store(false, Ordering::Relaxed);
    TRACE.on.store(false, Ordering::Relaxed);
}

/// In the child of a fork: nothing has been reported.
pub fn after_fork() {
    super::memory::after_fork();
    BUSY.store(false, Ordering::Relaxed);
}

fn json_report(t: &Totals, out: &mut Line<131072>, pid: u32) {
    let [local, forwarded, mediated] = t.by_class;
    let _ = write!(
        out,
        "{{\"platform\":\"{}\",\"ring\":{},\"pid\":{pid},\"syscalls\":{{\"local\":{local},\"forwarded\":{forwarded},\"mediated\":{mediated}}},\"by_number\":{{",
        platform(),
        RING.load(Ordering::Relaxed),
    );
    let mut comma = "";
    for (n, c) in t.by_number.iter().enumerate().filter(|(_, c)| **c != 0) {
        let mut v = [0; 3];
        v[served(n)] = *c;
        let _ = write!(out, "{comma}\"{n}\":[{},{},{}]", v[0], v[1], v[2]);
        comma = ",";
    }
    let _ = write!(out, "}},");
    let exits = EXITS.load(Ordering::Relaxed);
    if exits != 0 {
        let faults = FAULTS.load(Ordering::Relaxed);
        let channel = CHANNEL.load(Ordering::Relaxed);
        let [protections, segv, returns] = in_guest();
        let _ = write!(
            out,
            "\"exits\":{exits},\"faults\":{faults},\"channel\":{channel},\"guest\":{{\"protections\":{protections},\"faults\":{segv},\"returns\":{returns}}},"
        );
    }
    let (memory, heap, zeroes) = super::memory::counts();
    let _ = write!(
        out,
        "\"memory\":{{\"local\":{},\"mapped\":{},\"keeps\":{},\"zeroes\":{zeroes},\"heap_local\":{heap},\"chunk_bytes\":{},\"kept_bytes\":{}}},",
        memory.local, memory.mapped, memory.keeps, memory.chunks, memory.kept,
    );
    let created = threads::CREATED.load(Ordering::Relaxed);
    if created != 0 {
        let _ = write!(
            out,
            "\"kernel_threads\":{{\"created\":{created},\"switches\":{},\"stolen\":{},\"carriers\":{},\"rescues\":{},\"preempted\":{}}},",
            groups::switches(),
            groups::STOLEN.load(Ordering::Relaxed),
            groups::carriers(),
            groups::RESCUES.load(Ordering::Relaxed),
            threads::preempt::PREEMPTED.load(Ordering::Relaxed),
        );
    }
    let posted = posts::COUNT.load(Ordering::Relaxed);
    if posted != 0 {
        let served = posts::SERVED.load(Ordering::Relaxed);
        let _ = write!(
            out,
            "\"posts\":{{\"posted\":{posted},\"served\":{served}}},"
        );
    }
    overrides::json_report(out);
    let _ = writeln!(
        out,
        "\"sites_patched\":{},\"sud_traps\":{},\"threads\":{},\"signals\":{}}}",
        patch::PATCHED.load(Ordering::Relaxed),
        TRAPS.load(Ordering::Relaxed),
        STARTED.load(Ordering::Relaxed),
        t.signals,
    );
}

fn text_report(t: &Totals, out: &mut Line<131072>, pid: u32) {
    let [local, forwarded, mediated] = t.by_class;
    let _ = writeln!(
        out,
        "multiverse: process {pid} on {}, ring {}\n  system calls  {:>10}  local {local}, forwarded {forwarded}, mediated {mediated}\n  call sites    {:>10}  patched; {} calls trapped\n  threads       {:>10}\n  signals       {:>10}",
        platform(),
        RING.load(Ordering::Relaxed),
        local + forwarded + mediated,
        patch::PATCHED.load(Ordering::Relaxed),
        TRAPS.load(Ordering::Relaxed),
        STARTED.load(Ordering::Relaxed),
        t.signals,
    );
    let exits = EXITS.load(Ordering::Relaxed);
    if exits != 0 {
        let faults = FAULTS.load(Ordering::Relaxed);
        let _ = writeln!(
            out,
            "  exits         {exits:>10}  of which {faults} page faults\n  channel       {:>10}  calls without an exit",
            CHANNEL.load(Ordering::Relaxed)
        );
        let [protections, segv, returns] = in_guest();
        if protections + segv + returns != 0 {
            let _ = writeln!(
                out,
                "  in the guest  {protections:>10}  mprotect calls, {segv} faults for a handler, {returns} returns from it"
            );
        }
    }
    let (memory, heap, zeroes) = super::memory::counts();
    if memory.chunks + heap as usize != 0 {
        let _ = writeln!(
            out,
            "  mappings      {:>10}  made locally, {} by Linux in {} KiB; {} kept at munmap; {zeroes} made zero at madvise; brk {heap} times local",
            memory.local,
            memory.mapped,
            memory.chunks >> 10,
            memory.keeps,
        );
    }
    let created = threads::CREATED.load(Ordering::Relaxed);
    if created != 0 {
        let _ = writeln!(
            out,
            "  kernel threads {created:>9}  {} switches, {} to another group; {} carriers, {} of them for one that did not come back; preempted {} times",
            groups::switches(),
            groups::STOLEN.load(Ordering::Relaxed),
            groups::carriers(),
            groups::RESCUES.load(Ordering::Relaxed),
            threads::preempt::PREEMPTED.load(Ordering::Relaxed),
        );
    }
    let posted = posts::COUNT.load(Ordering::Relaxed);
    if posted != 0 {
        let _ = writeln!(
            out,
            "  posted calls  {posted:>10}  of which {} made by the server",
            posts::SERVED.load(Ordering::Relaxed)
        );
    }
    overrides::text_report(out);
    const CLASS: [&str; 3] = ["local", "forwarded", "mediated"];
    for (n, c) in t.by_number.iter().enumerate().filter(|(_, c)| **c != 0) {
        let _ = writeln!(
            out,
            "  {:>24}  {} {}",
            c,
            CLASS[served(n)],
            names::name(n).unwrap_or("(unknown)")
        );
    }
}

fn in_guest() -> [u64; 3] {
    core::array::from_fn(|i| IN_GUEST[i].load(Ordering::Relaxed))
}

/// True on `kvm`, where kernel functions run in the guest.
#[must_use]
pub fn is_guest() -> bool {
    platform() == Platform::Kvm.name()
}

fn platform() -> &'static str {
    // SAFETY: not written any more.
    unsafe { *PLATFORM.0.get() }
}

/// The ring that this code executes in, from CS.
fn ring() -> u16 {
    let cs: u16;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {0:x}, cs", out(reg) cs, options(nomem, nostack, preserves_flags));
    }
    cs & 3
}

/// Traces a call; `result` is missing where the call does not come back.
pub fn trace(b: *mut Block, number: usize, args: &[usize; 6], result: Option<isize>) {
    let mut out: Line<1024> = Line::new();
    // SAFETY: the calling thread's own block.
    let tid = unsafe { (*b).tid };
    let _ = write!(out, "[{tid}] ");
    match names::name(number) {
        Some(name) => out.push(name.as_bytes()),
        None => {
            let _ = write!(out, "syscall_{number:#x}");
        }
    }
    out.push(b"(");
    for (i, (kind, value)) in names::args(number).iter().zip(args).enumerate() {
        if i > 0 {
            out.push(b", ");
        }
        show(&mut out, *kind, *value);
    }
    out.push(b") = ");
    match result {
        None => out.push(b"?"),
        Some(r) if raw::is_err(r) => match names::error(-r as i32) {
            Some(name) => {
                let _ = write!(out, "-1 {name}");
            }
            None => {
                let _ = write!(out, "{r}");
            }
        },
        Some(r) if matches!(number, nr::MMAP | nr::MREMAP | nr::BRK) => {
            let _ = write!(out, "{r:#x}");
        }
        Some(r) => {
            let _ = write!(out, "{r}");
        }
    }
    out.push(b"\n");
    TRACE.write(out.bytes());
}

fn show(out: &mut Line<1024>, kind: Arg, value: usize) {
    let _ = match kind {
        Arg::Fd if value as i32 == -100 => write!(out, "AT_FDCWD"),
        Arg::Fd => write!(out, "{}", value as i32),
        Arg::Int => write!(out, "{}", value as isize),
        Arg::Hex if value == 0 => write!(out, "0"),
        Arg::Hex => write!(out, "{value:#x}"),
        Arg::Mode => write!(out, "{value:#o}"),
        Arg::Signal => match names::signal(value as i32) {
            Some(name) => write!(out, "{name}"),
            None => write!(out, "{}", value as i32),
        },
        Arg::Str if value == 0 => write!(out, "NULL"),
        Arg::Str => string(out, value),
    };
}

/// Bytes of a string that a trace shows.
const SHOWN: usize = 96;

fn string(out: &mut Line<1024>, at: usize) -> core::fmt::Result {
    let mut text = [0u8; SHOWN + 1];
    let mut n = 0usize;
    // Page by page, so that a string near the end of its mapping is read as far as it goes.
    while n < text.len() && !CONFINED.load(Ordering::Relaxed) {
        let from = at.wrapping_add(n);
        let len = (text.len() - n).min(4096 - from % 4096);
        if !user::read(from, &mut text[n..n + len]) {
            break;
        }
        if text[n..n + len].contains(&0) {
            n += len;
            break;
        }
        n += len;
    }
    if n == 0 {
        return write!(out, "{at:#x}");
    }
    let end = text[..n].iter().position(|c| *c == 0);
    out.push(b"\"");
    for c in &text[..end.unwrap_or(n.min(SHOWN))] {
        match c {
            b'"' | b'\\' => out.push(&[b'\\', *c]),
            b'\n' => out.push(b"\\n"),
            0x20..=0x7e => out.push(&[*c]),
            c => write!(out, "\\x{c:02x}")?,
        }
    }
    out.push(if end.is_some() { b"\"" } else { b"\"..." });
    Ok(())
}
