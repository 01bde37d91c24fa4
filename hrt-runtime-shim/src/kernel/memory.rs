//! The kernel's part in the program's memory: where anonymous mappings lie and how far the heap reaches ahead (`hrt_kernel::arena`).
//!
//! Linux stays the owner of every mapping. So fork, core dumps, /proc/self/maps and MAP_FIXED are Linux's; a call that meets what the
//! kernel has mapped ahead finds the place empty, since that is unmapped first. Where memory is limited, locked or jailed the kernel
//! takes no part.

use super::slots::{self, Guard};
use super::{budget, huge, modules};
use crate::raw::{self, errno, map, nr, prot};
use core::cell::UnsafeCell;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use hrt_kernel::areas::{Area, Areas};
use hrt_kernel::arena::{Arena, Counts, HUGE, Linux, PAGE, WARM};
use hrt_kernel::settings::Memory;

/// Bytes that are kept at most of what the program has unmapped; and at most a fourth of what the arenas have, and
/// [`KEPT_PART`] of the memory that there is.
const KEPT_MOST: usize = 64 << 20;
const KEPT_PART: usize = 32;
/// A mapping that is larger than this part of memory is not advised for huge pages.
const LARGE_PART: usize = 8;
/// What is kept is given back as a whole when it is less.
const KEPT_LEAST: usize = 32 * PAGE;
/// Largest request that is populated ahead with small pages.
const AHEAD_MOST: usize = 2 * HUGE;
/// Mappings of the program's own from this size on get small pages at their beginning: a sixteenth, at most [`BEGINNING`]; of a heap an
/// eighth, at most twice that. A program that uses no more than that is a small one.
const WIDE: usize = 16 * HUGE;
const BEGINNING: usize = 8 * HUGE;
/// Cycles between looks at how far the program has come in them.
const LOOK: u64 = 1 << 20;
/// Bytes of a heap that is mapped at once (MAP_NORESERVE) that are advised before anything is known of it: it may be used without a further
/// call.
const HEAP: usize = 16 * HUGE;
/// Bytes that it is seen to have gone on at most, in one look.
const MOST_SEEN: usize = 64 * HUGE;
/// Bytes that a program must give up at once (MADV_DONTNEED) for its pages to be made zero instead.
const GIVEN_UP: usize = 256 << 10;
/// Cycles of the time stamp after which half of what is kept is given back: about a second.
const DECAY: u64 = 1 << 31;
/// Where MAP_32BIT maps (mmap(2)); below it the heap of a program at a fixed address grows.
const LOW: Range<usize> = 1 << 30..1 << 31;
/// Bytes of threads' stacks that are kept at most, touched or not.
const STACKS_MOST: usize = 128 << 20;
/// Mappings of each arena that are remembered.
const LAST: usize = 4;
/// Ranges that are remembered as given up and made zero.
const ZEROED: usize = 8;
/// Ranges of a chunk that are remembered as changed by the program.
const CHANGED: usize = 64;

/// The heap of brk(2), as the program has it and as Linux has it; 0: not yet known.
struct Heap {
    start: usize,
    end: usize,
    mapped: usize,
    /// Calls served without Linux.
    local: u64,
}

struct State {
    /// For each node, by the rights and the place of their mappings, see [`Real::of`]; the first `nodes` times [`KINDS`].
    arenas: [Arena; ARENAS],
    /// Nodes of memory that are told apart; 0: not yet known.
    nodes: usize,
    /// Bytes that the program has asked for of what arenas have.
    asked: usize,
    heap: Heap,
    /// What of the arenas is not mapped any more as the arena did it; the first `changed_used`.
    changed: [Range<usize>; CHANGED],
    changed_used: usize,
    /// What each arena has given last, and how often it has.
    last: [[Range<usize>; LAST]; ARENAS],
    given: [usize; ARENAS],
    /// When kept memory was last looked at, by the time stamp.
    looked: u64,
    areas: Areas,
    /// Bytes that the program was seen to use in areas.
    used: usize,
    /// What the program has given up a short while ago, and still has, made zero.
    zeroed: [Range<usize>; ZEROED],
    /// How often that was done.
    zeroes: u64,
}

