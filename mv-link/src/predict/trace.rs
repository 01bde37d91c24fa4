//! The counting run: a program and all its descendants under ptrace(2), each of their system calls seen on its way in.

use super::proc::{self, PAGE};
use super::report::Usage;
use super::sys::{self, Call, Pid, Stop};
use hrt_kernel::arena::LARGEST;
use hrt_kernel::sites;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Result;
use std::path::PathBuf;
use std::rc::Rc;

/// `AUDIT_ARCH_X86_64` (linux/audit.h).
const ARCH_X86_64: u32 = 0xc000_003e;
/// `AT_ENTRY` (getauxval(3)).
const AT_ENTRY: u64 = 9;
/// Bytes of a huge page.
const HUGE: u64 = 2 << 20;
/// From how many bytes on a mapping at a place of the program's own is one that the HRT kernel watches (`kernel/memory.rs`).
const WIDE: u64 = 16 * HUGE;
/// `int3`.
const BREAKPOINT: u64 = 0xcc;

/// Numbers of the system calls of which more than the number is noted.
mod nr {
    pub const MMAP: u64 = 9;
    pub const MPROTECT: u64 = 10;
    pub const MUNMAP: u64 = 11;
    pub const BRK: u64 = 12;
    pub const RT_SIGRETURN: u64 = 15;
    pub const MREMAP: u64 = 25;
    pub const MADVISE: u64 = 28;
    pub const EXECVE: u64 = 59;
    pub const EXECVEAT: u64 = 322;
}

/// Calls of one kind, and the bytes that they are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sized {
    /// How many.
    pub calls: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

impl Sized {
    fn add(&mut self, bytes: u64) {
        self.calls += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Memory management by system calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// mmap of private anonymous memory, wherever there is room or as large as a huge page.
    pub mmap_anonymous: Sized,
    /// mmap of less of it at an address that the program has a say in.
    pub mmap_placed: Sized,
    /// mmap of much of it, where the program wants it or as one heap.
    pub mmap_wide: Sized,
    /// mmap of addresses only: private anonymous memory that may not be accessed.
    pub mmap_reserved: Sized,
    /// mmap of anything else.
    pub mmap_other: Sized,
    /// munmap.
    pub munmap: Sized,
    /// mprotect.
    pub mprotect: Sized,
    /// mremap; the new sizes.
    pub mremap: Sized,
    /// madvise that gives memory back (MADV_DONTNEED, MADV_FREE).
    pub given_back: Sized,
    /// brk that grows the heap.
    pub brk: Sized,
}

/// What the processes of one executable did, from each one's start on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The executable.
    pub path: PathBuf,
    /// How often it was started (execve).
    pub starts: u64,
    /// Processes that it forked.
    pub forks: u64,
    /// Processes that it started sharing its memory (vfork, posix_spawn).
    pub vforks: u64,
    /// Threads that it started.
    pub threads: u64,
    /// System calls by number, from the program's entry point on.
    pub calls: BTreeMap<u64, u64>,
    /// System calls before the entry point: those of the dynamic linker, which runs in Linux.
    pub before_entry: u64,
    /// Page faults before the entry point.
    pub faults_before_entry: u64,
    /// System calls of another architecture (32-bit ones), which the HRT kernel does not see.
    pub foreign: u64,
    /// Places in the code that made a call after the entry point, counted in each process anew.
    pub sites: u64,
    /// Those of them that the HRT kernel cannot patch.
    pub unpatchable_sites: u64,
    /// Calls made there, by number: each traps, the first one of a place included.
    pub trapping: BTreeMap<u64, u64>,
    /// Signals delivered, or ignored at delivery, by number.
    pub signals: BTreeMap<i32, u64>,
    /// Page faults that got private anonymous memory, from the entry point on, as far as the pages were there when the memory was
    /// given back.
    pub anonymous_faults: u64,
    /// Memory management.
    pub memory: Memory,
}

