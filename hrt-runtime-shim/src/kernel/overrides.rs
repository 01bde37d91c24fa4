//! Overrides: before the program's first instruction, each legacy function that the configuration names becomes a jump to a *stub*,
//! which maps arguments and goes on in the kernel function. Nothing is looked up after that.
//!
//! Functions of the executable were found by mv-link; those of libraries are found here, in the order in which ld.so looks for them.
//! An indirect function (STT_GNU_IFUNC) is not its resolver: the resolver becomes one that gives the stub, and the slots that ld.so
//! has filled with what it gave before are filled anew.
//!
//! A function that nothing has at start may come with a library that the program opens later: ld.so calls a function of its own
//! whenever it has loaded something (`r_brk` of <link.h>, meant for debuggers), and that leads here then.

use super::objects::{self, Found, Loader, Object, reloc};
use super::slots::{self, Guard};
use super::{modules, observe, patch};
use crate::entry::Context;
use crate::functions;
use crate::raw::{self, nr, prot};
use crate::report::{self, Line};
use crate::start::{self, at};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use hrt_abi::config::{AS_THEY_ARE, INDIRECT, OVERRIDES_MAX, Override};
use hrt_abi::functions::FUNCTIONS;
use hrt_kernel::entries;

/// Bytes of a stub.
const STUB: usize = 128;
/// Where in a stub the code is that a resolver becomes.
const RESOLVER: usize = 112;
/// Sets that there may be.
const SETS: usize = 16;

#[repr(C, align(4096))]
struct Stubs(UnsafeCell<[u8; OVERRIDES_MAX * STUB]>);
// SAFETY: written at start only, before any of it is reachable.
unsafe impl Sync for Stubs {}
static STUBS: Stubs = Stubs(UnsafeCell::new([0; OVERRIDES_MAX * STUB]));

/// An override as it is in this process. All zero before it is filled in, so that the payload's file has nothing of it.
#[derive(Clone, Copy)]
struct Applied {
    /// Its name, a C string.
    name: usize,
    function: u16,
    /// Functions and slots that lead to the stub.
    places: u32,
    /// Where the function is: the executable's own, and a library's.
    found: [Found; 2],
}

impl Applied {
    fn name(&self) -> &'static [u8] {
        match self.name {
            0 => &[],
            // SAFETY: a string of the configuration, which is mapped for ever.
            at => unsafe { start::c_str(at as *const u8) },
        }
    }

    fn found(&self) -> impl Iterator<Item = Found> + use<> {
        self.found.into_iter().filter(|f| f.address != 0)
    }
}

struct Table(UnsafeCell<([Applied; OVERRIDES_MAX], usize)>);
// SAFETY: written at start only, when there is one thread.
unsafe impl Sync for Table {}
static TABLE: Table = Table(UnsafeCell::new((
    [Applied {
        name: 0,
        function: 0,
        places: 0,
        found: [Found::NONE; 2],
    }; OVERRIDES_MAX],
    0,
)));
/// Where calls are counted, a word for each override; 0: they are not.
static COUNTERS: AtomicUsize = AtomicUsize::new(0);

fn applied() -> &'static [Applied] {
    // SAFETY: not written any more.
    let (table, n) = unsafe { &*TABLE.0.get() };
    &table[..*n]
}

fn stub(i: usize) -> usize {
    STUBS.0.get() as usize + i * STUB
}