/// Kinds of arenas.
const KINDS: usize = 5;
/// The kind for threads' stacks, in which the program changes the rights itself.
const STACKS: usize = 4;
/// Nodes that are told apart; of those beyond, some share arenas.
const NODES: usize = 4;
const ARENAS: usize = KINDS * NODES;

struct Shared(UnsafeCell<State>);
// SAFETY: used only under the slots' lock: see `state`.
unsafe impl Sync for Shared {}

static STATE: Shared = Shared(UnsafeCell::new(State {
    arenas: [const { Arena::new() }; ARENAS],
    nodes: 0,
    asked: 0,
    heap: Heap {
        start: 0,
        end: 0,
        mapped: 0,
        local: 0,
    },
    changed: [const { 0..0 }; CHANGED],
    changed_used: 0,
    last: [const { [const { 0..0 }; LAST] }; ARENAS],
    given: [0; ARENAS],
    looked: 0,
    areas: Areas::new(),
    used: 0,
    zeroed: [const { 0..0 }; ZEROED],
    zeroes: 0,
}));

const OFF: u8 = 0;
const ARENA: u8 = 1;
const KEEP: u8 = 2;
static MODE: AtomicU8 = AtomicU8::new(OFF);

/// When the areas were last looked at, by the time stamp.
static SAMPLED: AtomicU64 = AtomicU64::new(0);

/// There is something to look at once in a while: areas, or memory to give back.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Bytes that the program has unmapped and the kernel has not.
pub static KEPT: AtomicUsize = AtomicUsize::new(0);

/// The state, with the lock which makes it the caller's.
struct Held {
    state: &'static mut State,
    _lock: Guard,
}

impl core::ops::Deref for Held {
    type Target = State;

    fn deref(&self) -> &State {
        self.state
    }
}

impl core::ops::DerefMut for Held {
    fn deref_mut(&mut self) -> &mut State {
        self.state
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let kept = self.state.used_arenas().iter();
        let kept = kept.map(|arena| arena.counts().kept).sum();
        KEPT.store(kept, Ordering::Relaxed);
        let zeroed = self.state.zeroed.iter().any(|z| !z.is_empty());
        let watched = kept != 0 || zeroed || !self.state.areas.is_empty();
        WATCHED.store(watched, Ordering::Relaxed);
    }
}

/// Takes the lock.
fn state() -> Held {
    let lock = slots::lock();
    Held {
        // SAFETY: the lock is held for as long as the reference lives.
        state: unsafe { &mut *STATE.0.get() },
        _lock: lock,
    }
}

fn mode() -> u8 {
    MODE.load(Ordering::Relaxed)
}

/// Takes over what the user asked for. Where the program's memory is limited, it is left to Linux.
pub fn init(wanted: Memory) {
    let limited = [RLIMIT_DATA, raw::RLIMIT_AS]
        .into_iter()
        .any(|resource| raw::limit(resource) != u64::MAX);
    MODE.store(
        match wanted {
            _ if limited => OFF,
            Memory::Linux => OFF,
            Memory::Arena => ARENA,
            Memory::Keep => KEEP,
        },
        Ordering::Relaxed,
    );
}

/// `resource` of the data segment's limit (getrlimit(2)).
const RLIMIT_DATA: usize = 2;

/// From now on memory is Linux's alone; what was mapped ahead is unmapped.
pub fn retire() {
    if mode() == OFF {
        return;
    }
    MODE.store(OFF, Ordering::Relaxed);
    let mut s = state();
    s.release();
}

/// In the child of a fork: nothing has been done yet.
pub fn after_fork() {
    let mut s = state();
    s.arenas().for_each(|(arena, _)| arena.recount());
    s.heap.local = 0;
    s.zeroes = 0;
}

/// What was done for the program: by the arenas, calls of brk(2) that the kernel served, and how often memory was made zero that it gave up.
#[must_use]
pub fn counts() -> (Counts, u64, u64) {
    let s = state();
    (s.counts(), s.heap.local, s.zeroes)
}

/// Linux, as an arena asks it.
struct Real {
    /// In [`LOW`].
    low: bool,
    /// For stacks.
    stacks: bool,
    /// Rights of the mappings.
    rights: usize,
    /// What was given to the program last.
    last: Range<usize>,
    /// A few mappings ago.
    earlier: Range<usize>,
}

