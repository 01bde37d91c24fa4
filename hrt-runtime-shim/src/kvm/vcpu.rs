//! Virtual CPUs: one for each thread of the program, run by that very thread, which is its partner.
//!
//! What a virtual CPU needs lies in the thread's block, in pages of their own; those that the CPU itself looks at are mapped
//! at their alias.

use super::descriptors;
use super::gate::{self, port};
use super::local;
use super::paging::{self, ALIAS, JOB_SIZE, Job, PAGE, bit};
use super::wire::{
    self, Cpuid, CpuidEntry, DeviceAttr, Msr, Msrs, Regs, Run, Segment, Sregs, Xcr, Xcrs, exit,
    request,
};
use crate::kernel::block::{BLOCK_SIZE, Block, KERNEL_STACK, SIGNAL_STACK};
use crate::kernel::{self, IMAGE, IMAGE_SIZE, observe, user};
use crate::raw::{self, errno, nr};
use crate::report;
use core::arch::x86_64::CpuidResult;
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// See the module. Lies at [`SIGNAL_STACK`] in its block, which has no signal stack on this platform.
#[repr(C, align(4096))]
pub struct Vcpu {
    /// The task-state segment, and at the page's end the stack on which exceptions put their frame. Mapped for the guest's
    /// kernel.
    tss: UnsafeCell<[u64; 512]>,
    /// The frame by which the gate's `iretq` enters the program. Mapped readable.
    iret: UnsafeCell<[u64; 512]>,
    /// Floating-point and vector state on its way (`struct kvm_xsave`).
    pub xsave: [u8; 4096],
    /// Entries to be cleared. Mapped for the guest's kernel.
    job: Job,
    job_padding: [usize; 2],
    /// The program's registers while the partner works for it.
    pub regs: Regs,
    /// The descriptor; -1 if there is none.
    pub fd: i32,
    /// The virtual CPU is at the program's privilege level: it can go on at any instruction of the program's.
    level: bool,
    /// The structure shared with KVM.
    run: *mut Run,
    /// Signals (module `signals`).
    pub signals: super::signals::State,
    /// The siginfo of the partner's last access to the program's memory that failed (module `faults`).
    pub refused: super::signals::Info,
    /// The address of the last page fault.
    pub fault: u64,
    /// Program counter for which page faults are served one page at a time, because Linux refused an access there; 0: none.
    pub careful: u64,
    /// How often Linux refused an access there.
    pub refusals: u32,
}

const _: () = assert!(SIGNAL_STACK + size_of::<Vcpu>() <= KERNEL_STACK);
const _: () = assert!(BLOCK_SIZE > KERNEL_STACK);

/// Why the guest was left.
#[derive(Clone, Copy, Debug)]
pub enum Exit {
    /// `syscall`: the registers are the program's as it made the call, but for the program counter, which is after it.
    Syscall,
    /// An exception.
    Vector {
        /// Its number.
        vector: u8,
        /// Its error code, or 0.
        error: u64,
    },
    /// A signal came.
    Interrupted,
    /// Linux refused an access of the guest.
    Refused,
    /// An exception of the guest's kernel, at whose registers the virtual CPU is then.
    Kernel {
        /// Its number.
        vector: u8,
        /// Its error code, or 0.
        error: u64,
    },
}

/// The program has executed an instruction that is not for it (#GP).
const PRIVILEGED: Exit = Exit::Vector {
    vector: 13,
    error: 0,
};

/// What all virtual CPUs of the VM have in common.
struct Common {
    cpuid: UnsafeCell<Cpuid>,
    gdt: UnsafeCell<Aligned<[u64; 512]>>,
    idt: UnsafeCell<Aligned<[u64; 512]>>,
}
// SAFETY: written at start and after a fork only, when there is one thread.
unsafe impl Sync for Common {}

#[repr(C, align(4096))]
struct Aligned<T>(T);

const NO_SEGMENT: Segment = Segment {
    base: 0,
    limit: 0,
    selector: 0,
    kind: 0,
    present: 0,
    dpl: 0,
    db: 0,
    s: 0,
    l: 0,
    g: 0,
    avl: 0,
    unusable: 0,
    padding: 0,
};
static COMMON: Common = Common {
    cpuid: UnsafeCell::new(Cpuid {
        count: 0,
        padding: 0,
        entries: [CpuidEntry {
            function: 0,
            index: 0,
            flags: 0,
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
            padding: [0; 3],
        }; wire::CPUID_MAX],
    }),
    gdt: UnsafeCell::new(Aligned([0; 512])),
    idt: UnsafeCell::new(Aligned([0; 512])),
};

/// The VM's descriptor.
static VM: AtomicI32 = AtomicI32::new(-1);
static NEXT_ID: AtomicUsize = AtomicUsize::new(0);
static RUN_SIZE: AtomicUsize = AtomicUsize::new(0);
static XCR0: AtomicU64 = AtomicU64::new(0);
/// Bytes of the vector state in a signal frame.
static STATE_SIZE: AtomicUsize = AtomicUsize::new(0);
/// The ring of the program: 0 or 3.
static RING: AtomicU8 = AtomicU8::new(3);
/// Whether `syscall` leaves the program's privilege level: 0: not seen yet, 1: it does not, 2: it does.
static SYSCALL_LEVEL: AtomicU8 = AtomicU8::new(0);