/// Puts all overrides in place. To be called when the process is hybridized, and before the program's first instruction.
pub fn apply(context: &Context) {
    let config = &context.config;
    let count = config.overrides.len();
    if count == 0 || !context.settings.overrides {
        return;
    }
    if count > OVERRIDES_MAX {
        report::fatal("the configuration in this executable has too many overrides");
    }
    let own = config.header.map_or(0, |h| h.errno_delta);
    functions::set_errno_location(match own {
        0 => objects::loaded(&context.start)
            .filter_map(|o| o.symbols()?.find(b"__errno_location"))
            .find(|f| !f.indirect)
            .map_or(0, |f| f.address),
        delta => config.info.wrapping_add_signed(delta as isize),
    });
    if observe::counting() {
        let size = count * 8;
        // SAFETY: a new mapping disturbs nobody. It is the program's to write: on `kvm` the stubs run in the guest.
        let at = unsafe { raw::syscall6(nr::MMAP, [0, size, 3, 0x22, usize::MAX, 0]) };
        if !raw::is_err(at) {
            COUNTERS.store(at as usize, Ordering::Relaxed);
        }
    }
    let lock = slots::lock();
    // SAFETY: one thread, at start.
    let (table, n) = unsafe { &mut *TABLE.0.get() };
    *n = count;
    // A set of which a function cannot be had is left out as a whole; a function of no set, alone.
    let mut left_out = [false; SETS];
    for (i, (entry, o)) in table.iter_mut().zip(config.overrides).enumerate() {
        entry.name = config.name(o).as_ptr() as usize;
        entry.function = o.function;
        entry.found = find(context, o, entry.name());
        let possible = write_stub(i, o) && entry.found().all(|f| fits(&f, &lock));
        if !possible {
            entry.found = [Found::NONE; 2];
            left_out[set(o)] = true;
        }
    }
    left_out[0] = false;
    let size = (count * STUB).next_multiple_of(4096);
    // SAFETY: the stubs' own pages.
    if unsafe { raw::syscall4(nr::MPROTECT, stub(0), size, prot::READ | prot::EXEC, 0) } != 0 {
        return;
    }
    let mut begun = [false; SETS];
    for (i, o) in config.overrides.iter().enumerate() {
        for f in table[i].found() {
            let set = set(o);
            let before = &table[..i];
            let same = |a: &Applied| a.places != 0 && a.found().any(|g| g.address == f.address);
            if left_out[set] || before.iter().any(same) {
                // Two names of one function: it is in place already.
                continue;
            }
            let places = if f.indirect {
                redirect(context, &f, i, &lock)
            } else {
                u32::from(patch::entry(f.address, stub(i), &lock))
            };
            if places == 0 && set != 0 {
                // Linux does not let code be written. Half a set would be worse than none.
                if begun[set] {
                    report::fatal(
                        "a set of overrides cannot be put in place as a whole (HRT_OVERRIDES=0 leaves it out)",
                    );
                }
                left_out[set] = true;
            }
            begun[set] |= places != 0;
            table[i].places += places;
        }
    }
    await_libraries(context, table, &lock);
}

/// What [`opened`] needs: overrides without a place, of no set; and ld.so.
struct Awaited(UnsafeCell<(Option<Loader>, [bool; OVERRIDES_MAX])>);
// SAFETY: written at start only, when there is one thread.
unsafe impl Sync for Awaited {}
static AWAITED: Awaited = Awaited(UnsafeCell::new((None, [false; OVERRIDES_MAX])));

/// Has [`opened`] called when libraries are opened, if there is an override for them.
fn await_libraries(context: &Context, table: &[Applied], lock: &Guard) {
    // SAFETY: one thread, at start.
    let (loader, awaited) = unsafe { &mut *AWAITED.0.get() };
    *loader = Loader::of(&context.start);
    let mut any = false;
    for (i, o) in context.config.overrides.iter().enumerate() {
        awaited[i] = set(o) == 0 && table[i].found().next().is_none();
        any |= awaited[i];
    }
    let Some(loader) = loader.filter(|_| any) else {
        return;
    };
    let hook = loader.hook();
    let named = |o: Object| o.symbols()?.find(b"_dl_debug_state");
    let found = loader.libraries().filter_map(named);
    if let Some(f) = found.into_iter().find(|f| f.address == hook) {
        if fits(&f, lock) {
            patch::entry(hook, hrt_libraries_changed as *const () as usize, lock);
        }
    }
}

/// Where ld.so's own function leads: code of the program's as any kernel function. In a guest the kernel must be called to write.
extern "C" fn hrt_libraries_changed() {
    if observe::is_guest() {
        // SAFETY: the kernel's own call; its other operations are for programs.
        unsafe {
            raw::syscall4(
                hrt_abi::api::CALL,
                hrt_abi::api::op::LIBRARIES_CHANGED,
                0,
                0,
                0,
            )
        };
    } else {
        opened();
    }
}

/// ld.so has loaded or unloaded something: puts overrides in place that a new library has a function for. Nothing of such a library has
/// been executed yet; ld.so holds its lock.
pub fn opened() {
    let lock = slots::lock();
    // SAFETY: written at start only.
    let (Some(loader), awaited) = (unsafe { &*AWAITED.0.get() }) else {
        return;
    };
    // SAFETY: the lock is held; what others read of it are counts.
    let (table, n) = unsafe { &mut *TABLE.0.get() };
    for (i, entry) in table[..*n]
        .iter_mut()
        .enumerate()
        .filter(|(i, _)| awaited[*i])
    {
        let name = entry.name();
        let symbols = loader.libraries().filter_map(|object| object.symbols());
        for f in symbols.filter_map(|s| s.find(name)) {
            // Its resolver has not been called yet.
            let to = if f.indirect {
                stub(i) + RESOLVER
            } else {
                stub(i)
            };
            if fits(&f, &lock) && patch::jump_at(f.address) != Some(to) {
                entry.places += u32::from(patch::entry(f.address, to, &lock));
            }
        }
    }
}