impl Image {
    fn new(path: PathBuf) -> Image {
        Image {
            path,
            ..Image::default()
        }
    }

    /// All system calls from the entry point on.
    pub fn all_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Calls of number `nr`.
    pub fn count(&self, nr: u64) -> u64 {
        self.calls.get(&nr).copied().unwrap_or(0)
    }
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// By executable, the command's own first. Empty if it could not be executed.
    pub images: Vec<Image>,
    /// The command's exit status, as of waitpid(2).
    pub status: i32,
    /// What it took, the tracer's part included.
    pub usage: Usage,
    /// Executables that were started without the privileges that their files give, because they were traced.
    pub unprivileged: Vec<PathBuf>,
    /// Processes that went on when the command had ended, and were not watched any longer.
    pub left: u64,
}

/// Breakpoint at a program's entry point.
#[derive(Clone, Copy)]
struct Entry {
    at: u64,
    word: u64,
}

/// A process, or what shares memory with one until it executes.
struct Process {
    image: usize,
    /// Set until the entry point is reached.
    entry: Option<Entry>,
    /// The places that made calls, and whether they can be patched; shared where memory is.
    sites: Rc<RefCell<HashMap<u64, bool>>>,
    /// The end of the heap, once known.
    brk: u64,
    /// Anonymous pages that it got from its parent, or had at its entry point.
    inherited: u64,
    /// Shares memory with its parent.
    borrowed: bool,
    /// Threads that have not ended.
    threads: HashSet<Pid>,
    /// Anonymous pages that an execve under way would give up.
    giving_up: u64,
    /// A brk under way.
    in_brk: bool,
}

struct Tracer {
    counts: Counts,
    main: Pid,
    processes: HashMap<Pid, Process>,
    /// The process of each thread.
    threads: HashMap<Pid, Pid>,
    /// Threads whose first stop came before their parent's event.
    early: HashSet<Pid>,
    /// The command has ended; all others are let go.
    leaving: bool,
}

/// The ptrace options of the counting run.
pub const OPTIONS: libc::c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE;

/// Watches a program that [`sys::start`] has seized, to its end.
///
/// # Errors
/// Those of waitpid(2) and ptrace(2); descendants may then go on, untraced.
pub fn follow(main: Pid) -> Result<Counts> {
    let mut tracer = Tracer {
        counts: Counts::default(),
        main,
        processes: HashMap::new(),
        threads: HashMap::new(),
        early: HashSet::new(),
        leaving: false,
    };
    tracer.threads.insert(main, main);
    // SAFETY: plain integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    while let Some((tid, stop)) = sys::next_stop(&mut usage)? {
        if tid == main && matches!(stop, Stop::Ended(_)) {
            tracer.counts.usage = Usage::of(&usage);
        }
        tracer.stopped(tid, stop)?;
    }
    Ok(tracer.counts)
}

impl Tracer {
    fn stopped(&mut self, tid: Pid, stop: Stop) -> Result<()> {
        if let Stop::Ended(status) = stop {
            return self.ended(tid, status);
        }
        if self.leaving {
            // What is stopped by a signal gets it; a fork's child is stopped for us only.
            let signal = match stop {
                Stop::Signal(s) => s,
                _ => 0,
            };
            self.remove_breakpoint(tid)?;
            return sys::detach(tid, signal);
        }
        if !self.threads.contains_key(&tid) {
            self.early.insert(tid);
            return Ok(());
        }
        match stop {
            Stop::Syscall => {
                self.syscall(tid)?;
                sys::resume(tid, 0)
            }
            Stop::Event(libc::PTRACE_EVENT_EXEC) => {
                self.executed(tid)?;
                sys::resume(tid, 0)
            }
            Stop::Event(libc::PTRACE_EVENT_EXIT) => {
                self.exiting(tid);
                sys::resume(tid, 0)
            }
            Stop::Event(event) if is_birth(event) => {
                if let Ok(child) = sys::message(tid) {
                    self.born(tid, child as Pid, event)?;
                }
                sys::resume(tid, 0)
            }
            Stop::Event(_) | Stop::Halted => sys::resume(tid, 0),
            Stop::Group => sys::listen(tid),
            Stop::Signal(signal) => {
                if signal == libc::SIGTRAP && self.reached_entry(tid)? {
                    return sys::resume(tid, 0);
                }
                if let Some(image) = self.image(tid) {
                    *image.signals.entry(signal).or_default() += 1;
                }
                sys::resume(tid, signal)
            }
            Stop::Ended(_) => Ok(()),
        }
    }