impl Real {
    /// For the arena of this place in [`State::arenas`].
    fn of(i: usize) -> Self {
        let i = i % KINDS;
        let stacks = i == STACKS;
        let code = if i & 2 != 0 { prot::EXEC } else { 0 };
        Real {
            low: i & 1 != 0,
            stacks,
            rights: if stacks { 0 } else { READ_WRITE | code },
            last: 0..0,
            earlier: 0..0,
        }
    }

    /// The kind of arena for mappings of this kind with these rights, if there is one.
    fn place(rights: usize, kind: usize) -> Option<usize> {
        (0..KINDS).find(|i| {
            let real = Real::of(*i);
            real.rights == rights && kind == real.kind()
        })
    }

    fn kind(&self) -> usize {
        map::PRIVATE
            | map::ANONYMOUS
            | if self.low { map::LOW } else { 0 }
            | if self.stacks { map::STACK } else { 0 }
    }

    fn mmap(&self, at: usize, len: usize, kind: usize) -> Option<usize> {
        let kind = self.kind() | kind;
        // SAFETY: no existing mapping is replaced.
        let r = unsafe { raw::syscall6(nr::MMAP, [at, len, self.rights, kind, usize::MAX, 0]) };
        (!raw::is_err(r)).then_some(r as usize)
    }

    fn munmap(&self, range: Range<usize>) {
        if !range.is_empty() {
            // SAFETY: the range is the arena's, and not in use.
            unsafe { raw::syscall4(nr::MUNMAP, range.start, range.end - range.start, 0, 0) };
        }
    }

    fn protect(&self, range: Range<usize>, rights: usize) -> bool {
        // SAFETY: the range is the arena's, and not in use.
        let r = unsafe { raw::syscall4(nr::MPROTECT, range.start, range.len(), rights, 0) };
        r == 0
    }

    /// A new mapping, aligned to a huge page.
    fn aligned(&self, len: usize) -> Option<usize> {
        let at = self.mmap(0, len, 0)?;
        if at.is_multiple_of(HUGE) {
            return Some(at);
        }
        self.munmap(at..at + len);
        let wide = self.mmap(0, len + HUGE, 0)?;
        let at = wide.next_multiple_of(HUGE);
        self.munmap(wide..at);
        self.munmap(at + len..wide + len + HUGE);
        Some(at)
    }
}

const READ_WRITE: usize = prot::READ | prot::WRITE;

impl Linux for Real {
    fn map(&mut self, at: Option<usize>, len: usize) -> Option<usize> {
        let at = match at {
            Some(at) if self.low && (at < LOW.start || at + len > LOW.end) => return None,
            Some(at) => {
                let got = self.mmap(at, len, map::FIXED_NOREPLACE)?;
                if got != at {
                    // Linux before 4.17 takes the address for a wish.
                    self.munmap(got..got + len);
                    return None;
                }
                at
            }
            None if self.stacks => self.mmap(0, len, 0)?,
            None => self.aligned(len)?,
        };
        if !self.stacks && !huge::dear() {
            huge::advise(at..at + len);
        }
        Some(at)
    }

    fn ready(&mut self, range: Range<usize>, end: usize) {
        if self.stacks {
            return;
        }
        let filled = huge::filled(&self.last);
        if huge::dear() {
            if (filled || huge::filled(&self.earlier)) && range.len() <= AHEAD_MOST {
                huge::populate_small(&range);
            }
            return;
        }
        // A large request may be one that is hardly used.
        let pages = (range.start.next_multiple_of(HUGE)..range.end).step_by(HUGE);
        for page in pages.take(2) {
            if !huge::populate(page) {
                huge::refuse(page + HUGE..end);
                return;
            }
        }
    }

    fn unmap(&mut self, range: Range<usize>) {
        self.munmap(range);
    }

    fn keep(&mut self, range: Range<usize>) -> bool {
        if self.stacks {
            return self.protect(range.clone(), READ_WRITE)
                && huge::wipe_stack(&range)
                && self.protect(range, 0);
        }
        mode() == KEEP || self.protect(range, 0)
    }

