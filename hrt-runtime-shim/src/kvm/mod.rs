//! The `kvm` platform: the program runs beside the HRT kernel in a VM that the process makes inside itself from /dev/kvm.
//!
//! Each thread of the program is a Linux thread, its *partner*, that runs a virtual CPU ([`vcpu`]). The guest's lower half is the
//! process's address space ([`paging`]); in the upper half is the kernel's part that the virtual CPU executes ([`gate`]).
//! The guest leaves for system calls and exceptions; the partner serves them ([`partner`], [`faults`], [`signals`],
//! [`threads`]) and goes back.

mod api;
mod channel;
mod descriptors;
mod faults;
mod gate;
mod local;
mod paging;
mod partner;
pub(crate) mod signals;
mod threads;
mod vcpu;
mod wire;

pub use descriptors::hidden;

use crate::entry::Context;
use crate::hosted::frame::hrt_kvm_upcall;
use crate::kernel::block::{self, Block};
use crate::kernel::{begin, name_memory, observe, overrides, policy, set_up, slots, undo};
use crate::raw::{self, errno, nr};
use crate::threads::posix;
use core::arch::global_asm;
use core::sync::atomic::{AtomicI32, Ordering};
use hrt_kernel::classes::Class;
use hrt_kernel::platform::{Machine, Platform};
use hrt_kernel::settings::Settings;
use vcpu::Vcpu;
use wire::{Regs, request};

/// The descriptor of /dev/kvm.
static DEVICE: AtomicI32 = AtomicI32::new(-1);
/// Cycles for a turn of an empty loop in ring 0 from which on its instructions must be emulated.
const EMULATED: u64 = 500;

unsafe extern "C" {
    /// Returns twice: in the guest, once `work(b)` has run it with the registers that are stored to `regs`. The calling thread
    /// itself goes on with `work(b)` on the stack that ends at `stack`.
    fn hrt_kvm_start(
        regs: *mut Regs,
        stack: usize,
        b: *mut Block,
        work: extern "C" fn(*mut Block) -> !,
    );
    /// Stores the vector state whose components `low` and `high` name.
    fn hrt_kvm_xsave(to: *mut u8, low: u32, high: u32);
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_kvm_start
hrt_kvm_start:
    movq    %rbx, 8(%rdi)
    movq    %rbp, 56(%rdi)
    movq    %r12, 96(%rdi)
    movq    %r13, 104(%rdi)
    movq    %r14, 112(%rdi)
    movq    %r15, 120(%rdi)
    leaq    8(%rsp), %rax
    movq    %rax, 48(%rdi)
    movq    (%rsp), %rax
    movq    %rax, 128(%rdi)
    pushfq
    popq    136(%rdi)
    movq    %rsi, %rsp
    andq    $-16, %rsp
    xorl    %ebp, %ebp
    movq    %rdx, %rdi
    call    *%rcx
    ud2
    .globl  hrt_kvm_xsave
hrt_kvm_xsave:
    movl    %esi, %eax
    xsave64 (%rdi)
    ret
    "#,
    options(att_syntax)
);

/// See the module.
pub struct Kvm;

impl Machine for Kvm {
    const PLATFORM: Platform = Platform::Kvm;
    type Start = Context;