    fn process(&mut self, tid: Pid) -> Option<&mut Process> {
        self.processes.get_mut(self.threads.get(&tid)?)
    }

    fn image(&mut self, tid: Pid) -> Option<&mut Image> {
        let index = self.process(tid)?.image;
        self.counts.images.get_mut(index)
    }

    /// A thread has ended; with the command, tracing ends.
    fn ended(&mut self, tid: Pid, status: libc::c_int) -> Result<()> {
        self.early.remove(&tid);
        if let Some(pid) = self.threads.remove(&tid) {
            if let Some(p) = self.processes.get_mut(&pid) {
                p.threads.remove(&tid);
                if p.threads.is_empty() {
                    self.processes.remove(&pid);
                }
            }
        }
        if tid == self.main {
            self.counts.status = status;
            self.leaving = true;
            self.counts.left = self.processes.len() as u64;
            for &tid in self.threads.keys() {
                sys::interrupt(tid)?;
            }
            for tid in self.early.drain() {
                sys::detach(tid, 0)?;
            }
        }
        Ok(())
    }

    /// A new image has taken the place of a process.
    fn executed(&mut self, tid: Pid) -> Result<()> {
        let path = proc::exe(tid).unwrap_or_default();
        if lost_privileges(&path) && !self.counts.unprivileged.contains(&path) {
            self.counts.unprivileged.push(path.clone());
        }
        let images = &mut self.counts.images;
        let index = match images.iter().position(|i| i.path == path) {
            Some(i) => i,
            None => {
                images.push(Image::new(path));
                images.len() - 1
            }
        };
        images[index].starts += 1;
        // All other threads are gone without an event; the one that called execve has the process's number now.
        let gone = self.processes.remove(&tid);
        if let Some(old) = gone {
            for t in old.threads {
                self.threads.remove(&t);
            }
            self.counts.images[old.image].anonymous_faults += old.giving_up;
        }
        self.threads.insert(tid, tid);
        let mut entry = None;
        let mut word = [0; 8];
        if let Some(at) = proc::auxv(tid, AT_ENTRY) {
            if sys::read_memory(tid, at, &mut word) == word.len() {
                let word = u64::from_ne_bytes(word);
                sys::poke(tid, at, word & !0xff | BREAKPOINT)?;
                entry = Some(Entry { at, word });
            }
        }
        self.processes.insert(
            tid,
            Process {
                image: index,
                entry,
                sites: Rc::default(),
                brk: 0,
                inherited: 0,
                borrowed: false,
                threads: HashSet::from([tid]),
                giving_up: 0,
                in_brk: false,
            },
        );
        Ok(())
    }

    /// Takes away the breakpoint of a process that has not reached its entry point.
    fn remove_breakpoint(&mut self, tid: Pid) -> Result<()> {
        match self.process(tid).and_then(|p| p.entry.take()) {
            Some(entry) => sys::poke(tid, entry.at, entry.word),
            None => Ok(()),
        }
    }

    /// True if this SIGTRAP is the breakpoint at the entry point: it is gone then, and the program is about to begin.
    fn reached_entry(&mut self, tid: Pid) -> Result<bool> {
        let Some(entry) = self.process(tid).and_then(|p| p.entry) else {
            return Ok(false);
        };
        if !sys::move_ip(tid, entry.at + 1, entry.at)? {
            return Ok(false);
        }
        self.remove_breakpoint(tid)?;
        let before = proc::minor_faults(tid);
        if let Some(process) = self.process(tid) {
            process.inherited = proc::anonymous_pages(tid);
        }
        if let Some(image) = self.image(tid) {
            image.faults_before_entry += before;
        }
        Ok(true)
    }