    fn renew(&mut self, range: Range<usize>) -> bool {
        if self.stacks {
            return true;
        }
        if mode() != KEEP && !self.protect(range.clone(), self.rights) {
            return false;
        }
        // SAFETY: kept memory is mapped to write again, and nobody's.
        unsafe { core::ptr::write_bytes(range.start as *mut u8, 0, range.len()) };
        true
    }

    fn ahead(&self) -> bool {
        !self.stacks
    }
}

impl State {
    /// The arenas, with their way to Linux.
    fn arenas(&mut self) -> impl Iterator<Item = (&mut Arena, Real)> {
        let used = self.nodes.max(1) * KINDS;
        let all = self.arenas[..used].iter_mut().enumerate();
        all.map(|(i, arena)| (arena, Real::of(i)))
    }

    /// As [`State::arenas`], to look at.
    fn used_arenas(&self) -> &[Arena] {
        &self.arenas[..self.nodes.max(1) * KINDS]
    }

    /// Those but the ones of stacks.
    fn plain_arenas(&self) -> impl Iterator<Item = &Arena> {
        let all = self.used_arenas().iter().enumerate();
        all.filter(|(i, _)| i % KINDS != STACKS).map(|(_, a)| a)
    }

    /// The place of the arena of kind `kind` for the calling thread's node: what a thread has unmapped is near to those that execute there. `len` bytes are asked for.
    fn place_here(&mut self, kind: usize, len: usize) -> usize {
        self.asked = self.asked.saturating_add(len);
        if self.nodes == 0 && self.asked >= WARM {
            self.nodes = nodes();
        }
        match self.nodes {
            0 | 1 => kind,
            n => kind + KINDS * (node() % n),
        }
    }

    fn release(&mut self) -> bool {
        let mut found = false;
        for (arena, mut linux) in self.arenas() {
            found |= arena.release(&mut linux);
        }
        let heap = &mut self.heap;
        if heap.mapped > heap.end {
            // SAFETY: the program has not got what is given back.
            unsafe { raw::syscall4(nr::BRK, heap.end, 0, 0, 0) };
            heap.mapped = heap.end;
            found = true;
        }
        found
    }

    fn claim(&mut self, range: &Range<usize>, replace: bool) {
        for (arena, mut linux) in self.arenas() {
            arena.claim(range, replace, &mut linux);
        }
        self.change(range);
    }

    fn touches(&self, range: &Range<usize>) -> bool {
        let mut all = self.used_arenas().iter();
        all.any(|arena| arena.overlaps(range))
    }

    /// True if what an arena has given of `range` was mapped with these rights.
    fn has_rights(&self, range: &Range<usize>, rights: usize) -> bool {
        let mut all = self.used_arenas().iter().enumerate();
        all.all(|(i, arena)| {
            i % KINDS == STACKS || !arena.overlaps(range) || Real::of(i).rights == rights
        })
    }

    /// What the arena has given of `range` is no more plain memory.
    fn change(&mut self, range: &Range<usize>) {
        self.areas.cut(range);
        let same = |c: &Range<usize>| c.start <= range.start && range.end <= c.end;
        if self.changed[..self.changed_used].iter().any(same) || !self.touches(range) {
            return;
        }
        let used = &mut self.changed_used;
        if *used == CHANGED {
            self.change_all();
            return;
        }
        self.changed[*used] = range.clone();
        *used += 1;
    }

    /// There is no telling any more.
    fn change_all(&mut self) {
        self.areas = Areas::new();
        self.changed[0] = 0..usize::MAX;
        self.changed_used = 1;
    }

    fn unmapped(&mut self, range: &Range<usize>) {
        for (arena, mut linux) in self.arenas() {
            arena.unmapped(range, &mut linux);
        }
        self.areas.cut(range);
        // What is mapped there next is as the arena maps it.
        let mut i = 0;
        while i < self.changed_used {
            let c = &self.changed[i];
            if range.start <= c.start && c.end <= range.end {
                self.changed_used -= 1;
                self.changed[i] = self.changed[self.changed_used].clone();
            } else {
                i += 1;
            }
        }
    }