    fn hybridize(&self, context: &Context) -> Result<(), &'static str> {
        if context.settings.platform == Platform::Auto {
            unsuited()?;
        }
        let b = begin(context)?;
        // SAFETY: the block is ours.
        let v = unsafe { &mut *vcpu::of(b) };
        v.fd = -1;
        if let Err(why) = boot(v, &context.settings) {
            v.destroy();
            paging::close_maps(descriptors::close);
            descriptors::close(vcpu::vm());
            descriptors::close(DEVICE.load(Ordering::Relaxed));
            paging::discard();
            observe::restart();
            // SAFETY: no thread runs on the block.
            unsafe { undo() };
            return Err(why);
        }
        posix::init(context.config.threads() && context.settings.overrides);
        slots::set_upcall(hrt_kvm_upcall as *const () as usize);
        set_up(Self::PLATFORM, context, channel::entry(), |n| {
            !crate::channel::serves(n) || policy::class(n) != Class::Forward
        });
        channel::init();
        // Its memory is taken now, so that nothing is mapped in the midst of the program's life.
        crate::channel::init(
            b,
            context.settings.channel && context.config.channel(),
            true,
        );
        signals::init();
        crate::threads::preempt::init(&signals::own_action(), context.preempt());
        overrides::apply(context);
        name_memory();
        v.signals = signals::State::new();
        local::init(b, v, context.settings.local);
        v.xsave = [0; 4096];
        let (xcr0, xsave) = (vcpu::xcr0(), v.xsave.as_mut_ptr());
        // SAFETY: a page, aligned; the components are those that the processor has on.
        unsafe { hrt_kvm_xsave(xsave, xcr0 as u32, (xcr0 >> 32) as u32) };
        v.set_xsave();
        v.set_bases(fs_base());
        // SAFETY: the guest goes on here with this very stack, which the partner leaves to it.
        unsafe { hrt_kvm_start(&raw mut v.regs, (*b).stack_top, b, partner::work) };
        Ok(())
    }
}

fn fs_base() -> u64 {
    const ARCH_GET_FS: usize = 0x1003;
    let mut base = 0u64;
    // SAFETY: writes a local.
    unsafe { raw::syscall4(nr::ARCH_PRCTL, ARCH_GET_FS, (&raw mut base) as usize, 0, 0) };
    base
}

/// Keeps `auto` from this platform where a process is better off without, which is known before anything is tried.
///
/// # Errors
/// Why it is.
fn unsuited() -> Result<(), &'static str> {
    const PR_GET_SECCOMP: usize = 21;
    if !vcpu::has_virtualization() {
        return Err(EMULATED_RING);
    }
    // SAFETY: only asks. A Linux that knows no jails answers EINVAL.
    let jail = unsafe { raw::syscall4(nr::PRCTL, PR_GET_SECCOMP, 0, 0, 0) };
    if jail != 0 && jail != raw::err(errno::EINVAL) {
        return Err("the process is in a jail, which may end it for asking");
    }
    if descriptors::few() {
        return Err("the process may have few descriptors, of which the kernel takes some");
    }
    if raw::limit(raw::RLIMIT_AS) != u64::MAX {
        return Err("the address space is limited, and the VM's tables would count");
    }
    Ok(())
}

const EMULATED_RING: &str = "ring 0 is not executed by hardware here";