/// The register that holds where `syscall` leads.
const LSTAR: u32 = 0xc000_0082;

/// Selectors, as Linux has them (`arch/x86/include/asm/segment.h`).
mod selector {
    pub const KERNEL_CODE: u16 = 0x10;
    pub const KERNEL_DATA: u16 = 0x18;
    pub const USER_DATA: u16 = 0x2b;
    pub const USER_CODE: u16 = 0x33;
    pub const TASK: u16 = 0x40;
}

const CODE: Segment = Segment {
    limit: 0xffff_ffff,
    selector: selector::KERNEL_CODE,
    kind: 11,
    present: 1,
    s: 1,
    l: 1,
    g: 1,
    ..NO_SEGMENT
};
const DATA: Segment = Segment {
    limit: 0xffff_ffff,
    selector: selector::KERNEL_DATA,
    kind: 3,
    present: 1,
    s: 1,
    db: 1,
    g: 1,
    ..NO_SEGMENT
};
const EMPTY: Segment = Segment {
    limit: 0xffff_ffff,
    kind: 3,
    present: 1,
    dpl: 3,
    s: 1,
    db: 1,
    g: 1,
    ..NO_SEGMENT
};

/// Word of a virtual CPU's exception stack that gets the error code; with none the word stays as it is.
const ERROR_CODE: usize = 512 - 6;
/// Word that gets RAX at a page fault, whose address is in RAX then.
const SAVED: usize = ERROR_CODE - 1;
/// What is in both before.
const NO_ERROR_CODE: u64 = u64::MAX;

/// The flags as Linux lets a program have them: in ring 0 it could turn interrupts off, and change its rights to ports.
fn program_flags(flags: u64) -> u64 {
    const INTERRUPTS: u64 = 0x200;
    const PORT_RIGHTS: u64 = 0x3000;
    flags & !PORT_RIGHTS | INTERRUPTS
}

/// Bytes of an output that is over: those `before` the program counter, unless it is `at` an instruction for ports.
fn output_before(before: &[u8; 8], at: &[u8; 4]) -> u64 {
    let prefix = |b: &u8| matches!(b, 0xf2 | 0xf3 | 0x66 | 0x67);
    let opcode = at.iter().find(|b| !prefix(b)).unwrap_or(&0);
    let length = match before {
        _ if matches!(opcode, 0x6c..=0x6f | 0xe4..=0xe7 | 0xec..=0xef) => return 0,
        [.., 0x6e | 0x6f | 0xee | 0xef] => 1,
        [.., 0xe6 | 0xe7, _] => 2,
        _ => return 0,
    };
    let prefixes = before[..8 - length].iter().rev();
    (length + prefixes.take_while(|b| prefix(b)).count()) as u64
}

fn canonical(at: u64) -> bool {
    matches!(at >> 47, 0 | 0x1_ffff)
}

fn alias(f: unsafe extern "C" fn()) -> u64 {
    (f as *const () as usize + ALIAS) as u64
}

/// True if the virtual CPU executes the kernel's part.
fn in_gate(rip: u64) -> bool {
    (alias(gate::hrt_gate_start)..alias(gate::hrt_gate_end)).contains(&rip)
}

/// True if the virtual CPU executes the kernel's part: the gate, or what that calls on a stack of the kernel's. Compiled code calls some
/// functions by their absolute address, which is not that of the alias.
#[must_use]
pub fn in_kernel(regs: &Regs) -> bool {
    let rip = regs.rip as usize;
    let image = IMAGE.load(Ordering::Relaxed);
    if rip >= ALIAS {
        (image..image + IMAGE_SIZE.load(Ordering::Relaxed)).contains(&(rip - ALIAS))
    } else {
        // Call slots, which the program enters with any stack pointer, are elsewhere.
        regs.rsp as usize >= ALIAS && kernel::constant().contains(&rip)
    }
}

/// The ring of the program.
#[must_use]
pub fn ring() -> u8 {
    RING.load(Ordering::Relaxed)
}

/// Chooses the ring of the program.
pub fn set_ring(ring: u8) {
    RING.store(ring, Ordering::Relaxed);
}

/// Prepares what all virtual CPUs share. `kvm` is the descriptor of /dev/kvm.
///
/// # Errors
/// What is missing.
pub fn init(kvm: i32) -> Result<(), &'static str> {
    // SAFETY: the request takes no pointer.
    let size = unsafe { wire::ioctl(kvm, request::GET_VCPU_MMAP_SIZE, 0) };
    if size < size_of::<Run>() as isize {
        return Err("KVM has no synchronized registers");
    }
    RUN_SIZE.store(size as usize, Ordering::Relaxed);
    // SAFETY: one thread, at start.
    let cpuid = unsafe { &mut *COMMON.cpuid.get() };
    cpuid.count = wire::CPUID_MAX as u32;
    // SAFETY: the structure has as many entries as it says.
    let r = unsafe {
        wire::ioctl(
            kvm,
            request::GET_SUPPORTED_CPUID,
            core::ptr::from_mut(cpuid) as usize,
        )
    };
    if r != 0 {
        return Err("KVM does not tell the processor's features");
    }
    mirror(cpuid);
    tables()
}

