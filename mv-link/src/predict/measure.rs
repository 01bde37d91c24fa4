//! What the calibration times: single operations, many times over, in a process of their own that runs plainly or as a hybrid.
//!
//! Time is that of the processor, of all threads and of children that were waited for: on a busy machine elapsed time says little
//! about a single operation. The commonest calls are made as programs make them, through the C library: where a
//! call goes to Linux, its returns are mispredicted, which costs as much as a third of the call. All others are made by
//! `syscall` instructions of this module's, so that it is known what an operation consists of.

use std::arch::asm;
use std::hint::black_box;
use std::io::{Error, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

const PAGE: usize = 4096;
const LARGE: usize = 2 << 20;
/// Bytes of the code of one of [`first_use`]'s sites.
const SITE: usize = 32;

/// An operation: `times` of it, timed, after what prepares it.
struct Operation {
    name: &'static str,
    /// How often for one sample.
    times: u32,
    /// Returns nanoseconds for all, and how many units that was (mostly `times`).
    run: fn(u32) -> Result<(u64, u64)>,
}

/// All operations. Each is run in a process of its own, so that none meets the memory of another.
const OPERATIONS: &[Operation] = &[
    op("grow", 4096, grow),
    op("churn", 8, churn),
    op("heap", 2048, heap),
    op("placed", 2048, placed),
    op("large", 4, large),
    op("file", 256, file),
    op("getpid", 5000, getpid),
    op("getppid", 3000, getppid),
    op("read", 3000, read),
    op("write", 3000, write),
    op("sigprocmask", 3000, sigprocmask),
    op("sigaction", 3000, sigaction),
    op("ppoll", 1500, ppoll),
    op("mmap", 2000, mmap),
    op("alone", 2000, alone),
    op("mprotect", 500, mprotect),
    op("brk", 500, brk),
    op("madvise", 1000, madvise),
    op("trap", 500, trap),
    op("first", 128, first_use),
    op("signal", 300, signal),
    op("fault", 200, fault),
    op("thread", 40, thread),
    op("spawn", 40, spawn),
    op("fork", 40, fork),
];

const fn op(name: &'static str, times: u32, run: fn(u32) -> Result<(u64, u64)>) -> Operation {
    Operation { name, times, run }
}

/// The names of all operations, and how often each is done for one sample.
pub fn operations() -> impl Iterator<Item = (&'static str, u32)> {
    OPERATIONS.iter().map(|o| (o.name, o.times))
}

/// Runs an operation and prints what one of it takes, in nanoseconds. `nothing` does nothing.
///
/// # Errors
/// What an operation cannot do here; that there is none of that name.
pub fn run(name: &str, times: u32) -> Result<()> {
    if name == "nothing" {
        return Ok(());
    }
    let Some(o) = OPERATIONS.iter().find(|o| o.name == name) else {
        return Err(Error::other(format!("no operation '{name}'")));
    };
    let (ns, units) = (o.run)(times.max(1))?;
    println!("{:.3}", ns as f64 / units.max(1) as f64);
    Ok(())
}

/// Processor time since this process began.
struct Clock(u64);

impl Clock {
    fn now() -> u64 {
        // SAFETY: plain integers, filled by the calls.
        unsafe {
            let mut own: libc::timespec = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut own);
            let mut children: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_CHILDREN, &mut children);
            let us = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
            own.tv_sec as u64 * 1_000_000_000
                + own.tv_nsec as u64
                + (us(children.ru_utime) + us(children.ru_stime)) * 1000
        }
    }

    fn start() -> Clock {
        Clock(Clock::now())
    }

    /// Nanoseconds since the start.
    fn ns(&self) -> u64 {
        Clock::now() - self.0
    }
}

/// Times `f`, after a few for practice.
fn timed(times: u32, mut f: impl FnMut()) -> Result<(u64, u64)> {
    for _ in 0..times.min(5) {
        f();
    }
    let start = Clock::start();
    for _ in 0..times {
        f();
    }
    Ok((start.ns(), times.into()))
}