    fn keep(&mut self, range: &Range<usize>) -> bool {
        let changed = &self.changed[..self.changed_used];
        if changed
            .iter()
            .any(|c| c.start < range.end && range.start < c.end)
        {
            return false;
        }
        let kept = self
            .arenas()
            .any(|(arena, mut linux)| arena.keep(range, &mut linux));
        if kept {
            let most = KEPT_MOST
                .min(
                    self.plain_arenas()
                        .map(|a| a.counts().chunks)
                        .sum::<usize>()
                        / 4,
                )
                .min(budget::bytes() / KEPT_PART);
            self.trim(|stacks, _| if stacks { STACKS_MOST } else { most });
        }
        kept
    }

    /// True if `range` is plain memory of the program's own that it can read and write.
    fn plain(&self, range: &Range<usize>) -> bool {
        let overlaps = |c: &Range<usize>| c.start < range.end && range.start < c.end;
        self.areas.hold(range)
            || (self.plain_arenas().any(|arena| arena.gave(range))
                && !self.changed[..self.changed_used].iter().any(overlaps))
    }

    /// The program gives up the content of `range`: true if that was done by making it zero. A program that gives up so much at once, having
    /// used it, is a collector that will use it again, and to fault it in anew takes ten times as long. Linux may still take the pages when
    /// it needs memory (MADV_FREE), and gets those that are not used again soon.
    fn make_zero(&mut self, range: &Range<usize>) -> bool {
        if range.len() < GIVEN_UP || !self.plain(range) {
            return false;
        }
        let apart = |z: &Range<usize>| z.end <= range.start || range.end <= z.start;
        let held: usize = self
            .zeroed
            .iter()
            .filter(|z| apart(z))
            .map(Range::len)
            .sum();
        let place = self.zeroed.iter().position(|z| z.is_empty() || !apart(z));
        let Some(place) = place.filter(|_| held + range.len() <= budget::bytes() / KEPT_PART)
        else {
            return false;
        };
        let done = huge::zero(range);
        if done {
            for z in self.zeroed.iter_mut().filter(|z| !apart(z)) {
                *z = 0..0;
            }
            self.zeroed[place] = range.clone();
            self.zeroes += 1;
        }
        done
    }

    /// Gives what was made zero and is not in use again to Linux.
    fn give_up(&mut self) {
        for i in 0..ZEROED {
            let range = core::mem::replace(&mut self.zeroed[i], 0..0);
            if !range.is_empty() && self.plain(&range) && huge::looks_unused(&range) {
                huge::reclaim(&range);
            }
        }
    }

    /// Looks how far the program has come in its areas. Where it has used what was advised, as many huge pages more are advised as are
    /// found to be cheap: up to four times what it has used so far, where it has committed so much; half of it in a heap.
    fn look(&mut self) {
        self.decay();
        for area in self.areas.iter_mut() {
            let mut at = area.seen;
            while at + HUGE <= area.end && at - area.seen < MOST_SEEN && huge::resident(at) {
                at += HUGE;
            }
            if at == area.seen {
                continue;
            }
            self.used += at - area.seen;
            area.seen = at;
            if at + HUGE > area.end || at < area.advised {
                continue;
            }
            let wanted = if area.heap {
                self.used / 2
            } else {
                self.used * 4
            };
            let warm = huge::warm((area.end - at).min(wanted));
            let end = area.advised.max(at);
            area.advised = at + warm;
            huge::refuse(area.advised.min(end)..end);
            huge::advise(at..area.advised);
        }
    }

    /// What mprotect(2) with these rights changes.
    fn protects(&mut self, range: &Range<usize>, rights: usize) {
        self.show(range);
        if rights & READ_WRITE != READ_WRITE {
            self.areas.cut(range);
        }
        if !self.has_rights(range, rights) {
            self.change(range);
        }
    }

    /// Unmaps kept memory if the program is about to find some in `range`.
    fn show(&mut self, range: &Range<usize>) {
        if KEPT.load(Ordering::Relaxed) != 0
            && self.used_arenas().iter().any(|arena| arena.keeps(range))
        {
            self.trim(|_, _| 0);
        }
    }

    /// Gives kept memory back: of each arena's, all but what `left` says, which is told if it is that of stacks.
    fn trim(&mut self, left: impl Fn(bool, usize) -> usize) {
        for (arena, mut linux) in self.arenas() {
            arena.trim(left(linux.stacks, arena.counts().kept), &mut linux);
        }
    }