/// What this processor says of itself. (The intrinsic was unsafe to call before Rust 1.94.)
#[allow(unused_unsafe)]
#[must_use]
pub fn cpuid(leaf: u32, part: u32) -> CpuidResult {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { core::arch::x86_64::__cpuid_count(leaf, part) }
}

/// True if the processor has VT-x or SVM, which KVM needs to execute ring 0 (Intel SDM 3C, 24.6; AMD APM 2, 15.4).
#[must_use]
pub fn has_virtualization() -> bool {
    const VMX: u32 = 1 << 5;
    const SVM: u32 = 1 << 2;
    cpuid(1, 0).ecx & VMX != 0
        || cpuid(0x8000_0000, 0).eax > 0x8000_0000 && cpuid(0x8000_0001, 0).ecx & SVM != 0
}

/// Makes the guest's CPUID that of this processor, as far as KVM can give it.
fn mirror(guest: &mut Cpuid) {
    let mut supported = 0u64;
    let count = guest.count as usize;
    for e in guest.entries.iter_mut().take(count) {
        // Numbers without a meaning: zero everywhere, and each question is dear where this machine is itself a virtual one.
        if matches!(
            e.function,
            8 | 0xc | 0xe | 0x11 | 0x13 | 0x8000_0009 | 0x8000_000b..=0x8000_0018
        ) {
            continue;
        }
        let host = cpuid(e.function, e.index);
        match (e.function, e.index) {
            (0xd, 0) => {
                supported = u64::from(e.eax) | u64::from(e.edx) << 32;
                e.ebx = host.ebx;
            }
            // Features: what KVM can give, and no more than there is.
            (1 | 7 | 0x8000_0001 | 0x8000_0008 | 0xd, _) => {
                e.ecx &= host.ecx;
                e.edx &= host.edx;
                if e.function != 0xd && e.function != 1 {
                    e.ebx &= host.ebx;
                }
                if e.function == 1 {
                    e.ebx = host.ebx;
                    e.ecx |= host.ecx & (1 << 27); // OSXSAVE
                }
            }
            (0x4000_0000..=0x4fff_ffff, _) => {}
            _ => {
                e.eax = host.eax;
                e.ebx = host.ebx;
                e.ecx = host.ecx;
                e.edx = host.edx;
            }
        }
    }
    let xcr0 = host_xcr0() & supported;
    XCR0.store(xcr0, Ordering::Relaxed);
    let end = |i: u32| {
        let part = cpuid(0xd, i);
        (part.ebx + part.eax) as usize
    };
    // The old part and the header, then each component where the processor has it.
    let parts = (2..63).filter(|i| xcr0 >> i & 1 != 0).map(end);
    let size = parts.fold(576, usize::max).min(PAGE - 4);
    STATE_SIZE.store(size, Ordering::Relaxed);
}

fn host_xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: every processor with XSAVE, which KVM has just been asked for, has the instruction.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags));
    }
    u64::from(low) | u64::from(high) << 32
}

/// The state components that the guest has (the XCR0 register).
#[must_use]
pub fn xcr0() -> u64 {
    XCR0.load(Ordering::Relaxed)
}

/// Bytes of the vector state in a signal frame.
#[must_use]
pub fn state_size() -> usize {
    STATE_SIZE.load(Ordering::Relaxed)
}

/// Writes the descriptor tables and maps what the guest's kernel needs.
fn tables() -> Result<(), &'static str> {
    // SAFETY: one thread, at start.
    let (gdt, idt) = unsafe { (&mut (*COMMON.gdt.get()).0, &mut (*COMMON.idt.get()).0) };
    gdt[usize::from(selector::KERNEL_CODE / 8)] = 0x00af_9b00_0000_ffff;
    gdt[usize::from(selector::KERNEL_DATA / 8)] = 0x00cf_9300_0000_ffff;
    gdt[usize::from(selector::USER_DATA / 8)] = 0x00cf_f300_0000_ffff;
    gdt[usize::from(selector::USER_CODE / 8)] = 0x00af_fb00_0000_ffff;
    for v in 0..256 {
        let to = match v {
            14 => alias(gate::hrt_gate_page_fault),
            _ => alias(gate::hrt_gate_vectors) + (v * gate::VECTOR_SIZE) as u64,
        };
        // `int3`, `into` and `int 0x80` may be executed by the program.
        let kind: u64 = if [3, 4, 0x80].contains(&v) {
            0xee
        } else {
            0x8e
        };
        idt[2 * v] = (to & 0xffff)
            | u64::from(selector::KERNEL_CODE) << 16
            | 1 << 32 // IST 1
            | kind << 40
            | (to >> 16 & 0xffff) << 48;
        idt[2 * v + 1] = to >> 32;
    }
    let at = |f: unsafe extern "C" fn()| f as *const () as usize;
    for page in (at(gate::hrt_gate_start)..at(gate::hrt_gate_end)).step_by(PAGE) {
        paging::map_alias(page, bit::USER)?;
    }
    paging::map_alias(COMMON.gdt.get() as usize, bit::WRITE | bit::NX)?;
    paging::map_alias(COMMON.idt.get() as usize, bit::NX)
}