    /// A thread has made another, or a process.
    fn born(&mut self, tid: Pid, child: Pid, event: libc::c_int) -> Result<()> {
        let Some(&pid) = self.threads.get(&tid) else {
            return Ok(());
        };
        // A child that is gone already was a process: a thread's end would wait for us to hear of its start.
        let of = proc::process_of(child).unwrap_or(child);
        let Some(parent) = self.processes.get_mut(&pid) else {
            return Ok(());
        };
        let image = parent.image;
        let counted = &mut self.counts.images[image];
        self.threads.insert(child, of);
        if of == pid {
            parent.threads.insert(child);
            counted.threads += 1;
        } else {
            let borrowed = event == libc::PTRACE_EVENT_VFORK;
            let process = Process {
                image,
                entry: parent.entry,
                sites: if borrowed {
                    parent.sites.clone()
                } else {
                    Rc::new(RefCell::new(parent.sites.borrow().clone()))
                },
                brk: parent.brk,
                inherited: if borrowed {
                    0
                } else {
                    proc::anonymous_pages(child)
                },
                borrowed,
                threads: HashSet::from([child]),
                giving_up: 0,
                in_brk: false,
            };
            if borrowed {
                counted.vforks += 1;
            } else {
                counted.forks += 1;
            }
            self.processes.insert(of, process);
        }
        if self.early.remove(&child) {
            sys::resume(child, 0)?;
        }
        Ok(())
    }

    /// A thread is about to end; the last one of a process takes the memory with it.
    fn exiting(&mut self, tid: Pid) {
        let Some(process) = self.process(tid) else {
            return;
        };
        process.threads.remove(&tid);
        if !process.threads.is_empty() || process.borrowed {
            return;
        }
        let had = proc::anonymous_pages(tid).saturating_sub(process.inherited);
        if let Some(image) = self.image(tid) {
            image.anonymous_faults += had;
        }
    }

    fn syscall(&mut self, tid: Pid) -> Result<()> {
        let call = match sys::call(tid) {
            Ok(call) => call,
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
            Err(e) => return Err(e),
        };
        let Some(&pid) = self.threads.get(&tid) else {
            return Ok(());
        };
        let Some(process) = self.processes.get_mut(&pid) else {
            return Ok(());
        };
        let image = &mut self.counts.images[process.image];
        let (arch, number, args, ip) = match call {
            Call::Entry {
                arch,
                number,
                args,
                ip,
            } => (arch, number, args, ip),
            Call::Exit(result) => {
                if std::mem::take(&mut process.in_brk) {
                    let end = result as u64;
                    if process.brk != 0 && end > process.brk {
                        image.memory.brk.add(end - process.brk);
                    }
                    process.brk = end;
                }
                return Ok(());
            }
            Call::Other => return Ok(()),
        };
        if arch != ARCH_X86_64 {
            image.foreign += 1;
            return Ok(());
        }
        // Memory is looked at wherever the call comes from, since its faults count.
        let gone = memory(pid, process, image, number, &args);
        if process.entry.is_none() {
            image.anonymous_faults += gone;
        } else {
            image.before_entry += 1;
            return Ok(());
        }
        *image.calls.entry(number).or_default() += 1;
        let site = ip.wrapping_sub(2);
        let known = process.sites.borrow().get(&site).copied();
        let patchable = match known {
            Some(p) => p,
            None => {
                let p = patchable(tid, site, number);
                process.sites.borrow_mut().insert(site, p);
                image.sites += 1;
                image.unpatchable_sites += u64::from(!p);
                p
            }
        };
        // The return from a handler is part of what a signal costs.
        if !patchable && number != nr::RT_SIGRETURN {
            *image.trapping.entry(number).or_default() += 1;
        }
        Ok(())
    }
}