/// A system call with its number as a constant, as libc has them.
macro_rules! call {
    ($nr:expr $(, $arg:expr)*) => {
        call6::<{ $nr as i32 }>(call!(@pad [$($arg as usize,)*]))
    };
    (@pad [$($arg:expr,)*]) => {{
        let mut all = [0usize; 6];
        let given = [$($arg,)*];
        all[..given.len()].copy_from_slice(&given);
        all
    }};
}

/// # Safety
/// As the system call's.
#[inline(always)]
unsafe fn call6<const NR: i32>(a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the caller's promise; the registers are those of the system call's convention.
    unsafe {
        asm!("mov eax, {nr}", "syscall", nr = const NR, lateout("rax") result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// New anonymous memory.
fn memory(len: usize, rights: i32) -> Result<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a mapping wherever there is room.
    let at = unsafe { libc::mmap(null_mut(), len, rights, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    Ok(at.cast())
}

const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Writes to each of so many pages.
///
/// # Safety
/// They must be writable memory.
unsafe fn touch(at: *mut u8, pages: usize) {
    for i in 0..pages {
        // SAFETY: the caller's promise.
        unsafe { at.add(i * PAGE).write_volatile(1) };
    }
}

// ---- Memory ------------------------------------------------------------------------------------------------------------

/// First touch of pages that the process never had.
fn grow(times: u32) -> Result<(u64, u64)> {
    let pages = times as usize;
    let at = memory(pages * PAGE, RW)?;
    let start = Clock::start();
    // SAFETY: mapped just now.
    unsafe { touch(at, pages) };
    let ns = start.ns();
    // SAFETY: mapped above, and used no more; a fork would copy it.
    unsafe { libc::munmap(at.cast(), pages * PAGE) };
    Ok((ns, times.into()))
}

/// First touch of pages of memory that is mapped, used and unmapped, 2 MiB at a time: mmap and munmap are in it.
fn churn(times: u32) -> Result<(u64, u64)> {
    const PAGES: usize = LARGE / PAGE;
    let start = Clock::start();
    for _ in 0..times {
        // SAFETY: arguments as those of mmap(2) and munmap(2); what is unmapped is what was mapped.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let at = call!(libc::SYS_mmap, 0, LARGE, RW, flags, -1isize, 0);
            if at < 0 {
                return Err(Error::from_raw_os_error(-at as i32));
            }
            touch(at as *mut u8, PAGES);
            call!(libc::SYS_munmap, at, LARGE);
        }
    }
    Ok((start.ns(), u64::from(times) * PAGES as u64))
}

/// First touch of pages of the heap, as malloc(3) has it grow: brk is in it.
fn heap(times: u32) -> Result<(u64, u64)> {
    const STEP: usize = 32;
    let pages = times as usize / STEP * STEP;
    // SAFETY: the heap grows from where it ends, is touched there and shrinks again; nothing is allocated meanwhile.
    unsafe {
        let end = call!(libc::SYS_brk, 0) as usize;
        let start = Clock::start();
        for at in (0..pages).step_by(STEP) {
            let from = end + at * PAGE;
            if call!(libc::SYS_brk, from + STEP * PAGE) as usize != from + STEP * PAGE {
                return Err(Error::from_raw_os_error(libc::ENOMEM));
            }
            touch(from.next_multiple_of(PAGE) as *mut u8, STEP - 1);
        }
        let ns = start.ns();
        call!(libc::SYS_brk, end);
        Ok((ns, (pages / STEP * (STEP - 1)) as u64))
    }
}

/// First touch of pages of memory at addresses that the program chooses, in a reservation of its own: mmap is in it.
fn placed(times: u32) -> Result<(u64, u64)> {
    const STEP: usize = 64;
    let pages = (times as usize).next_multiple_of(STEP);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: what is mapped over is our own reservation, which nobody uses.
    unsafe {
        let reserve = flags | libc::MAP_NORESERVE;
        let at = call!(
            libc::SYS_mmap,
            0,
            pages * PAGE,
            libc::PROT_NONE,
            reserve,
            -1isize,
            0
        );
        if at < 0 {
            return Err(Error::from_raw_os_error(-at as i32));
        }
        let start = Clock::start();
        for page in (0..pages).step_by(STEP) {
            let part = at as usize + page * PAGE;
            call!(
                libc::SYS_mmap,
                part,
                STEP * PAGE,
                RW,
                flags | libc::MAP_FIXED,
                -1isize,
                0
            );
            touch(part as *mut u8, STEP);
        }
        Ok((start.ns(), pages as u64))
    }
}

/// The same pages where Linux may make them large: what memory in large pages costs, for each 4 KiB.
fn large(times: u32) -> Result<(u64, u64)> {
    const PAGES: usize = LARGE / PAGE;
    let len = (times as usize + 1) * LARGE;
    let at = memory(len, RW)?;
    // SAFETY: advice for memory that was mapped just now, and touched within its bounds after alignment.
    let ns = unsafe {
        libc::madvise(at.cast(), len, libc::MADV_HUGEPAGE);
        let aligned = at.add(at.align_offset(LARGE));
        let start = Clock::start();
        touch(aligned, times as usize * PAGES);
        let ns = start.ns();
        libc::munmap(at.cast(), len);
        ns
    };
    Ok((ns, u64::from(times) * PAGES as u64))
}

/// First touch of pages of a file; Linux maps several at once, so faults are counted, not pages.
fn file(times: u32) -> Result<(u64, u64)> {
    let len = times as usize * 16 * PAGE;
    let fd = memory_file()?;
    let contents = vec![1u8; len];
    std::fs::File::from(fd.try_clone()?).write_all(&contents)?;
    // SAFETY: a mapping wherever there is room.
    let at = unsafe {
        libc::mmap(
            null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            fd.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    let faults = || {
        // SAFETY: plain integers, filled by the call.
        unsafe {
            let mut u: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut u);
            u.ru_minflt as u64
        }
    };
    let before = faults();
    let start = Clock::start();
    for i in 0..len / PAGE {
        // SAFETY: within the mapping.
        black_box(unsafe { at.cast::<u8>().add(i * PAGE).read_volatile() });
    }
    let ns = start.ns();
    let n = faults() - before;
    // SAFETY: what was mapped above.
    unsafe { libc::munmap(at, len) };
    Ok((ns, n))
}

fn memory_file() -> Result<OwnedFd> {
    // SAFETY: a name that ends; the descriptor is nobody else's.
    unsafe {
        let fd = libc::memfd_create(c"mv-link".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// mmap and munmap of a page that is not touched: two calls.
fn mmap(times: u32) -> Result<(u64, u64)> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: what is unmapped is what was mapped.
    let (ns, n) = timed(times, || unsafe {
        let at = call!(libc::SYS_mmap, 0, PAGE, RW, flags, -1isize, 0);
        call!(libc::SYS_munmap, at, PAGE);
    })?;
    Ok((ns, 2 * n))
}

/// The same where no other mapping is near: Linux makes and frees a page of tables each time.
fn alone(times: u32) -> Result<(u64, u64)> {
    const FAR: usize = 1 << 40;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: what is unmapped is what was mapped, there or where there is room.
    let (ns, n) = timed(times, || unsafe {
        let at = call!(libc::SYS_mmap, FAR, PAGE, RW, flags, -1isize, 0);
        call!(libc::SYS_munmap, at, PAGE);
    })?;
    Ok((ns, 2 * n))
}

/// mprotect of a page to read-only and back: two calls.
fn mprotect(times: u32) -> Result<(u64, u64)> {
    let at = memory(PAGE, RW)?;
    // SAFETY: a page of our own, used for nothing else.
    let (ns, n) = timed(times, || unsafe {
        at.write_volatile(1);
        call!(libc::SYS_mprotect, at, PAGE, libc::PROT_READ);
        call!(libc::SYS_mprotect, at, PAGE, RW);
    })?;
    Ok((ns, 2 * n))
}

/// brk up by a page and down again: two calls.
fn brk(times: u32) -> Result<(u64, u64)> {
    // SAFETY: asks where the heap ends; nothing is allocated until it is there again.
    let (ns, n) = unsafe {
        let end = call!(libc::SYS_brk, 0);
        timed(times, || {
            call!(libc::SYS_brk, end as usize + PAGE);
            call!(libc::SYS_brk, end);
        })?
    };
    Ok((ns, 2 * n))
}

/// madvise(MADV_DONTNEED) of a page that is not there.
fn madvise(times: u32) -> Result<(u64, u64)> {
    let at = memory(PAGE, RW)?;
    // SAFETY: a page of our own, used for nothing else.
    timed(times, || unsafe {
        call!(libc::SYS_madvise, at, PAGE, libc::MADV_DONTNEED);
    })
}

// ---- Calls -------------------------------------------------------------------------------------------------------------

fn getpid(times: u32) -> Result<(u64, u64)> {
    let f = black_box(libc::getpid as unsafe extern "C" fn() -> libc::pid_t);
    // SAFETY: no arguments.
    timed(times, || unsafe {
        f();
    })
}

fn getppid(times: u32) -> Result<(u64, u64)> {
    let f = black_box(libc::getppid as unsafe extern "C" fn() -> libc::pid_t);
    // SAFETY: no arguments.
    timed(times, || unsafe {
        f();
    })
}

/// A read that fails at once.
fn read(times: u32) -> Result<(u64, u64)> {
    let mut byte = 0u8;
    // SAFETY: there is no such descriptor.
    timed(times, || unsafe {
        libc::read(-1, (&raw mut byte).cast(), 1);
    })
}

/// A byte to /dev/null.
fn write(times: u32) -> Result<(u64, u64)> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    let byte = 0u8;
    // SAFETY: reads one byte.
    timed(times, || unsafe {
        libc::write(null.as_raw_fd(), (&raw const byte).cast(), 1);
    })
}

fn sigprocmask(times: u32) -> Result<(u64, u64)> {
    // SAFETY: asks for the mask; plain integers.
    unsafe {
        let mut old: libc::sigset_t = std::mem::zeroed();
        timed(times, || {
            libc::sigprocmask(libc::SIG_BLOCK, null(), &mut old);
        })
    }
}

fn sigaction(times: u32) -> Result<(u64, u64)> {
    let mut old = [0u64; 4];
    // SAFETY: asks for a disposition; struct sigaction of the kernel's has 32 bytes.
    timed(times, || unsafe {
        call!(
            libc::SYS_rt_sigaction,
            libc::SIGUSR2,
            0,
            old.as_mut_ptr(),
            8
        );
    })
}

/// ppoll of nothing, for no time, with a mask.
fn ppoll(times: u32) -> Result<(u64, u64)> {
    let mask = 0u64;
    // SAFETY: pointers to complete structures.
    timed(times, || unsafe {
        let mut time = [0u64; 2];
        call!(libc::SYS_ppoll, 0, 0, time.as_mut_ptr(), &raw const mask, 8);
    })
}

/// `mov $getppid, %eax; syscall; ret`.
const CODE: [u8; 8] = [0xb8, libc::SYS_getppid as u8, 0, 0, 0, 0x0f, 0x05, 0xc3];

/// Calls code that is [`CODE`].
///
/// # Safety
/// It must be there, executable.
unsafe fn call_code(at: *const u8) {
    // SAFETY: the caller's promise; the code changes the registers that a C function may change, and uses no stack.
    unsafe { std::mem::transmute::<*const u8, extern "C" fn()>(at)() };
}

/// A call from code that is never patched, since it is not of a file: a trap each time.
fn trap(times: u32) -> Result<(u64, u64)> {
    let at = memory(PAGE, RW | libc::PROT_EXEC)?;
    // SAFETY: code in executable memory of our own.
    unsafe {
        at.copy_from_nonoverlapping(CODE.as_ptr(), CODE.len());
        timed(times, || call_code(at))
    }
}

/// The first call of each of many places in code of a file.
fn first_use(times: u32) -> Result<(u64, u64)> {
    let fd = memory_file()?;
    let len = (times as usize * SITE).next_multiple_of(PAGE);
    let mut code = vec![0xcc; len];
    for site in code.chunks_exact_mut(SITE).take(times as usize) {
        site[..CODE.len()].copy_from_slice(&CODE);
    }
    std::fs::File::from(fd.try_clone()?).write_all(&code)?;
    // SAFETY: a mapping wherever there is room; the code is [`CODE`].
    unsafe {
        let rights = libc::PROT_READ | libc::PROT_EXEC;
        let at = call!(
            libc::SYS_mmap,
            0,
            len,
            rights,
            libc::MAP_PRIVATE,
            fd.as_raw_fd(),
            0
        );
        if at < 0 {
            return Err(Error::from_raw_os_error(-at as i32));
        }
        let at = at as *const u8;
        let start = Clock::start();
        for i in 0..times as usize {
            call_code(at.add(i * SITE));
        }
        Ok((start.ns(), times.into()))
    }
}

// ---- Signals -----------------------------------------------------------------------------------------------------------

extern "C" fn nothing(_: libc::c_int) {}

/// The page whose protection [`unprotect`] takes away.
static GUARDED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn unprotect(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: a page of our own.
    unsafe {
        call!(
            libc::SYS_mprotect,
            GUARDED.load(Ordering::Relaxed),
            PAGE,
            RW
        );
    }
}

fn handle(signal: libc::c_int, handler: usize, flags: libc::c_int) -> Result<()> {
    // SAFETY: a complete structure, and a handler of the kind that the flags say.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        if libc::sigaction(signal, &action, null_mut()) != 0 {
            return Err(Error::last_os_error());
        }
    }
    Ok(())
}

/// A signal to this thread, its handler, and back.
fn signal(times: u32) -> Result<(u64, u64)> {
    handle(libc::SIGUSR1, nothing as extern "C" fn(_) as usize, 0)?;
    // SAFETY: no arguments.
    let (pid, tid) = unsafe { (libc::getpid(), libc::gettid()) };
    // SAFETY: this thread has a handler for it.
    timed(times, || unsafe {
        call!(libc::SYS_tgkill, pid, tid, libc::SIGUSR1);
    })
}

/// A write to a page that is read-only, the handler of its SIGSEGV that makes it writable, and read-only again.
fn fault(times: u32) -> Result<(u64, u64)> {
    let at = memory(PAGE, RW)?;
    GUARDED.store(at as usize, Ordering::Relaxed);
    handle(
        libc::SIGSEGV,
        unprotect as extern "C" fn(_, _, _) as usize,
        libc::SA_SIGINFO,
    )?;
    // SAFETY: a page of our own; where it is read-only the handler changes that.
    let result = timed(times, || unsafe {
        call!(libc::SYS_mprotect, at, PAGE, libc::PROT_READ);
        at.write_volatile(1);
    });
    handle(libc::SIGSEGV, libc::SIG_DFL, 0)?;
    result
}

// ---- Threads and processes ---------------------------------------------------------------------------------------------

/// A thread that does nothing, by the C library, and its end.
fn thread(times: u32) -> Result<(u64, u64)> {
    extern "C" fn body(arg: *mut libc::c_void) -> *mut libc::c_void {
        arg
    }
    let mut failed = 0;
    // SAFETY: a thread that takes and returns null, and is waited for.
    let result = timed(times, || unsafe {
        let mut id = std::mem::zeroed();
        failed |= libc::pthread_create(&mut id, null(), body, null_mut());
        if failed == 0 {
            libc::pthread_join(id, null_mut());
        }
    });
    match failed {
        0 => result,
        e => Err(Error::from_raw_os_error(e)),
    }
}

/// posix_spawn of nothing: a child that shares memory and ends.
fn spawn(times: u32) -> Result<(u64, u64)> {
    // SAFETY: pointers to complete structures; there is no such file.
    timed(times, || unsafe {
        let mut pid = 0;
        let name = c"/dev/null/nothing";
        let argv = [name.as_ptr().cast_mut(), null_mut()];
        libc::posix_spawn(
            &mut pid,
            name.as_ptr(),
            null(),
            null(),
            argv.as_ptr(),
            argv[1..].as_ptr(),
        );
    })
}

/// A child that ends at once, and is waited for.
fn fork(times: u32) -> Result<(u64, u64)> {
    // SAFETY: the child only ends.
    timed(times, || unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(0);
        }
        libc::waitpid(pid, null_mut(), 0);
    })
}
