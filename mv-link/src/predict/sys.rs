//! What the standard library does not have: starting a program under a tracer, ptrace(2), and waiting with wait4(2).
//!
//! The crates that wrap these do not know the real-time signals, which must reach the program like any other.

use std::ffi::{CString, OsStr};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicI32, Ordering};

pub use libc::pid_t as Pid;

/// Flag of a stop at a system call (`PTRACE_O_TRACESYSGOOD`).
const SYSCALL_FLAG: i32 = 0x80;

/// A program to start: all that execve(2) needs, allocated before the fork.
pub struct Program {
    argv: Vec<CString>,
    envp: Vec<CString>,
}

impl Program {
    /// `command` (the program, found on `PATH`, and its arguments) with this process's environment and `extra` variables.
    ///
    /// # Errors
    /// A NUL byte in an argument.
    pub fn new(command: &[impl AsRef<OsStr>], extra: &[(&str, &str)]) -> Result<Program> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(Error::from);
        let argv = command
            .iter()
            .map(|a| text(a.as_ref().as_bytes()))
            .collect::<Result<Vec<_>>>()?;
        let mut envp = Vec::new();
        for (name, value) in std::env::vars_os() {
            if !extra.iter().any(|(n, _)| name == *n) {
                envp.push(text(&[name.as_bytes(), b"=", value.as_bytes()].concat())?);
            }
        }
        for (name, value) in extra {
            envp.push(text(format!("{name}={value}").as_bytes())?);
        }
        Ok(Program { argv, envp })
    }
}

fn check(r: libc::c_long) -> Result<libc::c_long> {
    if r < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(r)
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are nobody else's then.
    unsafe {
        check(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC).into())?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// A process that was started.
pub struct Started {
    /// Its number.
    pub pid: Pid,
    failure: OwnedFd,
}

impl Started {
    /// Why the program could not be executed; to be asked once the process has ended or executes.
    pub fn failure(&self) -> Option<Error> {
        let mut errno = [0u8; 4];
        // SAFETY: writes at most the four bytes.
        let n = unsafe { libc::read(self.failure.as_raw_fd(), errno.as_mut_ptr().cast(), 4) };
        (n == 4).then(|| Error::from_raw_os_error(i32::from_ne_bytes(errno)))
    }
}

/// Starts a program with these descriptors as its first three, this process's where `None`. With `options`, it is seized by
/// this thread with these ptrace options before it executes; its first stop is then that of the execve(2).
///
/// # Errors
/// Those of fork(2) and ptrace(2). That it cannot be executed, [`Started::failure`] tells.
pub fn start(
    program: &Program,
    streams: [Option<BorrowedFd<'_>>; 3],
    options: Option<libc::c_int>,
) -> Result<Started> {
    let pointers = |v: &[CString]| -> Vec<*const libc::c_char> {
        let end = std::iter::once(std::ptr::null());
        v.iter().map(|s| s.as_ptr()).chain(end).collect()
    };
    let (argv, envp) = (pointers(&program.argv), pointers(&program.envp));
    let (failure, failed) = pipe()?;
    let (gate, open) = pipe()?;
    // SAFETY: the child calls only what may be called after the fork of a process with several threads (signal-safety(7)),
    // but for execvpe, which glibc implements without locks or allocation.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: pointers made before the fork, ended by null; descriptors that are open.
        unsafe {
            reset_signals();
            let mut byte = 0u8;
            drop(open);
            libc::read(gate.as_raw_fd(), (&raw mut byte).cast(), 1);
            for (to, from) in (0..).zip(streams) {
                if let Some(from) = from {
                    libc::dup2(from.as_raw_fd(), to);
                }
            }
            libc::execvpe(argv[0], argv.as_ptr(), envp.as_ptr());
            let errno = (*libc::__errno_location()).to_ne_bytes();
            libc::write(failed.as_raw_fd(), errno.as_ptr().cast(), 4);
            libc::_exit(127);
        }
    }
    check(pid.into())?;
    drop(failed);
    if let Some(options) = options {
        // SAFETY: seizes the child, which is waiting at the gate.
        let seized =
            unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, libc::c_long::from(options)) };
        if seized < 0 {
            let e = Error::last_os_error();
            // SAFETY: our own child, not waited for yet.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            }
            return Err(e);
        }
    }
    PROGRAM.store(pid, Ordering::Relaxed);
    drop(gate);
    drop(open); // end of file opens the gate as well as a byte
    Ok(Started { pid, failure })
}

/// How a program ended, and what it took.
pub struct Ended {
    /// As of waitpid(2).
    pub status: libc::c_int,
    /// Of it and of those descendants that were waited for.
    pub usage: libc::rusage,
    /// Seconds in which its first thread could have run, had a processor been free.
    pub delayed: f64,
}