    fn counts(&self) -> Counts {
        let all = self.used_arenas().iter();
        all.fold(Counts::default(), |sum, arena| {
            let c = arena.counts();
            Counts {
                local: sum.local + c.local,
                mapped: sum.mapped + c.mapped,
                keeps: sum.keeps + c.keeps,
                chunks: sum.chunks + c.chunks,
                kept: sum.kept + c.kept,
            }
        })
    }

    /// Once in a while half of what is kept goes.
    fn decay(&mut self) {
        // SAFETY: reads a counter.
        let now = unsafe { core::arch::x86_64::_rdtsc() };
        if now.wrapping_sub(self.looked) > DECAY {
            if self.looked != 0 {
                self.trim(|_, kept| if kept < KEPT_LEAST { 0 } else { kept / 2 });
                self.give_up();
            }
            self.looked = now;
        }
    }
}

/// True if the program has unmapped what is at `at`, and only the kernel still has it.
#[must_use]
pub fn keeps(at: usize) -> bool {
    KEPT.load(Ordering::Relaxed) != 0
        && state()
            .used_arenas()
            .iter()
            .any(|arena| arena.keeps(&(at..at + 1)))
}

/// How many nodes of memory are to be told apart: 1 where Linux does not say, or somebody watches over the calls.
fn nodes() -> usize {
    const PR_GET_SECCOMP: usize = 21;
    const GET_MEMPOLICY: usize = 239;
    const MEMS_ALLOWED: usize = 4; // MPOL_F_MEMS_ALLOWED
    let mut allowed = [0u64; 16];
    // SAFETY: asks, and writes a local: as many bits as Linux can have nodes, and one (get_mempolicy(2)).
    let known = unsafe {
        raw::syscall4(nr::PRCTL, PR_GET_SECCOMP, 0, 0, 0) == 0
            && raw::syscall6(
                GET_MEMPOLICY,
                [0, allowed.as_mut_ptr() as usize, 1025, 0, MEMS_ALLOWED, 0],
            ) == 0
    };
    let count: u32 = allowed.iter().map(|word| word.count_ones()).sum();
    if known {
        (count as usize).clamp(1, NODES)
    } else {
        1
    }
}

/// The node of the processor that the calling thread is on (getcpu(2)).
fn node() -> usize {
    const GETCPU: usize = 309;
    let mut node = 0u32;
    // SAFETY: writes a local.
    unsafe { raw::syscall4(GETCPU, 0, (&raw mut node) as usize, 0, 0) };
    node as usize
}

/// The pages of a call's range; `None` if Linux will refuse it.
#[must_use]
pub fn pages(start: usize, len: usize) -> Option<Range<usize>> {
    let end = start.checked_add(len)?.checked_next_multiple_of(PAGE)?;
    (start.is_multiple_of(PAGE) && start < end).then_some(start..end)
}

/// Serves a call that has to do with memory: its result, or `None` if it is Linux's alone. `linux` makes the call with these arguments.
pub fn serve(
    number: usize,
    args: &[usize; 6],
    mut linux: impl FnMut(&[usize; 6]) -> isize,
) -> Option<isize> {
    if mode() == OFF {
        return None;
    }
    let [a0, a1, a2, ..] = *args;
    if WATCHED.load(Ordering::Relaxed) {
        look();
    }
    match number {
        nr::MMAP => mmap(args, linux),
        nr::MUNMAP => {
            let range = pages(a0, a1)?;
            {
                let mut s = state();
                if !s.touches(&range) {
                    s.areas.cut(&range);
                    return None;
                }
                if s.keep(&range) {
                    return Some(0);
                }
                s.change(&range);
            }
            let r = linux(args);
            if r == 0 {
                state().unmapped(&range);
            }
            Some(r)
        }
        nr::MREMAP => mremap(args, linux),
        nr::BRK => brk(a0, |end| linux(&[end, 0, 0, 0, 0, 0])),
        nr::PKEY_MPROTECT
        | nr::MADVISE
        | nr::MLOCK
        | nr::MLOCK2
        | nr::MBIND
        | nr::MINCORE
        | nr::MSYNC => {
            let range = pages(a0, a1)?;
            let mut s = state();
            s.show(&range);
            match number {
                nr::MADVISE if a2 == huge::MADV_DONTNEED => {
                    if s.make_zero(&range) {
                        return Some(0);
                    }
                }
                nr::MADVISE if HARMLESS.contains(&a2) => {}
                nr::MINCORE | nr::MSYNC => {}
                _ => s.change(&range),
            }
            None
        }
        nr::SHMAT => {
            // How long it is, Linux knows.
            if a1 != 0 {
                let mut s = state();
                s.release();
                s.change_all();
                return None;
            }
            let r = linux(args);
            let mut s = state();
            if !raw::is_err(r) && s.touches(&(r as usize..r as usize + PAGE)) {
                s.change_all();
            }
            Some(r)
        }
        nr::MLOCKALL | nr::USERFAULTFD => {
            retire();
            None
        }
        nr::SETRLIMIT if [RLIMIT_DATA, raw::RLIMIT_AS].contains(&a0) => {
            retire();
            None
        }
        nr::PRLIMIT64 if a2 != 0 && [RLIMIT_DATA, raw::RLIMIT_AS].contains(&a1) => {
            retire();
            None
        }
        _ => None,
    }
}