/// The number of the set that an override is of; 0: of none.
fn set(o: &Override) -> usize {
    let set = usize::from(o.set);
    if set >= SETS {
        report::fatal("the configuration in this executable has too many sets");
    }
    set
}

/// Where the function that `o` overrides is.
fn find(context: &Context, o: &Override, name: &[u8]) -> [Found; 2] {
    let own = (o.delta != 0).then(|| Found {
        address: context.config.info.wrapping_add_signed(o.delta as isize),
        size: o.size as usize,
        indirect: o.flags & INDIRECT != 0,
    });
    // A library's function of the same name is another one, but not in a set: there all are one library's.
    let mut found = [own.unwrap_or(Found::NONE), Found::NONE];
    if own.is_none() || o.set != 0 {
        let loaded = objects::loaded(&context.start).filter_map(|object| object.symbols());
        let library = loaded
            .filter_map(|s| s.find(name))
            .find(|f| f.address != found[0].address);
        found[1] = library.unwrap_or(Found::NONE);
    }
    found
}

/// True if a jump fits over the function's first instructions.
fn fits(f: &Found, lock: &Guard) -> bool {
    let Some(range) = modules::containing(f.address, lock) else {
        return false;
    };
    let len = (range.end - f.address).min(64);
    // SAFETY: inside a mapped range of code.
    let code = unsafe { core::slice::from_raw_parts(f.address as *const u8, len) };
    entries::has_room(code, f.size.min(len))
}

/// Makes the resolver at `f` one that gives stub `i`, and fills the slots anew that hold what it gave before. Returns the number of
/// places.
fn redirect(context: &Context, f: &Found, i: usize, lock: &Guard) -> u32 {
    let mut places = 0;
    // A static program has not called its resolvers yet, and they must not be called so early.
    if context.start.aux(at::BASE).unwrap_or(0) != 0 {
        // SAFETY: a resolver takes nothing that it needs, and returns an address; ld.so has called it before.
        let resolve: extern "C" fn() -> usize = unsafe { core::mem::transmute(f.address) };
        let target = resolve();
        // SAFETY: one thread, at start.
        let name = unsafe { (&(*TABLE.0.get()).0)[i].name() };
        for object in objects::loaded(&context.start) {
            let symbols = object.symbols();
            object.relocations(|r| {
                let place = object.bias.wrapping_add(r.offset);
                let symbol = (r.info >> 32) as usize;
                let meant = match r.info as u32 {
                    reloc::IRELATIVE => {
                        object.bias.wrapping_add_signed(r.addend as isize) == f.address
                    }
                    reloc::ABSOLUTE | reloc::GLOB_DAT | reloc::JUMP_SLOT => {
                        symbols.as_ref().is_some_and(|s| s.name(symbol) == name)
                    }
                    _ => false,
                };
                // SAFETY: ld.so has relocated that word.
                if meant && unsafe { (place as *const usize).read_unaligned() } == target {
                    places += u32::from(set_word(&object, place, stub(i)));
                }
            });
        }
    }
    places + u32::from(patch::entry(f.address, stub(i) + RESOLVER, lock))
}

/// Writes a relocated word, which may have become read-only.
fn set_word(object: &Object, place: usize, value: usize) -> bool {
    let page = place & !0xfff;
    let size = (place + 8 - page).next_multiple_of(4096);
    let protect = |rights| {
        // SAFETY: the page of a relocated word.
        unsafe { raw::syscall4(nr::MPROTECT, page, size, rights, 0) == 0 }
    };
    let relro = object.relro(place);
    if relro && !protect(prot::READ | prot::WRITE) {
        return false;
    }
    // SAFETY: writable, and one thread.
    unsafe { (place as *mut usize).write_unaligned(value) };
    !relro || protect(prot::READ)
}

/// Machine code under construction.
struct Code {
    at: usize,
    len: usize,
}

impl Code {
    fn bytes(&mut self, bytes: &[u8]) {
        for b in bytes {
            if self.len < STUB {
                // SAFETY: within a stub, which is writable and not reachable yet.
                unsafe { ((self.at + self.len) as *mut u8).write(*b) };
            }
            self.len += 1;
        }
    }