/// Waits for the end of a child that is not traced.
///
/// # Errors
/// Those of wait4(2).
pub fn wait(pid: Pid) -> Result<Ended> {
    let mut status = 0;
    // SAFETY: plain integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: waits, and leaves the child to be waited for.
    while unsafe {
        let mut info = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, options) < 0
            && Error::last_os_error().raw_os_error() == Some(libc::EINTR)
    } {}
    let delayed = super::proc::delayed(pid);
    loop {
        // SAFETY: room for both results.
        let r = unsafe { libc::wait4(pid, &mut status, 0, &mut usage) };
        match check(r.into()) {
            Ok(_) => {
                PROGRAM.store(0, Ordering::Relaxed);
                return Ok(Ended {
                    status,
                    usage,
                    delayed,
                });
            }
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// What a traced thread has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has ended, with this status (waitpid(2)).
    Ended(libc::c_int),
    /// Entry to or exit from a system call.
    Syscall,
    /// An event of `PTRACE_O_TRACE*`.
    Event(libc::c_int),
    /// A new thread's first stop, or one that was asked for.
    Halted,
    /// A stop of the whole process, by job control.
    Group,
    /// This signal is about to be delivered.
    Signal(libc::c_int),
}

/// Waits for any traced thread; `None` when there is none left. `usage` is then what one that has ended has used, with those
/// descendants that it waited for.
///
/// # Errors
/// Those of wait4(2).
pub fn next_stop(usage: &mut libc::rusage) -> Result<Option<(Pid, Stop)>> {
    let mut status = 0;
    // SAFETY: room for both results.
    let tid = unsafe { libc::wait4(-1, &mut status, libc::__WALL, usage) };
    if tid < 0 {
        let e = Error::last_os_error();
        return match e.raw_os_error() {
            Some(libc::ECHILD) => Ok(None),
            Some(libc::EINTR) => next_stop(usage),
            _ => Err(e),
        };
    }
    if !libc::WIFSTOPPED(status) {
        return Ok(Some((tid, Stop::Ended(status))));
    }
    let signal = libc::WSTOPSIG(status);
    let stop = match status >> 16 {
        libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Stop::Halted,
        libc::PTRACE_EVENT_STOP => Stop::Group,
        0 if signal == libc::SIGTRAP | SYSCALL_FLAG => Stop::Syscall,
        0 => Stop::Signal(signal),
        event => Stop::Event(event),
    };
    Ok(Some((tid, stop)))
}

/// A request without a pointer into this process. That the thread is gone meanwhile (SIGKILL) is no error: its end is next.
fn request(request: libc::c_uint, tid: Pid, addr: usize, data: usize) -> Result<()> {
    // SAFETY: the callers' requests take numbers, which are passed in the registers of pointers.
    let r = unsafe { libc::ptrace(request, tid, addr, data) };
    match check(r) {
        Err(e) if e.raw_os_error() != Some(libc::ESRCH) => Err(e),
        _ => Ok(()),
    }
}

/// Lets a stopped thread go on to its next system call, with a signal or 0.
///
/// # Errors
/// Those of ptrace(2).
pub fn resume(tid: Pid, signal: libc::c_int) -> Result<()> {
    request(libc::PTRACE_SYSCALL, tid, 0, signal as usize)
}

/// Leaves a thread in its group stop, to wait for SIGCONT.
///
/// # Errors
/// Those of ptrace(2).
pub fn listen(tid: Pid) -> Result<()> {
    request(libc::PTRACE_LISTEN, tid, 0, 0)
}

/// Asks for a stop.
///
/// # Errors
/// Those of ptrace(2).
pub fn interrupt(tid: Pid) -> Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0)
}

/// Lets a stopped thread go for ever, with a signal or 0.
///
/// # Errors
/// Those of ptrace(2).
pub fn detach(tid: Pid, signal: libc::c_int) -> Result<()> {
    request(libc::PTRACE_DETACH, tid, 0, signal as usize)
}

/// The message of an event: a new thread's number, or a former one.
///
/// # Errors
/// Those of ptrace(2).
pub fn message(tid: Pid) -> Result<libc::c_ulong> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: room for the message.
    check(unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message) })?;
    Ok(message)
}

/// A system call at a stop.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Its number and arguments, and where the instruction after its `syscall` is.
    Entry {
        /// `AUDIT_ARCH_*`.
        arch: u32,
        /// As in `%rax`.
        number: u64,
        /// As in the registers.
        args: [u64; 6],
        /// `%rip`.
        ip: u64,
    },
    /// Its result.
    Exit(i64),
    /// Something else.
    Other,
}