/// mprotect(2) is about to be made: what the kernel notes of it, at once, and whether it ends code that may be patched.
pub fn protects(start: usize, len: usize, rights: usize) {
    const SELDOM: u32 = 64;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    if WATCHED.load(Ordering::Relaxed) && mode() != OFF {
        // To read the clock each time would be a fourth of what this takes. It does not matter if some are not counted.
        let n = CALLS.load(Ordering::Relaxed).wrapping_add(1);
        CALLS.store(n, Ordering::Relaxed);
        if n.is_multiple_of(SELDOM) {
            look();
        }
    }
    let lock = slots::lock();
    if modules::ends_code(rights) {
        modules::forget_with(start, len, &lock);
    }
    let Some(range) = pages(start, len).filter(|_| mode() != OFF) else {
        return;
    };
    if KEPT.load(Ordering::Relaxed) != 0 {
        drop(lock);
        state().protects(&range, rights);
    } else {
        // SAFETY: the lock is held. No memory is kept, and none will be by this: there is nothing to tell, as `Held` does at its end.
        unsafe { &mut *STATE.0.get() }.protects(&range, rights);
    }
}

/// Once in a while: looks at what is to be looked at.
fn look() {
    // SAFETY: reads a counter.
    let now = unsafe { core::arch::x86_64::_rdtsc() };
    if now.wrapping_sub(SAMPLED.load(Ordering::Relaxed)) > LOOK {
        SAMPLED.store(now, Ordering::Relaxed);
        state().look();
    }
}

/// Advice after which memory is as it was (madvise(2)): normal, random, sequential, willneed, dontneed, free, hugepage, cold, pageout,
/// populate.
const HARMLESS: [usize; 11] = [0, 1, 2, 3, 4, 8, 14, 20, 21, 22, 23];

/// Makes a call; once more if Linux has no memory, without what was mapped ahead.
fn patient(mut call: impl FnMut() -> isize) -> isize {
    let r = call();
    if r != raw::err(errno::ENOMEM) || !state().release() {
        return r;
    }
    call()
}

fn mmap(args: &[usize; 6], mut linux: impl FnMut(&[usize; 6]) -> isize) -> Option<isize> {
    const KIND: usize = map::PRIVATE | map::ANONYMOUS;
    let [addr, len, rights, flags, ..] = *args;
    if let (0, Some(kind)) = (addr, Real::place(rights, flags)) {
        let size = len.checked_next_multiple_of(PAGE)?;
        let mut s = state();
        let s = &mut *s;
        let i = s.place_here(kind, size);
        let mut real = Real::of(i);
        let given = s.given[i];
        real.last = s.last[i][given.wrapping_sub(1) % LAST].clone();
        real.earlier = s.last[i][given % LAST].clone();
        if let Some(at) = s.arenas[i].map(size, &mut real) {
            s.last[i][given % LAST] = at..at + size;
            s.given[i] = given.wrapping_add(1);
            return Some(at as isize);
        }
    } else if addr != 0 {
        let replaces = flags & (map::FIXED | map::FIXED_NOREPLACE) == map::FIXED;
        state().claim(&pages(addr & !(PAGE - 1), len)?, replaces);
    }
    let r = patient(|| linux(args));
    if raw::is_err(r) {
        return Some(r);
    }
    let range = pages(r as usize, len)?;
    // Where Linux has chosen it may be a hole of the arena's.
    state().change(&range);
    if rights & READ_WRITE == READ_WRITE
        && flags & (KIND | map::LOW | map::GROWSDOWN | map::HUGETLB) == KIND
        && len
            >= if flags & map::NORESERVE == 0 {
                HUGE
            } else {
                WIDE
            }
        && len <= budget::bytes() / LARGE_PART
    {
        own(range, flags & map::NORESERVE != 0);
    }
    Some(r)
}