/// From now on page faults go to the programs' handlers first. In ring 0 only: the gate uses the program's GS base, which a fault
/// in ring 3 may leave as anything.
pub fn serve_faults() {
    // SAFETY: the tables are there for ever; both words are such that a CPU may read them at any time: the upper half of the
    // address is the same for the whole gate.
    unsafe {
        let idt = (*COMMON.idt.get()).0.as_mut_ptr();
        let to = alias(gate::hrt_gate_fault);
        let old = idt.add(2 * 14).read_volatile();
        idt.add(2 * 14).write_volatile(
            old & !(0xffff | 0xffff << 48) | (to & 0xffff) | (to >> 16 & 0xffff) << 48,
        );
    }
}

/// Makes the virtual CPUs of VM `vm` from now on.
pub fn set_vm(vm: i32) {
    VM.store(vm, Ordering::Relaxed);
    NEXT_ID.store(0, Ordering::Relaxed);
}

/// The VM's descriptor.
#[must_use]
pub fn vm() -> i32 {
    VM.load(Ordering::Relaxed)
}

/// The virtual CPU in block `b`.
#[must_use]
pub fn of(b: *mut Block) -> *mut Vcpu {
    (b as usize + SIGNAL_STACK) as *mut Vcpu
}

impl Vcpu {
    /// Makes the descriptor and brings the CPU to the state in which it can enter the program.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn create(&mut self) -> Result<(), &'static str> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the request takes a number.
        let fd = unsafe { wire::ioctl(vm(), request::CREATE_VCPU, id) };
        if raw::is_err(fd) {
            return Err(match -fd as i32 {
                errno::ENOMEM => "no memory for a virtual CPU",
                errno::EMFILE | errno::ENFILE => "no virtual CPU can be made: too many open files",
                _ => "no virtual CPU can be made",
            });
        }
        let fd = descriptors::protect(fd as i32);
        let size = RUN_SIZE.load(Ordering::Relaxed);
        // SAFETY: a new shared mapping of the descriptor.
        let run = unsafe { raw::syscall6(nr::MMAP, [0, size, 3, 1, fd as usize, 0]) };
        if raw::is_err(run) {
            descriptors::close(fd);
            return Err("no memory for a virtual CPU's registers");
        }
        self.fd = fd;
        self.run = run as *mut Run;
        self.set_up().inspect_err(|_| self.destroy())
    }

    /// True if it has been made.
    #[must_use]
    pub fn exists(&self) -> bool {
        !self.run.is_null()
    }

    /// Closes the descriptor.
    pub fn destroy(&mut self) {
        if self.fd >= 0 && !self.run.is_null() {
            // SAFETY: our own mapping and descriptor.
            unsafe {
                let size = RUN_SIZE.load(Ordering::Relaxed);
                raw::syscall4(nr::MUNMAP, self.run as usize, size, 0, 0);
            }
            descriptors::close(self.fd);
        }
        self.fd = -1;
        self.run = core::ptr::null_mut();
    }

    /// ioctl(2) with a structure, or what follows its header.
    fn request<T>(&self, request: usize, with: *mut T) -> isize {
        // SAFETY: each caller gives the structure that the request takes.
        unsafe { wire::ioctl(self.fd, request, with as usize) }
    }

    fn set_up(&mut self) -> Result<(), &'static str> {
        let tss = self.tss.get();
        paging::map_alias(tss as usize - SIGNAL_STACK, bit::USER | bit::NX)?;
        paging::map_alias(tss as usize, bit::WRITE | bit::NX)?;
        paging::map_alias(self.iret.get() as usize, bit::USER | bit::NX)?;
        paging::map_alias((&raw const self.job) as usize, bit::NX)?;
        let top = (tss as usize + PAGE + ALIAS) as u64;
        // SAFETY: the page is ours; no CPU uses it yet.
        unsafe {
            // RSP0 is at byte 4 of the segment and IST1 at byte 36 (Intel SDM 3A, 8.7), both unaligned. The map of I/O
            // rights allows ports 0 to 3: where ring 0 is emulated, `syscall` leads to the gate without leaving ring 3.
            let bytes = tss.cast::<u8>();
            bytes.add(4).cast::<u64>().write_unaligned(top);
            bytes.add(36).cast::<u64>().write_unaligned(top);
            bytes.add(102).cast::<u16>().write_unaligned(104);
            bytes.add(104).write(0xf0);
            bytes.add(105).write(0xff);
        }
        if self.request(request::SET_CPUID2, COMMON.cpuid.get()) != 0 {
            return Err("KVM refuses the processor's features");
        }
        let mut xcrs = Xcrs {
            count: 1,
            flags: 0,
            xcrs: [Xcr::default(); 16],
            padding: [0; 16],
        };
        xcrs.xcrs[0].value = xcr0();
        let mut s = self.sregs();
        s.cr0 = 0x8005_0033; // PE MP ET NE WP AM PG
        s.cr3 = paging::root();
        s.cr4 = 0x20 | 0x200 | 0x400 | 0x1_0000 | 0x4_0000; // PAE OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE
        s.efer = 0xd01; // SCE LME LMA NXE
        s.cs = CODE;
        s.ss = DATA;
        (s.ds, s.es, s.fs, s.gs) = (EMPTY, EMPTY, EMPTY, EMPTY);
        s.ldt = Segment {
            unusable: 1,
            ..NO_SEGMENT
        };
        s.tr = Segment {
            base: (tss as usize + ALIAS) as u64,
            limit: 105,
            selector: selector::TASK,
            kind: 11,
            present: 1,
            ..NO_SEGMENT
        };
        s.gdt.base = (COMMON.gdt.get() as usize + ALIAS) as u64;
        s.gdt.limit = 127;
        s.idt.base = (COMMON.idt.get() as usize + ALIAS) as u64;
        s.idt.limit = 4095;
        if !self.set_sregs(&s) {
            return Err("KVM refuses the processor's state");
        }
        if self.request(request::SET_XCRS, &raw mut xcrs) != 0 {
            return Err("KVM refuses XCR0");
        }
        let msr = |index, data| Msr {
            index,
            reserved: 0,
            data,
        };
        let star = u64::from(selector::KERNEL_CODE) << 32 | 0x23 << 48;
        let mut msrs = Msrs {
            count: 4,
            padding: 0,
            entries: [
                msr(0xc000_0081, star), // STAR
                msr(LSTAR, alias(gate::hrt_gate_syscall)),
                msr(0xc000_0084, 0x4_7700), // FMASK, as Linux has it
                msr(0x277, 0x0007_0406_0007_0406), // PAT, likewise its reset value
                msr(0, 0),
            ],
        };
        if self.request(request::SET_MSRS, &raw mut msrs) < 3 {
            return Err("KVM refuses the registers of `syscall`");
        }
        // The program and Linux read the same time stamp: an offset of zero (KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET).
        let mut offset = 0u64;
        let mut attr = DeviceAttr {
            flags: 0,
            group: 0,
            attr: 0,
            addr: (&raw mut offset) as u64,
        };
        if self.request(request::SET_DEVICE_ATTR, &raw mut attr) != 0 {
            return Err("KVM cannot set the time stamp's offset (it came with Linux 5.16)");
        }
        self.level = false;
        self.careful = 0;
        // SAFETY: the structure that KVM shares.
        unsafe { (*self.run).valid_regs = wire::SYNC_REGS };
        Ok(())
    }

    /// Lets `syscall` lead to the guest's kernel; false if that cannot be.
    pub fn serve_calls(&mut self) -> bool {
        let none = Msr {
            index: 0,
            reserved: 0,
            data: 0,
        };
        let mut msrs = Msrs {
            count: 1,
            padding: 0,
            entries: [none; 5],
        };
        msrs.entries[0].index = LSTAR;
        msrs.entries[0].data = alias(gate::hrt_gate_call);
        self.request(request::SET_MSRS, &raw mut msrs) == 1
    }

    /// Lets the guest's kernel leave the guest before it goes back to the program.
    fn stop_guest(&mut self, on: bool) {
        let b = (core::ptr::from_mut(self) as usize - SIGNAL_STACK) as *mut Block;
        // SAFETY: the block that this lies in.
        unsafe { (*b).guest_stop.store(u32::from(on), Ordering::Relaxed) };
    }

    /// The system registers.
    pub fn sregs(&self) -> Sregs {
        let mut s = Sregs::default();
        self.request(request::GET_SREGS, &raw mut s);
        s
    }

    /// Sets them.
    pub fn set_sregs(&self, s: &Sregs) -> bool {
        let mut s = *s;
        self.request(request::SET_SREGS, &raw mut s) == 0
    }

    /// Sets the bases of FS and GS; the latter to the block that this lies in.
    pub fn set_bases(&mut self, fs: u64) {
        let mut s = self.sregs();
        self.put_bases(&mut s, fs);
        self.set_sregs(&s);
    }

    fn put_bases(&self, s: &mut Sregs, fs: u64) {
        let block = (&raw const *self as usize - SIGNAL_STACK) as u64;
        s.fs.base = fs;
        // In ring 0 the gate uses it, too, and must not depend on what is mapped of the program's half.
        s.gs.base = if ring() == 0 {
            block + ALIAS as u64
        } else {
            block
        };
    }

    /// Makes a virtual CPU that has run before as new, with the base of FS that a new thread has. At once, since KVM takes long
    /// for each question where it loads the whole CPU for it.
    pub fn reset(&mut self, fs: u64) {
        let mut s = self.sregs();
        (s.cs, s.ss) = (CODE, DATA);
        self.put_bases(&mut s, fs);
        self.set_sregs(&s);
        self.level = false;
        self.careful = 0;
    }

    /// Copies the vector state out, to `self.xsave`.
    pub fn get_xsave(&mut self) {
        let to = self.xsave.as_mut_ptr();
        self.request(request::GET_XSAVE, to);
    }

    /// Takes the vector state from `self.xsave`; false if it cannot be.
    pub fn set_xsave(&mut self) -> bool {
        let from = self.xsave.as_mut_ptr();
        self.request(request::SET_XSAVE, from) == 0
    }

    /// Lets the next run of the guest end at once.
    pub fn stop(&mut self, on: bool) {
        if !self.run.is_null() {
            // SAFETY: the structure that KVM shares; KVM only reads this byte.
            unsafe { (&raw mut (*self.run).immediate_exit).write_volatile(u8::from(on)) };
        }
    }

    /// Runs the program with `self.regs` until the guest is left; `self.regs` are then the program's again.
    pub fn run(&mut self) -> Exit {
        // SAFETY: the structure that KVM shares.
        let run = unsafe { &mut *self.run };
        // Not at each entry: on its way out after an exception the virtual CPU may be interrupted.
        // SAFETY: the page is ours, and the CPU does not run.
        unsafe {
            let page = &mut *self.tss.get();
            (page[SAVED], page[ERROR_CODE]) = (NO_ERROR_CODE, NO_ERROR_CODE);
        }
        // One that has been put off is looked for whenever the guest's kernel goes back to the program.
        self.stop_guest(self.signals.pending.load(Ordering::Acquire) != 0);
        // KVM does not enter a guest that is at no possible address; the gate's `iretq` makes an exception of it.
        if self.level && canonical(self.regs.rip) {
            run.regs = self.regs;
        } else {
            let (code, data) = if ring() == 3 {
                (selector::USER_CODE, selector::USER_DATA)
            } else {
                (selector::KERNEL_CODE, selector::KERNEL_DATA)
            };
            // SAFETY: our own page; the CPU reads it after this.
            let frame = unsafe { &mut *self.iret.get() };
            frame[..5].copy_from_slice(&[
                self.regs.rip,
                u64::from(code),
                self.regs.rflags,
                self.regs.rsp,
                u64::from(data),
            ]);
            run.regs = Regs {
                rip: alias(gate::hrt_gate_iretq),
                rsp: (self.iret.get() as usize + ALIAS) as u64,
                rflags: 2,
                ..self.regs
            };
        }
        run.dirty_regs |= wire::SYNC_REGS;
        loop {
            let r = self.enter();
            if r != 0 {
                if r == raw::err(errno::EINTR) || r == raw::err(errno::EAGAIN) {
                    if !in_kernel(&run.regs) {
                        self.regs = run.regs;
                        self.level = true;
                        return Exit::Interrupted;
                    }
                    if run.regs.rip == alias(gate::hrt_gate_iretq) {
                        // The program has not been entered.
                        return Exit::Interrupted;
                    }
                    // On its way out: that comes first. Or on its way back, which is to end outside.
                    self.stop_guest(true);
                    let back = alias(gate::hrt_gate_back)..alias(gate::hrt_gate_back_end);
                    if back.contains(&run.regs.rip) {
                        run.regs.rip = back.start;
                        run.dirty_regs |= wire::SYNC_REGS;
                    }
                    run.immediate_exit = 0;
                    continue;
                }
                if r == raw::err(errno::EFAULT) {
                    if let Some(failed) = local::guarded(run.regs.rip) {
                        run.regs.rip = failed;
                        run.dirty_regs |= wire::SYNC_REGS;
                        continue;
                    }
                    if in_kernel(&run.regs) {
                        self.die("Linux refuses the kernel's own memory", r);
                    }
                    self.regs = run.regs;
                    self.level = true;
                    return Exit::Refused;
                }
                self.die("KVM_RUN fails", r);
            }
            return match (run.exit_reason, run.size, run.port) {
                (exit::IO, ..) if !in_gate(run.regs.rip) => self.refuse_port(),
                (exit::IO, 4, port::BOUNDARY) => {
                    let frame = (run.regs.rsp as usize - ALIAS) as *const [u64; 5];
                    // SAFETY: the gate's frame, on the stack of the guest's kernel.
                    let [rip, _, rflags, rsp, _] = unsafe { *frame };
                    self.regs = Regs {
                        rip,
                        rflags: program_flags(rflags),
                        rsp,
                        ..run.regs
                    };
                    self.level = true;
                    Exit::Interrupted
                }
                (exit::IO, 4, port::SYSCALL) => {
                    self.syscall_level();
                    self.regs = run.regs;
                    self.regs.rip = self.regs.rcx;
                    self.regs.rflags = program_flags(self.regs.r11);
                    self.regs.r11 = self.regs.rflags;
                    Exit::Syscall
                }
                (exit::IO, 1, vector) => self.exception(vector as u8),
                (exit::HLT, ..) => {
                    // Privileged for the program, wherever it runs.
                    self.regs = run.regs;
                    self.regs.rflags = program_flags(self.regs.rflags);
                    self.regs.rip -= 1;
                    self.level = true;
                    PRIVILEGED
                }
                (exit::INTR, ..) => continue,
                (reason, ..) => {
                    self.die("the guest was left for an unknown reason", reason as isize)
                }
            };
        }
    }

    /// The program's own `in` or `out`: privileged, wherever it runs. The program is at that instruction afterwards.
    fn refuse_port(&mut self) -> Exit {
        // SAFETY: the structure that KVM shares.
        let run = unsafe { &mut *self.run };
        self.regs = run.regs;
        self.regs.rflags = program_flags(self.regs.rflags);
        // KVM finishes an input when it is called again, one turn of it if it is repeated. A signal that comes meanwhile is
        // looked for before the guest runs.
        let stopped = run.immediate_exit;
        run.immediate_exit = 1;
        run.regs.rcx = 1;
        run.dirty_regs |= wire::SYNC_REGS;
        self.enter();
        run.immediate_exit = stopped;
        // KVM has moved on already if the output was of a string; one that emulates does so in any case.
        let (rip, mut before, mut at) = (self.regs.rip as usize, [0u8; 8], [0u8; 4]);
        if user::read(rip.wrapping_sub(8), &mut before) && user::read(rip, &mut at) {
            self.regs.rip -= output_before(&before, &at);
        }
        PRIVILEGED
    }

    fn enter(&mut self) -> isize {
        let n = observe::EXITS.load(Ordering::Relaxed) + 1;
        observe::EXITS.store(n, Ordering::Relaxed);
        // SAFETY: the request takes no argument.
        unsafe { wire::ioctl(self.fd, request::RUN, 0) }
    }

    /// Learns, once, whether `syscall` leads to another privilege level than the program's.
    fn syscall_level(&mut self) {
        let seen = match SYSCALL_LEVEL.load(Ordering::Relaxed) {
            0 => {
                let same = self.sregs().cs.selector & 3 == u16::from(ring());
                let seen = if same { 1 } else { 2 };
                SYSCALL_LEVEL.store(seen, Ordering::Relaxed);
                seen
            }
            seen => seen,
        };
        self.level = seen == 1;
    }

    fn exception(&mut self, vector: u8) -> Exit {
        // SAFETY: the page is ours, and the CPU waits for us; the structure is KVM's.
        let (page, run) = unsafe { (&*self.tss.get(), &*self.run) };
        let coded = matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30);
        let frame = ERROR_CODE + 1;
        let error = if coded { page[ERROR_CODE] } else { 0 };
        self.regs = Regs {
            rip: page[frame],
            rflags: program_flags(page[frame + 2]),
            rsp: page[frame + 3],
            ..run.regs
        };
        if vector == 14 {
            (self.fault, self.regs.rax) = (run.regs.rax, page[SAVED]);
        }
        let ring = page[frame + 1] as u16 & 3;
        if self.regs.rip == alias(gate::hrt_gate_iretq) {
            // The program cannot go on where it is to: that is where it gets the exception.
            // SAFETY: our own page, and the CPU waits for us.
            let frame = unsafe { &*self.iret.get() };
            (self.regs.rip, self.regs.rflags, self.regs.rsp) = (frame[0], frame[2], frame[3]);
            self.level = false;
            return Exit::Vector { vector, error };
        }
        self.level = ring == 0;
        if in_kernel(&self.regs) {
            return Exit::Kernel { vector, error };
        }
        observe::RING.store(ring, Ordering::Relaxed);
        if ring == 0 && self.by_instruction(vector, error) {
            if vector == 14 {
                self.regs.rax = error;
            }
            self.regs.rip -= 2;
            return Exit::Vector {
                vector: 13,
                error: u64::from(vector) * 8 + 2,
            };
        }
        Exit::Vector { vector, error }
    }

    /// True if the program has executed `int vector` where that is not for it: ring 0 may.
    fn by_instruction(&self, vector: u8, error: u64) -> bool {
        match vector {
            3 | 4 | 0x80 => false,
            // Without an error code RAX is in its place, and nothing where RAX should be, or RCX where handlers of the program's
            // for page faults are tried first.
            14 => [NO_ERROR_CODE, self.regs.rcx].contains(&self.regs.rax) && self.after_int(vector),
            8 | 10..=13 | 17 => error == NO_ERROR_CODE,
            _ => self.after_int(vector),
        }
    }

    /// True if the instruction before is `int vector`.
    fn after_int(&self, vector: u8) -> bool {
        let mut code = [0u8; 2];
        user::read((self.regs.rip as usize).wrapping_sub(2), &mut code) && code == [0xcd, vector]
    }

    /// Gives what the guest's tables have of `from..to` the bits `bits`, or removes it if they are 0, after Linux has changed what
    /// is mapped there. `since`: see [`paging::version`].
    pub fn change(&mut self, from: usize, to: usize, bits: u64, since: u64) {
        if paging::change(from, to, bits, since) {
            self.unmap(from, to);
        }
    }

    /// Clears what the guest's tables have of `from..to`, in the guest.
    pub fn unmap(&mut self, from: usize, to: usize) {
        let mut next = Some(from);
        while let Some(at) = next {
            let (more, runs) = paging::collect(at, to, &mut self.job);
            next = more;
            if runs == 0 {
                continue;
            }
            const _: () = assert!(JOB_SIZE * 16 + 16 == PAGE);
            let list = (&raw const self.job) as usize + ALIAS;
            if let Err(r) = self.kernel_run(alias(gate::hrt_gate_job), list as u64, 0, port::JOB) {
                self.die("the guest's kernel does not come back", r);
            }
        }
    }

    /// The time that a short loop takes in ring 0, in cycles for each turn; the error number, negative, if it cannot run.
    pub fn time_ring0(&mut self) -> Result<u64, isize> {
        self.kernel_run(alias(gate::hrt_gate_loop), 0, gate::LOOP_TURNS, port::LOOP)?;
        // SAFETY: the structure that KVM shares.
        Ok(unsafe { (*self.run).regs.rax } / gate::LOOP_TURNS)
    }

    /// Runs a piece of the gate in ring 0 up to its `out` to `port`. Otherwise gives what KVM_RUN gave.
    fn kernel_run(&mut self, rip: u64, rbx: u64, rcx: u64, port: u16) -> Result<(), isize> {
        let mut s = self.sregs();
        if s.cs.selector != CODE.selector {
            (s.cs, s.ss) = (CODE, DATA);
            self.set_sregs(&s);
        }
        self.level = ring() == 0;
        // SAFETY: the structure that KVM shares.
        let run = unsafe { &mut *self.run };
        run.regs = Regs {
            rip,
            rbx,
            rcx,
            rsp: (self.tss.get() as usize + PAGE + ALIAS) as u64,
            rflags: 2,
            ..Regs::default()
        };
        run.dirty_regs |= wire::SYNC_REGS;
        loop {
            let stopped = run.immediate_exit;
            run.immediate_exit = 0;
            let r = self.enter();
            if stopped != 0 {
                run.immediate_exit = stopped;
            }
            if r == 0 && (run.exit_reason, run.size, run.port) == (exit::IO, 4, port) {
                return Ok(());
            }
            if r != raw::err(errno::EINTR) && r != raw::err(errno::EAGAIN) {
                return Err(r);
            }
        }
    }

    /// Reports a state that should not be, with all that the virtual CPU tells, and ends the process.
    pub fn die(&self, what: &str, code: isize) -> ! {
        report::panic(&format_args!("{what} ({code})"), |out| self.describe(out))
    }

    /// Adds the state of the virtual CPU and that of the program to a report.
    pub fn describe(&self, out: &mut report::Report) {
        if !self.exists() {
            return;
        }
        // SAFETY: the structure that KVM shares.
        let run = unsafe { &*self.run };
        let name = match run.exit_reason {
            exit::UNKNOWN => "unknown",
            exit::IO => "port",
            exit::HLT => "hlt",
            exit::MMIO => "access to no memory",
            exit::SHUTDOWN => "shutdown: an exception while one was being delivered, thrice",
            exit::FAIL_ENTRY => "the processor refuses the state",
            exit::INTR => "signal",
            exit::INTERNAL_ERROR => "KVM cannot go on",
            _ => "",
        };
        let _ = writeln!(out, "  exit: reason {} ({name})", run.exit_reason);
        if matches!(run.exit_reason, exit::FAIL_ENTRY | exit::INTERNAL_ERROR) {
            // Of the first, why; of the other, the kind of error and how many words tell of it.
            let word = |at: usize| {
                let b = &run.rest[at..at + 8];
                u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
            };
            let first = u64::from_le_bytes([
                run.direction,
                run.size,
                run.port as u8,
                (run.port >> 8) as u8,
                run.count as u8,
                (run.count >> 8) as u8,
                (run.count >> 16) as u8,
                (run.count >> 24) as u8,
            ]);
            let _ = writeln!(
                out,
                "    told by KVM: {first:#x} {:#x} {:#x} {:#x}",
                run.data_offset,
                word(0),
                word(8)
            );
        }
        let (r, s) = (&run.regs, self.sregs());
        report::registers(
            out,
            "guest",
            &[
                ("rip", r.rip),
                ("rsp", r.rsp),
                ("rbp", r.rbp),
                ("rflags", r.rflags),
                ("rax", r.rax),
                ("rbx", r.rbx),
                ("rcx", r.rcx),
                ("rdx", r.rdx),
                ("rsi", r.rsi),
                ("rdi", r.rdi),
                ("r8", r.r8),
                ("r9", r.r9),
                ("r10", r.r10),
                ("r11", r.r11),
                ("r12", r.r12),
                ("r13", r.r13),
                ("r14", r.r14),
                ("r15", r.r15),
                ("cs", u64::from(s.cs.selector)),
                ("ss", u64::from(s.ss.selector)),
                ("cr0", s.cr0),
                ("cr2", s.cr2),
                ("cr3", s.cr3),
                ("cr4", s.cr4),
                ("efer", s.efer),
                ("fs", s.fs.base),
                ("gs", s.gs.base),
                ("tss", s.tr.base),
                ("gdt", s.gdt.base),
                ("limit", u64::from(s.gdt.limit)),
                ("idt", s.idt.base),
                ("limit", u64::from(s.idt.limit)),
            ],
        );
        // The kernel's part is executed at its alias.
        let rip = r.rip as usize;
        let rip = if rip >= ALIAS && in_kernel(r) {
            rip - ALIAS
        } else {
            rip
        };
        report::backtrace(out, "guest", Some(rip), r.rbp as usize);
        // All that there is after a shutdown on a processor that loses the state with it.
        let p = &self.regs;
        report::registers(
            out,
            "program, when it was last left",
            &[
                ("rip", p.rip),
                ("rsp", p.rsp),
                ("rbp", p.rbp),
                ("rflags", p.rflags),
                ("rax", p.rax),
                ("rdi", p.rdi),
                ("rsi", p.rsi),
                ("rdx", p.rdx),
            ],
        );
        report::backtrace(out, "program", Some(p.rip as usize), p.rbp as usize);
    }
}