/// What the thread's system-call stop is about (Linux 5.3).
///
/// # Errors
/// Those of ptrace(2).
pub fn call(tid: Pid) -> Result<Call> {
    // SAFETY: plain integers; any value of the union's is one of its parts'.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of_val(&info);
    // SAFETY: room for `size` bytes.
    check(unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size, &raw mut info) })?;
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: `op` says that this is the union's part.
            let entry = unsafe { info.u.entry };
            Call::Entry {
                arch: info.arch,
                number: entry.nr,
                args: entry.args,
                ip: info.instruction_pointer,
            }
        }
        // SAFETY: as above.
        libc::PTRACE_SYSCALL_INFO_EXIT => Call::Exit(unsafe { info.u.exit }.sval),
        _ => Call::Other,
    })
}

/// Writes a word of a stopped thread's memory, whatever its protection.
///
/// # Errors
/// Those of ptrace(2).
pub fn poke(tid: Pid, at: u64, word: u64) -> Result<()> {
    request(libc::PTRACE_POKETEXT, tid, at as usize, word as usize)
}

/// Reads memory of a stopped thread, as far as it can be read.
pub fn read_memory(tid: Pid, at: u64, bytes: &mut [u8]) -> usize {
    let local = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: at as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: process_vm_readv(2) writes at most the slice.
    let n = unsafe { libc::process_vm_readv(tid, &local, 1, &remote, 1, 0) };
    usize::try_from(n).unwrap_or(0)
}

/// Steps the instruction pointer of a stopped thread from `from` to `to`; false if it is not at `from`.
///
/// # Errors
/// Those of ptrace(2).
pub fn move_ip(tid: Pid, from: u64, to: u64) -> Result<bool> {
    // SAFETY: plain integers.
    let mut regs: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: room for the registers.
    check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, 0, &raw mut regs) })?;
    if regs.rip != from {
        return Ok(false);
    }
    regs.rip = to;
    // SAFETY: the registers just read, but for one.
    check(unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid, 0, &raw const regs) })?;
    Ok(true)
}

// ---- Signals of this process's own -------------------------------------------------------------------------------------

/// The program that runs, or 0.
static PROGRAM: AtomicI32 = AtomicI32::new(0);

/// Signals that are for the program when they come to this process.
const PASSED: [libc::c_int; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
];
/// Those of them that this process was started with as ignored, a bit each: the program inherits that.
static IGNORED: AtomicI32 = AtomicI32::new(0);

extern "C" fn pass(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let pid = PROGRAM.load(Ordering::Relaxed);
    // What the terminal sends (a positive code) has gone to the program too; what a process sends is for this one alone.
    // SAFETY: the kernel's siginfo; kill(2) is async-signal-safe, and errno is put back.
    unsafe {
        if pid > 0 && (*info).si_code <= 0 {
            let errno = *libc::__errno_location();
            libc::kill(pid, signal);
            *libc::__errno_location() = errno;
        }
    }
}

/// While it lives, signals to this process are for the program, and this process stays to tell of it.
pub struct PassSignals([(libc::c_int, libc::sigaction); PASSED.len()]);

impl PassSignals {
    /// Begins.
    pub fn begin() -> PassSignals {
        let mut bit = 0;
        PassSignals(PASSED.map(|signal| {
            // SAFETY: a handler that does only what handlers may; both structures are complete.
            unsafe {
                let mut old: libc::sigaction = std::mem::zeroed();
                let mut new: libc::sigaction = std::mem::zeroed();
                new.sa_sigaction = pass as extern "C" fn(_, _, _) as usize;
                new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
                libc::sigaction(signal, std::ptr::null(), &mut old);
                if old.sa_sigaction == libc::SIG_IGN {
                    IGNORED.fetch_or(1 << bit, Ordering::Relaxed);
                } else {
                    libc::sigaction(signal, &new, std::ptr::null_mut());
                }
                bit += 1;
                (signal, old)
            }
        }))
    }
}

impl Drop for PassSignals {
    fn drop(&mut self) {
        PROGRAM.store(0, Ordering::Relaxed);
        for (signal, old) in &self.0 {
            // SAFETY: what was there before.
            unsafe { libc::sigaction(*signal, old, std::ptr::null_mut()) };
        }
    }
}

/// In the child, before it executes: what this process does with signals is not for the program. Handlers go by themselves
/// with execve(2); until then the child must not pass signals on. SIGPIPE is ignored by Rust's runtime.
///
/// # Safety
/// Only between fork and execve.
unsafe fn reset_signals() {
    // SAFETY: sets default actions.
    unsafe {
        for (bit, signal) in PASSED.into_iter().enumerate() {
            if IGNORED.load(Ordering::Relaxed) & 1 << bit == 0 {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