/// The program has mapped memory at a place of its own; `heap`: without reserve.
fn own(range: Range<usize>, heap: bool) {
    let wide = range.len() >= WIDE;
    let part = 1 + usize::from(heap);
    // Who was seen to use much goes on.
    let used = state().used;
    let skipped = if wide && used == 0 {
        (BEGINNING * part).min(range.len() / 16 * part)
    } else {
        0
    };
    let first = (range.start + skipped).next_multiple_of(HUGE);
    let advised = match (wide, heap) {
        (true, _) if used != 0 => first + huge::warm((range.end - first).min(used * 4)),
        (false, _) if !huge::will_be_dear(range.len()) => range.end,
        (true, true) if !huge::dear() => range.end.min(first + HEAP),
        _ => first,
    };
    huge::advise(first..advised);
    state().areas.add(Area {
        start: range.start,
        end: range.end,
        seen: first,
        advised,
        heap,
    });
}

fn mremap(args: &[usize; 6], mut linux: impl FnMut(&[usize; 6]) -> isize) -> Option<isize> {
    const FIXED: usize = 2;
    const DONTUNMAP: usize = 4;
    let [old, old_len, new_len, flags, new, _] = *args;
    let from = pages(old, old_len)?;
    let to = pages(old, new_len)?;
    {
        let mut s = state();
        if flags & FIXED != 0 {
            s.claim(&pages(new, new_len)?, true);
        } else if to.end > from.end {
            // It may grow where it is.
            s.claim(&(from.end..to.end), false);
        }
        s.show(&from);
        s.areas.cut(&from);
    }
    let r = patient(|| linux(args));
    if !raw::is_err(r) {
        let mut s = state();
        if r as usize == old {
            if to.end < from.end {
                s.unmapped(&(to.end..from.end));
            }
        } else {
            // Linux may have chosen a hole of the arena's.
            if let Some(range) = pages(r as usize, new_len) {
                s.change(&range);
            }
            if flags & DONTUNMAP == 0 {
                s.unmapped(&from);
            }
        }
    }
    Some(r)
}

/// brk(2), which `linux` makes with the end of the heap that it is given.
fn brk(wanted: usize, mut linux: impl FnMut(usize) -> isize) -> Option<isize> {
    let mut s = state();
    if s.heap.start == 0 {
        let r = linux(0);
        if raw::is_err(r) {
            return Some(r);
        }
        let end = r as usize;
        s.heap = Heap {
            start: end,
            end,
            mapped: end,
            local: 0,
        };
    }
    let heap = &mut s.heap;
    if wanted < heap.start {
        return Some(heap.end as isize);
    }
    if (heap.end..=heap.mapped).contains(&wanted) {
        heap.end = wanted;
        heap.local += 1;
        return Some(wanted as isize);
    }
    // A heap that grows on is mapped ahead, to the next huge page; one that shrinks is shrunk.
    let ahead = if wanted > heap.end && wanted - heap.start >= WARM {
        wanted.checked_next_multiple_of(HUGE).unwrap_or(wanted)
    } else {
        wanted
    };
    let was = heap.mapped;
    let mut r = linux(ahead);
    if r as usize != ahead && ahead != wanted && !raw::is_err(r) {
        r = linux(wanted);
    }
    if raw::is_err(r) {
        return Some(r);
    }
    heap.mapped = r as usize;
    if heap.mapped >= wanted {
        heap.end = wanted;
    }
    if heap.mapped == ahead && ahead > wanted && !huge::will_be_dear(HUGE) {
        huge::advise(was.next_multiple_of(PAGE)..ahead);
    }
    Some(heap.end as isize)
}