/// Makes the VM and its first virtual CPU.
fn boot(v: &mut Vcpu, settings: &Settings<'_>) -> Result<(), &'static str> {
    vcpu::set_vm(-1);
    DEVICE.store(-1, Ordering::Relaxed);
    const FLAGS: usize = 0o2_000_402; // O_RDWR | O_NOCTTY | O_CLOEXEC
    // SAFETY: a NUL-terminated path.
    let device = unsafe { raw::syscall4(nr::OPEN, c"/dev/kvm".as_ptr() as usize, FLAGS, 0, 0) };
    if raw::is_err(device) {
        return Err(match -device as i32 {
            errno::ENOENT | errno::ENODEV | errno::ENXIO => {
                "there is no /dev/kvm (no KVM in this kernel, or not given to this container)"
            }
            errno::EACCES | errno::EPERM => {
                "/dev/kvm may not be opened (add the user to the group of /dev/kvm)"
            }
            errno::EMFILE | errno::ENFILE => "/dev/kvm does not open: too many open files",
            errno::EBUSY => "/dev/kvm is busy",
            _ => "/dev/kvm does not open",
        });
    }
    let device = descriptors::protect(device as i32);
    DEVICE.store(device, Ordering::Relaxed);
    // SAFETY: these requests take no pointer.
    let ask = |request, arg| unsafe { wire::ioctl(device, request, arg) };
    match ask(request::GET_API_VERSION, 0) {
        r if r == hrt_abi::kvm::API_VERSION as isize => {}
        r if !raw::is_err(r) => return Err("/dev/kvm has another interface than version 12"),
        r if r == raw::err(errno::ENOTTY) => return Err("/dev/kvm is no KVM device"),
        _ => return Err("/dev/kvm does not answer (a jail forbids ioctl, or it is no KVM device)"),
    }
    for c in &hrt_abi::kvm::CAPABILITIES {
        if !c.is_in(ask(request::CHECK_EXTENSION, c.number)) {
            return Err(c.missing);
        }
    }
    make_vm(device)?;
    let slots = ask(request::CHECK_EXTENSION, wire::NR_MEMSLOTS).max(32) as usize;
    let address_bits = vcpu::cpuid(0x8000_0008, 0).eax & 0xff;
    // What is promised for any KVM; one that emulates reports more than it holds.
    paging::init(vcpu::vm(), slots, address_bits.min(39))?;
    vcpu::init(device)?;
    v.create()?;
    let emulated = emulated(v).map_err(|_| "the VM does not run")?;
    api::EMULATED.store(emulated, Ordering::Relaxed);
    if emulated && settings.platform == Platform::Auto {
        return Err(EMULATED_RING);
    }
    if emulated && settings.ring == Some(0) {
        // What emulates it knows the instructions of kernels only.
        return Err("HRT_RING=0 asks for ring 0, which is not executed by hardware here");
    }
    vcpu::set_ring(settings.ring.unwrap_or(if emulated { 3 } else { 0 }));
    paging::open_maps(descriptors::protect)?;
    if paging::mapping(boot as *const () as usize).is_none() {
        return Err("/proc does not tell what is mapped");
    }
    Ok(())
}

/// True if ring 0 is slow; the best of a few times, since the first ones may have been disturbed. Without virtualization in the
/// processor it must be; that the VM runs is seen all the same.
fn emulated(v: &mut Vcpu) -> Result<bool, isize> {
    let times = if vcpu::has_virtualization() { 3 } else { 1 };
    for _ in 0..times {
        if v.time_ring0()? <= EMULATED {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes a VM; its descriptor is then [`vcpu::vm`].
fn make_vm(device: i32) -> Result<(), &'static str> {
    // SAFETY: the request takes no pointer; type 0 is the default.
    let vm = unsafe { wire::ioctl(device, request::CREATE_VM, 0) };
    if raw::is_err(vm) {
        return Err(match -vm as i32 {
            errno::ENOMEM => "no memory for a VM",
            errno::EMFILE | errno::ENFILE => "no VM can be made: too many open files",
            errno::EBUSY => {
                "no VM can be made: the processor's virtualization is in use by another program"
            }
            _ => "no VM can be made",
        });
    }
    vcpu::set_vm(descriptors::protect(vm as i32));
    Ok(())
}

/// Closes everything but the device.
fn unmake() {
    for b in block::all() {
        // SAFETY: blocks are mapped for ever, and this is the only thread; a virtual CPU that was never made has no run structure.
        let v = unsafe { &mut *vcpu::of(b) };
        if v.exists() {
            v.destroy();
        }
    }
    descriptors::close(vcpu::vm());
    paging::close_maps(descriptors::close);
}

/// In the child of a fork: makes a VM like the parent's for the one thread there is, whose vector state is in `v.xsave`.
fn remake(v: &mut Vcpu, fs: u64) -> Result<(), &'static str> {
    make_vm(DEVICE.load(Ordering::Relaxed))?;
    paging::adopt(vcpu::vm())?;
    paging::open_maps(descriptors::protect)?;
    v.create()?;
    local::equip(block::current(), v);
    v.set_xsave();
    v.set_bases(fs);
    Ok(())
}