/// Notes what a call is about to do to memory; returns the anonymous pages that go with it.
fn memory(pid: Pid, process: &mut Process, image: &mut Image, number: u64, args: &[u64; 6]) -> u64 {
    let m = &mut image.memory;
    let gone = |start, len| {
        if process.borrowed {
            0
        } else {
            proc::anonymous_pages_in(pid, start, len)
        }
    };
    match number {
        nr::MMAP => {
            let flags = args[3] as i32;
            if flags & (libc::MAP_ANONYMOUS | libc::MAP_PRIVATE)
                == libc::MAP_ANONYMOUS | libc::MAP_PRIVATE
            {
                let fixed = libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE | libc::MAP_32BIT;
                if args[2] as i32 == libc::PROT_NONE {
                    m.mmap_reserved.add(args[1]);
                } else if args[1] >= WIDE
                    && (args[0] != 0
                        || flags & (fixed | libc::MAP_NORESERVE) != 0
                        || args[1] > LARGEST as u64)
                {
                    m.mmap_wide.add(args[1]);
                } else if args[1] < HUGE && (args[0] != 0 || flags & fixed != 0) {
                    m.mmap_placed.add(args[1]);
                } else {
                    m.mmap_anonymous.add(args[1]);
                }
            } else {
                m.mmap_other.add(args[1]);
            }
            if flags & libc::MAP_FIXED != 0 {
                return gone(args[0], args[1]);
            }
        }
        nr::MUNMAP => {
            m.munmap.add(args[1]);
            return gone(args[0], args[1]);
        }
        nr::MPROTECT => m.mprotect.add(args[1]),
        nr::MREMAP => {
            m.mremap.add(args[2]);
            if args[2] < args[1] {
                return gone(args[0].saturating_add(args[2]), args[1] - args[2]);
            }
        }
        nr::MADVISE if [libc::MADV_DONTNEED, libc::MADV_FREE].contains(&(args[2] as i32)) => {
            m.given_back.add(args[1]);
            return gone(args[0], args[1]);
        }
        nr::BRK => {
            process.in_brk = true;
            let to = args[0];
            if to != 0 && to < process.brk {
                let to = to.next_multiple_of(PAGE);
                return gone(to, process.brk.saturating_sub(to));
            }
        }
        nr::EXECVE | nr::EXECVEAT => {
            // Counted if it succeeds.
            process.giving_up = if process.borrowed {
                0
            } else {
                proc::anonymous_pages(pid).saturating_sub(process.inherited)
            };
        }
        _ => {}
    }
    0
}

/// Whether the HRT kernel could patch the `syscall` at `site`, which was just seen with this number.
///
/// That other threads run while it is first used can rule a patch out, too: that is not looked at.
fn patchable(tid: Pid, site: u64, number: u64) -> bool {
    const AROUND: u64 = 160;
    let Some((start, end)) = proc::code_around(tid, site) else {
        return false;
    };
    let low = start.max(site.saturating_sub(AROUND));
    let high = end.min(site + AROUND);
    let mut code = vec![0; (high - low) as usize];
    let n = sys::read_memory(tid, low, &mut code);
    sites::plan(&code[..n], (site - low) as usize, number).is_some()
}

/// True for an event that says that there is a new thread or process.
fn is_birth(event: libc::c_int) -> bool {
    [
        libc::PTRACE_EVENT_FORK,
        libc::PTRACE_EVENT_VFORK,
        libc::PTRACE_EVENT_CLONE,
    ]
    .contains(&event)
}

/// Whether a file gives privileges that a traced process does not get: those who may trace anything lose nothing.
fn lost_privileges(path: &std::path::Path) -> bool {
    // SAFETY: no arguments.
    let root = unsafe { libc::geteuid() == 0 };
    !root && super::privileged(path)
}