    /// An instruction whose last four bytes are the distance to `target` from its end.
    fn relative(&mut self, opcode: &[u8], target: usize) {
        self.bytes(opcode);
        let next = (self.at + self.len + 4) as i64;
        self.bytes(&((target as i64 - next) as i32).to_le_bytes());
    }
}

/// Writes the stub of override `i`; false if there is no such kernel function, or no memory for what it needs.
fn write_stub(i: usize, o: &Override) -> bool {
    let Some(function) = functions::address(usize::from(o.function)) else {
        return false;
    };
    // rdi, rsi, rdx, rcx, r8, r9
    const PUSH: [&[u8]; 6] = [
        &[0x57],
        &[0x56],
        &[0x52],
        &[0x51],
        &[0x41, 0x50],
        &[0x41, 0x51],
    ];
    const POP: [&[u8]; 6] = [
        &[0x5f],
        &[0x5e],
        &[0x5a],
        &[0x59],
        &[0x41, 0x58],
        &[0x41, 0x59],
    ];
    let mut c = Code {
        at: stub(i),
        len: 0,
    };
    let counters = COUNTERS.load(Ordering::Relaxed);
    if counters != 0 {
        c.bytes(&[0x49, 0xbb]); // mov $counter, %r11
        c.bytes(&(counters + i * 8).to_le_bytes());
        c.bytes(&[0xf0, 0x49, 0xff, 0x03]); // lock incq (%r11)
    }
    if o.mapped != AS_THEY_ARE {
        // By way of the stack, so that the order does not matter.
        let mapped = usize::from(o.mapped).min(o.args.len());
        for (n, &arg) in o.args[..mapped].iter().enumerate() {
            match PUSH.get(arg as usize) {
                Some(push) if o.constants >> n & 1 == 0 => c.bytes(push),
                _ => {
                    c.bytes(&[0x48, 0xb8]); // mov $constant, %rax
                    c.bytes(&arg.to_le_bytes());
                    c.bytes(&[0x50]); // push %rax
                }
            }
        }
        for pop in POP[..mapped].iter().rev() {
            c.bytes(pop);
        }
    }
    c.relative(&[0xe9], function); // jmp
    if c.len > RESOLVER {
        report::fatal("an override's stub is too long");
    }
    while c.len < RESOLVER {
        c.bytes(&[0xcc]);
    }
    c.relative(&[0x48, 0x8d, 0x05], stub(i)); // lea stub, %rax
    c.bytes(&[0xc3]); // ret
    true
}

/// Calls of override `i` so far.
fn calls(i: usize) -> u64 {
    match COUNTERS.load(Ordering::Relaxed) {
        0 => 0,
        // SAFETY: a word for each override.
        at => unsafe { &*((at + i * 8) as *const AtomicU64) }.load(Ordering::Relaxed),
    }
}

/// In the child of a fork: nothing has been called yet.
pub fn after_fork() {
    let at = COUNTERS.load(Ordering::Relaxed);
    if at != 0 {
        for i in 0..applied().len() {
            // SAFETY: a word for each override.
            unsafe { &*((at + i * 8) as *const AtomicU64) }.store(0, Ordering::Relaxed);
        }
    }
}

fn text(name: &[u8]) -> &str {
    core::str::from_utf8(name).unwrap_or("?")
}

/// Adds the overrides to the report, as a member of the object.
pub fn json_report<const N: usize>(out: &mut Line<N>) {
    if applied().is_empty() {
        return;
    }
    let _ = write!(out, "\"overrides\":{{");
    for (i, a) in applied().iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            out,
            "{comma}\"{}\":{{\"function\":\"{}\",\"places\":{},\"calls\":{}}}",
            text(a.name()),
            FUNCTIONS[usize::from(a.function)].name,
            a.places,
            calls(i)
        );
    }
    let _ = write!(out, "}},");
}

/// Adds the overrides that are in place to the report.
pub fn text_report<const N: usize>(out: &mut Line<N>) {
    for (i, a) in applied().iter().enumerate().filter(|(_, a)| a.places != 0) {
        let _ = writeln!(
            out,
            "  {:>24}  calls of {}, now {} ({} place{})",
            calls(i),
            text(a.name()),
            FUNCTIONS[usize::from(a.function)].name,
            a.places,
            if a.places == 1 { "" } else { "s" }
        );
    }
}
